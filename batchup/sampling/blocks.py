"""A shuffle for data in chunks: blocks of neighbours in random order, mixed within a window."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Self

import numpy as np

from ..engine.checks import Indices, kind_of, whole
from ..engine.fixed import MAKE_A_NEW_ONE
from ..engine.shuffle import Rng
from .base import AbstractSampler, num_batches
from .batches import cut
from .lazy_shuffle import LazyShuffleSampler
from .permutation import KeyedPermutation, key_from
from .standard import repeats_of

__all__ = ["BlockSampler"]


class BlockSampler(AbstractSampler):
    """All samples, each once per repeat: blocks of neighbours in random order, mixed within a window.

    For data that is stored in compressed chunks. A full shuffle reads a chunk for almost every sample; here each chunk
    is read once per epoch, if the last `window` of them are kept.

    The blocks are put into a random order. The samples of the first `window` blocks are shuffled and used up, then
    those of the next `window` blocks, and so on.

    Parameters
    ----------
    length : int
        The number of samples.
    block : int
        Samples per block. The last block may be shorter.
    window : int
        How many blocks are mixed. More than there are stands for all: a full shuffle.
    repeats : int, default 1
        The number of passes; -1 repeats for ever.

    Attributes
    ----------
    same_block : float
        The probability that two samples that follow each other are of the same block.

    Examples
    --------
    >>> sampler = BlockSampler(8, block=2, window=2)
    >>> [batch.tolist() for batch in sampler.shuffled_indices_batch_iterator(4, np.random.default_rng(7))]
    [[5, 7, 4, 6], [0, 1, 2, 3]]
    >>> BlockSampler(200_000, block=256, window=32)
    BlockSampler(200000, block=256, window=32, repeats=1): 3.1% of neighbours are of one block, 0.1% in a full shuffle
    """

    _fixed = dict.fromkeys(["length", "block", "window", "repeats"], MAKE_A_NEW_ONE)

    def __init__(self, length: int, block: int, window: int, repeats: int = 1) -> None:
        self.length = whole("length", length, least=0)
        self.block = whole("block", block)
        self.repeats = repeats_of(repeats, self.length)
        self._blocks = num_batches(self.length, self.block)
        self.window = min(whole("window", window), max(self._blocks, 1))
        self._fix()

    @classmethod
    def of(cls, array: Any, window: int = 32, repeats: int = 1) -> Self:
        """A sampler whose blocks are the chunks of an array.

        Parameters
        ----------
        array : array-like
            With a `shape`, and `chunks` as those of h5py, zarr or Dask.
        window : int, default 32
        repeats : int, default 1

        Returns
        -------
        BlockSampler

        Raises
        ------
        TypeError
            If the array has no chunks.
        """
        chunks = getattr(array, "chunks", None)
        if not isinstance(chunks, tuple) or not chunks or not hasattr(array, "shape"):
            raise TypeError(
                f"BlockSampler.of takes an array that is stored in chunks, but {kind_of(array)} has none; shuffle it "
                "as a whole, or say how long the blocks should be: BlockSampler(len(x), block=256, window=32)"
            )
        first = chunks[0]
        return cls(int(array.shape[0]), int(first[0] if isinstance(first, tuple) else first), window, repeats)

    @property
    def same_block(self) -> float:
        mixed = min(self.window * self.block, self.length)
        return min(self.block - 1, mixed - 1) / (mixed - 1) if mixed > 1 else 0.0

    def num_indices_generated(self) -> int | float | None:
        return np.inf if self.repeats == -1 else self.length * self.repeats

    def in_order_indices_batch_iterator(self, batch_size: int) -> Iterator[Indices]:
        return self.batches_from(0, batch_size)

    def shuffled_indices_batch_iterator(self, batch_size: int, shuffle_rng: Rng) -> Iterator[Indices]:
        return self.batches_from(0, batch_size, shuffle_rng)

    def batches_from(self, step: int, batch_size: int, shuffle_rng: Rng | None = None) -> Iterator[Indices]:
        batch_size = whole("batch_size", batch_size)
        if shuffle_rng is None:
            return LazyShuffleSampler(self.length, self.repeats).batches_from(step, batch_size)
        return cut(self._windows(step * batch_size, shuffle_rng), batch_size)

    def _windows(self, position: int, rng: Rng) -> Iterator[Indices]:
        """The samples of one window after the other, from a position on, counted over all passes."""
        key = key_from(rng)
        while self.length and (self.repeats == -1 or position < self.length * self.repeats):
            number, start = divmod(position, self.length)
            yield from self._pass(key, number, start)
            position = (number + 1) * self.length

    def _pass(self, key: int, number: int, start: int) -> Iterator[Indices]:
        """The windows of one pass from a position on; the first one may be the rest of a window."""
        order = KeyedPermutation(self._blocks, key, (number,))
        short = self._blocks * self.block - self.length  # samples that the last block lacks
        # The last block may come anywhere. Windows behind it begin earlier by what it lacks.
        first = max(start // (self.window * self.block) - 1, 0) if short else start // (self.window * self.block)
        begin = None
        for window in range(first, num_batches(self._blocks, self.window)):
            blocks = order.between(window * self.window, min((window + 1) * self.window, self._blocks))
            samples = self._samples_of(blocks)
            if begin is None:
                begin = self._begin(order, window, short)
            if begin + len(samples) > start:
                mixed = np.random.default_rng(np.random.SeedSequence(key, spawn_key=(number, window)))
                yield mixed.permutation(samples)[max(start - begin, 0) :]
            begin += len(samples)

    def _begin(self, order: KeyedPermutation, window: int, short: int) -> int:
        """How many samples come before a window."""
        before = window * self.window
        if not short or not before:
            return before * self.block
        passed = any(
            (order.between(i, min(i + PIECE, before)) == self._blocks - 1).any() for i in range(0, before, PIECE)
        )
        return before * self.block - (short if passed else 0)

    def _samples_of(self, blocks: Indices) -> Indices:
        samples = (blocks[:, None] * self.block + np.arange(self.block)).ravel()
        return samples[samples < self.length] if (blocks == self._blocks - 1).any() else samples

    def _should_fit(self, length: int) -> None:
        if self.length > length:
            raise ValueError(f"the sampler is over {self.length} samples, but the data has {length}")

    def __repr__(self) -> str:
        full = min(self.block, self.length) - 1
        everywhere = full / (self.length - 1) if self.length > 1 else 0.0
        return (
            f"BlockSampler({self.length}, block={self.block}, window={self.window}, repeats={self.repeats}): "
            f"{self.same_block:.1%} of neighbours are of one block, {everywhere:.1%} in a full shuffle"
        )


PIECE = 1 << 16  # blocks that are looked through at a time
