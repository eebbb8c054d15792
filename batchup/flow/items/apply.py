"""Apply a function to each item of a batch, or run a method for each element that an init-function returns: where the
items come from, who runs it, where the results go."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ...engine.checks import a_or_an
from ...engine.rng import SeedPath
from ..data.columns import column_items, stack_items
from ..data.ids import id_list
from ..expr.expressions import ItemValues, evaluate_arguments, value_for_item
from ..signatures import accepts, call_with_accepted
from .parallel import ItemCall, WithArguments, run_calls
from .seeds import ItemSeed, seed_path

__all__ = [
    "APPLY_OPTIONS", "any_action_failed", "apply_to_items", "arguments_per_item", "raise_if_failed", "run_inbatch",
    "store_results",
]  # fmt: skip

APPLY_OPTIONS = ("init", "post", "src", "dst", "p", "target", "requires_rng", "rng_seeds", "n_workers")


def apply_to_items(
    batch: Any,
    func: Callable[..., Any],
    layers: Sequence[Mapping[str, Any]],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
) -> Any:
    """Apply `func` to each item. Each of the `layers` has some of `APPLY_OPTIONS`; the first that has one wins."""
    if batch.pipeline is None:  # called by hand: no pipeline has evaluated the arguments
        layers = [evaluate_arguments((), dict(layers[0]), batch)[1], *layers[1:]]
        args, kwargs = evaluate_arguments(args, kwargs, batch)
    options = {name: _first_given(layers, name) for name in APPLY_OPTIONS}
    if isinstance(options["init"], str) and options["init"] == "data":
        options["init"] = None
    accepted = accepts(func, 1 + len(args))
    pass_rng = bool(options["requires_rng"]) or "rng" in accepted.names
    mask, path, n = None, batch.new_seed_path(), -1
    result = batch
    for src, dst in _pairs(batch, *_src_and_dst(layers), options["init"]):
        keywords = {"src": src, "dst": dst, "p": options["p"], "target": options["target"], **kwargs}
        items = _items(batch, options["init"], src, keywords)
        if n < 0:  # once for all pairs, so that masks get the transform of their images
            n, mask = len(items), _mask(batch, options["p"], len(items))
        if len(items) != n:
            raise ValueError(f"each src should have {n} items, as the first one has, not {len(items)}")
        seeds = _item_seeds(path, n, options["rng_seeds"], pass_rng)
        own = {**kwargs, **accepted.select({"src": src, "dst": dst})}
        results = _results(func, items, mask, seeds, args, own, options)
        post = getattr(batch, options["post"]) if isinstance(options["post"], str) else options["post"]
        more = args if args and accepts(post).n_positional == float("inf") else ()
        result = call_with_accepted(post, (results, *more), {**kwargs, "src": src, "dst": dst})
    return result


def _first_given(layers: Sequence[Mapping[str, Any]], name: str) -> Any:
    return next((layer[name] for layer in layers if layer.get(name) is not None), None)


def _src_and_dst(layers: Sequence[Mapping[str, Any]]) -> tuple[Any, Any]:
    """Where the items come from and where the results go; with `src` only, the results go to `src`."""
    for layer in layers:
        if layer.get("dst") is not None or layer.get("src") is not None:
            dst = layer["dst"] if layer.get("dst") is not None else layer["src"]
            return _first_given(layers, "src"), dst
    return None, None


def _pairs(batch: Any, src: object, dst: object, init: object) -> list[tuple[Any, Any]]:
    if isinstance(src, list) and src and all(map(_is_name_or_names, src)):
        if not isinstance(dst, list) or len(dst) != len(src):
            raise ValueError(f"if src is a list of {len(src)}, dst should be a list of as many, not {dst!r}")
        return list(zip(src, dst, strict=True))
    if batch.components and init is None and src is None:
        raise ValueError(
            f"src should name the component to apply the function to: one of {', '.join(batch.components)}"
        )
    if dst is not None and not _is_name_or_names(dst):
        if dst is not src:
            raise ValueError(f"dst should be the name of a component or a tuple of names, not {dst!r}")
        dst = None  # src is a container, so there is no component to write back to
    if batch.components and dst is None:
        raise ValueError(f"dst should name the component for the results, such as {batch.components[0]!r}")
    return [(src, dst)]


def _is_name_or_names(end: object) -> bool:
    return isinstance(end, str) or (isinstance(end, tuple) and bool(end) and all(isinstance(each, str) for each in end))


def _items(batch: Any, init: Any, src: Any, keywords: dict[str, Any]) -> list[Any]:
    if init is None:
        return _items_from(batch, src)
    if isinstance(init, str):
        init = getattr(batch, init)
    return column_items(call_with_accepted(init, (), keywords) if callable(init) else init)


def _items_from(batch: Any, src: Any) -> list[Any]:
    if src is None or isinstance(src, str):
        return _own_items(batch, src)
    if _is_name_or_names(src):
        return list(zip(*(_own_items(batch, name) for name in src), strict=True))
    return column_items(src)


def _own_items(batch: Any, name: str | None) -> list[Any]:
    column = batch.data if name is None else getattr(batch, name)
    if column is None:
        what = name or "the batch"
        raise ValueError(f"{what} should have data before a function is applied to it: call load(), or pass preloaded=")
    return column_items(column)


def _mask(batch: Any, p: npt.ArrayLike | None, n: int) -> npt.NDArray[np.bool_] | None:
    """Which items to apply the function to; None for all."""
    if p is None:
        return None
    given = np.asarray(p)
    if given.ndim == 0 and given.dtype.kind in "fiub" and 0 <= given <= 1:
        drawn: npt.NDArray[np.bool_] = batch.random.random(n) < given
        return drawn
    if given.shape == (n,) and np.isin(given, (0, 1)).all():
        return given.astype(bool)
    raise ValueError(f"p should be a probability from 0 to 1, or true or false for each of {n} items, not {p!r}")


def _item_seeds(
    path: SeedPath, n: int, rng_seeds: Sequence[Any] | npt.NDArray[Any] | None, pass_rng: bool
) -> list[ItemSeed]:
    """New random numbers for each item."""
    if rng_seeds is None:
        return [ItemSeed(path, (number,), pass_rng) for number in range(n)]
    if len(rng_seeds) != n:
        raise ValueError(f"rng_seeds should be one for each of {n} items, not {len(rng_seeds)}")
    return [ItemSeed(seed_path(seed), (), pass_rng) for seed in rng_seeds]


def _results(
    func: Callable[..., Any],
    items: list[Any],
    mask: npt.NDArray[np.bool_] | None,
    seeds: list[ItemSeed],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    options: dict[str, Any],
) -> list[Any]:
    """For each item the result of `func` or its exception; the item itself if `func` was not applied."""
    chosen = range(len(items)) if mask is None else np.flatnonzero(mask).tolist()
    each = arguments_per_item(args, kwargs, len(items))
    if each is not None:
        calls: list[ItemCall] = [((items[i], *each[i][0]), each[i][1], seeds[i]) for i in chosen]
    else:
        calls = [((items[i],), {}, seeds[i]) for i in chosen]
        func = WithArguments(func, args, kwargs) if args or kwargs else func
    found = run_calls(func, calls, options["target"] or "for", options["n_workers"])
    if mask is None:
        return found
    results = list(items)
    for i, result in zip(chosen, found, strict=True):
        results[i] = result
    return results


def arguments_per_item(args: tuple[Any, ...], kwargs: dict[str, Any], n: int) -> list[tuple[Any, Any]] | None:
    """The arguments for each of n items, if some have one value per item; else None."""
    lengths = {len(value) for value in (*args, *kwargs.values()) if isinstance(value, ItemValues)}
    for length in lengths - {n}:
        raise ValueError(f"there should be a value for each of {n} items, not {length}")
    return [(value_for_item(args, i), value_for_item(kwargs, i)) for i in range(n)] if lengths else None


def any_action_failed(results: Sequence[Any]) -> bool:
    """Whether a parallel action raised an exception for some item.

    Parameters
    ----------
    results : sequence
        The results that a post-function gets: a value or an exception for each item.

    Examples
    --------
    >>> any_action_failed([1, 2]), any_action_failed([1, ValueError("no such file")])
    (False, True)
    """
    return any(isinstance(result, BaseException) for result in results)


def raise_if_failed(batch: Any, results: Sequence[Any]) -> None:
    """Raise a `RuntimeError` from the first exception among the results, if there is one."""
    failed = [(number, result) for number, result in enumerate(results) if isinstance(result, BaseException)]
    if failed:
        number, error = failed[0]
        ids = batch.indices
        which = f"item {id_list(ids[number : number + 1])[0]!r}" if len(ids) == len(results) else f"call {number}"
        others = f" ({len(failed) - 1} more failed)" if len(failed) > 1 else ""
        raise RuntimeError(f"could not assemble the batch: {which} failed with {error!r}{others}") from error


def store_results(batch: Any, results: Sequence[Any], dst: Any) -> Any:
    """Store the results in a component; or, if `dst` is a tuple, the parts of each result in several components."""
    raise_if_failed(batch, results)
    if isinstance(dst, (list, np.ndarray)):
        dst = tuple(dst)
    if isinstance(dst, tuple) and len(dst) == 1:
        (dst,) = dst
    if not isinstance(dst, tuple):
        batch.set_column(dst, stack_items(results))
        return batch
    for result in results:
        if not isinstance(result, (tuple, list, np.ndarray)) or len(result) != len(dst):
            what = f"{len(result)}" if isinstance(result, (tuple, list, np.ndarray)) else a_or_an(type(result))
            raise ValueError(f"the function should return {len(dst)} values, for {', '.join(dst)}, not {what}")
    for name, column in zip(dst, zip(*results, strict=True), strict=True):
        batch.set_column(name, stack_items(column))
    return batch


def run_inbatch(
    batch: Any,
    method: Callable[..., Any],
    init: Any,
    post: Any,
    options: dict[str, Any],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
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
    batch: Any,
    bound: functools.partial[Any],
    elements: list[tuple[tuple[Any, ...], Any]],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
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


def _call_arguments(element: object) -> tuple[tuple[Any, ...], dict[str, Any]]:
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
