"""Expressions stand for values that there will be when a pipeline runs.

An expression is data: what to do (`_fn`) with which operands. `evaluate` is the one place where it gets a value, and
`assign` the one where a value is put where it says.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from .modes import mode_named

__all__ = [
    "WRITERS", "Context", "Expr", "PerItem", "Raw", "Root", "arguments", "assign", "at_item", "called", "evaluate",
    "lazy", "restored", "uses", "value_of",
]  # fmt: skip


class Context(NamedTuple):
    """Where an expression is evaluated."""

    batch: Any
    pipeline: Any
    n: int | None = None  # one value for each of n items is asked for


class PerItem(tuple):  # type: ignore[type-arg]
    """Values, one for each item of a batch."""

    __slots__ = ()


def _binary(fn: Callable[[Any, Any], Any]) -> tuple[Callable[[Any, Any], Expr], Callable[[Any, Any], Expr]]:
    """The methods for an operator between two, from either side."""
    return lambda self, other: Expr(fn, self, other), lambda self, other: Expr(fn, other, self)


def _unary(fn: Callable[[Any], Any]) -> Callable[[Any], Expr]:
    return lambda self: Expr(fn, self)


class Expr:
    """An expression. Its attributes, items, calls and sums are expressions too.

    Taken names are `get`, `set`, `str` and `format`: an attribute that is called so is ``B("name")``.

    Examples
    --------
    >>> config = {"size": (3, 4)}
    >>> from batchup.flow import C, Pipeline
    >>> (C("size")[0] * 2 + 1).get(pipeline=Pipeline(config=config))
    7
    """

    __slots__ = ("_fn", "_mode", "_operands")
    __array_ufunc__ = None  # NumPy leaves ``array + expression`` to the expression, not to each item of the array

    def __init__(self, fn: Callable[..., Any], *operands: Any, mode: str = "w") -> None:
        self._fn = fn
        self._operands = operands
        self._mode = mode_named(mode)

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
        return Expr(called, self, args, kwargs)

    def __iter__(self) -> Any:
        raise TypeError("an expression has no items before it is evaluated: take them with [0], [1], …")

    def __bool__(self) -> bool:
        raise TypeError("an expression is neither true nor false before it is evaluated")

    __add__, __radd__ = _binary(operator.add)
    __sub__, __rsub__ = _binary(operator.sub)
    __mul__, __rmul__ = _binary(operator.mul)
    __truediv__, __rtruediv__ = _binary(operator.truediv)
    __floordiv__, __rfloordiv__ = _binary(operator.floordiv)
    __mod__, __rmod__ = _binary(operator.mod)
    __pow__, __rpow__ = _binary(operator.pow)
    __matmul__, __rmatmul__ = _binary(operator.matmul)
    __and__, __rand__ = _binary(operator.and_)
    __or__, __ror__ = _binary(operator.or_)
    __xor__, __rxor__ = _binary(operator.xor)
    __lshift__, __rlshift__ = _binary(operator.lshift)
    __rshift__, __rrshift__ = _binary(operator.rshift)
    __lt__, __gt__ = _binary(operator.lt)[0], _binary(operator.gt)[0]
    __le__, __ge__ = _binary(operator.le)[0], _binary(operator.ge)[0]
    __eq__, __ne__ = _binary(operator.eq)[0], _binary(operator.ne)[0]  # type: ignore[assignment]
    __neg__, __pos__ = _unary(operator.neg), _unary(operator.pos)
    __abs__, __invert__ = _unary(operator.abs), _unary(operator.invert)
    __hash__ = object.__hash__

    def __repr__(self) -> Any:
        return f"Expr({getattr(self._fn, '__name__', self._fn)}, {', '.join(map(repr, self._operands))})"

    def __reduce__(self) -> Any:
        return restored, (type(self), self._fn, self._operands, self._mode)


def restored(kind: type[Expr], fn: Any, operands: tuple[Any, ...], mode: str) -> Expr:
    """An expression of this kind, from its parts."""
    expression = object.__new__(kind)
    Expr.__init__(expression, fn, *operands, mode=mode)
    return expression


def called(fn: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """``fn`` of these arguments."""
    return fn(*args, **kwargs)


def _formatted(value: Any, template: str) -> str:
    return template.format(value)


class Root(Expr):
    """An expression that asks the context itself: ``_fn(context, *operands)``."""

    __slots__ = ()


class Raw(Root):
    """A root that evaluates its operands as it needs them."""

    __slots__ = ()


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
    >>> from batchup.flow import B, Batch
    >>> evaluate({"size": B.size, "ids": [B.indices[0]]}, Batch([5, 6]))
    {'size': 2, 'ids': [np.int64(5)]}
    """
    return value_of(obj, Context(batch, getattr(batch, "pipeline", None) if pipeline is None else pipeline))


def arguments(
    args: tuple[Any, ...], kwargs: dict[str, Any], batch: Any = None, pipeline: Any = None
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """The arguments of a call, evaluated one by one."""
    context = Context(batch, getattr(batch, "pipeline", None) if pipeline is None else pipeline)
    return _with_values(args, context), _with_values(kwargs, context)


def value_of(obj: Any, context: Context) -> Any:
    """`evaluate`, in a context."""
    if isinstance(obj, Raw):
        return obj._fn(context, *obj._operands)
    if isinstance(obj, Root):
        return obj._fn(context, *[_with_values(each, context) for each in obj._operands])
    if isinstance(obj, Expr):
        operands = [value_of(each, context) for each in obj._operands]
        n = _n_items(operands)
        return obj._fn(*operands) if n is None else PerItem(obj._fn(*at_item(operands, i)) for i in range(n))
    if not lazy(obj):
        return obj
    values = _with_values(obj, context)
    n = _n_items((values.start, values.stop, values.step) if isinstance(values, slice) else values)
    return values if n is None else PerItem(at_item(values, i) for i in range(n))


def _with_values(obj: Any, context: Context) -> Any:
    """A container with the values of its parts, of which some may be one per item."""
    if isinstance(obj, Expr):
        return value_of(obj, context)
    return _rebuilt(obj, lambda each: value_of(each, context)) if lazy(obj) else obj


def _n_items(values: Any) -> int | None:
    """Of how many items there is a value each among these; None if there are no such values."""
    parts = values.values() if isinstance(values, dict) else values
    return next((len(each) for each in parts if isinstance(each, PerItem)), None)


def at_item(values: Any, i: int) -> Any:
    """A list, tuple, dict or slice, of values for each item that of one item.

    >>> at_item([1, PerItem((2, 3))], 0)
    [1, 2]
    """
    return _rebuilt(values, lambda each: each[i] if isinstance(each, PerItem) else each)


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

    >>> from batchup.flow import B
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
    """The functions and the kinds of all expressions inside `obj`, which tell what it depends on."""
    if isinstance(obj, Expr):
        return {obj._fn, type(obj)}.union(*map(uses, obj._operands))
    if isinstance(obj, dict):
        return set().union(*map(uses, obj), *map(uses, obj.values()))
    if isinstance(obj, slice):
        return uses((obj.start, obj.stop, obj.step))
    return set().union(*map(uses, obj)) if isinstance(obj, (list, tuple)) else set()


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
        context = Context(batch, getattr(batch, "pipeline", None) if pipeline is None else pipeline)
        if where._fn not in WRITERS:
            raise TypeError(
                f"a value can be put into a component, a variable, an attribute or an item, not into {where!r}"
            )
        WRITERS[where._fn](context, [value_of(each, context) for each in where._operands], where._mode, value)
    else:
        raise TypeError(f"save_to should be an expression such as V('name') or B.name, not {where!r}")


def _into_attribute(context: Context, operands: list[Any], mode: str, value: Any) -> None:
    setattr(operands[0], operands[1], value)


def _into_item(context: Context, operands: list[Any], mode: str, value: Any) -> None:
    operands[0][operands[1]] = value


# Where a value can be put, by the function that would read it.
WRITERS: dict[Callable[..., Any], Callable[[Context, list[Any], str, Any], None]] = {
    getattr: _into_attribute,
    operator.getitem: _into_item,
}
