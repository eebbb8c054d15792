"""Names for what there will be when a pipeline runs: a component, a variable, a random number.

An expression is data: what to do (`_fn`) with which operands. `evaluate` is the one place where it gets a value.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from ..engine.rng import rng_at

__all__ = [
    "PP", "B", "C", "D", "Expr", "F", "I", "L", "M", "P", "PerItem", "R", "V", "W", "assign", "changed",
    "depends_on_order", "evaluate", "lazy", "uses",
]  # fmt: skip


class Context(NamedTuple):
    """Where an expression is evaluated."""

    batch: Any
    pipeline: Any
    n: int | None = None  # one value for each of n items is asked for


class PerItem(tuple):  # type: ignore[type-arg]
    """Values, one for each item of a batch."""

    __slots__ = ()


class Expr:
    """An expression. Its attributes, items, calls and sums are expressions too.

    Taken names are `get`, `set`, `str` and `format`: an attribute that is called so is ``B("name")``.

    Examples
    --------
    >>> config = {"size": (3, 4)}
    >>> from batchup.flow import Pipeline
    >>> (C("size")[0] * 2 + 1).get(pipeline=Pipeline(config=config))
    7
    """

    __slots__ = ("_fn", "_mode", "_operands")

    def __init__(self, fn: Callable[..., Any], *operands: Any, mode: str = "w") -> None:
        self._fn = fn
        self._operands = operands
        self._mode = _mode_named(mode)

    def get(self, batch: Any = None, pipeline: Any = None) -> Any:
        """The value, for this batch and this pipeline."""
        return evaluate(self, batch, pipeline)

    def set(self, value: Any, batch: Any = None, pipeline: Any = None) -> None:
        """Put a value where the expression says: a component, a variable, an attribute or an item of one."""
        assign(self, value, batch, pipeline)

    def str(self) -> Expr:
        """The value as a string."""
        return Expr(str, self)

    def format(self, template: Any) -> Expr:
        """The value in a template, such as ``"batch {:03d}"``."""
        return Expr(_formatted, self, template)

    def __getattr__(self, name: Any) -> Expr:
        if name.startswith("_"):  # else copy, pickle and doctest would ask for ever
            raise AttributeError(f"{name!r} is private: expressions have public attributes only")
        return Expr(getattr, self, name)

    def __getitem__(self, key: Any) -> Expr:
        return Expr(operator.getitem, self, key)

    def __call__(self, *args: Any, **kwargs: Any) -> Expr:
        return Expr(_called, self, args, kwargs)

    def __iter__(self) -> Any:
        raise TypeError("an expression has no items before it is evaluated: take them with [0], [1], …")

    def __bool__(self) -> bool:
        raise TypeError("an expression is neither true nor false before it is evaluated")

    __hash__ = object.__hash__

    def __repr__(self) -> Any:
        return f"Expr({getattr(self._fn, '__name__', self._fn)}, {', '.join(map(repr, self._operands))})"

    def __reduce__(self) -> Any:
        return _restored, (type(self), self._fn, self._operands, self._mode)


def _restored(kind: type[Expr], fn: Any, operands: tuple[Any, ...], mode: str) -> Expr:
    expression = object.__new__(kind)
    Expr.__init__(expression, fn, *operands, mode=mode)
    return expression


def _operators() -> None:
    names = [
        "add",
        "sub",
        "mul",
        "truediv",
        "floordiv",
        "mod",
        "pow",
        "matmul",
        "and_",
        "or_",
        "xor",
        "lshift",
        "rshift",
    ]
    for name in names:
        fn, plain = getattr(operator, name), name.rstrip("_")
        setattr(Expr, f"__{plain}__", lambda self, other, fn=fn: Expr(fn, self, other))
        setattr(Expr, f"__r{plain}__", lambda self, other, fn=fn: Expr(fn, other, self))
    for name in ["eq", "ne", "lt", "le", "gt", "ge"]:
        fn = getattr(operator, name)
        setattr(Expr, f"__{name}__", lambda self, other, fn=fn: Expr(fn, self, other))
    for name in ["neg", "pos", "abs", "invert"]:
        fn = getattr(operator, name)
        setattr(Expr, f"__{name}__", lambda self, fn=fn: Expr(fn, self))


_operators()


def _called(fn: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    return fn(*args, **kwargs)


def _formatted(value: Any, template: str) -> str:
    return template.format(value)


MODES = {"w": "w", "write": "w", "a": "a", "append": "a", "e": "e", "extend": "e", "u": "u", "update": "u"}


def _mode_named(mode: str) -> str:
    if mode not in MODES:
        raise ValueError(f"mode should be w (write), a (append), e (extend) or u (update), not {mode!r}")
    return MODES[mode]


class Root(Expr):
    """An expression that asks the context itself: ``_fn(context, *operands)``."""

    __slots__ = ()


class _Here(Root):
    """`B`, and the like: ``B.name`` and ``B("name")`` are things in it; the object is as it stands."""

    __slots__ = ()

    def __getattr__(self, name: Any) -> Expr:
        if name.startswith("_"):
            raise AttributeError(f"{name!r} is private: expressions have public attributes only")
        return self(name)

    def __call__(self, name: Any = None, mode: Any = "w", **options: Any) -> Expr:
        return Root(self._fn, name, options, mode=mode)


def _batch(context: Context, name: Any = None, options: Mapping[str, Any] = {}) -> Any:
    if context.batch is None:
        raise ValueError("B stands for the batch, and there is none here")
    if name is None:
        return context.batch.deepcopy() if options.get("copy") else context.batch
    return getattr(context.batch, name)


def _pipeline(context: Context, letter: str) -> Any:
    if context.pipeline is None:
        raise ValueError(f"{letter} asks the pipeline, and there is none here: give get() one, or run a pipeline")
    return context.pipeline


def _config(context: Context, name: Any = None, options: Mapping[str, Any] = {}) -> Any:
    pipeline = options.get("pipeline") or _pipeline(context, "C")
    found: Any = pipeline.config or {}
    for part in [] if name is None else str(name).split("/"):
        if not isinstance(found, Mapping) or part not in found:
            if "default" in options:
                return options["default"]
            raise KeyError(
                f"the config has no {name!r}; it has {', '.join(map(str, pipeline.config or {})) or 'nothing'}"
            )
        found = found[part]
    return evaluate(found, context.batch, context.pipeline)


def _dataset(context: Context, name: Any = None, options: Mapping[str, Any] = {}) -> Any:
    dataset = getattr(context.batch, "dataset", None)
    dataset = getattr(context.pipeline, "dataset", None) if dataset is None else dataset
    if dataset is None:
        raise ValueError("D stands for the dataset, and there is none here")
    if name is None:
        return dataset
    if not hasattr(dataset, name):
        raise KeyError(f"the dataset has no attribute {name!r}")
    return getattr(dataset, name)


def _variable(context: Context, name: Any = None, options: Mapping[str, Any] = {}) -> Any:
    return _pipeline(context, "V").get_variable(name)


def _model(context: Context, name: Any = None, options: Mapping[str, Any] = {}) -> Any:
    return _pipeline(context, "M").get_model_by_name(name, batch=context.batch)


def _iteration(context: Context, name: Any = None, options: Mapping[str, Any] = {}) -> Any:
    number, total = context.batch.iteration, context.batch.n_iters
    asked = {"c": "current", "m": "max", "r": "ratio"}.get(name or "c", name)
    if asked not in ("current", "max", "ratio"):
        raise ValueError(f"I should be asked for current, max or ratio, not {name!r}")
    if asked == "ratio" and total is None:
        raise ValueError("I('ratio') needs to know how many batches there will be: give n_iters or n_epochs")
    return {"current": number, "max": total, "ratio": None if total is None else number / total}[asked]


B = _Here(_batch)
C = _Here(_config)
D = _Here(_dataset)
I = _Here(_iteration)  # noqa: E741
M = _Here(_model)
V = _Here(_variable)


class F(Expr):
    """A function: ``F(fn)`` is what ``fn()`` returns, ``F(fn)(…)`` what it returns for these arguments."""

    __slots__ = ()

    def __init__(self, fn: Any) -> None:
        super().__init__(_called, fn, (), {})

    def __call__(self, *args: Any, **kwargs: Any) -> Expr:
        expression: Expr = _restored(F, _called, (self._operands[0], args, kwargs), "w")
        return expression if not self._operands[1] and not self._operands[2] else Expr(_called, self, args, kwargs)


class L(Expr):
    """A list of things, whose attributes, items and calls are taken for each: ``L(B.images).shape``."""

    __slots__ = ()

    def __init__(self, of: Any) -> None:
        super().__init__(list, B(of) if isinstance(of, str) else of)

    def __getattr__(self, name: Any) -> Expr:
        if name.startswith("_"):
            raise AttributeError(f"{name!r} is private: expressions have public attributes only")
        return _restored(L, _each_attribute, (self, name), "w")

    def __getitem__(self, key: Any) -> Expr:
        return _restored(L, _each_item, (self, key), "w")

    def __call__(self, *args: Any, **kwargs: Any) -> Expr:
        return _restored(L, _each_called, (self, args, kwargs), "w")


def _each_attribute(things: Any, name: str) -> list[Any]:
    return [getattr(thing, name) for thing in things]


def _each_item(things: Any, key: Any) -> list[Any]:
    return [thing[key] for thing in things]


def _each_called(things: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[Any]:
    return [thing(*args, **kwargs) for thing in things]


LEGACY = {"randint": "integers", "random_integers": "integers", "rand": "random", "random_sample": "random"}
LEGACY.update({"ranf": "random", "sample": "random", "randn": "standard_normal"})


class R(Root):
    """A random value, drawn anew for each batch: ``R("uniform", 0, 1)``, or one of a list, ``R([-1, 1])``.

    Parameters
    ----------
    name : str or sequence
        A method of `numpy.random.Generator`, or what to choose from.
    *args, **kwargs
        Of that method.
    size : int or tuple of int, optional
    seed : int, optional
        Without it the draw depends on the seed of the run; always on the number of the batch.
    """

    __slots__ = ()

    def __init__(self, name: Any, *args: Any, size: Any = None, seed: int | None = None, **kwargs: Any) -> None:
        if isinstance(name, str):
            name = LEGACY.get(name, name)
            if name.startswith("_") or not callable(getattr(np.random.Generator, name, None)):
                raise ValueError(f"{name!r} should be a method of numpy.random.Generator, such as 'uniform'")
        elif not isinstance(name, Expr):
            args, name = (name, *args), "choice"
        super().__init__(_random, name, args, kwargs, size, seed)


def _random(context: Context, name: Any, args: tuple[Any, ...], kwargs: Any, size: Any, seed: int | None) -> Any:
    batch = context.batch
    if batch is None:
        raise ValueError("R draws for a batch, and there is none here")
    rng = batch.random if seed is None else rng_at(seed, batch.iteration)
    if context.n is not None:
        size = (context.n, *(() if size is None else (size,) if np.ndim(size) == 0 else size))
    if isinstance(name, str):
        return getattr(rng, name)(*args, size=size, **kwargs)
    choice: Any = rng.choice
    return choice(name, *args, size=size, **kwargs)


class P(Root):
    """One value for each item of the batch: of `R` as many draws; anything else should have as many values."""

    __slots__ = ()

    def __init__(self, of: Any) -> None:
        super().__init__(_per_item, of)


class PP(Root):
    """One value for each item of the batch: the expression is evaluated as often as there are items."""

    __slots__ = ()

    def __init__(self, of: Any) -> None:
        super().__init__(_item_by_item, of)


class W(Root):
    """An expression that is given to an action as it is, not evaluated."""

    __slots__ = ()

    def __init__(self, of: Any) -> None:
        super().__init__(_itself, of)


def _per_item(context: Context, of: Any) -> PerItem:
    n = context.batch.size
    values = _value(of, context._replace(n=n))
    if not hasattr(values, "__len__") or isinstance(values, (str, bytes)) or len(values) != n:
        raise ValueError(f"P should have a value for each of {n} items, not {values!r}")
    return PerItem(values)


def _item_by_item(context: Context, of: Any) -> PerItem:
    return PerItem(_value(of, context) for _ in range(context.batch.size))


def _itself(context: Context, of: Any) -> Any:
    return of


RAW = {_per_item, _item_by_item, _itself}  # they evaluate their operand as they need it


def evaluate(obj: Any, batch: Any = None, pipeline: Any = None) -> Any:
    """The value of an expression, or a list, tuple or dict with the values of those inside.

    What has no expression inside comes back as the very object that it is.

    Parameters
    ----------
    obj : object
    batch : Batch, optional
    pipeline : Pipeline, optional
        That of the batch, if it is not given.

    Examples
    --------
    >>> from batchup.flow import Batch
    >>> evaluate({"size": B.size, "ids": [B.indices[0]]}, Batch([5, 6]))
    {'size': 2, 'ids': [np.int64(5)]}
    """
    return _value(obj, Context(batch, getattr(batch, "pipeline", None) if pipeline is None else pipeline))


def _value(obj: Any, context: Context) -> Any:
    if isinstance(obj, Root):
        if obj._fn in RAW:
            return obj._fn(context, *obj._operands)
        return obj._fn(context, *[_value(each, context) for each in obj._operands])
    if isinstance(obj, Expr):
        operands = [_value(each, context) for each in obj._operands]
        if any(isinstance(each, PerItem) for each in operands):
            return _for_each(obj._fn, operands)
        return obj._fn(*operands)
    return _rebuilt(obj, lambda each: _value(each, context)) if lazy(obj) else obj


def _for_each(fn: Callable[..., Any], operands: list[Any]) -> PerItem:
    n = next(len(each) for each in operands if isinstance(each, PerItem))
    return PerItem(fn(*[each[i] if isinstance(each, PerItem) else each for each in operands]) for i in range(n))


def _rebuilt(obj: Any, value: Callable[[Any], Any]) -> Any:
    if isinstance(obj, slice):
        return slice(value(obj.start), value(obj.stop), value(obj.step))
    if isinstance(obj, dict):
        return {value(key): value(each) for key, each in obj.items()}
    if hasattr(obj, "_fields"):
        return type(obj)(*map(value, obj))
    return type(obj)(map(value, obj))


def lazy(obj: Any) -> bool:
    """Whether there is an expression in `obj`, be it inside lists, tuples, dicts or slices.

    >>> lazy([1, {"a": B.images}]), lazy([1, 2])
    (True, False)
    """
    if isinstance(obj, Expr):
        return True
    if isinstance(obj, dict):
        return any(map(lazy, obj)) or any(map(lazy, obj.values()))
    if isinstance(obj, slice):
        return lazy((obj.start, obj.stop, obj.step))
    return isinstance(obj, (list, tuple)) and not isinstance(obj, PerItem) and any(map(lazy, obj))


def uses(obj: Any) -> set[Any]:
    """The functions of all expressions inside `obj`, from which can be told what they depend on."""
    if isinstance(obj, Expr):
        kind = {F} if isinstance(obj, F) else {obj._fn}
        return kind.union(*map(uses, obj._operands))
    if isinstance(obj, dict):
        return set().union(*map(uses, obj), *map(uses, obj.values()))
    if isinstance(obj, slice):
        return uses((obj.start, obj.stop, obj.step))
    return set().union(*map(uses, obj)) if isinstance(obj, (list, tuple)) else set()


def depends_on_order(obj: Any) -> bool:
    """Whether the value may differ with what was done before: a variable, a model, a function of the user's."""
    return not uses(obj).isdisjoint({_variable, _model, F})


def assign(where: Any, value: Any, batch: Any = None, pipeline: Any = None) -> None:
    """Put a value where an expression says; a list of values where a list of expressions says.

    An array is written into, a dict gets the items of one.

    Raises
    ------
    TypeError
        If nothing can be put there.
    """
    if isinstance(where, (list, tuple)):
        values = list(value)
        if len(values) != len(where):
            raise ValueError(f"there should be a value for each of {len(where)} places, not {len(values)}")
        for each, its in zip(where, values, strict=True):
            assign(each, its, batch, pipeline)
    elif isinstance(where, dict):
        for key, each in where.items():
            assign(each, value[key], batch, pipeline)
    elif isinstance(where, np.ndarray):
        where[...] = value
    elif isinstance(where, Expr):
        _put(where, value, Context(batch, getattr(batch, "pipeline", None) if pipeline is None else pipeline))
    else:
        raise TypeError(f"save_to should be an expression such as V('name') or B.name, not {where!r}")


def _put(where: Expr, value: Any, context: Context) -> None:
    fn, mode = where._fn, where._mode
    operands = [_value(each, context) for each in where._operands]
    if fn is _variable:
        _pipeline(context, "V").set_variable(operands[0], value, mode=mode)
    elif fn is _batch and operands and operands[0] is not None:
        setattr(context.batch, operands[0], _changed(mode, value, lambda: getattr(context.batch, operands[0])))
    elif fn is _dataset and operands and operands[0] is not None:
        setattr(_dataset(context), operands[0], value)
    elif fn is getattr:
        setattr(operands[0], operands[1], value)
    elif fn is operator.getitem:
        operands[0][operands[1]] = value
    elif fn is _each_attribute:
        for thing, its in zip(operands[0], value, strict=True):
            setattr(thing, operands[1], its)
    elif fn is _each_item:
        for thing, its in zip(operands[0], value, strict=True):
            thing[operands[1]] = its
    else:
        raise TypeError(f"a value can be put into a component, a variable, an attribute or an item, not into {where!r}")


def _changed(mode: str, value: Any, old: Callable[[], Any]) -> Any:
    return value if mode == "w" else changed(old(), mode, value)


def changed(old: Any, mode: str, value: Any) -> Any:
    """A variable after it was written (w), appended to (a), extended (e) or updated (u).

    >>> changed([1], "a", 2), changed([1], "e", [2, 3]), changed({"x": 1}, "u", {"y": 2})
    ([1, 2], [1, 2, 3], {'x': 1, 'y': 2})
    """
    if mode == "w":
        return value
    if mode == "a":
        old = [] if old is None else old
        old.append(value)
    elif mode == "e":
        old = [] if old is None else old
        old.extend(value)
    else:
        old = {} if old is None else old
        (old.add(value) if isinstance(old, set) and not hasattr(value, "__iter__") else old.update(value))
    return old
