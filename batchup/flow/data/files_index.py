"""The names of files, or of folders, as ids; and their paths."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterable
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from .ids import id_array, id_list, joined_ids
from .index import DatasetIndex, _ids_of

__all__ = ["FilesIndex"]


class FilesIndex(DatasetIndex):
    """The names of files as ids, and their paths.

    Parameters
    ----------
    path : str, path or list of them
        Patterns, such as ``"scans/*/*.png"``; ``**`` matches any number of folders.
    dirs : bool, default False
        Index folders instead of files.
    no_ext : bool, default False
        Leave the extension out of the id.
    sort : bool, default False
        Sort by id. By default the files of each pattern are sorted by path.
    index, paths : optional
        Ids and their paths, instead of patterns: `paths` is a mapping from id to path, or a `FilesIndex`.

    Raises
    ------
    ValueError
        If two files have the same id, or no file is found.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> folder = pathlib.Path(tempfile.mkdtemp())
    >>> for name in ["b.txt", "a.txt"]:
    ...     _ = (folder / name).write_text("")
    >>> index = FilesIndex(path=folder / "*.txt", no_ext=True)
    >>> index.indices.tolist(), index.get_fullpath("b") == str(folder / "b.txt")
    (['a', 'b'], True)
    """

    dirs = False

    def build_index(
        self,
        index: Any = None,
        path: Any = None,
        paths: Any = None,
        *,
        dirs: bool = False,
        no_ext: bool = False,
        sort: bool = False,
    ) -> Any:
        if path is None and paths is None and not isinstance(index, FilesIndex):
            index, path = None, index  # FilesIndex("scans/*.png")
        if path is not None:
            self.dirs = dirs
            self.paths = _found(path, dirs, no_ext)
            return np.array(sorted(self.paths) if sort else list(self.paths))
        source = index if paths is None else paths
        self.dirs = getattr(source, "dirs", dirs)
        known = source.paths if isinstance(source, FilesIndex) else dict(source)
        ids = id_array(list(known) if index is None else _ids_of(index))
        self.paths = {str(each): str(known[each]) for each in id_list(ids)}
        return ids

    def get_fullpath(self, key: object) -> str:
        """The path of an item.

        Raises
        ------
        KeyError
            If there is no such id.
        """
        try:
            return self.paths[str(key)]
        except KeyError:
            self.get_pos(key)  # its error lists the ids
            raise

    def _subset(self, ids: npt.NDArray[Any]) -> Self:
        subset = super()._subset(ids)
        subset.paths = {key: self.paths[key] for key in map(str, id_list(ids))}
        return subset

    def __add__(self, other: DatasetIndex) -> Self:
        if not isinstance(other, FilesIndex):
            return NotImplemented
        for key in self.paths.keys() & other.paths.keys():
            raise ValueError(_clash(key, self.paths[key], other.paths[key]))
        joined = self._subset(self.indices)
        joined._indices = joined_ids([self.indices, other.indices])
        joined.paths = {**self.paths, **other.paths}
        return joined


def _found(patterns: Any, dirs: bool, no_ext: bool) -> dict[str, str]:
    given: Iterable[Any] = [patterns] if isinstance(patterns, (str, os.PathLike)) else patterns
    asked = [os.fspath(each) for each in given]
    paths: dict[str, str] = {}
    for pattern in asked:
        for path in sorted(glob.glob(pattern, recursive=True)):
            path = path.rstrip(os.sep) or path
            if not (os.path.isdir(path) if dirs else os.path.isfile(path)):
                continue
            name = os.path.basename(path)
            key = os.path.splitext(name)[0] if no_ext and not dirs else name
            if paths.setdefault(key, path) != path:
                raise ValueError(_clash(key, paths[key], path))
    if not paths:
        raise ValueError(f"{', '.join(asked)} should match {'folders' if dirs else 'files'}, but there are none")
    return paths


def _clash(key: str, one: str, other: str) -> str:
    return f"each file should have an id of its own, but {one} and {other} would both be {key!r}"
