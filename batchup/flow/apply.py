"""A function for each item of a batch: what it is given, who runs it, where the results go."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ..engine.checks import INTEGERS
from .columns import assembled, items_of
from .expressions import PerItem, arguments, at_item
from .offers import offered, takes
from .parallel import Call, Chance, WithArguments, run_calls

__all__ = ["SERVICES", "any_action_failed", "apply", "assemble", "each_item", "should_succeed"]

SERVICES = ("init", "post", "src", "dst", "p", "target", "requires_rng", "rng_seeds", "n_workers")


def apply(
    batch: Any, func: Callable[..., Any], layers: Sequence[Mapping[str, Any]], args: tuple[Any, ...], kwargs: Any
) -> Any:
    """Apply `func` to each item; each of the `layers` has `SERVICES` that the ones behind it lack."""
    if batch.pipeline is None:  # called by hand: nobody has done it
        layers = [arguments((), dict(layers[0]), batch)[1], *layers[1:]]
        args, kwargs = arguments(args, kwargs, batch)
    service = {name: _nearest(layers, name) for name in SERVICES}
    taken = takes(func, 1 + len(args))
    give_rng = bool(service["requires_rng"]) or "rng" in taken.names
    mask, address, n = None, batch.new_address(), -1
    result = batch
    for src, dst in _pairs(batch, *_ends(layers), service["init"]):
        offer = {"src": src, "dst": dst, "p": service["p"], "target": service["target"], **kwargs}
        items = _items(batch, service["init"], src, offer)
        if n < 0:  # once for all pairs, so that masks get the transform of their images
            n, mask = len(items), _mask(batch, service["p"], len(items))
        if len(items) != n:
            raise ValueError(f"each src should have {n} items, as the first one has, not {len(items)}")
        chances = _chances(address, n, service["rng_seeds"], give_rng)
        own = {**kwargs, **taken.of({"src": src, "dst": dst})}
        results = _results(func, items, mask, chances, args, own, service)
        post = getattr(batch, service["post"]) if isinstance(service["post"], str) else service["post"]
        behind = args if takes(post).room == float("inf") else ()
        result = offered(post, (results, *behind), {**kwargs, "src": src, "dst": dst})
    return result


def _nearest(layers: Sequence[Mapping[str, Any]], name: str) -> Any:
    return next((layer[name] for layer in layers if layer.get(name) is not None), None)


def _ends(layers: Sequence[Mapping[str, Any]]) -> tuple[Any, Any]:
    """Where items come from and where results go; who says only where from, writes back there."""
    for layer in layers:
        if layer.get("dst") is not None or layer.get("src") is not None:
            dst = layer["dst"] if layer.get("dst") is not None else layer["src"]
            return _nearest(layers, "src"), dst
    return None, None


def _pairs(batch: Any, src: Any, dst: Any, init: Any) -> list[tuple[Any, Any]]:
    if isinstance(src, list) and src and all(map(_names, src)):
        if not isinstance(dst, list) or len(dst) != len(src):
            raise ValueError(f"for a list of {len(src)} src, dst should be a list of as many, not {dst!r}")
        return list(zip(src, dst, strict=True))
    from_src = init is None or (isinstance(init, str) and init == "data")
    if batch.components and from_src and src is None:
        raise ValueError(f"src should say which component to apply to: one of {', '.join(batch.components)}")
    if dst is not None and not _names(dst):
        if dst is not src:
            raise ValueError(f"dst should be the name of a component or a tuple of names, not {dst!r}")
        dst = None  # the source is data of its own
    if batch.components and dst is None:
        raise ValueError(f"dst should say which component gets the results, such as {batch.components[0]!r}")
    return [(src, dst)]


def _names(end: Any) -> bool:
    return isinstance(end, str) or (isinstance(end, tuple) and bool(end) and all(isinstance(each, str) for each in end))


def _items(batch: Any, init: Any, src: Any, offer: dict[str, Any]) -> list[Any]:
    if init is None or (isinstance(init, str) and init == "data"):
        return _items_from(batch, src)
    if isinstance(init, str):
        init = getattr(batch, init)
    return items_of(offered(init, (), offer) if callable(init) else init)


def _items_from(batch: Any, src: Any) -> list[Any]:
    if src is None:
        return items_of(_there(batch.data, "the batch"))
    if isinstance(src, str):
        return items_of(_there(getattr(batch, src), src))
    if _names(src):
        return list(zip(*(items_of(_there(getattr(batch, name), name)) for name in src), strict=True))
    return items_of(src)


def _there(column: Any, name: str) -> Any:
    if column is None:
        raise ValueError(f"{name} should have data before a function is applied to it: load() them, or give preloaded=")
    return column


def _mask(batch: Any, p: Any, n: int) -> npt.NDArray[np.bool_] | None:
    """Which items the function is applied to; None for all."""
    if p is None:
        return None
    chances = np.asarray(p)
    if chances.ndim == 0 and chances.dtype.kind in "fiub" and 0 <= chances <= 1:
        drawn: npt.NDArray[np.bool_] = batch.random.random(n) < chances
        return drawn
    if chances.shape == (n,) and np.isin(chances, (0, 1)).all():
        return chances.astype(bool)
    raise ValueError(f"p should be a probability from 0 to 1, or for each of {n} items true or false, not {p!r}")


def _chances(address: tuple[Any, tuple[int, ...]], n: int, seeds: Any, give: bool) -> list[Chance]:
    """What each item may draw from, from the beginning."""
    if seeds is None:
        seed, place = address
        return [Chance(seed, (*place, number), give) for number in range(n)]
    if len(seeds) != n:
        raise ValueError(f"rng_seeds should be one for each of {n} items, not {len(seeds)}")
    return [Chance(int(seed) if isinstance(seed, INTEGERS) else seed, (), give) for seed in seeds]


def _results(
    func: Callable[..., Any],
    items: list[Any],
    mask: npt.NDArray[np.bool_] | None,
    chances: list[Chance],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    service: dict[str, Any],
) -> list[Any]:
    """For each item what `func` gave, or its exception, or the item itself where it was not applied."""
    chosen = range(len(items)) if mask is None else np.flatnonzero(mask).tolist()
    each = each_item(args, kwargs, len(items))
    if each is not None:
        calls: list[Call] = [((items[i], *each[i][0]), each[i][1], chances[i]) for i in chosen]
    else:
        calls = [((items[i],), {}, chances[i]) for i in chosen]
        func = WithArguments(func, args, kwargs) if args or kwargs else func
    found = run_calls(func, calls, service["target"] or "for", service["n_workers"])
    if mask is None:
        return found
    results = list(items)
    for i, result in zip(chosen, found, strict=True):
        results[i] = result
    return results


def each_item(args: tuple[Any, ...], kwargs: dict[str, Any], n: int) -> list[tuple[Any, Any]] | None:
    """The arguments as they are for each of n items, if there are values one per item among them; else None."""
    lengths = {len(value) for value in (*args, *kwargs.values()) if isinstance(value, PerItem)}
    for length in lengths - {n}:
        raise ValueError(f"there should be a value for each of {n} items, not {length}")
    return [(at_item(args, i), at_item(kwargs, i)) for i in range(n)] if lengths else None


def any_action_failed(results: Sequence[Any]) -> bool:
    """Whether some item of a parallel action raised an exception.

    Parameters
    ----------
    results : sequence
        What a post-function gets: a value or an exception for each item.

    Examples
    --------
    >>> any_action_failed([1, 2]), any_action_failed([1, ValueError("no such file")])
    (False, True)
    """
    return any(isinstance(result, BaseException) for result in results)


def should_succeed(batch: Any, results: Sequence[Any]) -> None:
    """Raise if some item failed: RuntimeError, from the first item's exception.

    Raises
    ------
    RuntimeError
    """
    failed = [(place, result) for place, result in enumerate(results) if isinstance(result, BaseException)]
    if failed:
        place, error = failed[0]
        ids = batch.indices
        which = f"item {ids[place].item()!r}" if len(ids) == len(results) else f"call {place}"
        others = f" ({len(failed) - 1} more failed)" if len(failed) > 1 else ""
        raise RuntimeError(f"could not assemble the batch: {which} failed with {error!r}{others}") from error


def assemble(batch: Any, results: Sequence[Any], dst: Any) -> Any:
    """Put the results of all items into one component, or spread their parts over several."""
    should_succeed(batch, results)
    if not isinstance(dst, tuple):
        batch.set_column(dst, assembled(results))
        return batch
    for result in results:
        if not isinstance(result, (tuple, list)) or len(result) != len(dst):
            what = f"{len(result)}" if isinstance(result, (tuple, list)) else f"a {type(result).__name__}"
            raise ValueError(f"the function should return {len(dst)} values, for {', '.join(dst)}, not {what}")
    for name, column in zip(dst, zip(*results, strict=True), strict=True):
        batch.set_column(name, assembled(column))
    return batch
