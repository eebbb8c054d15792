"""Samplers decide which samples a batch is made of, and in which order. They know indices, never data.

A sampler is asked for batches of indices in one of two ways: in order, or shuffled by a random number generator. The
four here are over all samples (`StandardSampler`), over some (`SubsetSampler`), and the same two with weights
(`WeightedSampler`, `WeightedSubsetSampler`).
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from .engine.checks import Indices, index_array, whole
from .engine.shuffle import Rng

__all__ = [
    "AbstractSampler",
    "StandardSampler",
    "SubsetSampler",
    "WeightedSampler",
    "WeightedSubsetSampler",
    "num_batches",
]


def num_batches(n: int, batch_size: int) -> int:
    """How many batches of `batch_size` cover `n` samples, the last one perhaps short.

    Parameters
    ----------
    n : int
        The number of samples.
    batch_size : int
        Samples per batch.

    Returns
    -------
    int

    Examples
    --------
    >>> num_batches(10, 4)
    3
    """
    return -(-n // batch_size)


def cut(orders: Iterable[Indices], batch_size: int) -> Iterator[Indices]:
    """The indices of all `orders`, one after the other, in batches that run across the joints; the last may be short.

    The next order is asked for when a batch needs it, not before.

    >>> [batch.tolist() for batch in cut([np.arange(5), np.arange(5)], 4)]
    [[0, 1, 2, 3], [4, 0, 1, 2], [3, 4]]
    """
    rest: list[Indices] = []
    missing = batch_size
    for order in orders:
        if len(order) < missing:
            rest.append(order)
            missing -= len(order)
            continue
        start = 0
        if missing < batch_size:
            start = missing
            yield np.concatenate([*rest, order[:start]])
        whole_batches = start + (len(order) - start) // batch_size * batch_size
        for first in range(start, whole_batches, batch_size):
            yield order[first : first + batch_size]
        rest = [order[whole_batches:]]
        missing = batch_size - len(rest[0])
    if missing < batch_size:
        yield np.concatenate(rest)


def repeated(repeats: int) -> Iterator[None]:
    """One item for each time that the samples are gone through; -1 is for ever."""
    return itertools.repeat(None) if repeats == -1 else itertools.repeat(None, repeats)


def ascending(length: int, batch_size: int) -> Iterator[Indices]:
    """0 to `length`, in pieces of whole batches, so that a long epoch needs little memory."""
    piece = batch_size * num_batches(65536, batch_size)
    for first in range(0, length, piece):
        yield np.arange(first, min(first + piece, length))


class AbstractSampler:
    """What every sampler answers. To write your own, give it these methods; a sampler holds no data.

    `batchup.testing.SamplerContract` tests one.
    """

    def num_indices_generated(self) -> int | float | None:
        """How many indices come in one go through the sampler.

        Returns
        -------
        int, `numpy.inf` or None
            None where it is not known.
        """
        raise NotImplementedError(f"{type(self).__name__} does not say how many indices it generates")

    def map_indices(self, indices: Indices) -> Indices:
        """From positions among the sampler's own samples to indices into the data.

        Parameters
        ----------
        indices : ndarray of int, 1-D

        Returns
        -------
        ndarray of int, 1-D
            As they were, unless the sampler is over a subset.
        """
        return indices

    def in_order_indices_batch_iterator(self, batch_size: int) -> Iterator[Indices]:
        """Batches of indices, in order.

        Parameters
        ----------
        batch_size : int
            Indices per batch; the last batch may have fewer.

        Returns
        -------
        iterator of ndarray of int, 1-D

        Raises
        ------
        NotImplementedError
            Where the sampler has no order.
        """
        raise NotImplementedError(f"{type(self).__name__} has no order: give shuffle=True, a seed or a generator")

    def shuffled_indices_batch_iterator(self, batch_size: int, shuffle_rng: Rng) -> Iterator[Indices]:
        """Batches of indices in an order that `shuffle_rng` draws.

        Parameters
        ----------
        batch_size : int
            Indices per batch; the last batch may have fewer.
        shuffle_rng : numpy.random.RandomState or numpy.random.Generator
            Advances as batches are asked for.

        Returns
        -------
        iterator of ndarray of int, 1-D
        """
        raise NotImplementedError(f"{type(self).__name__} cannot be shuffled")

    def _should_fit(self, length: int) -> None:
        """Raise if this sampler gives indices that `length` samples do not have."""


class StandardSampler(AbstractSampler):
    """All samples, each once per repeat.

    Parameters
    ----------
    length : int
        The number of samples.
    repeats : int, default 1
        How many times to go through them; -1 is for ever. Shuffled, each time has its own order, and batches run
        across the joints.

    Examples
    --------
    >>> sampler = StandardSampler(5, repeats=2)
    >>> [batch.tolist() for batch in sampler.in_order_indices_batch_iterator(4)]
    [[0, 1, 2, 3], [4, 0, 1, 2], [3, 4]]
    >>> rng = np.random.RandomState(12345)
    >>> [batch.tolist() for batch in sampler.shuffled_indices_batch_iterator(4, rng)]
    [[0, 4, 3, 1], [2, 3, 0, 2], [1, 4]]
    """

    def __init__(self, length: int, repeats: int = 1) -> None:
        self.length = whole("length", length, least=0)
        self.repeats = _repeats_of(repeats, self.length)

    def num_indices_generated(self) -> int | float | None:
        return np.inf if self.repeats == -1 else self.length * self.repeats

    def in_order_indices_batch_iterator(self, batch_size: int) -> Iterator[Indices]:
        batch_size = whole("batch_size", batch_size)
        return cut((piece for _ in repeated(self.repeats) for piece in ascending(self.length, batch_size)), batch_size)

    def shuffled_indices_batch_iterator(self, batch_size: int, shuffle_rng: Rng) -> Iterator[Indices]:
        batch_size = whole("batch_size", batch_size)
        return cut((_permutation(shuffle_rng, self.length) for _ in repeated(self.repeats)), batch_size)

    def _should_fit(self, length: int) -> None:
        if self.length > length:
            raise ValueError(f"the sampler is over {self.length} samples, but the data has {length}")

    def __repr__(self) -> str:
        return f"StandardSampler({self.length}, repeats={self.repeats})"


class SubsetSampler(AbstractSampler):
    """Some samples, each once per repeat.

    Parameters
    ----------
    indices : array of int, 1-D
        Which samples, in the order that they come in when not shuffled. Copied.
    repeats : int, default 1
        How many times to go through them; -1 is for ever.

    Raises
    ------
    TypeError, IndexError
        If `indices` are not integers of 0 or more in one dimension.

    Examples
    --------
    >>> sampler = SubsetSampler(np.array([7, 2, 5]))
    >>> [batch.tolist() for batch in sampler.in_order_indices_batch_iterator(2)]
    [[7, 2], [5]]
    """

    def __init__(self, indices: npt.ArrayLike, repeats: int = 1) -> None:
        self.indices = index_array("indices", indices).copy()
        self.length = len(self.indices)
        self.repeats = _repeats_of(repeats, self.length)

    def num_indices_generated(self) -> int | float | None:
        return np.inf if self.repeats == -1 else self.length * self.repeats

    def map_indices(self, indices: Indices) -> Indices:
        return self.indices[indices]

    def in_order_indices_batch_iterator(self, batch_size: int) -> Iterator[Indices]:
        # a copy an epoch: whoever writes into a batch of indices changes no later epoch
        return cut((self.indices.copy() for _ in repeated(self.repeats)), whole("batch_size", batch_size))

    def shuffled_indices_batch_iterator(self, batch_size: int, shuffle_rng: Rng) -> Iterator[Indices]:
        batch_size = whole("batch_size", batch_size)
        return cut((_permutation(shuffle_rng, self.indices) for _ in repeated(self.repeats)), batch_size)

    def _should_fit(self, length: int) -> None:
        index_array("indices", self.indices, below=length)

    def __repr__(self) -> str:
        return f"SubsetSampler(<{len(self.indices)} indices>, repeats={self.repeats})"


class WeightedSampler(AbstractSampler):
    """Samples drawn with replacement, each as often as its weight says, without end.

    Parameters
    ----------
    weights : array of float, 1-D
        One weight per sample, of 0 or more; they need not sum to 1.

    Raises
    ------
    ValueError
        If a weight is negative, NaN or infinite, if all are 0, or if they are not one-dimensional.

    Notes
    -----
    For a given generator the indices are those of ``rng.choice(len(weights), size=batch_size, p=weights /
    weights.sum())``, but the weights are cumulated once, and each index is found in near constant time.

    Examples
    --------
    >>> sampler = WeightedSampler(np.array([0.0, 1.0, 3.0]))
    >>> batches = sampler.shuffled_indices_batch_iterator(8, np.random.RandomState(12345))
    >>> next(batches).tolist()
    [2, 2, 1, 1, 2, 2, 2, 2]
    """

    def __init__(self, weights: npt.ArrayLike) -> None:
        self.weights = normalised("weights", weights)
        self.length = len(self.weights)
        self._draw = Inverse(self.weights)

    def num_indices_generated(self) -> float:
        """Always `numpy.inf`: draws never end."""
        return np.inf

    def shuffled_indices_batch_iterator(self, batch_size: int, shuffle_rng: Rng) -> Iterator[Indices]:
        batch_size = whole("batch_size", batch_size)
        return (self._draw(shuffle_rng.random(batch_size)) for _ in repeated(-1))

    def _should_fit(self, length: int) -> None:
        if len(self.weights) != length:
            raise ValueError(f"there should be one weight per sample: {len(self.weights)} weights, {length} samples")

    def __repr__(self) -> str:
        return f"{type(self).__name__}(<{len(self.weights)} weights>)"

    @staticmethod
    def class_balancing_sample_weights(y: npt.ArrayLike, n_classes: int | None = None) -> npt.NDArray[np.float64]:
        """One weight per sample, so that all classes that occur are drawn equally often.

        Parameters
        ----------
        y : array of int, 1-D
            The class of each sample, from 0.
        n_classes : int, optional
            The number of classes; those that do not occur are never drawn. At least ``y.max() + 1``.

        Returns
        -------
        ndarray of float64, 1-D
            They sum to 1: ``1 / (samples of its class * classes that occur)``.

        Examples
        --------
        >>> WeightedSampler.class_balancing_sample_weights(np.array([0, 0, 0, 1]), n_classes=3)
        array([0.16666667, 0.16666667, 0.16666667, 0.5       ])
        """
        labels = _labels(y, n_classes)
        counts = np.bincount(labels)
        return (1.0 / (np.maximum(counts, 1).astype(float) * np.count_nonzero(counts)))[labels]

    @staticmethod
    def class_balancing_sampler(y: npt.ArrayLike, n_classes: int | None = None) -> WeightedSampler:
        """A sampler that draws all classes that occur equally often.

        Parameters
        ----------
        y : array of int, 1-D
            The class of each sample, from 0.
        n_classes : int, optional
            The number of classes; at least ``y.max() + 1``.

        Returns
        -------
        WeightedSampler
        """
        return WeightedSampler(WeightedSampler.class_balancing_sample_weights(y, n_classes))


class WeightedSubsetSampler(AbstractSampler):
    """Some samples, drawn with replacement, each as often as its weight says, without end.

    Parameters
    ----------
    sub_weights : array of float, 1-D
        One weight for each of `indices`, of 0 or more.
    indices : array of int, 1-D
        Which samples. Copied.

    Examples
    --------
    >>> sampler = WeightedSubsetSampler(np.array([1.0, 3.0]), np.array([70, 20]))
    >>> batches = sampler.shuffled_indices_batch_iterator(8, np.random.RandomState(12345))
    >>> next(batches).tolist()
    [20, 20, 70, 70, 20, 20, 20, 20]
    """

    def __init__(self, sub_weights: npt.ArrayLike, indices: npt.ArrayLike) -> None:
        self.indices = index_array("indices", indices).copy()
        self.sub_weights = normalised("sub_weights", sub_weights)
        self.length = len(self.indices)
        if len(self.sub_weights) != len(self.indices):
            raise ValueError(
                f"there should be one weight per index: {len(self.sub_weights)} weights, {len(self.indices)} indices"
            )
        self._draw = Inverse(self.sub_weights)

    def num_indices_generated(self) -> float:
        """Always `numpy.inf`: draws never end."""
        return np.inf

    def map_indices(self, indices: Indices) -> Indices:
        return self.indices[indices]

    def shuffled_indices_batch_iterator(self, batch_size: int, shuffle_rng: Rng) -> Iterator[Indices]:
        batch_size = whole("batch_size", batch_size)
        return (self.indices[self._draw(shuffle_rng.random(batch_size))] for _ in repeated(-1))

    def _should_fit(self, length: int) -> None:
        index_array("indices", self.indices, below=length)

    def __repr__(self) -> str:
        return f"WeightedSubsetSampler(<{len(self.indices)} weights and indices>)"

    @staticmethod
    def class_balancing_sample_weights(y: npt.ArrayLike, n_classes: int | None = None) -> npt.NDArray[np.float64]:
        """As `WeightedSampler.class_balancing_sample_weights`; give it the classes of the subset, ``y[indices]``."""
        return WeightedSampler.class_balancing_sample_weights(y, n_classes)

    @staticmethod
    def class_balancing_sampler(
        y: npt.ArrayLike, indices: npt.ArrayLike, n_classes: int | None = None
    ) -> WeightedSubsetSampler:
        """A sampler over a subset that draws all classes that occur in it equally often.

        Parameters
        ----------
        y : array of int, 1-D
            The class of every sample of the data, from 0.
        indices : array of int, 1-D
            Which samples.
        n_classes : int, optional
            The number of classes; at least ``y.max() + 1``.

        Returns
        -------
        WeightedSubsetSampler
        """
        labels = _labels(y, n_classes)
        chosen = index_array("indices", indices, below=len(labels))
        return WeightedSubsetSampler(WeightedSampler.class_balancing_sample_weights(labels[chosen]), chosen)


class Inverse:
    """From uniform numbers in [0, 1) to indices that are as likely as their probabilities.

    The result is ``numpy.cumsum(p).searchsorted(u, side="right")``, as in NumPy's own `choice`. For many probabilities
    there is a table in front: entry j says how many cumulated ones are at most j / 2**k, which leaves a few places to
    look at (Chen and Asau, "On generating random variates from an empirical distribution", 1974).
    """

    few = 1 << 16  # up to here a plain search stays in the processor's cache, and is faster
    wide = 64  # at most one draw in 16 falls between two entries of the table that are further apart

    def __init__(self, probabilities: npt.NDArray[Any]) -> None:
        self.cumulated = probabilities.astype(np.float64).cumsum()
        self.cumulated /= self.cumulated[-1]
        n = len(self.cumulated)
        self.buckets = 1 << (n // 2).bit_length() - 1 if n > self.few else 0
        if self.buckets:
            edges = np.arange(self.buckets + 1) / self.buckets
            places = self.cumulated.searchsorted(edges, side="right")
            self.table = places.astype(np.int32 if n < 1 << 31 else np.int64)

    def __call__(self, uniform: npt.NDArray[np.float64]) -> Indices:
        if not self.buckets:
            return self.cumulated.searchsorted(uniform, side="right")
        bucket = (uniform * self.buckets).astype(np.intp)  # exact: the number of buckets is a power of two
        low = self.table[bucket].astype(np.intp)
        high = self.table[bucket + 1].astype(np.intp)
        gap = high - low
        widest = int(gap.max(initial=0))
        if widest > self.wide:
            far = np.flatnonzero(gap > self.wide)
            low[far] = high[far] = self.cumulated.searchsorted(uniform[far], side="right")
            widest = self.wide
        for _ in range(widest.bit_length()):
            middle = (low + high) >> 1
            above = self.cumulated[middle] <= uniform
            low = np.where(above, middle + 1, low)
            high = np.where(above, high, middle)
        return low


def _permutation(rng: Rng, of: int | Indices) -> Indices:
    return rng.permutation(of)


def _repeats_of(repeats: Any, length: int) -> int:
    if repeats != -1 or isinstance(repeats, (float, np.floating)):
        try:
            return whole("repeats", repeats)
        except (TypeError, ValueError) as error:
            raise type(error)(f"repeats should be -1 (for ever) or at least 1, not {repeats!r}") from None
    if length == 0:
        raise ValueError("repeats=-1 (for ever) over no samples would never give a batch")
    return -1


def normalised(name: str, weights: npt.ArrayLike) -> npt.NDArray[Any]:
    array = np.array(weights)
    if array.ndim != 1 or array.dtype.kind not in "fiub" or len(array) == 0:
        raise ValueError(f"{name} should be a 1-D array of numbers, one per sample, not {weights!r}")
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise ValueError(f"{name} should be finite; index {np.flatnonzero(~np.isfinite(array))[0]} is not")
    if array.min() < 0:
        raise ValueError(f"{name} should be 0 or more; index {array.argmin()} is {array.min()}")
    if not array.any():
        raise ValueError(f"{name} should not all be 0: nothing could be drawn")
    with np.errstate(over="ignore"):
        total, about = array.sum(), array.sum(dtype=np.float64)
    wraps = total.dtype.kind in "iu" and about >= np.iinfo(total.dtype).max
    if wraps or not np.isfinite(total):  # each is in range, their sum is not
        array = array.astype(np.float64) / array.max()
        total = array.sum()
    normalised: npt.NDArray[Any] = array / total
    return normalised


def _labels(y: npt.ArrayLike, n_classes: int | None) -> Indices:
    labels = np.asarray(y)
    if labels.ndim != 1 or labels.dtype.kind not in "iub" or len(labels) == 0:
        raise ValueError(f"y should be a 1-D array of integers, the class of each sample, not {y!r}")
    if labels.min() < 0:
        raise ValueError(f"y should be classes from 0; index {labels.argmin()} is {labels.min()}")
    if n_classes is not None and labels.max() >= whole("n_classes", n_classes):
        raise ValueError(
            f"n_classes should be at least {labels.max() + 1}, one more than the largest class in y, not {n_classes}"
        )
    return labels.astype(np.intp)
