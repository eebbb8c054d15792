"""Errors of workers: what is sent to the parent, and what the parent makes of it."""

from __future__ import annotations

import contextlib
import pickle
import traceback
from typing import Any, TypeAlias

from ...errors import WorkerError
from . import pickling

__all__ = ["Failure", "failure_of", "name_of", "raised_in_worker"]

Failure: TypeAlias = tuple[bytes, str, str, str]  # the error as a pickle, if it has one; its type, message, traceback


def failure_of(error: BaseException) -> Failure:
    """The error in plain values. It is pickled if it may be raised elsewhere, and can be pickled."""
    pickled = b""
    try:
        text = "".join(traceback.format_exception(error))
    except BaseException:
        text = "(its traceback cannot be formatted)"
    if isinstance(error, Exception) and not isinstance(error, StopIteration):
        try:
            pickled = pickling.error_dumps(error)
        except BaseException:  # even SystemExit: it is the user's code that runs here
            pickled = b""
    return pickled, type(error).__name__, _message_of(error), text


def _message_of(error: BaseException) -> str:
    try:
        return str(error)
    except BaseException:
        return "(its message cannot be formatted)"


class _Remote(Exception):
    """The traceback of a worker, as the cause of the error that it belongs to."""

    def __str__(self) -> str:
        return f'\n"""\n{self.args[0]}"""'


def raised_in_worker(pickled: bytes, type_name: str, message: str, text: str) -> Exception:
    """The error of a worker as itself, or as a `WorkerError` if it cannot be unpickled or may not be raised."""
    try:
        error = pickle.loads(pickled) if pickled else None
    except Exception:
        error = None
    if not isinstance(error, Exception) or isinstance(error, StopIteration):
        error = WorkerError(f"{type_name}: {message}")
        error.type_name, error.remote_traceback = type_name, text
    with contextlib.suppress(Exception):  # a frozen one stays as it is
        error.__cause__ = _Remote(text)
    return error


def name_of(fn: Any) -> str:
    """The name of a function, for an error message; the empty string for None.

    >>> name_of(failure_of), name_of(None)
    ('failure_of', '')
    """
    fn = getattr(fn, "func", fn)  # of functools.partial
    return "" if fn is None else str(getattr(fn, "__name__", type(fn).__name__))
