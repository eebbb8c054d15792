"""The errors that batchup raises when it is not your own function that failed.

::

    BatchUpError(Exception)
      WorkerDiedError(BatchUpError, RuntimeError)       a batch killed its worker every time
      WorkerError(BatchUpError, RuntimeError)           an error that cannot be sent as it is
      BatchTimeoutError(BatchUpError, TimeoutError)     a batch took longer than ``timeout``
      DataSourcePicklingError(BatchUpError, TypeError)  a source that cannot go to a process
      SharedMemoryError(BatchUpError, OSError)          no shared memory left
      PoolClosedError(BatchUpError, RuntimeError)       work for a pool that is closed
      TooManySkipped(BatchUpError, RuntimeError)        a loader skipped more than `max_skipped`

Each is also a built-in error, so ``except TimeoutError`` works. Wrong arguments raise plain `TypeError`,
`ValueError` or `IndexError`; an error inside your data or your map function arrives as itself, with a note that says
which batch it was.
"""

from __future__ import annotations

import contextlib
from typing import Any

__all__ = [
    "BatchTimeoutError",
    "BatchUpError",
    "DataSourcePicklingError",
    "PoolClosedError",
    "SharedMemoryError",
    "TooManySkipped",
    "WorkerDiedError",
    "WorkerError",
    "concurrent_next_error",
    "located",
    "noted",
]


class BatchUpError(Exception):
    """The base class of all errors in this module."""


class _AtABatch(BatchUpError):
    """An error about one batch.

    Attributes
    ----------
    epoch : int or None
        The epoch of the run; None if the error does not come from a loader.
    batch_number : int or None
        The number of the batch in the stream or the epoch, from 0.
    indices : object
        The indices of its samples: an array, or a tuple of arrays.
    """

    epoch: int | None = None
    batch_number: int | None = None
    indices: Any = None


class WorkerDiedError(_AtABatch, RuntimeError):
    """Several worker processes in a row died while they worked on one batch.

    Attributes
    ----------
    attempts : int
        How many workers died.
    exit_codes : tuple of int
        The exit code of each; ``-9`` is killed by signal 9.
    """

    attempts: int = 0
    exit_codes: tuple[int | None, ...] = ()


class WorkerError(_AtABatch, RuntimeError):
    """An error that a worker cannot send as it is, or that would end the loop silently, as StopIteration does.

    Attributes
    ----------
    type_name : str
        The name of the type that was raised.
    remote_traceback : str
        The traceback, as text.
    """

    type_name: str = ""
    remote_traceback: str = ""


class BatchTimeoutError(_AtABatch, TimeoutError):
    """The consumer waited longer than ``timeout`` for one batch.

    Attributes
    ----------
    timeout : float
        The limit, in seconds.
    """

    timeout: float = 0.0


class DataSourcePicklingError(BatchUpError, TypeError):
    """Something that has to be sent to a worker process cannot be pickled."""


class SharedMemoryError(BatchUpError, OSError):
    """The system has no shared memory left."""


class PoolClosedError(BatchUpError, RuntimeError):
    """The pool was closed."""


class TooManySkipped(BatchUpError, RuntimeError):
    """A loader could not fetch more than `max_skipped` samples."""


def located(error: BaseException, batch_number: int, pick: Any, epoch: int | None = None) -> BaseException:
    """The same error, with a note that says where it happened.

    >>> import numpy as np
    >>> located(ValueError("no such file"), 17, np.array([340, 12])).__notes__
    ['while fetching batch 17 (samples 340, 12)']
    >>> located(ValueError("no such file"), 17, np.array([340, 12]), epoch=2).__notes__
    ['while fetching batch 17 of epoch 2 (samples 340, 12)']
    """
    if isinstance(error, _AtABatch):
        error.batch_number, error.indices, error.epoch = batch_number, pick, epoch
    of_epoch = "" if epoch is None else f" of epoch {epoch}"
    return noted(error, f"while fetching batch {batch_number}{of_epoch} (samples {_first_few(pick)})")


def concurrent_next_error() -> ValueError:
    """The error if two threads call `next` on one iterator at the same time; generators raise a similar one."""
    return ValueError(
        "another thread is asking this iterator for its next batch; give each thread an iterator of its own, or use a "
        "lock around next()"
    )


def noted(error: BaseException, note: str) -> BaseException:
    """The same error with a note; without a note if the error cannot take one, such as a frozen dataclass."""
    with contextlib.suppress(Exception):
        error.add_note(note)
    return error


def _first_few(pick: Any, most: int = 8) -> str:
    if hasattr(pick, "pick"):  # a pick with a seed, or a padded one
        return _first_few(pick.pick, most)
    if isinstance(pick, tuple):
        return ", ".join(f"({_first_few(each, most)})" if hasattr(each, "__len__") else repr(each) for each in pick)
    some = [str(index) for index in pick[:most]] if hasattr(pick, "__len__") else [repr(pick)]
    return ", ".join(some) + (", …" if hasattr(pick, "__len__") and len(pick) > most else "")
