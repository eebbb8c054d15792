"""Turn functions of arrays into functions of items.

Each of them prints as it is written, and pickles if its functions and arguments do. A function that has a parameter
``rng`` gets the `numpy.random.Generator` of its item.
"""

from __future__ import annotations

import functools
import operator
import reprlib
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from ..engine.global_rng import global_rng
from .item_rng import current, item_rng, takes_rng

__all__ = ["ItemFunction", "apply_at", "multiply", "random_apply", "sample_args", "unpack_args", "zip_apply"]

_short = reprlib.Repr()
_short.maxother = _short.maxstring = 100


class ItemFunction:
    """A function of an item: `func` with further arguments, and with the generator of the item if it takes `rng`.

    Parameters
    ----------
    func : callable
    *args, **kwargs
        Passed to `func` after the item.

    Examples
    --------
    >>> ItemFunction(np.power), ItemFunction(np.power, 2)
    (power, partial(power, 2))
    >>> ItemFunction(np.power, 2)(3)
    np.int64(9)
    >>> 0 <= ItemFunction(lambda x, rng: x * rng.random())(10) < 10
    True
    """

    def __init__(self, func: Callable[..., Any], /, *args: Any, **kwargs: Any) -> None:
        self.func = without_global_rng(should_be_callable("func", func))
        self.args = args
        self.kwargs = kwargs
        self.draws = "rng" not in kwargs and takes_rng(func)

    def __call__(self, *values: Any, **more: Any) -> Any:
        if self.draws or more:
            return self.apply(*values, **more)
        return self.func(*values, *self.args, **self.kwargs)

    def apply(self, *values: Any, **more: Any) -> Any:
        """The result of `func` for the values; subclasses call it for the parts of an item."""
        if self.draws and "rng" not in more:
            more["rng"] = item_rng()
        return self.func(*values, *self.args, **more, **self.kwargs)

    def __repr__(self) -> str:
        if type(self) is not ItemFunction:
            return f"{type(self).__name__}({', '.join(self._parts())})"
        # users did not write ItemFunction(func), but func
        return f"partial({', '.join(self._parts())})" if self.args or self.kwargs else short_name(self.func)

    def _parts(self) -> list[str]:
        named = [f"{name}={short_name(value)}" for name, value in self.kwargs.items()]
        return [short_name(self.func), *map(short_name, self.args), *named]


class unpack_args(ItemFunction):
    """Call a function with the parts of an item as its arguments: ``func(*item, *args, **kwargs)``.

    Examples
    --------
    >>> unpack_args(pow)((2, 3))
    8
    """

    def __call__(self, item: Iterable[Any], /, *values: Any, **more: Any) -> Any:
        return self.apply(*item, *values, **more)


class multiply(ItemFunction):
    """Apply one function to each part of an item: ``tuple(func(x, *args, **kwargs) for x in item)``.

    Examples
    --------
    >>> multiply(np.transpose)(([[1, 2]], [[3, 4]]))
    (array([[1],
           [2]]), array([[3],
           [4]]))
    """

    def __call__(self, item: Iterable[Any], /, *values: Any, **more: Any) -> tuple[Any, ...]:
        return tuple([self.apply(x, *values, **more) for x in item])


class apply_at(ItemFunction):
    """Apply a function to some parts of an item, and leave the others as they are.

    Parameters
    ----------
    index : int or sequence of int
        Which parts; -1 is the last one.
    func : callable
        Called as ``func(part, *args, **kwargs)``.
    *args, **kwargs
        Further arguments of `func`.

    Examples
    --------
    >>> apply_at(0, np.negative)((1, 2, 3))
    (np.int64(-1), 2, 3)
    >>> apply_at([0, -1], pow, 2)((1, 2, 3))
    (1, 2, 9)
    """

    def __init__(self, index: int | Sequence[int], func: Callable[..., Any], /, *args: Any, **kwargs: Any) -> None:
        super().__init__(func, *args, **kwargs)
        some: list[Any] = list(index) if isinstance(index, (Sequence, np.ndarray)) else [index]
        try:
            self.index = tuple(operator.index(i) for i in some)
        except TypeError:
            raise TypeError(f"index should be an integer or a sequence of integers, not {index!r}") from None

    def __call__(self, item: Sequence[Any], /, *values: Any, **more: Any) -> tuple[Any, ...]:
        n = len(item)
        chosen = {i + n if i < 0 else i for i in self.index}
        if not all(0 <= i < n for i in chosen):
            raise IndexError(f"index should be within an item of {n} parts, not {', '.join(map(str, self.index))}")
        return tuple([self.apply(x, *values, **more) if i in chosen else x for i, x in enumerate(item)])

    def _parts(self) -> list[str]:
        index = self.index[0] if len(self.index) == 1 else list(self.index)
        return [repr(index), *super()._parts()]


class zip_apply:
    """Apply a function of its own to each part of an item.

    Parameters
    ----------
    *functions : callable
        One for each part of an item.
    **kwargs
        Further arguments of all functions.

    Examples
    --------
    >>> zip_apply(np.square, np.sqrt)((4, 9))
    (np.int64(16), np.float64(3.0))
    """

    def __init__(self, *functions: Callable[..., Any], **kwargs: Any) -> None:
        self.functions = tuple(ItemFunction(func, **kwargs) for func in functions)
        self.kwargs = kwargs

    def __call__(self, item: Sequence[Any], /, *values: Any, **more: Any) -> tuple[Any, ...]:
        n = len(self.functions)
        if len(item) != n:
            raise ValueError(f"an item should have {n} parts, one for each function, not {len(item)}")
        return tuple([function(x, *values, **more) for function, x in zip(self.functions, item, strict=True)])

    def __repr__(self) -> str:
        named = [f"{k}={short_name(v)}" for k, v in self.kwargs.items()]
        return f"zip_apply({', '.join([*(short_name(function.func) for function in self.functions), *named])})"


class random_apply(ItemFunction):
    """Apply a function with probability `p`; otherwise leave the item as it is.

    Parameters
    ----------
    p : float
        From 0 to 1.
    func : callable
    *args, **kwargs
        Further arguments of `func`.

    Examples
    --------
    >>> random_apply(1, np.negative)(3), random_apply(0, np.negative)(3)
    (np.int64(-3), 3)
    """

    def __init__(self, p: float, func: Callable[..., Any], /, *args: Any, **kwargs: Any) -> None:
        super().__init__(func, *args, **kwargs)
        if not 0 <= p <= 1:
            raise ValueError(f"p should be a probability, from 0 to 1, not {p!r}")
        self.p = p

    def __call__(self, *values: Any, **more: Any) -> Any:
        if item_rng().random() < self.p:
            return self.apply(*values, **more)
        return values[0] if len(values) == 1 else values

    def _parts(self) -> list[str]:
        return [repr(self.p), *super()._parts()]


class sample_args(ItemFunction):
    """Apply a function with further arguments that are drawn anew at each call.

    Parameters
    ----------
    func : callable
    *args, **kwargs : callable
        Each returns one argument. If it has a parameter ``rng``, it gets the generator of the item. In a pipe,
        functions of `numpy.random` draw from that generator too, also within a `functools.partial`.

    Examples
    --------
    >>> turned = sample_args(np.rot90, lambda rng: rng.integers(4))
    >>> turned(np.zeros((2, 3))).shape in [(2, 3), (3, 2)]
    True
    """

    def __init__(self, func: Callable[..., Any], /, *args: Callable[..., Any], **kwargs: Callable[..., Any]) -> None:
        named = {name: without_global_rng(sampler) for name, sampler in kwargs.items()}
        super().__init__(func, *map(without_global_rng, args), **named)
        self.samplers = tuple(ItemFunction(sampler) for sampler in self.args)
        self.named_samplers = {name: ItemFunction(sampler) for name, sampler in self.kwargs.items()}

    def __call__(self, *values: Any, **more: Any) -> Any:
        return self.apply(*values, **more)

    def apply(self, *values: Any, **more: Any) -> Any:
        if self.draws and "rng" not in more:
            more["rng"] = item_rng()
        named = {name: sampler() for name, sampler in self.named_samplers.items()}
        return self.func(*values, *(sampler() for sampler in self.samplers), **more, **named)


class NumpyRandomFunction:
    """A function of `numpy.random`, such as ``numpy.random.normal``, known by its name.

    In a pipe it draws from the generator of the item, elsewhere from the global one. The function itself would not do
    for worker processes: pickled, it takes a copy of the global generator along, so all of them would draw the same.
    """

    def __init__(self, name: str) -> None:
        self.__name__ = name

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        rng = global_rng() if current.item is None else np.random.RandomState(item_rng().bit_generator)
        return getattr(rng, self.__name__)(*args, **kwargs)


def without_global_rng(func: Any) -> Any:
    """`func`; functions of `numpy.random`, also within a `functools.partial`, become a `NumpyRandomFunction`."""
    if isinstance(func, functools.partial):
        return functools.partial(without_global_rng(func.func), *func.args, **func.keywords)
    return NumpyRandomFunction(func.__name__) if getattr(func, "__self__", None) is global_rng() else func


def should_be_callable(name: str, value: Any) -> Any:
    if not callable(value):
        raise TypeError(f"{name} should be a function, not {value!r}")
    return value


def short_name(value: Any) -> str:
    """The name of a function; a shortened `repr` of anything else.

    >>> short_name(np.sqrt), short_name([1, 2]), short_name(functools.partial(pow, 2))
    ('sqrt', '[1, 2]', 'partial(pow, 2)')
    """
    if isinstance(value, functools.partial):
        return f"partial({', '.join(ItemFunction(value.func, *value.args, **value.keywords)._parts())})"
    name = getattr(value, "__qualname__", getattr(value, "__name__", None))
    return name.rpartition("<locals>.")[2] if isinstance(name, str) else _short.repr(value)
