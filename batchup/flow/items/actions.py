"""Decorators for methods of batches: steps of pipelines, and functions that run for each item."""

from __future__ import annotations

import dataclasses
import functools
import inspect
from collections.abc import Callable, Iterable
from typing import Any, TypeVar, overload

from ...engine.checks import no_keywords
from .apply import APPLY_OPTIONS, apply_to_items, run_inbatch
from .parallel import full_target_name

__all__ = ["Action", "action", "action_info", "apply_parallel", "inbatch_parallel"]


@dataclasses.dataclass(frozen=True)
class Action:
    """What a pipeline knows about a method that is a step.

    Attributes
    ----------
    no_eval : tuple of str
        Keyword arguments that are not evaluated if they are expressions.
    use_lock : str or None
        The lock to hold while the method runs.
    in_order : bool or None
        Whether a batch waits until the batches before have done the step; None if the action does not say.
    """

    no_eval: tuple[str, ...] = ()
    use_lock: str | None = None
    in_order: bool | None = None


Method = TypeVar("Method", bound=Callable[..., Any])


@overload
def action(fn: Method, /) -> Method: ...


@overload
def action(
    *, use_lock: bool | str | None = None, no_eval: str | Iterable[str] = (), in_order: bool | None = None
) -> Callable[[Method], Method]: ...


def action(
    fn: Any = None,
    /,
    *,
    use_lock: bool | str | None = None,
    no_eval: str | Iterable[str] = (),
    in_order: bool | None = None,
) -> Any:
    """Make a method a step of pipelines. Outside of a pipeline it stays an ordinary method.

    Parameters
    ----------
    fn : method
        It should return a batch: its own, or another, possibly of another class.
    use_lock : str or True, optional
        The name of a lock of the pipeline to hold while the method runs; True for a lock of its own.
    no_eval : str or list of str
        Names of keyword arguments that are not evaluated if they are expressions.
    in_order : bool, optional
        Whether the batches do this step in their order, with `prefetch`, too. Say True where the method itself reads
        and writes variables, trains a model, or changes anything else that batches share. By default it runs ahead,
        with a warning if it sets a variable or takes a model; False leaves out the warning.

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
        return functools.partial(action, use_lock=use_lock, no_eval=no_eval, in_order=in_order)
    lock = fn.__name__ if use_lock is True else use_lock or None
    info = Action((no_eval,) if isinstance(no_eval, str) else tuple(no_eval), lock, in_order)
    if isinstance(fn, _ItemAction):
        fn.info = info
        return fn
    if lock is None:
        fn.action = info
        return fn

    @functools.wraps(fn)
    def locked(self: Any, *args: object, **kwargs: object) -> Any:
        if self.pipeline is None:
            return fn(self, *args, **kwargs)
        with self.pipeline.lock(lock):
            return fn(self, *args, **kwargs)

    locked.action = info  # type: ignore[attr-defined]
    return locked


def action_info(method: object) -> Action | None:
    """The `Action` of a method; None if it is not a step."""
    info = getattr(method, "action", None)
    return info if isinstance(info, Action) else None


def inbatch_parallel(
    init: str | Callable[..., Any],
    post: str | Callable[..., Any] | None = None,
    target: str = "threads",
    debug: bool = False,
    n_workers: int | None = None,
    **options: object,
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Run a method for each item of the batch.

    Parameters
    ----------
    init : str or callable
        The arguments of the calls. The name of an attribute or component: each of its items is an argument. The name of
        a method, or a function: it returns an element for each call. A list or tuple has the positional arguments, a
        dict the keyword arguments, a pair of a tuple and a dict both; anything else is a single argument.
    post : str or callable, optional
        Gets the list of results, with exceptions in the places of failed items. The action returns what it returns.
        ``'_assemble'`` stores the results in the components `dst`, else in `src`; or, with
        ``dst_default="components"``, in all components.
        Without `post` the action returns the batch, or raises a RuntimeError if an item failed.
    target : {'threads', 'async', 'mpc', 'for'}, default 'threads'
        Who runs the calls. A call of the action may also set `target`, `debug` and `n_workers`.
    debug : bool, default False
        Raise the exception of an item itself.
    n_workers : int, optional
    **options
        For `init` and `post`, as far as they accept them; they also get the arguments of the call.

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
    full_target_name(target)
    every = {**options, "target": target, "debug": debug, "n_workers": n_workers}

    def decorate(method: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(method)
        def for_each_item(self: Any, *args: object, **kwargs: object) -> Any:
            return run_inbatch(self, method, init, post, every, args, kwargs)

        return action(for_each_item)

    return decorate


class _ItemAction:
    """A function of one item, which becomes an action on all items when its class is created."""

    info = Action()

    def __init__(self, fn: Callable[..., Any], defaults: dict[str, Any]) -> None:
        self.fn = fn
        self.defaults = defaults
        self.__name__ = getattr(fn, "__name__", "function")

    def __set_name__(self, owner: type, name: str) -> None:
        inner = f"_{name}_"
        defaults = self.defaults

        @functools.wraps(self.fn)
        def for_each_item(self: Any, *args: object, **kwargs: object) -> Any:
            given = {option: kwargs.pop(option) for option in APPLY_OPTIONS if option in kwargs}
            return apply_to_items(
                self, _bound_function(self, inner), [given, defaults, self.apply_defaults], args, kwargs
            )

        for_each_item.action = self.info  # type: ignore[attr-defined]
        setattr(owner, name, for_each_item)
        setattr(owner, inner, self.fn)


def _bound_function(batch: Any, name: str) -> Any:
    """The method with its batch. A bound method would pickle by its name, which is the name of the action."""
    method = getattr(batch, name)
    return functools.partial(method.__func__, batch) if inspect.ismethod(method) else method


@overload
def apply_parallel(fn: Callable[..., Any], /) -> Callable[..., Any]: ...


@overload
def apply_parallel(**defaults: object) -> Callable[[Callable[..., Any]], Callable[..., Any]]: ...


def apply_parallel(fn: Any = None, /, **defaults: object) -> Any:
    """Make a function of one item an action on all items. The function itself is kept as ``_name_``.

    Parameters
    ----------
    fn : method or staticmethod
        Gets an item, and more arguments.
    **defaults
        Defaults for the options of the action: `init`, `post`, `src`, `dst`, `p`, `target`,
        `requires_rng`, `rng_seeds`, `n_workers`; see `Batch.apply_parallel`.

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
    no_keywords("apply_parallel", {name: 0 for name in defaults if name not in APPLY_OPTIONS}, APPLY_OPTIONS)
    if fn is None:
        return functools.partial(apply_parallel, **defaults)
    return _ItemAction(fn, defaults)
