"""Samplers that draw each sample with a probability proportional to its weight."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from ..engine.checks import Indices, index_array, whole
from ..engine.fixed import MAKE_A_NEW_ONE, read_only
from ..engine.shuffle import Rng
from .base import AbstractSampler
from .class_balancing import balancing_weights, class_labels
from .draws import WeightedDraws

__all__ = ["WeightedSampler", "WeightedSubsetSampler", "normalised"]


class WeightedSampler(AbstractSampler):
    """Draws samples, each with a probability proportional to its weight.

    Parameters
    ----------
    weights : array of float, 1-D
        One weight per sample, of 0 or more; they need not sum to 1.
    num_samples : int, optional
        The number of samples in an epoch. By default an epoch never ends; without replacement, it has all samples whose
        weight is not 0.
    replace : bool, default True
        Whether a sample can be drawn repeatedly. Without replacement each draw is in proportion to the weights of the
        samples that are left, so that heavy samples come early.

    Raises
    ------
    ValueError
        If a weight is negative, NaN or infinite, if all weights are 0, if the array is not one-dimensional, or if
        `num_samples` is larger than the number of weights above 0 without replacement.

    Notes
    -----
    With replacement, for a given generator, the indices equal those of ``rng.choice(len(weights), size=batch_size,
    p=weights / weights.sum())``. It is faster: the cumulative weights are computed once, and each index is found in
    nearly constant time.

    Without replacement, each sample gets an exponential number divided by its weight, and the samples come in the order
    of these numbers (Efraimidis and Spirakis, "Weighted random sampling with a reservoir", 2006).

    Examples
    --------
    >>> sampler = WeightedSampler(np.array([0.0, 1.0, 3.0]))
    >>> batches = sampler.shuffled_indices_batch_iterator(8, np.random.RandomState(12345))
    >>> next(batches).tolist()
    [2, 2, 1, 1, 2, 2, 2, 2]
    >>> once = WeightedSampler([1.0, 9.0, 0.0, 5.0], replace=False)
    >>> [batch.tolist() for batch in once.shuffled_indices_batch_iterator(2, np.random.RandomState(12345))]
    [[3, 1], [0]]
    """

    _fixed = dict.fromkeys(["weights", "length", "num_samples", "replace"], MAKE_A_NEW_ONE)
    takes_weights = True

    def __init__(self, weights: npt.ArrayLike, num_samples: int | None = None, replace: bool = True) -> None:
        self.weights = read_only(normalised("weights", weights))
        self.length = len(self.weights)
        self._num_samples_given = num_samples
        self.num_samples = _number_to_draw(num_samples, replace, self.weights)
        self.replace = bool(replace)
        self._draws = WeightedDraws(self.weights, self.num_samples, self.replace)
        self._fix()

    def num_indices_generated(self) -> int | float:
        """How many samples an epoch has; `numpy.inf` if it never ends."""
        return np.inf if self.num_samples is None else self.num_samples

    def shuffled_indices_batch_iterator(self, batch_size: int, shuffle_rng: Rng) -> Iterator[Indices]:
        return self._draws.batches(whole("batch_size", batch_size), shuffle_rng)

    def with_weights(self, weights: npt.ArrayLike) -> WeightedSampler:
        made = WeightedSampler(weights, self._num_samples_given, self.replace)
        made._should_fit(self.length)
        return made

    def _should_fit(self, length: int) -> None:
        if len(self.weights) != length:
            raise ValueError(f"there should be one weight per sample: {len(self.weights)} weights, {length} samples")

    def __repr__(self) -> str:
        return f"{type(self).__name__}(<{len(self.weights)} weights>{_options(self.num_samples, self.replace)})"

    @staticmethod
    def class_balancing_sample_weights(y: Any, n_classes: int | None = None) -> npt.NDArray[np.float64]:
        """Weights with which all classes that occur are drawn equally often, one weight per sample.

        Parameters
        ----------
        y : array-like, 1-D
            The class of each sample: integers from 0, strings, a pandas categorical, or any hashable values.
        n_classes : int, optional
            The number of classes; for integers, at least ``y.max() + 1``. Classes that do not occur are never drawn.

        Returns
        -------
        ndarray of float64, 1-D
            ``1 / (samples of its class * classes that occur)``; the weights sum to 1.

        Examples
        --------
        >>> WeightedSampler.class_balancing_sample_weights(np.array([0, 0, 0, 1]), n_classes=3)
        array([0.16666667, 0.16666667, 0.16666667, 0.5       ])
        """
        return balancing_weights(class_labels(y, n_classes))

    @staticmethod
    def class_balancing_sampler(
        y: Any, n_classes: int | None = None, *, num_samples: int | None = None
    ) -> WeightedSampler:
        """A sampler that draws all classes that occur in `y` equally often.

        Parameters
        ----------
        y : array-like, 1-D
            The class of each sample: integers from 0, strings, a pandas categorical, or any hashable values.
        n_classes : int, optional
            The number of classes; at least ``y.max() + 1``.
        num_samples : int, optional
            As for `WeightedSampler`: the epoch ends after so many samples. By default, it never ends.

        Returns
        -------
        WeightedSampler
        """
        weights = WeightedSampler.class_balancing_sample_weights(y, n_classes)
        return WeightedSampler(weights, num_samples)


class WeightedSubsetSampler(AbstractSampler):
    """Draws from a subset of the samples, with probabilities proportional to weights.

    Parameters
    ----------
    sub_weights : array of float, 1-D
        One weight for each of `indices`, of 0 or more.
    indices : array of int, 1-D
        Which samples. Copied.
    num_samples, replace
        As for `WeightedSampler`.

    Examples
    --------
    >>> sampler = WeightedSubsetSampler(np.array([1.0, 3.0]), np.array([70, 20]))
    >>> batches = sampler.shuffled_indices_batch_iterator(8, np.random.RandomState(12345))
    >>> next(batches).tolist()
    [20, 20, 70, 70, 20, 20, 20, 20]
    """

    takes_weights = True

    def __init__(
        self,
        sub_weights: npt.ArrayLike,
        indices: npt.ArrayLike,
        num_samples: int | None = None,
        replace: bool = True,
    ) -> None:
        self.indices = read_only(index_array("indices", indices).copy())
        self.sub_weights = read_only(normalised("sub_weights", sub_weights))
        self.length = len(self.indices)
        if len(self.sub_weights) != len(self.indices):
            raise ValueError(
                f"there should be one weight per index: {len(self.sub_weights)} weights, {len(self.indices)} indices"
            )
        self._num_samples_given = num_samples
        self.num_samples = _number_to_draw(num_samples, replace, self.sub_weights)
        self.replace = bool(replace)
        self._draws = WeightedDraws(self.sub_weights, self.num_samples, self.replace)
        self._fix()

    def num_indices_generated(self) -> int | float:
        """How many samples an epoch has; `numpy.inf` if it never ends."""
        return np.inf if self.num_samples is None else self.num_samples

    def map_indices(self, indices: Indices) -> Indices:
        return self.indices[indices]

    def with_weights(self, weights: npt.ArrayLike) -> WeightedSubsetSampler:
        return WeightedSubsetSampler(weights, self.indices, self._num_samples_given, self.replace)

    def shuffled_indices_batch_iterator(self, batch_size: int, shuffle_rng: Rng) -> Iterator[Indices]:
        return map(self.indices.__getitem__, self._draws.batches(whole("batch_size", batch_size), shuffle_rng))

    def _should_fit(self, length: int) -> None:
        index_array("indices", self.indices, below=length)

    def __repr__(self) -> str:
        options = _options(self.num_samples, self.replace)
        return f"WeightedSubsetSampler(<{len(self.indices)} weights and indices>{options})"

    @staticmethod
    def class_balancing_sample_weights(y: Any, n_classes: int | None = None) -> npt.NDArray[np.float64]:
        """Like `WeightedSampler.class_balancing_sample_weights`; pass the classes of the subset, ``y[indices]``."""
        return WeightedSampler.class_balancing_sample_weights(y, n_classes)

    @staticmethod
    def class_balancing_sampler(
        y: Any, indices: npt.ArrayLike, n_classes: int | None = None, *, num_samples: int | None = None
    ) -> WeightedSubsetSampler:
        """A sampler over a subset that draws all classes of the subset equally often.

        Parameters
        ----------
        y : array-like, 1-D
            The class of each sample of the whole data, as for `WeightedSampler`.
        indices : array of int, 1-D
            Which samples.
        n_classes : int, optional
            The number of classes; at least ``y.max() + 1``.
        num_samples : int, optional
            As for `WeightedSampler`: the epoch ends after so many samples. By default, it never ends.

        Returns
        -------
        WeightedSubsetSampler
        """
        labels = class_labels(y, n_classes)
        chosen = index_array("indices", indices, below=len(labels))
        weights = WeightedSampler.class_balancing_sample_weights(labels[chosen])
        return WeightedSubsetSampler(weights, chosen, num_samples)


def _number_to_draw(num_samples: int | None, replace: bool, weights: npt.NDArray[Any]) -> int | None:
    """How many samples an epoch has, checked; None if it never ends."""
    n = None if num_samples is None else whole("num_samples", num_samples)
    if replace:
        return n
    positive = int(np.count_nonzero(weights))
    if n is not None and n > positive:
        raise ValueError(
            f"num_samples should be at most {positive}, the number of weights that are not 0, as replace is False, "
            f"not {n}"
        )
    return positive if n is None else n


def _options(num_samples: int | None, replace: bool) -> str:
    given = "" if num_samples is None else f", num_samples={num_samples}"
    return given if replace else f"{given}, replace=False"


def normalised(name: str, weights: npt.ArrayLike) -> npt.NDArray[Any]:
    """`weights` divided by their sum, after checks; `name` is what an error calls them.

    >>> normalised("weights", [1, 3])
    array([0.25, 0.75])
    """
    array = np.array(weights)
    if array.ndim != 1 or array.dtype.kind not in "fiub" or len(array) == 0:
        raise ValueError(f"{name} should be a 1-D array of numbers, one per sample, not {weights!r}")
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise ValueError(f"{name} should be finite; index {np.flatnonzero(~np.isfinite(array))[0]} is not")
    if array.min() < 0:
        raise ValueError(f"{name} should be 0 or more; index {array.argmin()} is {array.min()}")
    if not array.any():
        raise ValueError(f"{name} should not all be 0: nothing could be drawn")
    with np.errstate(over="ignore", under="ignore"):
        total, about = array.sum(), array.sum(dtype=np.float64)
        wraps = total.dtype.kind in "iu" and about >= np.iinfo(total.dtype).max
        if wraps or not np.isfinite(total):  # each weight is in range, their sum is not
            array = array.astype(np.float64) / array.max()
            total = array.sum()
        normalised: npt.NDArray[Any] = array / total
    return normalised
