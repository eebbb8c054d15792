"""Ctrl-C safety: iterators that pull from another one, and lose no item to `KeyboardInterrupt`.

Python raises `KeyboardInterrupt` at the start of a function that is written in Python, at the end of a pass through a
loop, and after a call of a function that is not written in Python. It does so nowhere else, and not where a function
returns. Therefore these do not work:

* ``item = next(source)``: it may be raised after the call of ``next`` and before the assignment. The source has moved
  on, and the item is lost.
* ``try: … except KeyboardInterrupt: put it back``: before the assignment there is nothing to put back, and a second one
  may be raised in the handler.
* To ask a generator again: an exception that is raised inside a generator ends it. The next call raises
  `StopIteration`, and the epoch ends early, without an error.
* To ask a chain of generators again: it continues with the next generator, and skips the rest of the interrupted one.
* To block the signal meanwhile: the source may be the user's code, which may take long.
* ``lock.acquire(blocking=False)`` against a second thread: it may be raised after the call, and nobody releases the
  lock.

What is done instead, in one class, `PullingIterator`:

* ``for self._held in self._source: break`` pulls and assigns without a call between the two, so an item is either still
  in the source or in `_held`.
* The item stays in `_held` until what was made from it is delivered. From there to the ``return`` there is no call. If
  Ctrl-C comes before, the next call works on the same item; a fetch depends on its pick alone, so that does no harm.
* While the source runs, `_held` says what to do if it is interrupted (`if_interrupted`): refuse to continue, as
  nobody knows what a plan would skip; continue, but treat the end of the source as an error; or just continue.
* A flag says that a thread is in `__next__`. It is set and cleared by assignments, without a call.

Where other modules rely on this, a comment says ``no calls from here on``. The bookkeeping of a process pool cannot do
without calls. If it is interrupted, it is begun anew (`engine.process.interruption`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, TypeVar

from ..errors import BatchUpError, concurrent_next_error

T = TypeVar("T")

__all__ = ["DOUBTED", "INTERRUPTED", "NOTHING", "PullingIterator", "interrupted_error"]


class _Mark:
    """What stands in the place of an item where none is held."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __repr__(self) -> str:
        return self._name


NOTHING = _Mark("NOTHING")
INTERRUPTED = _Mark("INTERRUPTED")  # the source was interrupted, and is not asked again
DOUBTED = _Mark("DOUBTED")  # the source was interrupted, and is asked again; if it ends then, that is an error


class PullingIterator(Iterator[T]):
    """An iterator that makes its items from those of another. Abstract: `_next` makes one.

    Parameters
    ----------
    source : iterable
    if_interrupted : {INTERRUPTED, DOUBTED, NOTHING}
        What `_held` is while the source runs: INTERRUPTED for a plan, which is mostly made of generators; DOUBTED for
        an iterator of the user's, which need not be a generator; NOTHING for a source that is safe itself.

    Examples
    --------
    >>> class Squares(PullingIterator):
    ...     def _next(self):
    ...         square = self._pull() ** 2
    ...         self._held = NOTHING  # no calls from here on
    ...         return square
    >>> list(Squares(range(4)))
    [0, 1, 4, 9]
    """

    __slots__ = ("_held", "_if_interrupted", "_is_in_next", "_source")

    def __init__(self, source: Iterable[Any], if_interrupted: _Mark = INTERRUPTED) -> None:
        self._source: Any = iter(source)
        self._if_interrupted = if_interrupted
        self._held: Any = NOTHING  # the item that was pulled, until what is made from it is delivered
        self._is_in_next = False

    def __next__(self) -> T:
        if self._is_in_next:
            raise concurrent_next_error()
        try:
            self._is_in_next = True
            return self._next()
        finally:
            self._is_in_next = False

    def _next(self) -> T:
        """The next item, made from that of `_pull`. Sets `_held` to `NOTHING` when it is about to return it."""
        raise NotImplementedError

    def _pull(self) -> Any:
        """The item that is held, or else the next one of the source, which is held then.

        Raises
        ------
        StopIteration
            At the end of the source.
        BatchUpError
            If the source was interrupted when it was asked before.
        """
        held = self._held
        if held is NOTHING or held is DOUBTED:
            self._held = self._if_interrupted
            try:
                for self._held in self._source:  # noqa: B020 - see the top of this module
                    return self._held
            except Exception:
                self._held = NOTHING
                raise
            self._held = NOTHING
            raise StopIteration if held is NOTHING else interrupted_error()
        if held is INTERRUPTED:
            raise interrupted_error()
        return held


def interrupted_error() -> BatchUpError:
    """The error of an iterator whose source was interrupted, and may have lost items."""
    return BatchUpError(
        "Ctrl-C interrupted what this iterator draws from, so items may be missing; begin a new iterator, or load the "
        "state of this one"
    )
