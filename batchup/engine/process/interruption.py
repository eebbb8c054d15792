"""Ctrl-C in the middle of the parent's bookkeeping.

The parent notes in several places which worker has which task, and writes and reads parts of messages.
`KeyboardInterrupt` may come between any two of these steps, and `engine.pulled` says why it cannot be kept out. So a
step that was interrupted is not repaired, nor finished: the next one begins with new workers, and gives them all tasks
that have not ended. A fetch depends on its pick alone, so that it does no harm if some of them are done twice.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

__all__ = ["Bookkeeping"]


class Bookkeeping:
    """Runs the steps of the parent's bookkeeping, one at a time.

    Parameters
    ----------
    start_over : callable
        Called before the next step if the last one was interrupted.

    Attributes
    ----------
    is_running : bool
        Whether a step is running: what the garbage collector calls in the middle of it must leave its notes alone.

    Examples
    --------
    >>> bookkeeping = Bookkeeping(lambda: print("start over"))
    >>> bookkeeping.run(print, "a step")
    a step
    >>> try:
    ...     bookkeeping.run(int, "interrupted")
    ... except ValueError:
    ...     bookkeeping.run(print, "the next step")
    start over
    the next step
    """

    def __init__(self, start_over: Callable[[], None]) -> None:
        self._start_over = start_over
        self._is_broken = self.is_running = False

    def run(self, step: Callable[..., Any], *args: Any) -> None:
        """Call ``step(*args)``."""
        was_broken = self._is_broken
        self._is_broken = self.is_running = True
        try:
            if was_broken:
                self._start_over()
            step(*args)
        finally:
            self.is_running = False
        self._is_broken = False
