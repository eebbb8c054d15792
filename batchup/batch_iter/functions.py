"""Functions that make functions of items out of functions of arrays. All of them print as they are written, and pickle
if what they are made of does.

A function that has a parameter ``rng`` gets a `numpy.random.Generator` for it, that of its item.
"""

from __future__ import annotations

import functools
import operator
import reprlib
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from ..engine.global_rng import global_rng
from .chance import here, item_rng, takes_rng

__all__ = ["Call", "apply_at", "multiply", "random_apply", "sample_args", "unpack_args", "zip_apply"]

_short = reprlib.Repr()
_short.maxother = _short.maxstring = 100


class Call:
    """A function with further arguments, and the generator of the item where it takes one.

    Parameters
    ----------
    func : callable
    *args, **kwargs
        Handed on to `func` behind the arguments of the call.

    Examples
    --------
    >>> Call(np.power, 2)
    Call(power, 2)
    >>> Call(np.power, 2)(3)
    np.int64(9)
    >>> 0 <= Call(lambda x, rng: x * rng.random())(10) < 10
    True
    """

    def __init__(self, func: Callable[..., Any], /, *args: Any, **kwargs: Any) -> None:
        self.func = anchored(should_be_callable("func", func))
        self.args = args
        self.kwargs = kwargs
        self.draws = "rng" not in kwargs and takes_rng(func)

    def __call__(self, *values: Any, **more: Any) -> Any:
        if self.draws or more:
            return self.of(*values, **more)
        return self.func(*values, *self.args, **self.kwargs)

    def of(self, *values: Any, **more: Any) -> Any:
        """What `func` makes of the values."""
        if self.draws and "rng" not in more:
            more["rng"] = item_rng()
        return self.func(*values, *self.args, **more, **self.kwargs)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(self._parts())})"

    def _parts(self) -> list[str]:
        return [name_of(self.func), *map(name_of, self.args), *(f"{k}={name_of(v)}" for k, v in self.kwargs.items())]


class unpack_args(Call):
    """A function of one tuple, from a function of its parts: ``func(*item, *args, **kwargs)``.

    Examples
    --------
    >>> unpack_args(pow)((2, 3))
    8
    """

    def __call__(self, item: Iterable[Any], /, *values: Any, **more: Any) -> Any:
        return self.of(*item, *values, **more)


class multiply(Call):
    """A function of a tuple, that does the same to all parts: ``tuple(func(x, *args, **kwargs) for x in item)``.

    Examples
    --------
    >>> multiply(np.transpose)(([[1, 2]], [[3, 4]]))
    (array([[1],
           [2]]), array([[3],
           [4]]))
    """

    def __call__(self, item: Iterable[Any], /, *values: Any, **more: Any) -> tuple[Any, ...]:
        return tuple([self.of(x, *values, **more) for x in item])


class apply_at(Call):
    """A function of a tuple, that changes some parts and passes on the others.

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
        places = {i + n if i < 0 else i for i in self.index}
        if not all(0 <= place < n for place in places):
            raise IndexError(f"index should be within an item of {n} parts, not {', '.join(map(str, self.index))}")
        return tuple([self.of(x, *values, **more) if i in places else x for i, x in enumerate(item)])

    def _parts(self) -> list[str]:
        index = self.index[0] if len(self.index) == 1 else list(self.index)
        return [repr(index), *super()._parts()]


class zip_apply:
    """A function of a tuple, that does to each part what is for its place.

    Parameters
    ----------
    *functions : callable
        As many as an item has parts.
    **kwargs
        Further arguments of each.

    Examples
    --------
    >>> zip_apply(np.square, np.sqrt)((4, 9))
    (np.int64(16), np.float64(3.0))
    """

    def __init__(self, *functions: Callable[..., Any], **kwargs: Any) -> None:
        self.calls = tuple(Call(func, **kwargs) for func in functions)
        self.kwargs = kwargs

    def __call__(self, item: Sequence[Any], /, *values: Any, **more: Any) -> tuple[Any, ...]:
        if len(item) != len(self.calls):
            raise ValueError(f"an item should have {len(self.calls)} parts, one for each function, not {len(item)}")
        return tuple([call(x, *values, **more) for call, x in zip(self.calls, item, strict=True)])

    def __repr__(self) -> str:
        named = [f"{k}={name_of(v)}" for k, v in self.kwargs.items()]
        return f"zip_apply({', '.join([*(name_of(call.func) for call in self.calls), *named])})"


class random_apply(Call):
    """A function that is `func` with probability `p`, and else passes on what it gets.

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
            return self.of(*values, **more)
        return values[0] if len(values) == 1 else values

    def _parts(self) -> list[str]:
        return [repr(self.p), *super()._parts()]


class sample_args(Call):
    """A function whose further arguments are drawn anew at each call.

    Parameters
    ----------
    func : callable
    *args, **kwargs : callable
        Each gives one argument. One that has a parameter ``rng`` is given the generator of the item. Functions of
        `numpy.random` itself draw from it too while a pipe is at work, also within a `functools.partial`.

    Examples
    --------
    >>> turned = sample_args(np.rot90, lambda rng: rng.integers(4))
    >>> turned(np.zeros((2, 3))).shape in [(2, 3), (3, 2)]
    True
    """

    def __init__(self, func: Callable[..., Any], /, *args: Callable[..., Any], **kwargs: Callable[..., Any]) -> None:
        super().__init__(func, *map(anchored, args), **{name: anchored(each) for name, each in kwargs.items()})
        self.samplers = tuple(Call(sampler) for sampler in self.args)
        self.named_samplers = {name: Call(sampler) for name, sampler in self.kwargs.items()}

    def __call__(self, *values: Any, **more: Any) -> Any:
        return self.of(*values, **more)

    def of(self, *values: Any, **more: Any) -> Any:
        if self.draws and "rng" not in more:
            more["rng"] = item_rng()
        named = {name: sampler() for name, sampler in self.named_samplers.items()}
        return self.func(*values, *(sampler() for sampler in self.samplers), **more, **named)


class Legacy:
    """A function of `numpy.random`, such as ``numpy.random.normal``, by its name.

    In a pipe it draws from the generator of the item. Elsewhere it is the function itself. As itself it could not go to
    processes: it would take a copy of the global generator with it, the same for each.
    """

    def __init__(self, name: str) -> None:
        self.__name__ = name

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        rng = global_rng() if here.place is None else np.random.RandomState(item_rng().bit_generator)
        return getattr(rng, self.__name__)(*args, **kwargs)


def anchored(func: Any) -> Any:
    """The function, as a `Legacy` one where it is one of `numpy.random`, also within a `functools.partial`."""
    if isinstance(func, functools.partial):
        return functools.partial(anchored(func.func), *func.args, **func.keywords)
    return Legacy(func.__name__) if getattr(func, "__self__", None) is global_rng() else func


def should_be_callable(name: str, value: Any) -> Any:
    if not callable(value):
        raise TypeError(f"{name} should be a function, not {value!r}")
    return value


def name_of(value: Any) -> str:
    """A function by its name, anything else in short.

    >>> name_of(np.sqrt), name_of([1, 2]), name_of(functools.partial(pow, 2))
    ('sqrt', '[1, 2]', 'partial(pow, 2)')
    """
    if isinstance(value, functools.partial):
        return Call.__repr__(Call(value.func, *value.args, **value.keywords)).replace("Call", "partial", 1)
    name = getattr(value, "__qualname__", getattr(value, "__name__", None))
    return name.rpartition("<locals>.")[2] if isinstance(name, str) else _short.repr(value)
