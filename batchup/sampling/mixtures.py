"""Mix several sources: each sample of a batch comes from one of them, in proportion to weights."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from numbers import Real
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from ..engine.checks import Indices, whole
from ..engine.fixed import MAKE_A_NEW_ONE, read_only
from ..engine.shuffle import Rng
from .base import AbstractSampler
from .batches import cut
from .class_counts import rounded_shares
from .cycles import Cycles
from .permutation import key_from
from .weighted import normalised

__all__ = ["MixtureSampler", "Stop"]

Stop = Literal["first", "all"]

PIECE = 8192  # samples that are drawn at a time, for each source
LARGEST = 1 << 18  # and for all sources together
LONGEST = 1 << 60  # samples of an epoch
MOST = 10**9  # NumPy's multivariate_hypergeometric works for fewer samples than this


class MixtureSampler(AbstractSampler):
    """The samples of several sources, which are joined end to end, mixed by weights.

    ``ConcatDataSource(datasets, weights=weights)`` makes one.

    An epoch has a fixed number of samples of each source, in proportion to the weights, in random order. So the weights
    are the probabilities with which a sample of a batch comes from each source. Each source is drawn in shuffled
    cycles, each sample once per cycle.

    Parameters
    ----------
    sizes : sequence of int
        The number of samples of each source.
    weights : sequence of float, optional
        The relative frequency of each source. By default the sizes to the power of `alpha`.
    alpha : float, optional
        1 mixes the sources in proportion to their sizes, 0 equally. Values in between favour small sources. It is the
        inverse of a temperature.
    stop : {"first", "all"} or int, default "first"
        When an epoch ends. "first": before any source would start again; "all": when each source has come to its end at
        least once; a number: after that many samples.

    Raises
    ------
    ValueError
        If there is not one weight per source, or if a source without samples has a weight above 0.

    Examples
    --------
    >>> sampler = MixtureSampler([6, 2], weights=[0.5, 0.5])
    >>> [batch.tolist() for batch in sampler.shuffled_indices_batch_iterator(4, np.random.default_rng(0))]
    [[6, 7, 1, 3]]
    >>> MixtureSampler([6, 2], weights=[0.5, 0.5], stop="all").num_indices_generated()
    12
    """

    _fixed = dict.fromkeys(["sizes", "weights", "stop", "counts"], MAKE_A_NEW_ONE)
    takes_weights = True

    def __init__(
        self,
        sizes: npt.ArrayLike,
        weights: npt.ArrayLike | None = None,
        alpha: float | None = None,
        stop: Stop | int = "first",
    ) -> None:
        self.sizes = tuple(whole("each of sizes", n, least=0) for n in np.atleast_1d(sizes).tolist())
        self.weights = read_only(_weights_of(self.sizes, weights, alpha))
        self.stop = stop if stop in ("first", "all") else _number(stop)
        self.counts = tuple(_counts_of(self.sizes, self.weights.tolist(), self.stop))
        self._ends = np.cumsum(self.sizes)
        self._fix()

    def num_indices_generated(self) -> int:
        return sum(self.counts)

    def with_weights(self, weights: npt.ArrayLike) -> MixtureSampler:
        return MixtureSampler(self.sizes, weights, stop=self.stop)

    def shuffled_indices_batch_iterator(self, batch_size: int, shuffle_rng: Rng) -> Iterator[Indices]:
        return self._batches(0, whole("batch_size", batch_size), shuffle_rng)

    def batches_from(self, step: int, batch_size: int, shuffle_rng: Rng | None = None) -> Iterator[Indices]:
        if shuffle_rng is None:
            return super().batches_from(step, batch_size)
        return self._batches(step, whole("batch_size", batch_size), shuffle_rng)

    def _batches(self, step: int, batch_size: int, rng: Rng) -> Iterator[Indices]:
        return cut(self._pieces(step * batch_size, rng), batch_size)

    def _pieces(self, position: int, rng: Rng) -> Iterator[Indices]:
        """The indices from a position on."""
        key, n = key_from(rng), len(self.sizes)
        cycles = [Cycles(size, 1, key, (i,)) for i, size in enumerate(self.sizes)]
        for before, sources in _turns(self.counts, [0] * n, position, key, (n,)):
            indices: Indices = np.empty(len(sources), np.intp)
            for i, (size, end) in enumerate(zip(self.sizes, self._ends.tolist(), strict=True)):
                places = np.flatnonzero(sources == i)
                if len(places):
                    indices[places] = cycles[i].draws(before[i], before[i] + len(places)).ravel() + (end - size)
            yield indices[max(position - sum(before), 0) :]

    def _should_fit(self, length: int) -> None:
        if sum(self.sizes) != length:
            raise ValueError(f"the sizes of the mixture sum to {sum(self.sizes)}, but the data has {length} samples")

    def __repr__(self) -> str:
        shares = ", ".join(f"{weight:.3g}" for weight in self.weights.tolist())
        return f"MixtureSampler({list(self.sizes)}, weights=[{shares}], stop={self.stop!r})"


def _turns(
    counts: Sequence[int], before: list[int], first: int, key: int, path: tuple[int, ...]
) -> Iterator[tuple[list[int], npt.NDArray[Any]]]:
    """The source of each sample, in random order and in pieces, from the piece with sample `first` on.

    If there are many samples, first draw how many of each source are in the first half of them, and then order each
    half. So the order can begin anywhere, without drawing what comes before.

    Parameters
    ----------
    counts : list of int
        How many samples of each source there are.
    before : list of int
        How many samples of each source come before these.
    first : int
    key : int
    path : tuple of int
        The order follows from these two.

    Returns
    -------
    iterator of (list of int, ndarray of int)
        How many samples of each source come before the piece, and its sources.
    """
    total = sum(counts)
    rng = np.random.default_rng(np.random.SeedSequence(key, spawn_key=path))
    if total <= min(PIECE * len(counts), LARGEST):
        yield before, rng.permutation(np.repeat(np.arange(len(counts)), counts))
        return
    half = total // 2
    if total < MOST:
        left = rng.multivariate_hypergeometric(counts, half, method="marginals").tolist()
    else:
        left = rounded_shares([n / total for n in counts], half)
    between = [a + b for a, b in zip(before, left, strict=True)]
    if first < sum(between):
        yield from _turns(left, before, first, key, (*path, 0))
    yield from _turns([n - m for n, m in zip(counts, left, strict=True)], between, first, key, (*path, 1))


def _weights_of(sizes: Sequence[int], weights: npt.ArrayLike | None, alpha: float | None) -> npt.NDArray[Any]:
    if weights is not None and alpha is not None:
        raise ValueError("alpha should be left out when there are weights: it makes weights from the sizes")
    if weights is None:
        alpha = 1.0 if alpha is None else alpha
        if not isinstance(alpha, Real) or not np.isfinite(alpha):
            raise ValueError(f"alpha should be a finite number, not {alpha!r}")
        logarithms = [float(alpha) * math.log(n) for n in sizes if n]
        weights = [math.exp(float(alpha) * math.log(n) - max(logarithms)) if n else 0.0 for n in sizes]
    shares = normalised("weights", weights)
    if len(shares) != len(sizes):
        raise ValueError(f"there should be one weight per source: {len(shares)} weights, {len(sizes)} sources")
    for i, (n, share) in enumerate(zip(sizes, shares.tolist(), strict=True)):
        if share and not n:
            raise ValueError(f"source {i} should have samples, as it has a weight, but it has none")
    return shares


def _number(stop: Any) -> int:
    try:
        return whole("stop", stop)
    except (TypeError, ValueError) as error:
        raise type(error)(f'stop should be "first", "all" or a number of samples, not {stop!r}') from None


def _counts_of(sizes: Sequence[int], shares: list[float], stop: Stop | int) -> list[int]:
    """How many samples of each source an epoch has.

    >>> _counts_of([1000, 90], [0.9, 0.1], "first"), _counts_of([1000, 90], [0.9, 0.1], "all")
    ([810, 90], [1001, 111])
    """
    lengths = [n / share for n, share in zip(sizes, shares, strict=True) if share]
    if stop == "first":
        total = int(min(lengths) * (1 + 1e-14))
    elif stop == "all":
        if max(lengths) > LONGEST:
            raise ValueError(
                f"weights should not lie so far apart: until all sources have ended, an epoch has {max(lengths):.2g} "
                'samples; pass stop="first", or a number of samples'
            )
        total = -int(-max(lengths) * (1 - 1e-14) // 1)
    else:
        total = int(stop)
    return rounded_shares(shares, total)
