"""What makes a method a step of pipelines, and what makes it run for each item."""

from __future__ import annotations

import dataclasses
import functools
import inspect
from collections.abc import Callable, Iterable
from typing import Any, TypeVar, overload

from ..engine.checks import no_keywords
from .apply import SERVICES, apply
from .inbatch import inbatch

__all__ = ["Action", "action", "apply_parallel", "inbatch_parallel", "marked"]


@dataclasses.dataclass(frozen=True)
class Action:
    """What a pipeline knows of a method that is one of its steps.

    Attributes
    ----------
    no_eval : tuple of str
        Keyword arguments that are given as they are, though they be expressions.
    use_lock : str or None
        The lock that is held while it runs.
    """

    no_eval: tuple[str, ...] = ()
    use_lock: str | None = None


Method = TypeVar("Method", bound=Callable[..., Any])


@overload
def action(fn: Method, /) -> Method: ...


@overload
def action(*, use_lock: bool | str | None = None, no_eval: str | Iterable[str] = ()) -> Callable[[Method], Method]: ...


def action(fn: Any = None, /, *, use_lock: bool | str | None = None, no_eval: str | Iterable[str] = ()) -> Any:
    """Make a method a step of pipelines. Called by hand, it is the method that it was.

    Parameters
    ----------
    fn : method
        It returns a batch: the one that it belongs to, or another, perhaps of another class.
    use_lock : str or True, optional
        The name of a lock of the pipeline, which is held while the method runs; True for one of its own.
    no_eval : str or list of str
        Names of keyword arguments that are not evaluated if they are expressions.

    Examples
    --------
    >>> from batchup.flow import Batch, Dataset
    >>> class Numbers(Batch):
    ...     @action
    ...     def double(self):
    ...         self.data = self.data * 2
    ...         return self
    >>> Dataset(3, Numbers, preloaded=[10, 20, 30]).p.double().next_batch(2).data
    array([20, 40])
    """
    if fn is None:
        return functools.partial(action, use_lock=use_lock, no_eval=no_eval)
    lock = fn.__name__ if use_lock is True else use_lock or None
    about = Action((no_eval,) if isinstance(no_eval, str) else tuple(no_eval), lock)
    if isinstance(fn, _PerItem):
        fn.about = about
        return fn
    if lock is None:
        fn.action = about
        return fn

    @functools.wraps(fn)
    def locked(self: Any, *args: Any, **kwargs: Any) -> Any:
        if self.pipeline is None:
            return fn(self, *args, **kwargs)
        with self.pipeline.lock(lock):
            return fn(self, *args, **kwargs)

    locked.action = about  # type: ignore[attr-defined]
    return locked


def marked(method: Any) -> Action | None:
    """What `action` said about a method; None if it is no step."""
    about = getattr(method, "action", None)
    return about if isinstance(about, Action) else None


def inbatch_parallel(
    init: Any,
    post: Any = None,
    target: str = "threads",
    debug: bool = False,
    n_workers: int | None = None,
    **options: Any,
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Run a method for each item of the batch.

    Parameters
    ----------
    init : str or callable
        What each call of the method is for. The name of an attribute or a component: each of its items is an argument.
        The name of a method, or a function: of what it returns, each list or tuple holds the positional arguments of a
        call, each dict its keyword arguments, each pair of a tuple and a dict both; anything else is one argument.
    post : str or callable, optional
        Gets the list of results, where an exception stands for an item that failed; what it returns is returned.
        Without it the batch is returned, or a RuntimeError raised if an item failed.
    target : {'threads', 'async', 'mpc', 'for'}, default 'threads'
        Who runs the calls. May be given at the call as well, as may `debug` and `n_workers`.
    debug : bool, default False
        Raise an item's exception as it is.
    n_workers : int, optional
    **options
        For `init` and `post`, which get those that their signatures take, and of the arguments of the call too.

    Examples
    --------
    >>> from batchup.flow import Batch
    >>> class Squares(Batch):
    ...     @inbatch_parallel(init="indices", post="keep")
    ...     def square(self, number, shift=0):
    ...         return number ** 2 + shift
    ...     def keep(self, results):
    ...         self.data = results
    ...         return self
    >>> [int(x) for x in Squares(4).square(shift=1).data]
    [1, 2, 5, 10]
    """
    every = {**options, "target": target, "debug": debug, "n_workers": n_workers}

    def decorate(method: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(method)
        def for_each_item(self: Any, *args: Any, **kwargs: Any) -> Any:
            return inbatch(self, method, init, post, every, args, kwargs)

        return action(for_each_item)

    return decorate


class _PerItem:
    """A function for one item, which becomes an action on all when its class is made."""

    about = Action()

    def __init__(self, fn: Any, defaults: dict[str, Any]) -> None:
        self.fn = fn
        self.defaults = defaults
        self.__name__ = getattr(fn, "__name__", "function")

    def __set_name__(self, owner: type, name: str) -> None:
        inner = f"_{name}_"
        defaults = self.defaults

        @functools.wraps(self.fn)
        def for_each_item(self: Any, *args: Any, **kwargs: Any) -> Any:
            given = {service: kwargs.pop(service) for service in SERVICES if service in kwargs}
            return apply(self, _bound(self, inner), [given, defaults, self.apply_defaults], args, kwargs)

        for_each_item.action = self.about  # type: ignore[attr-defined]
        setattr(owner, name, for_each_item)
        setattr(owner, inner, self.fn)


def _bound(batch: Any, name: str) -> Any:
    """The method, bound so that it pickles as it is: a bound method would be looked up by name, and be the action."""
    method = getattr(batch, name)
    return functools.partial(method.__func__, batch) if inspect.ismethod(method) else method


@overload
def apply_parallel(fn: Callable[..., Any], /) -> Callable[..., Any]: ...


@overload
def apply_parallel(**defaults: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]: ...


def apply_parallel(fn: Any = None, /, **defaults: Any) -> Any:
    """Make a function of one item an action on all items. The function itself stays there as ``_name_``.

    Parameters
    ----------
    fn : method or staticmethod
        Takes an item, and more arguments.
    **defaults
        What the action uses unless the call says otherwise: `init`, `post`, `src`, `dst`, `p`, `target`,
        `requires_rng`, `rng_seeds`, `n_workers`, as of `Batch.apply_parallel`.

    Examples
    --------
    >>> from batchup.flow import Batch
    >>> class Points(Batch):
    ...     components = "x", "y"
    ...     @apply_parallel(src="x")
    ...     def shift(self, x, by):
    ...         return x + by
    >>> points = Points(3, preloaded=([1, 2, 3], [4, 5, 6]))
    >>> points.shift(10).shift(by=1, src="y").data
    Record(x=array([11, 12, 13]), y=array([5, 6, 7]))
    """
    no_keywords("apply_parallel", {name: 0 for name in defaults if name not in SERVICES}, SERVICES)
    if fn is None:
        return functools.partial(apply_parallel, **defaults)
    return _PerItem(fn, defaults)
