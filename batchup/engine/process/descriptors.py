"""Descriptors of files: of new pipes, and how a child process gets them. Workers import this, so it imports little."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from typing import Any

__all__ = ["descriptor_of", "new_pipe", "passed"]

WINDOWS = os.name == "nt"


def new_pipe() -> list[int]:
    """The two ends of a pipe: where to read, and where to write. Neither is that of a standard stream, which may be
    closed in this program, and is replaced in the worker."""
    ends, low = list(os.pipe()), []
    try:
        for i in (0, 1):
            while ends[i] <= 2:
                low.append(ends[i])
                ends[i] = os.dup(ends[i])
    finally:
        for fd in low:
            os.close(fd)
    return ends


@contextlib.contextmanager
def passed(fds: list[int]) -> Iterator[tuple[list[int], dict[str, Any]]]:
    """The numbers by which the child finds descriptors, and the arguments of `subprocess.Popen` that pass them."""
    if not WINDOWS:
        yield fds, {"pass_fds": fds}
        return
    import msvcrt  # where a child inherits handles
    import subprocess

    startup: Any = subprocess.STARTUPINFO  # type: ignore[attr-defined, unused-ignore]

    handles = [msvcrt.get_osfhandle(fd) for fd in fds]  # type: ignore[attr-defined, unused-ignore]
    for handle in handles:
        os.set_handle_inheritable(handle, True)  # type: ignore[attr-defined, unused-ignore]
    try:
        keywords = {
            "startupinfo": startup(lpAttributeList={"handle_list": handles}),
            # Ctrl-C is for the program, which ends its workers
            "creationflags": getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0),
        }
        yield handles, keywords
    finally:
        for handle in handles:
            os.set_handle_inheritable(handle, False)  # type: ignore[attr-defined, unused-ignore]


def descriptor_of(name: str, flags: int) -> int:
    """In a worker: the descriptor that was passed by this name, for `os.O_RDONLY` or `os.O_WRONLY`. Processes that the
    worker starts do not inherit it."""
    if not WINDOWS:
        fd = int(name)
        os.set_inheritable(fd, False)
        return fd
    import msvcrt

    os.set_handle_inheritable(int(name), False)  # type: ignore[attr-defined, unused-ignore]
    opened: int = msvcrt.open_osfhandle(  # type: ignore[attr-defined, unused-ignore]
        int(name), flags | getattr(os, "O_BINARY", 0)
    )
    return opened
