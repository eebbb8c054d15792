"""Expressions: values that are known when a pipeline runs.

An expression is a function (`_fn`) and its operands. `evaluate` computes its value, and `assign` writes a value to the
place that it names, such as a component or a variable.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

__all__ = [
    "LETTERS", "WRITERS", "EvalContext", "Expr", "ItemValues", "NamedExpression", "Raw", "Root", "Target", "assign",
    "call_function", "eval_expr", "evaluate", "evaluate_arguments", "evaluate_in", "expressions_in", "has_expression",
    "mode_letter", "restore_expression", "save_data_to", "set_attribute", "value_for_item", "written_value",
]  # fmt: skip


Name: TypeAlias = str  # for the methods of `Expr`, which has a method `str`


class EvalContext(NamedTuple):
    """The batch and the pipeline that an expression is evaluated for."""

    batch: Any
    pipeline: Any
    n: int | None = None  # the number of items, if each should get a value


class ItemValues(tuple):  # type: ignore[type-arg]
    """One value for each item of a batch."""

    __slots__ = ()


def _binary_methods(fn: Callable[[Any, Any], Any]) -> tuple[Callable[[Any, Any], Expr], Callable[[Any, Any], Expr]]:
    """The methods of a binary operator, with the expression on the left and on the right."""
    return lambda self, other: Expr(fn, self, other), lambda self, other: Expr(fn, other, self)


def _unary_method(fn: Callable[[Any], Any]) -> Callable[[Any], Expr]:
    return lambda self: Expr(fn, self)


class Expr:
    """An expression. Its attributes, items, calls and arithmetic are expressions too.

    The names `get`, `set`, `str` and `format` are methods. For an attribute of that name write ``B("get")``.

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
        self._mode = mode_letter(mode)

    def get(self, batch: Any = None, pipeline: Any = None) -> Any:
        """The value, for this batch and this pipeline."""
        return evaluate(self, batch, pipeline)

    def set(self, value: object, mode: Name | None = None, batch: Any = None, pipeline: Any = None) -> None:
        """Write a value to the component, the variable, the attribute or the item that the expression names.

        `value` may be an expression. By default the mode is that of the expression.
        """
        where = self if mode is None else restore_expression(type(self), self._fn, self._operands, mode)
        assign(where, evaluate(value, batch, pipeline), batch, pipeline)

    def str(self) -> Expr:
        """The value as a string."""
        return Expr(str, self)

    def format(self, template: Name | Expr) -> Expr:
        """The value formatted by a template, such as ``"batch {:03d}"``."""
        return Expr(_formatted, self, template)

    def __getattr__(self, name: Name) -> Expr:
        if name.startswith("_"):  # otherwise copy, pickle and doctest would never stop asking
            raise AttributeError(f"{name!r} is private: expressions have public attributes only")
        return self._attribute(name)

    def _attribute(self, name: Name) -> Expr:
        return Expr(getattr, self, name)

    def __getitem__(self, key: object) -> Expr:
        return Expr(operator.getitem, self, key)

    def __call__(self, *args: Any, **kwargs: Any) -> Expr:
        return Expr(call_function, self, args, kwargs)

    def __iter__(self) -> Any:
        raise TypeError("an expression should not be iterated over before it is evaluated: take items with [0], [1], …")

    def __bool__(self) -> bool:
        raise TypeError("an expression should not be used as a condition: it has no truth value before it is evaluated")

    __add__, __radd__ = _binary_methods(operator.add)
    __sub__, __rsub__ = _binary_methods(operator.sub)
    __mul__, __rmul__ = _binary_methods(operator.mul)
    __truediv__, __rtruediv__ = _binary_methods(operator.truediv)
    __floordiv__, __rfloordiv__ = _binary_methods(operator.floordiv)
    __mod__, __rmod__ = _binary_methods(operator.mod)
    __pow__, __rpow__ = _binary_methods(operator.pow)
    __matmul__, __rmatmul__ = _binary_methods(operator.matmul)
    __and__, __rand__ = _binary_methods(operator.and_)
    __or__, __ror__ = _binary_methods(operator.or_)
    __xor__, __rxor__ = _binary_methods(operator.xor)
    __lshift__, __rlshift__ = _binary_methods(operator.lshift)
    __rshift__, __rrshift__ = _binary_methods(operator.rshift)
    __lt__, __gt__ = _binary_methods(operator.lt)[0], _binary_methods(operator.gt)[0]
    __le__, __ge__ = _binary_methods(operator.le)[0], _binary_methods(operator.ge)[0]
    __eq__, __ne__ = _binary_methods(operator.eq)[0], _binary_methods(operator.ne)[0]  # type: ignore[assignment]
    __neg__, __pos__ = _unary_method(operator.neg), _unary_method(operator.pos)
    __abs__, __invert__ = _unary_method(operator.abs), _unary_method(operator.invert)
    __hash__ = object.__hash__

    def __repr__(self) -> Any:
        letter, shown = LETTERS.get(self._fn), list(map(repr, self._operands))
        if self._fn in (getattr, operator.getitem):
            return f"{shown[0]}.{self._operands[1]}" if self._fn is getattr else f"{shown[0]}[{shown[1]}]"
        if self._fn is call_function:
            args, kwargs = self._operands[1:]
            given = [*map(repr, args), *(f"{name}={value!r}" for name, value in kwargs.items())]
            return f"{shown[0]}({', '.join(given)})"
        if letter is not None:
            return letter if not shown else f"{letter}({shown[0]})"
        return f"{getattr(self._fn, '__name__', self._fn)}({', '.join(shown)})"

    def __reduce__(self) -> Any:
        return restore_expression, (type(self), self._fn, self._operands, self._mode)


def restore_expression(kind: type[Expr], fn: Callable[..., Any], operands: tuple[Any, ...], mode: str) -> Expr:
    """Make an expression of this class from its parts."""
    expression = object.__new__(kind)
    Expr.__init__(expression, fn, *operands, mode=mode)
    return expression


def call_function(fn: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Call ``fn`` with these arguments."""
    return fn(*args, **kwargs)


def _formatted(value: object, template: str) -> str:
    return template.format(value)


NamedExpression = Expr  # the name of BatchFlow

# Where a value can be written: the place that an expression names, an array to fill, or several places.
Target: TypeAlias = "Expr | npt.NDArray[Any] | Sequence[Target] | Mapping[Any, Target]"


class Root(Expr):
    """An expression whose function gets the context first: ``_fn(context, *operands)``."""

    __slots__ = ()


class Raw(Root):
    """A root whose function gets its operands unevaluated."""

    __slots__ = ()


def evaluate(obj: object, batch: Any = None, pipeline: Any = None) -> Any:
    """The value of an expression; or a list, tuple or dict with the values of the expressions inside.

    An object without expressions inside is returned itself, not a copy.

    Parameters
    ----------
    obj : object
    batch : Batch, optional
    pipeline : Pipeline, optional
        By default the pipeline of the batch.

    Examples
    --------
    >>> from batchup.flow import B, Batch
    >>> evaluate({"size": B.size, "ids": [B.indices[0]]}, Batch([5, 6]))
    {'size': 2, 'ids': [np.int64(5)]}
    """
    return evaluate_in(obj, _context(batch, pipeline))


eval_expr = evaluate  # the name of BatchFlow


def _context(batch: Any, pipeline: Any) -> EvalContext:
    return EvalContext(batch, getattr(batch, "pipeline", None) if pipeline is None else pipeline)


def evaluate_arguments(
    args: tuple[Any, ...], kwargs: dict[str, Any], batch: Any = None, pipeline: Any = None
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """The arguments of a call, each evaluated."""
    context = _context(batch, pipeline)
    return _with_values(args, context), _with_values(kwargs, context)


def evaluate_in(obj: object, context: EvalContext) -> Any:
    """As `evaluate`, in a context."""
    if isinstance(obj, Raw):
        return obj._fn(context, *obj._operands)
    if isinstance(obj, Root):
        return obj._fn(context, *[_with_values(each, context) for each in obj._operands])
    if isinstance(obj, Expr):
        operands = [evaluate_in(each, context) for each in obj._operands]
        n = _n_items(operands)
        return obj._fn(*operands) if n is None else ItemValues(obj._fn(*value_for_item(operands, i)) for i in range(n))
    if not has_expression(obj):
        return obj
    values = _with_values(obj, context)
    n = _n_items((values.start, values.stop, values.step) if isinstance(values, slice) else values)
    return values if n is None else ItemValues(value_for_item(values, i) for i in range(n))


def _with_values(obj: object, context: EvalContext) -> Any:
    """A container with the values of its parts; a part may have one value per item."""
    if isinstance(obj, Expr):
        return evaluate_in(obj, context)
    return _rebuilt(obj, lambda each: evaluate_in(each, context)) if has_expression(obj) else obj


def _n_items(values: Any) -> int | None:
    """The number of items, if there are values per item among these; else None."""
    parts = values.values() if isinstance(values, dict) else values
    return next((len(each) for each in parts if isinstance(each, ItemValues)), None)


def value_for_item(values: object, i: int) -> Any:
    """A list, tuple, dict or slice with the values for one item in place of the values per item.

    >>> value_for_item([1, ItemValues((2, 3))], 0)
    [1, 2]
    """
    return _rebuilt(values, lambda each: each[i] if isinstance(each, ItemValues) else each)


def _rebuilt(obj: Any, value: Callable[[Any], Any]) -> Any:
    if isinstance(obj, slice):
        return slice(value(obj.start), value(obj.stop), value(obj.step))
    if isinstance(obj, dict):
        return {value(key): value(each) for key, each in obj.items()}
    if hasattr(obj, "_fields"):
        return type(obj)(*map(value, obj))
    return type(obj)(map(value, obj))


def has_expression(obj: object) -> bool:
    """Whether `obj` is an expression or has one inside, in lists, tuples, dicts or slices.

    >>> from batchup.flow import B
    >>> has_expression([1, {"a": B.images}]), has_expression([1, 2])
    (True, False)
    """
    if isinstance(obj, Expr):
        return True
    if isinstance(obj, dict):
        return any(map(has_expression, obj)) or any(map(has_expression, obj.values()))
    if isinstance(obj, slice):
        return has_expression((obj.start, obj.stop, obj.step))
    return isinstance(obj, (list, tuple)) and not isinstance(obj, ItemValues) and any(map(has_expression, obj))


def expressions_in(obj: object) -> Iterator[Expr]:
    """All expressions inside `obj`, and the expressions inside of them."""
    if isinstance(obj, Expr):
        yield obj
        obj = obj._operands
    if isinstance(obj, slice):
        obj = (obj.start, obj.stop, obj.step)
    if isinstance(obj, dict):
        obj = (*obj, *obj.values())
    for each in obj if isinstance(obj, (list, tuple)) else ():
        yield from expressions_in(each)


def assign(where: Target, value: Any, batch: Any = None, pipeline: Any = None) -> None:
    """Write a value to the place that an expression names, or values to several.

    A list or a dict of expressions gets the items of `value`. An array is filled with it.

    Raises
    ------
    TypeError
        If `where` cannot be written to.
    """
    if isinstance(where, (list, tuple)):
        values = list(value)
        if len(values) != len(where):
            raise ValueError(f"there should be {len(where)} values, one for each place in save_to, not {len(values)}")
        for each, its in zip(where, values, strict=True):
            assign(each, its, batch, pipeline)
    elif isinstance(where, dict):
        for key, each in where.items():
            assign(each, value[key], batch, pipeline)
    elif isinstance(where, np.ndarray):
        where[...] = value
    elif isinstance(where, Expr):
        context = _context(batch, pipeline)
        if where._fn is list:  # L(B.x) is the place B.x
            assign(where._operands[0], value, batch, pipeline)
            return
        if where._fn not in WRITERS:
            raise TypeError(f"save_to should name a component, a variable, an attribute or an item, not {where!r}")
        WRITERS[where._fn](context, [evaluate_in(each, context) for each in where._operands], where._mode, value)
    else:
        raise TypeError(f"save_to should be an expression such as V('name') or B.name, not {where!r}")


def save_data_to(data: object, dst: Target, batch: Any = None, pipeline: Any = None) -> None:
    """Write data to the place that an expression names, or to several: `assign` with BatchFlow's name.

    >>> from batchup.flow import B, Batch
    >>> save_data_to(5, B.level, batch := Batch(3))
    >>> batch.level
    5
    """
    assign(dst, data, batch, pipeline)


def set_attribute(thing: object, name: str, mode: str, value: object) -> None:
    """Set an attribute, or append to it, extend it or update it."""
    setattr(thing, name, value if mode == "w" else written_value(getattr(thing, name), mode, value))


def _into_attribute(context: EvalContext, operands: list[Any], mode: str, value: object) -> None:
    thing, name = operands
    set_attribute(thing, name, mode, value)


def _into_item(context: EvalContext, operands: list[Any], mode: str, value: object) -> None:
    thing, key = operands
    thing[key] = value if mode == "w" else written_value(thing[key], mode, value)


LETTERS: dict[Callable[..., Any], str] = {list: "L"}  # what an expression begins with, by its function

# How to write a value, by the function that reads it.
WRITERS: dict[Callable[..., Any], Callable[[EvalContext, list[Any], str, Any], None]] = {
    getattr: _into_attribute,
    operator.getitem: _into_item,
}


MODES = {"w": "w", "write": "w", "a": "a", "append": "a", "e": "e", "extend": "e", "u": "u", "update": "u"}


def mode_letter(mode: str) -> str:
    """The letter of a mode, from its letter or its name."""
    if mode not in MODES:
        raise ValueError(f"mode should be w (write), a (append), e (extend) or u (update), not {mode!r}")
    return MODES[mode]


def written_value(old: Any, mode: str, value: object) -> Any:
    """The new value: `value` itself (w), or `old` appended to (a), extended (e) or updated (u).

    A dict or a set is updated where a list is appended to.

    >>> written_value([1], "a", 2), written_value([1], "e", [2, 3]), written_value({"x": 1}, "u", {"y": 2})
    ([1, 2], [1, 2, 3], {'x': 1, 'y': 2})
    """
    if mode == "w":
        return value
    if mode == "a" and not isinstance(old, (dict, set)):
        old = [] if old is None else old
        old.append(value)
    elif mode == "e":
        old = [] if old is None else old
        old.extend(value)
    else:
        old = {} if old is None else old
        (old.add(value) if isinstance(old, set) and not hasattr(value, "__iter__") else old.update(value))
    return old
