"""For Keras 3 (``pip install keras``): the batches of a loader as a ``PyDataset``."""

from __future__ import annotations

import functools
import threading
from collections.abc import Iterator
from typing import Any

import numpy as np

from ..engine.checks import whole
from ..engine.optional import library
from ..engine.position import Position

__all__ = ["to_keras"]


def to_keras(loader: Any) -> Any:
    """The batches of a loader as a ``keras.utils.PyDataset``; what ``loader.to_keras`` calls.

    Parameters
    ----------
    loader : Loader
        Over a source that fetches by index.

    Returns
    -------
    keras.utils.PyDataset

    Raises
    ------
    ModuleNotFoundError
        If Keras, or the backend that it is set to, is not installed.
    """
    if not loader.source.is_random_access:
        raise TypeError(
            f"to_keras takes a loader over a source that fetches by index, and {type(loader.source).__name__} gives "
            "its batches one after the other; Keras takes a generator, too: model.fit(iter(loader), steps_per_epoch=n)"
        )
    return _dataset_class()(loader)


class BatchesByNumber:
    """The batches of a loader by number, one epoch after the other, as Keras requests them.

    Between `on_epoch_begin` and `on_epoch_end`, each new number gives the next batch of the loader, whatever the number
    is: ``fit`` requests numbers in a random order, and the loader has already shuffled. The same number gives the same
    batch again. An epoch ends when `on_epoch_end` is called after all of its batches were requested. If Keras starts
    again before that, it has only looked at some of the batches, and the epoch starts again.

    Parameters
    ----------
    loader : Loader

    Examples
    --------
    >>> from batchup import Loader
    >>> batches = BatchesByNumber(Loader([np.arange(5)], 2))
    >>> len(batches), batches[2]
    (3, (array([4]),))
    >>> batches.on_epoch_begin()
    >>> batches[2], batches[0], batches[2]
    ((array([0, 1]),), (array([2, 3]),), (array([0, 1]),))
    """

    def __init__(self, loader: Any) -> None:
        self.loader = loader
        self._lock = threading.RLock()
        self._within = self._left_early = self._renumbered = False
        self._told: int | None = None  # the number of batches that Keras knows
        self._loop: Iterator[Any] = iter(())
        self._epoch = self._first = 0  # where the loop began
        self._asked: dict[int, int] | range = {}  # the step of each number, counted from the first step
        self._place = (-1, 0)  # where the loader was after the last batch

    @property
    def num_batches(self) -> int | None:
        """The number of batches in the epoch or, after a state was loaded, in the rest of it; None if infinite."""
        with self._lock:
            self._told, self._renumbered = self._count(), self._within
            return self._told

    def __len__(self) -> int:
        n = self.num_batches
        return len(self.loader) if n is None else n  # the loader says why it has no end

    def __getitem__(self, index: int) -> Any:
        with self._lock:
            n = self._count()
            index = whole("the number of a batch", index, least=0)
            if n is not None and index >= n:
                raise IndexError(f"the number of a batch should be below {n}, not {index}")
            return self._next(index) if self._within else self._fetched(index)

    def __iter__(self) -> Iterator[Any]:
        """The next epoch of the loader."""
        return iter(self.loader)

    def on_epoch_begin(self) -> None:
        """Keras begins an epoch, or continues one in parts, with ``steps_per_epoch``."""
        with self._lock:
            if not self._is_under_way():
                self._should_be_as_told()
                self._begin()
            self._within, self._left_early, self._renumbered = True, bool(self._asked), False

    def on_epoch_end(self) -> None:
        """Keras ends an epoch, or has only looked at its first batch."""
        with self._lock:
            if self._is_under_way() and len(self._asked) == self._count():
                self.loader._rewind(self._epoch + 1, 0)
                self._asked = {}
            elif self._is_under_way() and len(self._asked) == 1 and self._renumbered:
                self._go_back()
            self._within = False

    def _is_under_way(self) -> bool:
        """Whether part of an epoch was requested, and the loader has not moved since."""
        return bool(self._asked) and self._place == (self.loader.epoch, self.loader.step)

    def _beginning(self) -> tuple[int, int]:
        return (self._epoch, self._first) if self._within or self._is_under_way() else self.loader._run.upcoming()

    def _count(self) -> int | None:
        epoch, first = self._beginning()
        n = self.loader._plan.length(epoch)
        return None if n is None or n == np.inf else int(n) - first

    def _should_be_as_told(self) -> None:
        """Raise an error if Keras would leave out batches: it requests their number once, when ``fit`` begins."""
        n, told = self._count(), self._told
        if told is not None and n != told:
            raise ValueError(
                f"epoch {self._beginning()[0]} should have {told} batches, the number that Keras took for all epochs "
                f"when fit() began, not {n}; where the number changes, as with batch_size=fn, set_batch_size() or a "
                "state that was loaded, call fit() once for each epoch"
            )

    def _go_back(self) -> None:
        """Go back to where the epoch began, since Keras has only looked at some batches."""
        self.loader._rewind(self._epoch, self._first)
        self.loader._run.resume(Position(self._epoch, self._first))
        self._asked = {}

    def _begins_anew(self, index: int) -> bool:
        """Whether Keras starts again in an epoch of which it has already requested some batches."""
        was_a_look = self._told is None and len(self._asked) == 1
        return self._left_early and (self._renumbered or was_a_look or index in self._asked)

    def _begin(self) -> None:
        self._loop = iter(self.loader)
        self._epoch, self._first = self._place = self.loader.epoch, self.loader.step
        self._asked = {} if self._count() is not None else range(0)

    def _next(self, index: int) -> Any:
        if self._begins_anew(index):
            self._go_back()
            self._begin()
        self._left_early = self._renumbered = False
        count = len(self._asked)
        if index in self._asked or (isinstance(self._asked, range) and index != count):
            return self._fetched(index)
        batch = next(self._loop, None)
        self._place = self.loader.epoch, self.loader.step
        if self._place != (self._epoch, self._first + count + 1):
            raise ValueError(
                f"batch {self._first + count} of epoch {self._epoch} should have a sample that can be fetched, but all "
                "of its samples were left out; Keras needs as many batches as it was told"
            )
        if isinstance(self._asked, range):
            self._asked = range(count + 1)
        else:
            self._asked[index] = count
        return batch

    def _fetched(self, index: int) -> Any:
        epoch, first = self._beginning()
        asked = self._asked if self._within and not isinstance(self._asked, range) else {}
        return self.loader.batch(epoch, first + asked.get(index, index))


@functools.cache
def _dataset_class() -> Any:
    keras = _keras()

    class LoaderDataset(BatchesByNumber, keras.utils.PyDataset):  # type: ignore[misc, name-defined]
        """The batches of a loader, for ``fit``, ``evaluate`` and ``predict``."""

        def __init__(self, loader: Any) -> None:
            keras.utils.PyDataset.__init__(self, workers=1)  # the workers are those of the loader
            BatchesByNumber.__init__(self, loader)

    return LoaderDataset


def _keras() -> Any:
    try:
        return library("keras", "keras", "to_keras", "Keras")
    except ModuleNotFoundError as error:
        if error.name == "keras":
            raise
        raise ModuleNotFoundError(
            f"Keras is set to a backend that is not installed: {error}; set the environment variable KERAS_BACKEND to "
            "torch, jax or tensorflow before Keras is imported",
            name=error.name,
        ) from error
