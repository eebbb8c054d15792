"""Objects that are closed at the end of ``with``."""

from __future__ import annotations

from types import TracebackType
from typing import Self

from .initialised import Initialised

__all__ = ["Closing"]


class Closing(Initialised):
    """A context manager: the end of ``with`` calls `close`, whether or not there was an error.

    >>> class Door(Closing):
    ...     def close(self):
    ...         print("closed")
    >>> with Door():
    ...     print("open")
    open
    closed
    """

    def close(self) -> None:
        """End all work, and free what it needed."""
        raise NotImplementedError(f"{type(self).__name__} should have a method close()")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()
