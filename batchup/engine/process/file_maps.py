"""Arrays that are mapped from files: a path and a place in the file stand for their data in another process."""

from __future__ import annotations

import bisect
import contextlib
import mmap
import os
import sys
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["FileMaps", "file_mapped", "in_a_file"]

MAPS, ENCODING = "/proc/self/maps", sys.getfilesystemencoding()


class FileMaps:
    """The files that this process has mapped, and what they are called by now, where the system says so (Linux)."""

    def __init__(self) -> None:
        self._files: list[tuple[int, int, str]] = []  # where in memory, the inode, the path
        with contextlib.suppress(OSError), open(MAPS, encoding=ENCODING, errors="surrogateescape") as maps:
            for line in maps:
                span, _, _, _, inode, *path = line.rstrip("\n").split(maxsplit=5)
                self._files.append((int(span.partition("-")[0], 16), int(inode), "".join(path)))

    def identity(self, path: str, address: int) -> tuple[int, int] | None:
        """Device and inode of the file at `path`; None if it is not the one that is mapped at `address`, or is gone."""
        try:
            there = os.stat(path)
        except OSError:
            return None
        here = bisect.bisect_right(self._files, address, key=lambda file: file[0]) - 1
        if here >= 0:
            _, inode, name = self._files[here]
            if inode != there.st_ino and name != os.path.realpath(path):  # layered file systems have two inodes a file
                return None
        return there.st_dev, there.st_ino


def in_a_file(array: npt.NDArray[Any], maps: FileMaps) -> tuple[Any, ...] | None:
    """The path and identity of the file that the array is mapped from, and where it lies there; None for any other
    array."""
    base: Any = array
    while isinstance(base, np.ndarray) and not isinstance(base, np.memmap):
        base = base.base
    file = getattr(base, "_mmap", None)
    if file is None or base.filename is None or base.mode == "c" or array.dtype.hasobject:
        return None  # in memory; or a private copy of a file's pages, which may have been written to
    first = np.frombuffer(file, np.uint8).__array_interface__["data"][0]
    in_map = array.__array_interface__["data"][0] - first
    in_file = in_map + base.offset - base.offset % mmap.ALLOCATIONGRANULARITY
    path = os.fspath(base.filename)
    identity = maps.identity(path, first)
    if identity is None:
        return None  # the path has come to be that of another file, or of none
    return path, identity, in_file, array.dtype, array.shape, array.strides


def file_mapped(
    path: str,
    identity: tuple[int, int],
    offset: int,
    dtype: np.dtype[Any],
    shape: tuple[int, ...],
    strides: tuple[int, ...],
) -> npt.NDArray[Any]:
    """An array that lies in a file, mapped read-only.

    Raises
    ------
    FileNotFoundError
        If the file at `path` is another one by now.
    """
    with open(path, "rb") as file:
        there = os.fstat(file.fileno())
        if (there.st_dev, there.st_ino) != identity:
            raise FileNotFoundError(f"{path} was replaced while a loop over it was under way; begin a new one")
        memory = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    return np.ndarray(shape, dtype, memory, offset, strides)
