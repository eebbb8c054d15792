"""A method for each element that an init-function gives, and a post-function for the results."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable
from typing import Any

from .apply import each_item, should_succeed
from .columns import items_of
from .expressions import arguments
from .offers import offered, takes
from .parallel import Call, Chance, run_calls

__all__ = ["inbatch"]


def inbatch(
    batch: Any, method: Callable[..., Any], init: Any, post: Any, options: dict[str, Any], args: Any, kwargs: Any
) -> Any:
    """Run `method` for each element that `init` gives; `post` makes of the results what is returned."""
    if batch.pipeline is None:
        args, kwargs = arguments(args, kwargs, batch)
    service = {name: kwargs.pop(name, options[name]) for name in ("target", "n_workers", "debug")}
    extra = {name: value for name, value in options.items() if name not in service}
    elements = _elements(batch, init, args, {**extra, **kwargs})
    each = each_item(args, kwargs, len(elements))
    seed, place = batch.new_address()
    bound = functools.partial(method, batch)
    room = takes(bound).room
    calls: list[Call] = []
    for number, (own, own_kwargs) in enumerate(elements):
        rest, named = (args, kwargs) if each is None else each[number]
        if len(own) + len(rest) > room:
            left = max(0, int(room) - len(own))
            what = f"{method.__name__}() has no room for {len(rest) - left} of its arguments, which are left out"
            if number == 0:
                warnings.warn(what, RuntimeWarning, stacklevel=3)
            rest = rest[:left]
        calls.append(((*own, *rest), {**own_kwargs, **named}, Chance(seed, (*place, number))))
    results = run_calls(bound, calls, service["target"], service["n_workers"])
    if service["debug"]:
        for result in results:
            if isinstance(result, BaseException):
                raise result
    if post is None:
        should_succeed(batch, results)
        return batch
    return offered(getattr(batch, post) if isinstance(post, str) else post, (results, *args), {**extra, **kwargs})


def _elements(
    batch: Any, init: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> list[tuple[tuple[Any, ...], Any]]:
    """For each call its own arguments. Those of an attribute, such as a component, are one argument each."""
    if isinstance(init, str):
        init = getattr(batch, init)
    if not callable(init):
        return [((item,), {}) for item in items_of(init)]
    own = (batch, *args) if next(iter(takes(init).names), None) == "self" else args
    return [_arguments(element) for element in offered(init, own, kwargs)]


def _arguments(element: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    if (
        isinstance(element, tuple)
        and len(element) == 2
        and isinstance(element[0], tuple)
        and isinstance(element[1], dict)
    ):
        return element
    if isinstance(element, (list, tuple)):
        return tuple(element), {}
    return ((), element) if isinstance(element, dict) else ((element,), {})
