"""Memory that several processes map, and where in it what lies."""

from __future__ import annotations

import ctypes
import functools
import mmap
import os
import tempfile
import weakref
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

import numpy as np

from ...errors import SharedMemoryError
from ..arena import ALIGNMENT

__all__ = [
    "Memory",
    "Segment",
    "Span",
    "address",
    "after",
    "equal",
    "laid_out",
    "total_size",
    "writable_memory",
    "write_all",
]

Memory = Any  # a ctypes array of bytes: weakly referable, without a descriptor
Span = tuple[int, int]  # offset and size, in bytes


class Segment:
    """Memory that several processes map. On Linux it has no name, and is gone when its last user is.

    Elsewhere it is an unlinked temporary file's worth of pages, and goes when its maker lets it go.

    Parameters
    ----------
    size : int
        In bytes.
    reserve : bool, default True
        Whether to take the memory now. Not needed where it is filled by writing to the descriptor, which fails if there
        is no more; touching memory that is not there would end the process.

    Raises
    ------
    SharedMemoryError
        If the system has not so much left.
    """

    def __init__(self, size: int, reserve: bool = True) -> None:
        self.size = max(size, 1)
        self._maker = os.getpid()
        try:
            if hasattr(os, "memfd_create"):
                self.fd = os.memfd_create("batchup", os.MFD_CLOEXEC)
                self.path = f"/proc/{os.getpid()}/fd/{self.fd}"
                self._unlink: Callable[[], None] = lambda: None
            else:
                self.fd, self.path = tempfile.mkstemp(prefix="batchup-")
                self._unlink = _once(os.unlink, self.path)
            try:
                if reserve and hasattr(os, "posix_fallocate"):
                    os.posix_fallocate(self.fd, 0, self.size)  # no space is an error here, not a SIGBUS later
                else:
                    os.ftruncate(self.fd, self.size)
            except OSError:
                self.close()
                raise
        except OSError as error:
            raise SharedMemoryError(f"{self.size} bytes of shared memory cannot be had: {error}") from error

    def map(self) -> Memory:
        """The memory, to read and to write.

        Raises
        ------
        SharedMemoryError
            If the system does not map more.
        """
        try:
            return writable_memory(self.fd, self.size)
        except OSError as error:
            raise SharedMemoryError(f"{self.size} bytes of shared memory cannot be mapped: {error}") from error

    def close(self) -> None:
        """Let go of it; who has mapped it keeps it. Done too when the segment is collected."""
        fd, self.fd = self.fd, -1
        if fd >= 0:
            os.close(fd)
            if os.getpid() == self._maker:  # and not a fork of it
                self._unlink()

    def __del__(self) -> None:
        if getattr(self, "fd", -1) >= 0:
            self.close()

    def __reduce__(self) -> NoReturn:  # two of them would close one descriptor
        raise TypeError("a segment cannot be copied or pickled")

    @staticmethod
    def mapped(path: str, size: int) -> Memory:
        """The memory that another process's segment has at `path`, to read and to write."""
        fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        try:
            return writable_memory(fd, size)
        finally:
            os.close(fd)


def writable_memory(fd: int, size: int) -> Memory:
    """The memory behind a descriptor, which may be closed then: `mmap.mmap` would keep a copy of it open."""
    address = _libc().mmap(None, size, mmap.PROT_READ | mmap.PROT_WRITE, mmap.MAP_SHARED, fd, 0)
    if address == ctypes.c_void_p(-1).value:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    memory = (ctypes.c_ubyte * size).from_address(address)
    weakref.finalize(memory, _libc().munmap, address, size).atexit = False
    return memory


@functools.cache
def _libc() -> Any:
    libc = ctypes.CDLL(None, use_errno=True)
    libc.mmap.restype = ctypes.c_void_p
    integers = [ctypes.c_int] * 3
    libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, *integers, ctypes.c_ssize_t]
    libc.munmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
    libc.memcmp.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t]
    return libc


def _once(fn: Callable[[str], None], path: str) -> Callable[[], None]:
    left = [path]
    return lambda: fn(left.pop()) if left else None


def laid_out(buffers: Sequence[memoryview], begin: int = 0) -> list[Span]:
    """Where in one segment, behind `begin`, the buffers go, each at a multiple of `ALIGNMENT`.

    >>> laid_out([memoryview(bytes(100)), memoryview(bytes(8))])
    [(0, 100), (128, 8)]
    """
    spans = []
    offset = -(-begin // ALIGNMENT) * ALIGNMENT
    for buffer in buffers:
        spans.append((offset, buffer.nbytes))
        offset += -(-buffer.nbytes // ALIGNMENT) * ALIGNMENT
    return spans


def after(spans: Sequence[Span]) -> int:
    """Where the next one behind them begins."""
    return -(-total_size(spans) // ALIGNMENT) * ALIGNMENT


def total_size(spans: Sequence[Span]) -> int:
    """How much memory the spans need, in bytes."""
    return spans[-1][0] + spans[-1][1] if spans else 0


def address(buffer: Any) -> int:
    """Where in memory the buffer begins."""
    address: int = np.frombuffer(buffer, np.uint8).__array_interface__["data"][0] if len(buffer) else 0
    return address


def equal(a: Any, b: Any) -> bool:
    """Whether two pieces of memory hold the same bytes. Other threads run meanwhile."""
    return len(a) == len(b) and _libc().memcmp(address(a), address(b), len(a)) == 0


def write_all(fd: int, buffer: memoryview, offset: int) -> None:
    """Write to a segment, at `offset`."""
    flat = buffer.cast("B") if buffer.nbytes else buffer
    done = 0
    while done < buffer.nbytes:
        done += os.pwrite(fd, flat[done : done + (1 << 30)], offset + done)
