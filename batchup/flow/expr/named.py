"""The names that expressions start with: B C D F I L M P PP R V W."""

from __future__ import annotations

import operator
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ...engine.rng import rng_at
from .expressions import (
    LETTERS,
    WRITERS,
    EvalContext,
    Expr,
    ItemValues,
    Raw,
    Root,
    Target,
    call_function,
    evaluate,
    evaluate_in,
    expressions_in,
    mode_letter,
    restore_expression,
    set_attribute,
    written_value,
)

__all__ = [
    "PP", "B", "C", "D", "F", "I", "L", "M", "P", "R", "V", "W", "function_key", "things_read", "things_written",
]  # fmt: skip


class _Namespace(Root):
    """`B`, `C`, `D`, `I`, `M` and `V`: ``B`` is the object itself, ``B.name`` and ``B("name")`` are things in it."""

    __slots__ = ()

    def _attribute(self, name: str) -> Expr:
        return self(name)

    def __call__(self, name: str | Expr | None = None, mode: str = "w", **options: object) -> Expr:
        return Root(self._fn, name, options, mode=mode)


class _ConfigValue(Root):
    """A value of the config: ``C.model.lr`` is ``C("model/lr")``."""

    __slots__ = ()

    def _attribute(self, name: str) -> Expr:
        path, options = self._operands
        return restore_expression(_ConfigValue, self._fn, (f"{path}/{name}", options), self._mode)


class _Config(_Namespace):
    """`C`: the config is a dict, in which there may be other dicts."""

    __slots__ = ()

    def __call__(self, name: str | Expr | None = None, mode: str = "w", **options: object) -> Expr:
        if not isinstance(name, str):
            return super().__call__(name, mode, **options)
        return restore_expression(_ConfigValue, self._fn, (name, options), mode_letter(mode))


def _batch(context: EvalContext, name: str | None = None, options: Mapping[str, Any] = {}) -> Any:
    if context.batch is None:
        raise ValueError("B needs a batch, but there is none here: pass get() one, or run a pipeline")
    if name is None:
        return context.batch.deepcopy() if options.get("copy") else context.batch
    return getattr(context.batch, name)


def _pipeline(context: EvalContext, letter: str) -> Any:
    if context.pipeline is None:
        raise ValueError(f"{letter} needs a pipeline, but there is none here: pass get() one, or run a pipeline")
    return context.pipeline


def _config(context: EvalContext, name: str | None = None, options: Mapping[str, Any] = {}) -> Any:
    pipeline = options.get("pipeline") or _pipeline(context, "C")
    found: Any = pipeline.config or {}
    for part in [] if name is None else str(name).split("/"):
        if not isinstance(found, Mapping) or part not in found:
            if name != part and hasattr(found, part):  # C.model.items is the method of the dict
                found = getattr(found, part)
                continue
            if "default" in options:
                return options["default"]
            raise KeyError(
                f"the config has no {name!r}; it has {', '.join(map(str, pipeline.config or {})) or 'nothing'}"
            )
        found = found[part]
    return evaluate(found, context.batch, context.pipeline)


def _dataset(context: EvalContext, name: str | None = None, options: Mapping[str, Any] = {}) -> Any:
    dataset = getattr(context.batch, "dataset", None)
    dataset = getattr(context.pipeline, "dataset", None) if dataset is None else dataset
    if dataset is None:
        raise ValueError("D needs a dataset, but there is none here: bind the pipeline to one with <<")
    if name is None:
        return dataset
    if not hasattr(dataset, name):
        raise KeyError(f"the dataset has no attribute {name!r}")
    return getattr(dataset, name)


def _variable(context: EvalContext, name: str | None = None, options: Mapping[str, Any] = {}) -> Any:
    return _pipeline(context, "V").get_variable(name)


def _model(context: EvalContext, name: str | None = None, options: Mapping[str, Any] = {}) -> Any:
    return _pipeline(context, "M").get_model_by_name(name, batch=context.batch)


def _iteration(context: EvalContext, name: str | None = None, options: Mapping[str, Any] = {}) -> Any:
    number, total = context.batch.iteration, context.batch.n_iters
    asked = {"c": "current", "m": "max", "r": "ratio"}.get(name or "c", name)
    if asked not in ("current", "max", "ratio"):
        raise ValueError(f"I() should have 'current', 'max' or 'ratio', not {name!r}")
    if asked == "ratio" and total is None:
        raise ValueError("I('ratio') needs the number of batches: pass n_iters or n_epochs")
    return {"current": number, "max": total, "ratio": None if total is None else number / total}[asked]


B = _Namespace(_batch)
C = _Config(_config)
D = _Namespace(_dataset)
I = _Namespace(_iteration)  # noqa: E741
M = _Namespace(_model)
V = _Namespace(_variable)


class F(Expr):
    """A function: ``F(fn)`` is the value of ``fn()``, and ``F(fn)(…)`` its value for these arguments."""

    __slots__ = ()

    def __init__(self, fn: Callable[..., Any] | Expr) -> None:
        super().__init__(call_function, fn, (), {})

    def __call__(self, *args: Any, **kwargs: Any) -> Expr:
        expression: Expr = restore_expression(F, call_function, (self._operands[0], args, kwargs), "w")
        return (
            expression if not self._operands[1] and not self._operands[2] else Expr(call_function, self, args, kwargs)
        )


class L(Expr):
    """A list. Attributes, items and calls are applied to each thing in it: ``L(B.images).shape``."""

    __slots__ = ()

    def __init__(self, of: object) -> None:
        super().__init__(list, B(of) if isinstance(of, str) else of)

    def _attribute(self, name: str) -> Expr:
        return restore_expression(L, _each, (self, getattr, name), "w")

    def __getitem__(self, key: object) -> Expr:
        return restore_expression(L, _each, (self, operator.getitem, key), "w")

    def __call__(self, *args: Any, **kwargs: Any) -> Expr:
        return restore_expression(L, _each, (self, call_function, args, kwargs), "w")

    def __repr__(self) -> Any:
        things, *rest = self._operands
        return repr(Expr(rest[0], things, *rest[1:])) if self._fn is _each else super().__repr__()


def _each(things: Iterable[Any], fn: Callable[..., Any], *operands: Any) -> list[Any]:
    return [fn(thing, *operands) for thing in things]


LEGACY = {"randint": "integers", "random_integers": "integers", "rand": "random", "random_sample": "random"}
LEGACY.update({"ranf": "random", "sample": "random", "randn": "standard_normal"})


def R(
    name: str | Expr | Sequence[Any] | npt.NDArray[Any],
    *args: object,
    size: int | tuple[int, ...] | Expr | None = None,
    seed: int | None = None,
    **kwargs: object,
) -> Expr:
    """A random value, drawn for each batch: ``R("uniform", 0, 1)``; or a random item of a list: ``R([-1, 1])``.

    Parameters
    ----------
    name : str or sequence
        A method of `numpy.random.Generator`, or the list to choose from.
    *args, **kwargs
        Arguments of that method.
    size : int or tuple of int, optional
    seed : int, optional
        By default the seed of the run. The value also depends on the number of the batch.
    """
    if isinstance(name, str):
        name = LEGACY.get(name, name)
        if name.startswith("_") or not callable(getattr(np.random.Generator, name, None)):
            raise ValueError(f"{name!r} should be a method of numpy.random.Generator, such as 'uniform'")
    elif not isinstance(name, Expr):
        args, name = (name, *args), "choice"
    return Root(_random, name, args, kwargs, size, seed)


def _random(context: EvalContext, name: Any, args: tuple[Any, ...], kwargs: Any, size: Any, seed: int | None) -> Any:
    batch = context.batch
    if batch is None:
        raise ValueError("R needs a batch, but there is none here: pass get() one, or run a pipeline")
    rng = batch.random if seed is None else rng_at(seed, batch.iteration)
    if context.n is not None:
        size = (context.n, *(() if size is None else (size,) if np.ndim(size) == 0 else size))
    sized = kwargs if size is None else {**kwargs, "size": size}  # `permutation` and others have no size
    if isinstance(name, str):
        return getattr(rng, name)(*args, **sized)
    choice: Any = rng.choice
    return choice(name, *args, **sized)


def P(of: object) -> Expr:
    """One value for each item of the batch. `R` draws as many; any other expression should have as many values."""
    return Raw(_per_item, of)


def PP(of: object) -> Expr:
    """One value for each item of the batch: the expression is evaluated once for each item."""
    return Raw(_item_by_item, of)


def W(of: object) -> Expr:
    """An expression that is passed to an action unevaluated."""
    return Raw(_itself, of)


def _per_item(context: EvalContext, of: object) -> ItemValues:
    n = context.batch.size
    values = evaluate_in(of, context._replace(n=n))
    if not hasattr(values, "__len__") or isinstance(values, (str, bytes)) or len(values) != n:
        raise ValueError(f"P should have a value for each of {n} items, not {values!r}")
    return ItemValues(values)


def _item_by_item(context: EvalContext, of: object) -> ItemValues:
    return ItemValues(evaluate_in(of, context) for _ in range(context.batch.size))


def _itself(context: EvalContext, of: object) -> Any:
    return of


def things_read(obj: object) -> tuple[set[Hashable], set[Hashable]]:
    """What an expression shares with other batches: the things that it only reads, and those that it may change.

    >>> things_read([V("n") + B.x, 5])
    ({('variable', 'n')}, set())
    """
    reads: set[Hashable] = set()
    changes: set[Hashable] = set()
    for each in expressions_in(obj):
        if each._fn is _variable:
            name = each._operands[0]
            reads.add(("variable", name) if isinstance(name, str) else "anything")
        elif each._fn is _model:
            changes.add("models")  # it may be built now
        elif each._fn in (_dataset, _config):
            reads.add("dataset" if each._fn is _dataset else "config")
        elif isinstance(each, F):
            changes.add(function_key(each._operands[0]))
    return reads, changes


def things_written(where: Target | None) -> set[Hashable]:
    """The things outside of a batch that change when a value is written to this place."""
    if isinstance(where, (list, tuple)):
        return set().union(*map(things_written, where))
    if isinstance(where, dict):
        return set().union(*map(things_written, where.values()))
    if not isinstance(where, Expr):
        return set() if where is None else {("object", id(where))}
    if where._fn is _batch:
        return set()
    if isinstance(where, _Namespace) or where._fn in (_variable, _model, _dataset, _config):
        return set().union(*things_read(where))
    return things_written(where._operands[0]) if where._operands else {"anything"}


def function_key(fn: object) -> Hashable:
    """What two functions share if they are methods of one object."""
    return "function", id(getattr(fn, "__self__", fn))


def _into_batch(context: EvalContext, operands: list[Any], mode: str, value: object) -> None:
    name = operands[0] if operands else None
    if name is None:
        raise TypeError("save_to should name a component of the batch, such as B.name, not the batch itself")
    set_attribute(context.batch, name, mode, value)


def _into_dataset(context: EvalContext, operands: list[Any], mode: str, value: object) -> None:
    set_attribute(_dataset(context), operands[0], mode, value)


def _into_config(context: EvalContext, operands: list[Any], mode: str, value: object) -> None:
    pipeline = operands[1].get("pipeline") or _pipeline(context, "C")
    old = None if mode == "w" else _config(context, *operands)
    pipeline.set_config({operands[0]: written_value(old, mode, value)})


def _into_variable(context: EvalContext, operands: list[Any], mode: str, value: object) -> None:
    _pipeline(context, "V").set_variable(operands[0], value, mode=mode)


def _into_each(context: EvalContext, operands: list[Any], mode: str, value: Iterable[Any]) -> None:
    things, fn, *rest = operands
    if fn not in WRITERS:
        raise TypeError("save_to should name an attribute or an item of the things in L(…), not what they return")
    for thing, its in zip(things, value, strict=True):
        WRITERS[fn](context, [thing, *rest], mode, its)


WRITERS.update({_batch: _into_batch, _config: _into_config, _dataset: _into_dataset, _variable: _into_variable})
WRITERS[_each] = _into_each
LETTERS.update({_batch: "B", _config: "C", _dataset: "D", _iteration: "I", _model: "M", _variable: "V", _random: "R"})
LETTERS.update({_per_item: "P", _item_by_item: "PP", _itself: "W"})
