"""Batches are trees: tuples and mappings are branches, everything else is a leaf (a list is a leaf)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeAlias

Tree: TypeAlias = Any
Batch: TypeAlias = Any  # a tuple of arrays (or of whatever the data gives), possibly nested
Pick: TypeAlias = Any  # an index array, a tuple of picks, or a ChoiceBatch

__all__ = [
    "Batch",
    "Pick",
    "Tree",
    "even",
    "is_mapping",
    "join",
    "leaf_length",
    "leaves",
    "length",
    "map_leaves",
    "trim",
]


def is_mapping(tree: Tree) -> bool:
    return isinstance(tree, dict) or (type(tree).__module__ != "numpy" and isinstance(tree, Mapping))


def map_leaves(fn: Callable[..., Any], tree: Tree, *others: Tree) -> Tree:
    """The same tree with `fn` of each leaf, and of the leaves at the same position in `others`.

    >>> map_leaves(len, {"image": [1, 2], "boxes": ([3], [])})
    {'image': 2, 'boxes': (1, 0)}
    """
    if is_mapping(tree):
        return {key: map_leaves(fn, tree[key], *(other[key] for other in others)) for key in tree}
    if isinstance(tree, tuple):
        parts = [map_leaves(fn, *each) for each in zip(tree, *others, strict=True)]
        return type(tree)(*parts) if hasattr(tree, "_fields") else tuple(parts)
    return fn(tree, *others)


def leaves(tree: Tree) -> Iterator[Any]:
    """The leaves, from left to right.

    >>> list(leaves((1, {"a": 2, "b": (3,)})))
    [1, 2, 3]
    """
    if isinstance(tree, tuple) or is_mapping(tree):
        for branch in tree if isinstance(tree, tuple) else tree.values():
            yield from leaves(branch)
    else:
        yield tree


def length(tree: Tree) -> int:
    """The number of samples: the length of the first leaf.

    >>> length((([1, 2, 3], [4, 5, 6]), [7, 8, 9]))
    3
    """
    for leaf in leaves(tree):
        return leaf_length(leaf)
    raise IndexError("an empty batch has no length")


def leaf_length(leaf: Any) -> int:
    """The length of a leaf. If ``len`` fails, as for sparse matrices, that is the length of its first axis.

    >>> leaf_length([7, 8])
    2
    """
    try:
        return len(leaf)
    except TypeError:
        shape = getattr(leaf, "shape", None)
        if shape == ():
            kind = f"a 0-d {type(leaf).__name__}"
            raise TypeError(f"an array of samples should have an axis for the samples, but {kind} has none") from None
        if not isinstance(shape, tuple):
            raise
        return int(shape[0])


def _has_length(leaf: Any) -> bool:
    shape = getattr(leaf, "shape", None)
    return shape != () if isinstance(shape, tuple) else hasattr(leaf, "__len__")


def trim(tree: Tree, n: int) -> Tree:
    """The first `n` samples. A leaf without a length, such as a scalar, stays as it is.

    >>> trim(([1, 2, 3], ([4, 5, 6],)), 2)
    ([1, 2], ([4, 5],))
    """
    return map_leaves(lambda leaf: leaf[:n] if _has_length(leaf) else leaf, tree)


def even(trees: Sequence[Tree]) -> tuple[Tree, ...]:
    """Parallel batches, cut to the length of the shortest.

    >>> even((([1, 2, 3],), ([4, 5],)))
    (([1, 2],), ([4, 5],))
    """
    lengths = [length(tree) for tree in trees]
    shortest = min(lengths)
    return tuple(tree if n == shortest else trim(tree, shortest) for tree, n in zip(trees, lengths, strict=True))


def join(trees: Sequence[Tree]) -> Tree:
    """The fields of parallel batches in one tuple, or in one dict if all of them are dicts. Inner levels stay.

    >>> join((([1], ([2],)), ([3],)))
    ([1], ([2],), [3])
    >>> join(({"image": [1]}, {"label": [2]}))
    {'image': [1], 'label': [2]}
    """
    if trees and all(map(is_mapping, trees)):
        fields = [field for tree in trees for field in tree.items()]
        names = [name for name, _ in fields]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(
                    f"the sources of a composite should have fields of different names, but two have {name!r}"
                )
        return dict(fields)
    return tuple(field for tree in trees for field in (tree if isinstance(tree, tuple) else (tree,)))
