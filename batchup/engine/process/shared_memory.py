"""Memory that several processes map, and the layout of buffers in it."""

from __future__ import annotations

import ctypes
import functools
import mmap
import os
import sys
import weakref
from collections.abc import Callable, Sequence
from typing import Any, NoReturn, TypeAlias

import numpy as np

from ...errors import SharedMemoryError
from ..arena import ALIGNMENT

__all__ = [
    "ByteRange",
    "Memory",
    "Segment",
    "address",
    "aligned_end",
    "equal",
    "laid_out",
    "private_memory",
    "total_size",
    "writable_memory",
    "write_all",
]

Memory: TypeAlias = Any  # a ctypes array of bytes: weakly referable, without a descriptor
# MAP_NORESERVE of mmap(2), which Python has no name for: the system does not count private pages before they are
# written to, so that a file may be larger than memory
NO_RESERVE = 0x4000 if sys.platform == "linux" and os.uname().machine in ("x86_64", "aarch64") else 0
SHM = "/dev/shm"  # files in memory; where there is no such folder, temporary files are used
PIECE = 1 << 22  # bytes to compare at once
ByteRange: TypeAlias = tuple[int, int]  # offset and size, in bytes


class Segment:
    """Memory that several processes map.

    On Linux it is a memory file: it has no name, and is freed when nobody has it open or mapped any more. Elsewhere it
    is a temporary file, which is unlinked when the segment is closed; on Linux, too, for a process that has changed its
    user, whose descriptors others may not open.

    Parameters
    ----------
    size : int
        In bytes.
    reserve : bool, default True
        Whether to allocate the memory now. Not needed if it is filled by writing to the descriptor, which fails if
        there is no memory left; to touch mapped memory that is not there would end the process.

    Raises
    ------
    SharedMemoryError
        If the system has too little memory left.
    """

    def __init__(self, size: int, reserve: bool = True) -> None:
        self.size = max(size, 1)
        self._maker = os.getpid()
        try:
            if hasattr(os, "memfd_create") and others_may_open():
                self.fd = os.memfd_create("batchup", os.MFD_CLOEXEC)
                self.path = f"/proc/{os.getpid()}/fd/{self.fd}"
                self._unlink: Callable[[], None] = lambda: None
            else:
                import tempfile  # not before: each worker would wait for it

                self.fd, self.path = tempfile.mkstemp(prefix="batchup-", dir=SHM if os.access(SHM, os.W_OK) else None)
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
            raise SharedMemoryError(f"{self.size} bytes of shared memory cannot be allocated: {error}") from error

    @property
    def is_closed(self) -> bool:
        """Whether the descriptor is closed."""
        return self.fd < 0

    def write(self, buffer: memoryview, offset: int) -> None:
        """Write a buffer at `offset`. Raises an OSError where there is no memory for it."""
        write_all(self.fd, buffer, offset)

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
        """Close the descriptor. Whoever has mapped the memory keeps it. A segment that is collected is closed."""
        fd, self.fd = self.fd, -1
        if fd >= 0:
            os.close(fd)
            if os.getpid() == self._maker:  # not in a fork of it
                self._unlink()

    def __del__(self) -> None:
        if getattr(self, "fd", -1) >= 0:
            self.close()

    def __reduce__(self) -> NoReturn:  # both would close one descriptor
        raise TypeError("a segment cannot be copied or pickled")

    @staticmethod
    def mapped(path: str, size: int) -> Memory:
        """The memory that another process's segment has at `path`, to read and to write."""
        fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        try:
            return writable_memory(fd, size)
        finally:
            os.close(fd)


def others_may_open() -> bool:
    """Whether other processes of this user may open the descriptors of this one, by their paths in ``/proc``.

    If a process that root has started goes on as another user (`os.setuid`), they may not: see
    ``PR_SET_DUMPABLE`` in prctl(2).
    """
    try:
        return os.stat("/proc/self/fd").st_uid == os.geteuid()
    except OSError:
        return True


def writable_memory(fd: int, size: int) -> Memory:
    """The memory behind a descriptor, which may be closed then: `mmap.mmap` would keep a copy of it open."""
    address = _libc().mmap(None, size, mmap.PROT_READ | mmap.PROT_WRITE, mmap.MAP_SHARED, fd, 0)
    if address == ctypes.c_void_p(-1).value:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    memory = (ctypes.c_ubyte * size).from_address(address)
    weakref.finalize(memory, _libc().munmap, address, size).atexit = False
    return memory


def private_memory(fd: int, size: int = 0, writable: bool = False) -> memoryview:
    """The memory behind a descriptor, to read. Code in C that writes to it all the same changes a copy of its own.

    A page is copied when it is first written to. Such writes are seen in this process alone. With `writable`, arrays in
    it may be written to from Python, too.
    """
    if not hasattr(mmap, "MAP_PRIVATE"):  # on Windows
        mapped = mmap.mmap(fd, size, access=mmap.ACCESS_COPY)
        return memoryview(mapped) if writable else memoryview(mapped).toreadonly()
    try:
        prot = mmap.PROT_READ | mmap.PROT_WRITE
        mapped = mmap.mmap(fd, size, flags=mmap.MAP_PRIVATE | NO_RESERVE, prot=prot)
    except OSError:  # where the system counts what might be written to as memory in use, there may not be so much
        mapped = mmap.mmap(fd, size, access=mmap.ACCESS_READ)
    return memoryview(mapped) if writable else memoryview(mapped).toreadonly()


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


def laid_out(buffers: Sequence[memoryview], begin: int = 0) -> list[ByteRange]:
    """Where the buffers go in one segment, from `begin` on, each at a multiple of `ALIGNMENT`.

    >>> laid_out([memoryview(bytes(100)), memoryview(bytes(8))])
    [(0, 100), (128, 8)]
    """
    ranges = []
    offset = -(-begin // ALIGNMENT) * ALIGNMENT
    for buffer in buffers:
        ranges.append((offset, buffer.nbytes))
        offset += -(-buffer.nbytes // ALIGNMENT) * ALIGNMENT
    return ranges


def aligned_end(ranges: Sequence[ByteRange]) -> int:
    """Where the next buffer would begin.

    >>> aligned_end([(0, 100), (128, 8)])
    192
    """
    return -(-total_size(ranges) // ALIGNMENT) * ALIGNMENT


def total_size(ranges: Sequence[ByteRange]) -> int:
    """How many bytes of memory the ranges need."""
    return ranges[-1][0] + ranges[-1][1] if ranges else 0


def address(buffer: Any) -> int:
    """The address of the buffer in memory."""
    address: int = np.frombuffer(buffer, np.uint8).__array_interface__["data"][0] if len(buffer) else 0
    return address


def equal(a: Any, b: Any) -> bool:
    """Whether two pieces of memory hold the same bytes. The GIL is released meanwhile."""
    if len(a) != len(b):
        return False
    if os.name == "posix":
        return bool(_libc().memcmp(address(a), address(b), len(a)) == 0)
    left, right = np.frombuffer(a, np.uint8), np.frombuffer(b, np.uint8)
    return all(np.array_equal(left[i : i + PIECE], right[i : i + PIECE]) for i in range(0, len(left), PIECE))


def write_all(fd: int, buffer: memoryview, offset: int) -> None:
    """Write to a segment, at `offset`."""
    flat = buffer.cast("B") if buffer.nbytes else buffer
    done = 0
    while done < buffer.nbytes:
        done += os.pwrite(fd, flat[done : done + (1 << 30)], offset + done)
