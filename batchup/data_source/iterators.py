"""Sequential sources: their batches come one after the other, from a function or an iterator."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from ..engine.checks import INTEGERS, whole
from ..engine.shuffle import Shuffle
from ..engine.tree import Batch
from .base import AbstractDataSource
from .functions import function_name, note_signature_mismatch
from .plan import Traits

__all__ = ["CallableDataSource", "IteratorDataSource"]


class CallableDataSource(AbstractDataSource):
    """Batches from a function of yours.

    Parameters
    ----------
    batch_iterator_fn : callable, ``fn(batch_size, **kwargs) -> iterator of batches``
        Gets the arguments of `batch_iterator`.
    num_samples_fn : callable, int, `numpy.inf` or None, optional
        The number of samples, or a function that returns it, called with the keywords of `num_samples`.

    Examples
    --------
    >>> def halves(batch_size, shuffle=None):
    ...     yield (np.arange(batch_size) / 2,)
    >>> next(CallableDataSource(halves, 4).batch_iterator(4))
    (array([0. , 0.5, 1. , 1.5]),)
    """

    def __init__(self, batch_iterator_fn: Callable[..., Iterator[Batch]], num_samples_fn: Any = None) -> None:
        if not callable(batch_iterator_fn):
            raise TypeError(f"batch_iterator_fn should be a function, not {batch_iterator_fn!r}")
        if not callable(num_samples_fn):
            _should_count("num_samples_fn", num_samples_fn, "None, a function, an int or numpy.inf")
        self.batch_iterator_fn = batch_iterator_fn
        self.num_samples_fn = num_samples_fn

    def __repr__(self) -> str:
        return f"{type(self).__name__}({function_name(self.batch_iterator_fn)})"

    def num_samples(self, **kwargs: Any) -> int | float | None:
        n: int | float | None = self.num_samples_fn
        return self.num_samples_fn(**kwargs) if callable(self.num_samples_fn) else n

    def batch_iterator(self, batch_size: int, *shuffle: Shuffle, **kwargs: Any) -> Iterator[Batch]:
        """What the function returns for the same arguments. A second positional argument is passed on as `shuffle`."""
        if len(shuffle) > 1:
            raise TypeError(f"batch_iterator() takes a batch size and a shuffle; give {shuffle[1]!r} by its name")
        keywords = {**dict(zip(["shuffle"], shuffle, strict=False)), **kwargs}
        try:
            return self.batch_iterator_fn(batch_size, **keywords)
        except TypeError as error:
            what = "what batch_iterator gets, fn(batch_size, shuffle=None), and returns an iterator of batches"
            note_signature_mismatch(error, self.batch_iterator_fn, (batch_size,), keywords, what)
            raise


class IteratorDataSource(AbstractDataSource):
    """Batches from an iterator, unchanged. The arguments of `batch_iterator` have no effect.

    Parameters
    ----------
    batch_iter : iterator of batches
        The first loop uses it up. An iterable that returns a new iterator each time can be looped over again.
    n_samples : int, `numpy.inf` or None, optional
        The number of samples, if it is known.

    Examples
    --------
    >>> ds = IteratorDataSource(iter([(np.array([1, 2]),), (np.array([3]),)]), n_samples=3)
    >>> list(ds.batch_iterator(batch_size=64))
    [(array([1, 2]),), (array([3]),)]
    """

    def __init__(self, batch_iter: Iterator[Batch], n_samples: int | float | None = None) -> None:
        _should_count("n_samples", n_samples, "None, an int or numpy.inf")
        self.batch_iter = batch_iter
        self.n_samples = n_samples

    def __repr__(self) -> str:
        n = "an unknown number of" if self.n_samples is None else self.n_samples
        return f"<{type(self).__name__} of {n} samples>"

    @property
    def traits(self) -> Traits:
        return Traits(takes_shuffle=False)

    def num_samples(self, **kwargs: Any) -> int | float | None:
        return self.n_samples

    def batch_iterator(self, batch_size: int, shuffle: Shuffle = None, **kwargs: Any) -> Iterator[Batch]:
        return iter(self.batch_iter)


def _should_count(name: str, n: Any, allowed: str) -> None:
    if n is None or n == np.inf:
        return
    if isinstance(n, bool) or not isinstance(n, INTEGERS):
        raise TypeError(f"{name} should be {allowed}, not {n!r}")
    whole(name, n, least=0)
