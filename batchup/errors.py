"""What batchup raises when it is not your own function that failed.

::

    BatchUpError(Exception)
      WorkerDiedError(BatchUpError, RuntimeError)       a pick killed its worker every time
      WorkerError(BatchUpError, RuntimeError)           an error that could not cross as itself
      BatchTimeoutError(BatchUpError, TimeoutError)     a batch took longer than ``timeout``
      DataSourcePicklingError(BatchUpError, TypeError)  a source that cannot go to a process
      SharedMemoryError(BatchUpError, OSError)          no memory left to share
      PoolClosedError(BatchUpError, RuntimeError)       work for a pool that is closed
      TooManySkipped(BatchUpError, RuntimeError)        a loader left out more samples than it may

Each is also one of Python's own kinds, so ``except TimeoutError`` works. Wrong arguments raise plain `TypeError`,
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
    """The root: everything in this module is one."""


class _AtABatch(BatchUpError):
    """An error about one batch.

    Attributes
    ----------
    epoch : int or None
        The epoch of the run, where a loader knows it.
    batch_number : int or None
        Its place in the stream or the epoch, from 0, once the stream has said so.
    indices : object
        The pick that it was fetched by: an index array, or a tuple of them.
    """

    epoch: int | None = None
    batch_number: int | None = None
    indices: Any = None


class WorkerDiedError(_AtABatch, RuntimeError):
    """A worker process ended each time that it was given one and the same batch.

    Attributes
    ----------
    attempts : int
        How many workers it cost.
    exit_codes : tuple of int
        How each of them ended; ``-9`` is killed by signal 9.
    """

    attempts: int = 0
    exit_codes: tuple[int | None, ...] = ()


class WorkerError(_AtABatch, RuntimeError):
    """An error that could not come back from its worker as itself, or would have ended the loop in silence.

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
    """Something that should go to a worker process cannot be pickled."""


class SharedMemoryError(BatchUpError, OSError):
    """The system has no memory left to share between processes."""


class PoolClosedError(BatchUpError, RuntimeError):
    """The pool was closed before this work was given to it."""


class TooManySkipped(BatchUpError, RuntimeError):
    """More samples could not be fetched than a loader may leave out."""


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
    """What is raised, as by a generator, where two threads ask one iterator for a batch at the same time."""
    return ValueError(
        "another thread is asking this iterator for its next batch; give each thread an iterator of its own, or have "
        "them ask in turn, behind a lock"
    )


def noted(error: BaseException, note: str) -> BaseException:
    """The same error with a note; without one if it does not take notes, being frozen or otherwise peculiar."""
    with contextlib.suppress(Exception):
        error.add_note(note)
    return error


def _first_few(pick: Any, most: int = 8) -> str:
    if hasattr(pick, "pick"):  # with its chance, or filled up
        return _first_few(pick.pick, most)
    if isinstance(pick, tuple):
        return ", ".join(f"({_first_few(each, most)})" if hasattr(each, "__len__") else repr(each) for each in pick)
    some = [str(index) for index in pick[:most]] if hasattr(pick, "__len__") else [repr(pick)]
    return ", ".join(some) + (", …" if hasattr(pick, "__len__") and len(pick) > most else "")
