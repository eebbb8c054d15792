"""The methods that every sampler has, and the number of batches that cover some samples."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from ..engine.checks import Indices
from ..engine.fixed import Fixed
from ..engine.shuffle import Rng

__all__ = ["AbstractSampler", "num_batches"]


def num_batches(n: int, batch_size: int) -> int:
    """The number of batches of `batch_size` that cover `n` samples; the last batch may be short.

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


class AbstractSampler(Fixed):
    """The base class of samplers. To write your own, implement these methods; a sampler holds no data.

    `batchup.testing.SamplerContract` tests your sampler.

    Attributes
    ----------
    has_own_sizes : bool, default False
        Whether batches before the last one may have fewer indices than `batch_size`. Then `full_size` says how many a
        batch should have, and `num_batches` has to be implemented, too.
    takes_weights : bool, default False
        Whether `with_weights` is implemented.
    """

    has_own_sizes = False
    takes_weights = False
    _arrays = ("weights", "indices", "sub_weights", "lengths", "codes")

    def num_indices_generated(self) -> int | float | None:
        """The number of indices that one pass through the sampler gives.

        Returns
        -------
        int, `numpy.inf` or None
            None if it is not known.
        """
        raise NotImplementedError(f"{type(self).__name__} does not say how many indices it generates")

    def map_indices(self, indices: Indices) -> Indices:
        """Map positions among the sampler's own samples to indices into the data.

        Parameters
        ----------
        indices : ndarray of int, 1-D

        Returns
        -------
        ndarray of int, 1-D
            Unchanged, unless the sampler is over a subset.
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
            If the sampler has no order.
        """
        raise NotImplementedError(f"{type(self).__name__} has no order: give shuffle=True, a seed or a generator")

    def shuffled_indices_batch_iterator(self, batch_size: int, shuffle_rng: Rng) -> Iterator[Indices]:
        """Batches of indices, in a random order drawn from `shuffle_rng`.

        Parameters
        ----------
        batch_size : int
            Indices per batch; the last batch may have fewer.
        shuffle_rng : numpy.random.RandomState or numpy.random.Generator
            Numbers are drawn from it as batches are requested.

        Returns
        -------
        iterator of ndarray of int, 1-D
        """
        raise NotImplementedError(f"{type(self).__name__} cannot be shuffled")

    def batches_from(self, step: int, batch_size: int, shuffle_rng: Rng | None = None) -> Iterator[Indices]:
        """The batches of one pass without the first `step` of them.

        Override it if your sampler can skip batches faster than by making them.

        Parameters
        ----------
        step : int
            How many batches to leave out.
        batch_size : int
        shuffle_rng : numpy.random.RandomState or numpy.random.Generator, optional
            By default the batches are in order.

        Returns
        -------
        iterator of ndarray of int, 1-D
        """
        if shuffle_rng is None:
            return itertools.islice(self.in_order_indices_batch_iterator(batch_size), step, None)
        return itertools.islice(self.shuffled_indices_batch_iterator(batch_size, shuffle_rng), step, None)

    def num_batches(self, batch_size: int, full: bool = False) -> int | float | None:
        """How many batches one pass gives.

        Parameters
        ----------
        batch_size : int
        full : bool, default False
            Count only the batches that are not short.

        Returns
        -------
        int, `numpy.inf` or None
            None if it is not known.
        """
        n = self.num_indices_generated()
        if n is None or n == np.inf:
            return n
        return int(n) // batch_size if full else num_batches(int(n), batch_size)

    def full_size(self, indices: Indices, batch_size: int) -> int:
        """How many indices this batch has if it is not short.

        Parameters
        ----------
        indices : ndarray of int, 1-D
            A batch.
        batch_size : int
            The batch size that was asked for.

        Returns
        -------
        int
        """
        return batch_size

    def with_weights(self, weights: npt.ArrayLike) -> AbstractSampler:
        """The same sampler with other weights.

        Parameters
        ----------
        weights : array of float, 1-D

        Returns
        -------
        AbstractSampler

        Raises
        ------
        TypeError
            If the sampler has no weights.
        """
        raise TypeError(f"{type(self).__name__} has no weights")

    def _should_fit(self, length: int) -> None:
        """Raise if this sampler gives indices that are out of range for `length` samples."""
