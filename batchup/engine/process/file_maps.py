"""Arrays that are mapped from files: a path and an offset are sent to another process in place of their data."""

from __future__ import annotations

import bisect
import contextlib
import functools
import mmap
import os
import platform
import sys
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from .shared_memory import private_memory

__all__ = ["FileMaps", "file_mapped", "in_a_file"]

Identity: TypeAlias = tuple[str, int, int]  # the host, and device and inode there
MAPS, ENCODING = "/proc/self/maps", sys.getfilesystemencoding()


class FileMaps:
    """The files that this process has mapped, and their paths, where the system lists them (Linux).

    They are listed when the first array asks that is mapped from a file: it takes milliseconds where many libraries are
    loaded.
    """

    @functools.cached_property
    def _files(self) -> list[tuple[int, int, str]]:
        """Address, inode and path of each."""
        files = []
        with contextlib.suppress(OSError), open(MAPS, encoding=ENCODING, errors="surrogateescape") as maps:
            for line in maps:
                addresses, _, _, _, inode, *path = line.rstrip("\n").split(maxsplit=5)
                files.append((int(addresses.partition("-")[0], 16), int(inode), "".join(path)))
        return files

    def identity(self, path: str, address: int) -> Identity | None:
        """What identifies the file at `path`; None if there is none, or if another one is mapped at `address`."""
        try:
            there = os.stat(path)
        except OSError:
            return None
        here = bisect.bisect_right(self._files, address, key=lambda file: file[0]) - 1
        if here >= 0:
            _, inode, name = self._files[here]
            # in layered file systems a file has two inodes, and only its path says that it is the same
            if inode != there.st_ino and name != os.path.realpath(path):
                return None
        return platform.node(), there.st_dev, there.st_ino


def in_a_file(array: npt.NDArray[Any], maps: FileMaps) -> tuple[Any, ...] | None:
    """The arguments of `file_mapped` for an array that is mapped from a file; None for any other array."""
    base: Any = array
    while isinstance(base, np.ndarray) and not isinstance(base, np.memmap):
        base = base.base
    file = getattr(base, "_mmap", None)
    if file is None or base.filename is None or base.mode == "c" or array.dtype.hasobject:
        return None  # in memory, or copy-on-write, and perhaps written to
    first = np.frombuffer(file, np.uint8).__array_interface__["data"][0]
    in_map = array.__array_interface__["data"][0] - first
    in_file = in_map + base.offset - base.offset % mmap.ALLOCATIONGRANULARITY
    path = os.fspath(base.filename)
    identity = maps.identity(path, first)
    if identity is None:
        return None  # the file was replaced, moved or deleted
    return path, identity, in_file, array.dtype, array.shape, array.strides


def file_mapped(
    path: str,
    identity: Identity,
    offset: int,
    dtype: np.dtype[Any],
    shape: tuple[int, ...],
    strides: tuple[int, ...],
) -> npt.NDArray[Any]:
    """An array that is mapped from a file, read-only.

    Raises
    ------
    FileNotFoundError
        If the file at `path` was replaced. On another host this cannot be noticed, since the file has other inode
        numbers there.
    """
    with open(path, "rb") as file:
        there = os.fstat(file.fileno()) if os.name == "posix" else os.stat(path)  # which may differ elsewhere
        host, *numbers = identity
        if host == platform.node() and [there.st_dev, there.st_ino] != numbers:
            raise FileNotFoundError(f"{path} was replaced while a loop over it ran; begin a new loop")
        memory = private_memory(file.fileno())
    return np.ndarray(shape, dtype, memory, offset, strides)
