"""Labels of any kind as numbers: integers, strings, categories, or any hashable values."""

from __future__ import annotations

import contextlib
from collections.abc import Hashable, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ..engine.checks import INTEGERS, Indices

__all__ = ["Classes", "class_index", "classes_of", "label_array"]


class Classes(NamedTuple):
    """The class of each sample, by number.

    Attributes
    ----------
    codes : ndarray of int, 1-D
        The number of the class of each sample.
    names : list
        The classes that occur, sorted where they can be.
    """

    codes: npt.NDArray[Any]
    names: list[Any]

    def members(self) -> list[Indices]:
        """The samples of each class, in rising order.

        >>> classes_of(["b", "a", "b"]).members()
        [array([1]), array([0, 2])]
        """
        order = self.codes.argsort(kind="stable")
        counts = np.bincount(self.codes, minlength=len(self.names))
        return np.split(order, counts.cumsum()[:-1])


def classes_of(y: Any, name: str = "y") -> Classes:
    """The classes of labels of any kind.

    Parameters
    ----------
    y : array-like, 1-D
        Integers, strings, a pandas categorical, or any hashable values.
    name : str
        What an error calls them.

    Raises
    ------
    ValueError
        If `y` is not one-dimensional, is empty, or has a missing label.

    Examples
    --------
    >>> classes_of(["cat", "dog", "cat"])
    Classes(codes=array([0, 1, 0], dtype=uint16), names=['cat', 'dog'])
    """
    category = getattr(y, "cat", y)  # of a pandas column
    if hasattr(category, "codes") and hasattr(category, "categories"):
        return _of_categories(category, name)
    labels = label_array(y)
    if labels.ndim != 1 or labels.dtype.kind not in "iubUSO" or len(labels) == 0:
        raise ValueError(
            f"{name} should be 1-D, with the class of each sample: integers, strings, …, not {y!r}{_remedy(labels)}"
        )
    if labels.dtype.kind == "O":
        return _of_objects(labels, name)
    names, codes = _unique(labels)
    return Classes(_compact(codes, len(names)), names.tolist())


def _remedy(labels: npt.NDArray[Any]) -> str:
    if labels.ndim == 2 and labels.dtype.kind in "iubf":
        return "; if its rows are one-hot, take y.argmax(axis=1)"
    return "; if these are whole numbers, take y.astype(int)" if labels.dtype.kind == "f" and labels.size else ""


def class_index(classes: Classes, what: Hashable, name: str) -> int:
    """The number of a class, which should occur."""
    try:
        return classes.names.index(what)
    except ValueError:
        known = ", ".join(map(repr, classes.names[:9])) + (", …" if len(classes.names) > 9 else "")
        raise ValueError(f"{name} should be of classes that occur in y ({known}), not of {what!r}") from None


def _unique(labels: npt.NDArray[Any]) -> tuple[npt.NDArray[Any], Indices]:
    """As `numpy.unique`, without sorting where the labels are integers that lie close together."""
    if labels.dtype.kind in "iu":
        least, most = int(labels.min()), int(labels.max())
        if most - least <= len(labels) + 1000:
            shifted = (labels - labels.dtype.type(least)).view(f"u{labels.dtype.itemsize}").astype(np.intp)
            occurs = np.bincount(shifted) > 0
            return np.flatnonzero(occurs) + least, (occurs.cumsum() - 1)[shifted]
    names, codes = np.unique(labels, return_inverse=True)
    return names, codes


def _of_categories(y: Any, name: str) -> Classes:
    codes = np.asarray(y.codes)
    if len(codes) == 0:
        raise ValueError(f"{name} should have the class of each sample, but it is empty")
    if codes.min() < 0:
        raise ValueError(f"{name} should be labels, one for each sample; at index {int(codes.argmin())} it is missing")
    occurring, codes = _unique(codes.astype(np.intp))
    categories = list(y.categories)
    return Classes(_compact(codes, len(occurring)), [categories[i] for i in occurring.tolist()])


def _of_objects(labels: npt.NDArray[Any], name: str) -> Classes:
    for i, label in enumerate(labels):
        if label != label or label is None:
            raise ValueError(f"{name} should be labels, one for each sample; at index {i} it is {label!r}")
    try:
        names = list(dict.fromkeys(labels))
    except TypeError as error:
        raise ValueError(f"{name} should be integers, strings or other hashable values, but {error}") from None
    with contextlib.suppress(TypeError):  # of different kinds: they stay in the order in which they come
        names.sort()
    numbers = {each: i for i, each in enumerate(names)}
    return Classes(_compact(np.fromiter((numbers[each] for each in labels), np.intp, len(labels)), len(names)), names)


def label_array(y: Any) -> npt.NDArray[Any]:
    """An array of labels. NumPy would make strings of a list of strings and numbers, and two axes of tuples."""
    if isinstance(y, (list, tuple)) and _are_mixed(y):
        labels = np.empty(len(y), object)
        labels[:] = y
        return labels
    array = np.asarray(y)
    return np.asarray(array.tolist()) if array.dtype.kind == "T" else array  # NumPy's strings of any length


def _are_mixed(y: Sequence[Any]) -> bool:
    """Whether these labels are tuples, or of several kinds."""
    kinds = {int if issubclass(kind, INTEGERS) else kind for kind in set(map(type, y))}
    return len(kinds) > 1 or kinds == {tuple}


def _compact(codes: npt.NDArray[Any], n: int) -> npt.NDArray[Any]:
    """Codes of two bytes where they fit, which NumPy sorts in linear time."""
    return codes.astype(np.uint16 if n <= 1 << 16 else np.intp)
