"""Whether this process is a fork of the one in which an object was made. Threads and worker processes stay there."""

from __future__ import annotations

import os
from collections.abc import Callable

__all__ = ["forked"]

count = 0  # how many forks there are between this process and the one that imported this module


def _count_fork() -> None:
    global count
    count += 1


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_count_fork)


def forked() -> Callable[[], bool]:
    """A function that says whether it is called in a fork of the process in which `forked` was called.

    >>> is_fork = forked()
    >>> is_fork()
    False
    """
    then = count
    return lambda: then != count
