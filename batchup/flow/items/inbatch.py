"""Run a method of a batch for each element that an init-function returns, and a post-function on the results."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable
from typing import Any

from ..data.columns import column_items
from ..expr.expressions import evaluate_arguments
from ..signatures import accepts, call_with_accepted
from .apply import arguments_per_item, raise_if_failed
from .parallel import ItemCall, run_calls
from .seeds import ItemSeed

__all__ = ["run_inbatch"]


def run_inbatch(
    batch: Any, method: Callable[..., Any], init: Any, post: Any, options: dict[str, Any], args: Any, kwargs: Any
) -> Any:
    """Run `method` for each element of `init`; return what `post` makes of the results."""
    if batch.pipeline is None:
        args, kwargs = evaluate_arguments(args, kwargs, batch)
    own_options = {name: kwargs.pop(name, options[name]) for name in ("target", "n_workers", "debug")}
    extra = {name: value for name, value in options.items() if name not in own_options}
    elements = _elements(batch, init, args, {**extra, **kwargs})
    bound = functools.partial(method, batch)
    calls = _calls(batch, bound, elements, args, kwargs)
    results = run_calls(bound, calls, own_options["target"], own_options["n_workers"])
    if own_options["debug"]:
        for result in results:
            if isinstance(result, BaseException):
                raise result
    if post is None:
        raise_if_failed(batch, results)
        return batch
    post = getattr(batch, post) if isinstance(post, str) else post
    return call_with_accepted(post, (results, *args), {**extra, **kwargs})


def _elements(
    batch: Any, init: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> list[tuple[tuple[Any, ...], Any]]:
    """The arguments of each call. Each item of an attribute, such as a component, is one argument."""
    if isinstance(init, str):
        init = getattr(batch, init)
    if not callable(init):
        return [((item,), {}) for item in column_items(init)]
    own = (batch, *args) if next(iter(accepts(init).names), None) == "self" else args
    return [_call_arguments(element) for element in call_with_accepted(init, own, kwargs)]


def _calls(
    batch: Any, bound: functools.partial[Any], elements: list[tuple[tuple[Any, ...], Any]], args: Any, kwargs: Any
) -> list[ItemCall]:
    """A call for each element: first its own arguments, then those that are the same for all."""
    each = arguments_per_item(args, kwargs, len(elements))
    path = batch.new_seed_path()
    most = accepts(bound).n_positional
    calls: list[ItemCall] = []
    for number, (own, own_kwargs) in enumerate(elements):
        rest, named = (args, kwargs) if each is None else each[number]
        if len(own) + len(rest) > most:
            kept = max(0, int(most) - len(own))
            if number == 0:
                what = f"{bound.func.__name__}() does not accept {len(rest) - kept} of its arguments; they are left out"
                warnings.warn(what, RuntimeWarning, stacklevel=4)
            rest = rest[:kept]
        calls.append(((*own, *rest), {**own_kwargs, **named}, ItemSeed(path, (number,))))
    return calls


def _call_arguments(element: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
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
