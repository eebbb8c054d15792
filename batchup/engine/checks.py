"""Checks of arguments, at the call. Each returns what it was given, in one form, or raises an error that names it."""

from __future__ import annotations

import difflib
import operator
import re
from collections.abc import Collection, Mapping
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import six

ELSEWHERE = {  # keywords of other libraries, and what to use here
    "batch_sampler": "a sampler makes batches of indices: ArrayDataSource(data, sampler=sampler)",
    "collate_fn": "source.map(fn) collates the samples of a batch: ArrayDataSource([samples]).map(collate_fn)",
    "drop_last": 'Loader(source, 64, last="drop") leaves a short last batch out',
    "device": "loader.to_torch(device) gives tensors on a device",
    "epochs": "each for loop over a loader is one epoch; loader.steps(n) gives n batches",
    "generator": "shuffle takes a seed or a NumPy generator: shuffle=7",
    "num_workers": "Loader(source, 64, pool=4) has four threads; four processes are pool='processes', workers=4",
    "indices": "the subset belongs to the source: ArrayDataSource(data, indices=indices)",
    "persistent_workers": "workers stay until their loader or pool is closed",
    "pin_memory": "batches are NumPy arrays: call torch.from_numpy(x).pin_memory() in the loop",
    "prefetch_factor": "Loader(source, 64, pool=4, depth=8) prefetches eight batches",
    "repeats": "repeats belong to the source: ArrayDataSource(data, repeats=2)",
    "sampler": "the sampler belongs to the source: ArrayDataSource(data, sampler=WeightedSampler(weights))",
    "seed": "the seed is given as shuffle: shuffle=7",
    "transform": "source.map(fn) applies a function to each batch: ArrayDataSource(data).map(fn)",
    "world_size": "shard=(rank, world_size), or shard='auto', divides the batches among the ranks",
    "worker_init_fn": "workers need no seeds: source.random_map(fn) calls fn(*batch, rng) with a new generator; "
    "worker_init=fn is called in each process",
}
ELSEWHERE |= dict.fromkeys(
    ["workers", "n_workers", "n_jobs", "processes", "threads", "num_threads"], ELSEWHERE["num_workers"]
)
ELSEWHERE |= dict.fromkeys(["rng", "random_state"], ELSEWHERE["generator"])
ELSEWHERE |= dict.fromkeys(["prefetch", "buffer_size"], ELSEWHERE["prefetch_factor"])
ELSEWHERE |= dict.fromkeys(["rank", "num_replicas"], ELSEWHERE["world_size"])
ELSEWHERE |= {"drop_remainder": ELSEWHERE["drop_last"]}

INTEGERS = six.integer_types + (np.integer,)
Indices: TypeAlias = npt.NDArray[np.intp]

__all__ = ["INTEGERS", "Indices", "a_or_an", "all_in_range", "index_array", "kind_of", "no_keywords", "whole"]


def whole(name: str, value: Any, least: int = 1) -> int:
    """`value` as an int, which must be at least `least`. A bool is not an integer here.

    >>> whole("batch_size", 64)
    64
    >>> whole("batch_size", 0)
    Traceback (most recent call last):
        ...
    ValueError: batch_size should be an integer of at least 1, not 0
    """
    try:
        if isinstance(value, (bool, np.bool_)):
            raise TypeError
        number = operator.index(value)
    except TypeError:
        raise TypeError(f"{name} should be an integer of at least {least}, not {value!r}") from None
    if number < least:
        raise ValueError(f"{name} should be an integer of at least {least}, not {value!r}")
    return number


def index_array(name: str, value: Any, below: int | None = None) -> Indices:
    """`value` as a 1-D array of indices from 0 to `below` - 1. An array of indices is not copied.

    Raises
    ------
    TypeError
        For a boolean mask, or anything but integers.
    IndexError
        For a wrong number of dimensions, and for indices that are negative or out of range.
    """
    array = np.asarray(value)
    if array.dtype.kind == "b":
        raise TypeError(f"{name} should be integers, not a boolean mask; numpy.flatnonzero(mask) makes them")
    if array.dtype.kind not in "iu" and array.size:
        raise TypeError(f"{name} should be an array of integers, not of {array.dtype}")
    if array.ndim != 1:
        raise IndexError(f"{name} should be a 1-D array of integers, not {array.ndim}-D of shape {array.shape}")
    if len(array):
        least, most = array[array.argmin()], array[array.argmax()]  # takes half as long as min and max
        if least < 0:
            raise IndexError(f"{name} should be 0 or more, not {least}")
        if below is not None and most >= below:
            raise IndexError(f"{name} should be below {below}, the number of samples, not {most}")
        if most > np.iinfo(np.intp).max:
            raise IndexError(f"{name} should be below {np.iinfo(np.intp).max}, not {most}")
    return array.astype(np.intp, copy=False)


def all_in_range(indices: Indices, n: int) -> bool:
    """Whether all indices, in an array that is not empty, are from 0 to `n` - 1.

    Taken as unsigned, a negative index is a huge one, so one pass checks both ends. `ArrayDataSource` has the same two
    lines written out, as the call would cost 0.05 µs of 2.6 µs per batch there.

    >>> all_in_range(np.array([3, 0]), 4), all_in_range(np.array([3, -1]), 4), all_in_range(np.array([3, 4]), 4)
    (True, False, False)
    """
    unsigned = indices.view(np.uintp)
    return bool(unsigned.item(unsigned.argmax()) < n)


def no_keywords(call: str, given: Mapping[str, Any], known: Collection[str]) -> None:
    """Raise a TypeError for keywords that are not known. For those of other libraries, it says what to use instead.

    >>> no_keywords("batch_iterator", {"shufle": True}, ["shuffle"])
    Traceback (most recent call last):
        ...
    TypeError: batch_iterator() does not take 'shufle'; did you mean 'shuffle'?
    """
    for name in given:
        close = difflib.get_close_matches(name, known, n=1)
        hint = f"did you mean {close[0]!r}?" if close else f"it takes {', '.join(known)}"
        if "shuffle" in known:
            hint = ELSEWHERE.get(name, hint)
        raise TypeError(f"{call}() does not take {name!r}; {hint}")


def kind_of(x: Any) -> str:
    """What `x` is, for an error message.

    >>> kind_of([1]), kind_of(1), kind_of(None)
    ('a list', 'an int', 'None')
    """
    return "None" if x is None else a_or_an(type(x))


def a_or_an(kind: type) -> str:
    """The name of a class with its article, for an error message.

    >>> a_or_an(list), a_or_an(int), a_or_an(np.uint8)
    ('a list', 'an int', 'a uint8')
    """
    name = kind.__name__
    return f"an {name}" if re.match(r"[AEIOaeio]|[Uu]n(?!i)|HDF", name) else f"a {name}"
