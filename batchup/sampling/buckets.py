"""Batches of samples of similar length, so that little padding is needed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from ..engine.checks import Indices, whole
from ..engine.fixed import MAKE_A_NEW_ONE, read_only
from ..engine.shuffle import Rng
from .base import AbstractSampler

__all__ = ["BucketSampler", "Waste"]

Longer = Literal["error", "alone", "skip"]


class Waste(NamedTuple):
    """The share of a padded epoch that is padding.

    Attributes
    ----------
    buckets : float
        With the sampler.
    shuffled : float
        With plain shuffling, and as many batches.
    """

    buckets: float
    shuffled: float


class Bucket(NamedTuple):
    """Samples by increasing length, the length that they are padded to, and the number that fills a batch."""

    members: Indices
    padded: int
    rows: int


class BucketSampler(AbstractSampler):
    """Batches of samples of similar length, each sample once.

    The samples are put into buckets by length. Each batch is from one bucket. Shuffled, both the samples of a bucket
    and the batches of an epoch are in random order. The number of batches is the same in every epoch. The last batch of
    each bucket may be short.

    Parameters
    ----------
    lengths : array of int, 1-D
        The length of each sample.
    batch_size : int, optional
        Samples per batch. By default the batch size of the loop, as for other samplers.
    max_tokens : int, optional
        The maximum number of tokens in a padded batch: short samples come in larger batches. The batch size of the loop
        is then the maximum number of samples in a batch.
    window : int, default 8
        The minimum number of batches in a bucket. A bucket has fewer where its longest sample would be more than twice
        as long as its shortest. A larger `window` means more randomness, and more padding.
    multiple : int, default 1
        Batches are padded to a multiple of this length; see `pad`.
    longer : {"error", "alone", "skip"}, default "error"
        What to do with a sample that is longer than `max_tokens`: raise an error, make a batch of it alone, or leave it
        out.

    Raises
    ------
    ValueError
        If a length is negative or NaN, or larger than `max_tokens`. The error says which.

    Examples
    --------
    >>> sampler = BucketSampler([3, 9, 2, 3, 8, 9], window=1)
    >>> [batch.tolist() for batch in sampler.in_order_indices_batch_iterator(2)]
    [[2, 0], [3], [4, 1], [5]]
    >>> sampler = BucketSampler([3, 9, 2, 3, 8, 9], max_tokens=18, window=1)
    >>> [batch.tolist() for batch in sampler.shuffled_indices_batch_iterator(32, np.random.default_rng(0))]
    [[4], [3, 2, 0], [5, 1]]
    """

    has_own_sizes = True
    _fixed = dict.fromkeys(["lengths", "batch_size", "max_tokens", "window", "multiple", "longer"], MAKE_A_NEW_ONE)

    def __init__(
        self,
        lengths: npt.ArrayLike,
        batch_size: int | None = None,
        max_tokens: int | None = None,
        window: int = 8,
        multiple: int = 1,
        longer: Longer = "error",
    ) -> None:
        self.lengths = read_only(_lengths_of(lengths))
        self.batch_size = None if batch_size is None else whole("batch_size", batch_size)
        self.max_tokens = None if max_tokens is None else whole("max_tokens", max_tokens)
        self.window, self.multiple = whole("window", window), whole("multiple", multiple)
        if longer not in ("error", "alone", "skip"):
            raise ValueError(f"longer should be 'error', 'alone' or 'skip', not {longer!r}")
        self.longer = longer
        self._padded = -(-np.maximum(self.lengths, 1) // self.multiple) * self.multiple
        self._order = self._kept()
        self._made: dict[int, tuple[list[Bucket], Indices]] = {}
        self._fix()

    def num_indices_generated(self) -> int:
        return len(self._order)

    def num_batches(self, batch_size: int, full: bool = False) -> int:
        buckets, _ = self._buckets(batch_size)
        if full:
            return sum(len(each.members) // each.rows for each in buckets)
        return sum(-(-len(each.members) // each.rows) for each in buckets)

    def full_size(self, indices: Indices, batch_size: int) -> int:
        buckets, bounds = self._buckets(batch_size)
        return buckets[int(bounds.searchsorted(self._padded[indices[0]]))].rows

    def shapes(self, batch_size: int) -> list[tuple[int, int]]:
        """The shapes of full batches: samples and padded length.

        Parameters
        ----------
        batch_size : int
            The batch size of the loop.

        Returns
        -------
        list of (int, int)
            One for each bucket. A batch has one of these shapes if it is padded to the length of its bucket, and short
            batches are filled up, as ``last="pad"`` does.

        Examples
        --------
        >>> BucketSampler([3, 9, 2, 3, 8, 9], max_tokens=18, window=1).shapes(32)
        [(6, 3), (2, 9)]
        """
        return [(each.rows, each.padded) for each in self._buckets(batch_size)[0]]

    def waste(self, batch_size: int) -> Waste:
        """The share of padding in an epoch, beside that of plain shuffling with as many batches.

        Parameters
        ----------
        batch_size : int
            The batch size of the loop.

        Returns
        -------
        Waste

        Examples
        --------
        >>> lengths = np.random.default_rng(0).integers(1, 512, 10_000)
        >>> waste = BucketSampler(lengths, window=8).waste(batch_size=32)
        >>> round(waste.buckets, 2), round(waste.shuffled, 2)
        (0.02, 0.48)
        """
        rng = np.random.default_rng(0)
        batches = list(self.shuffled_indices_batch_iterator(batch_size, rng))
        if not batches:
            return Waste(0.0, 0.0)
        plain = np.array_split(rng.permutation(self._order), len(batches))
        real = int(self.lengths[self._order].sum())
        return Waste(*(1 - real / max(self._cells(each), 1) for each in (batches, plain)))

    def _cells(self, batches: list[Indices]) -> int:
        """How many tokens padded batches have."""
        sizes = np.array([len(each) for each in batches])
        starts = np.concatenate([[0], sizes.cumsum()[:-1]])
        return int((np.maximum.reduceat(self._padded[np.concatenate(batches)], starts) * sizes).sum())

    def in_order_indices_batch_iterator(self, batch_size: int) -> Iterator[Indices]:
        """Batches of indices, the shortest samples first."""
        buckets, _ = self._buckets(whole("batch_size", batch_size))
        return (
            each.members[first : first + each.rows].copy()
            for each in buckets
            for first in range(0, len(each.members), each.rows)
        )

    def shuffled_indices_batch_iterator(self, batch_size: int, shuffle_rng: Rng) -> Iterator[Indices]:
        buckets, _ = self._buckets(whole("batch_size", batch_size))
        return _shuffled(buckets, shuffle_rng)

    def _buckets(self, batch_size: int) -> tuple[list[Bucket], Indices]:
        """The buckets, and the length that each one is padded to."""
        if batch_size not in self._made:
            if self.batch_size is not None and batch_size != self.batch_size:
                raise ValueError(f"batch_size should be {self.batch_size}, as the sampler says, not {batch_size}")
            buckets = list(self._cut_into_buckets(whole("batch_size", batch_size)))
            self._made = {batch_size: (buckets, np.array([each.padded for each in buckets], np.intp))}
        return self._made[batch_size]

    def _cut_into_buckets(self, batch_size: int) -> Iterator[Bucket]:
        padded = self._padded[self._order]  # rising
        stops = (np.flatnonzero(np.diff(padded, append=-1)) + 1).tolist()  # where the padded length changes
        first = 0
        for stop in stops:
            length = int(padded[stop - 1])
            rows = self._rows(length, batch_size)
            is_last = stop == len(padded) or padded[stop] > 2 * padded[first]
            if is_last or stop - first >= rows * self.window:
                yield Bucket(self._order[first:stop], length, rows)
                first = stop

    def _rows(self, length: int, batch_size: int) -> int:
        return batch_size if self.max_tokens is None else max(min(self.max_tokens // length, batch_size), 1)

    def _kept(self) -> Indices:
        """The samples by increasing length, without those that are left out."""
        order = np.argsort(_compact(self.lengths), kind="stable")
        if self.max_tokens is None or not len(order) or self.longer == "alone":
            return order
        fits = int(self._padded[order].searchsorted(self.max_tokens, side="right"))
        if fits < len(order) and self.longer == "error":
            i = int(order[fits])
            raise ValueError(
                f"lengths should be at most max_tokens={self.max_tokens}, but sample {i} is padded to "
                f"{self._padded[i]}; longer='alone' makes a batch of it alone, longer='skip' leaves it out"
            )
        return order[:fits]

    def _should_fit(self, length: int) -> None:
        if len(self.lengths) != length:
            raise ValueError(f"there should be one length per sample: {len(self.lengths)} lengths, {length} samples")

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_made": {}}

    def __repr__(self) -> str:
        given = {"batch_size": self.batch_size, "max_tokens": self.max_tokens}
        options = "".join(f", {name}={n}" for name, n in given.items() if n is not None)
        return f"BucketSampler(<{len(self.lengths)} lengths>{options}, window={self.window}, multiple={self.multiple})"


def _shuffled(buckets: list[Bucket], rng: Rng) -> Iterator[Indices]:
    """The batches of all buckets in random order, their samples shuffled within each bucket."""
    if not buckets:
        return
    orders = [rng.permutation(each.members) for each in buckets]
    offset, starts, stops = 0, [], []
    for order, bucket in zip(orders, buckets, strict=True):
        begins = np.arange(offset, offset + len(order), bucket.rows)
        offset += len(order)
        starts.append(begins)
        stops.append(np.minimum(begins + bucket.rows, offset))
    joined, start, stop = (np.concatenate(parts) for parts in (orders, starts, stops))
    turns = rng.permutation(len(start))
    for first, last in zip(start[turns].tolist(), stop[turns].tolist(), strict=True):
        yield joined[first:last]


def _lengths_of(lengths: Any) -> Indices:
    try:
        array = np.asarray(lengths)
    except ValueError:  # arrays of unequal lengths
        array = np.empty((0, 0))
    if array.ndim != 1 or (array.dtype.kind not in "iuf" and array.size):
        raise ValueError(
            f"lengths should be a 1-D array of integers, the length of each sample, not {lengths!r}; "
            "of samples, they are [len(x) for x in samples]"
        )
    bad = np.flatnonzero(~(array >= 0) | (array != np.floor(array)) | (array == np.inf))
    if len(bad):
        raise ValueError(f"lengths should be whole numbers of 0 or more; that of sample {bad[0]} is {array[bad[0]]}")
    return array.astype(np.intp)


def _compact(values: Indices) -> npt.NDArray[Any]:
    """Two bytes each where they fit, which NumPy sorts in linear time."""
    return values.astype(np.uint16) if len(values) and values.max() < 1 << 16 else values
