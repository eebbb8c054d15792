"""Trees: tuples and dicts are branches, everything else is a leaf."""

from collections import UserDict
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchup.engine import tree
from batchup.testing import plain


class Pair(NamedTuple):
    left: object
    right: object


def trees(leaf):
    return st.recursive(
        leaf,
        lambda branch: st.one_of(
            st.lists(branch, min_size=1, max_size=3).map(tuple),
            st.dictionaries(st.text(max_size=2), branch, min_size=1, max_size=3),
            st.builds(Pair, branch, branch),
        ),
        max_leaves=6,
    )


lists = st.lists(st.integers(), max_size=5)


@given(trees(lists))
def test_mapping_the_identity_gives_an_equal_tree(batch):
    """Branches keep their kind, and leaves their place."""
    assert plain(batch) == plain(tree.map_leaves(lambda leaf: leaf, batch))


@given(trees(lists))
def test_leaves_come_in_the_order_in_which_they_are_mapped(batch):
    """From left to right."""
    seen = []
    tree.map_leaves(seen.append, batch)

    assert seen == list(tree.leaves(batch))


@given(trees(lists))
def test_length_is_that_of_the_first_leaf(batch):
    """However deep it lies."""
    assert len(next(tree.leaves(batch))) == tree.length(batch)


@given(trees(lists), st.integers(0, 6))
def test_trimming_cuts_every_leaf(batch, n):
    """The first `n` samples of each."""
    assert [leaf[:n] for leaf in tree.leaves(batch)] == list(tree.leaves(tree.trim(batch, n)))


def test_a_list_is_a_leaf():
    """Also a list of tuples."""
    assert [[(1, 2), (3, 4)]] == list(tree.leaves(([(1, 2), (3, 4)],)))


def test_named_tuples_stay_what_they_are():
    """A field is still there by its name."""
    mapped = tree.map_leaves(len, Pair([1, 2], ([3],)))

    assert Pair(2, (1,)) == mapped
    assert (Pair, 2) == (type(mapped), mapped.left)


def test_dicts_are_matched_by_key():
    """Whatever the order of their keys."""
    assert {"a": [1, 3], "b": [2, 4]} == tree.map_leaves(lambda x, y: [x, y], {"a": 1, "b": 2}, {"b": 4, "a": 3})


@pytest.mark.parametrize("other", [([1],), ([1], [2], [3])])
def test_trees_of_different_shape_are_not_mapped_together(other):
    """Nothing is left out in silence."""
    with pytest.raises(ValueError, match="argument 2"):
        tree.map_leaves(lambda x, y: x, ([1], [2]), other)


def test_scalars_are_not_trimmed():
    """A leaf without a length stays as it is."""
    assert ([1, 2], 7, {"k": 0.5}) == tree.trim(([1, 2, 3], 7, {"k": 0.5}), 2)


def test_an_empty_batch_has_no_length():
    """A tree without leaves is an error, not 0."""
    for empty in ((), {}, ((), {})):
        with pytest.raises(IndexError, match="no length"):
            tree.length(empty)


def test_even_cuts_to_the_shortest():
    """Whichever it is, and the shortest is handed on as it is."""
    short, long = (np.arange(2),), (np.arange(5), {"y": np.arange(5)})
    evened = tree.even((long, short))

    assert plain(((np.arange(2), {"y": np.arange(2)}), (np.arange(2),))) == plain(evened)
    assert evened[1] is short


@given(st.lists(lists, min_size=1, max_size=4))
def test_even_batches_are_of_one_length(batches):
    """The smallest of their lengths."""
    assert {min(map(len, batches))} == {tree.length(batch) for batch in tree.even([(batch,) for batch in batches])}


def test_join_opens_one_level():
    """Tuples of tuples keep their inner tuples, and what is no tuple is one field."""
    assert (1, (2, 3), 4, {"k": 5}, [6]) == tree.join(((1, (2, 3)), (4,), {"k": 5}, [6]))


class WithoutLen:
    """An array with a shape, of which ``len`` fails, as of sparse matrices or zarr arrays."""

    def __init__(self, array):
        self.array, self.shape = array, array.shape

    def __getitem__(self, index):
        return WithoutLen(self.array[index])


def test_the_first_axis_is_the_length_where_len_fails():
    """Such a leaf is trimmed like any other one."""
    batch = (WithoutLen(np.arange(6).reshape(3, 2)), np.arange(3))

    assert 3 == tree.length(batch)
    found, numbers = tree.trim(batch, 2)
    assert ([[0, 1], [2, 3]], [0, 1]) == (found.array.tolist(), numbers.tolist())


def test_sparse_matrices():
    """Their length is the number of rows; `len` of them is an error."""
    sparse = pytest.importorskip("scipy.sparse")
    batch = (sparse.csr_array(np.eye(3)),)

    assert 3 == tree.length(batch)
    assert (2, 3) == tree.trim(batch, 2)[0].shape


def test_an_array_without_axes_has_no_length():
    """It stays as it is when a batch is trimmed; as the first leaf, it is an error that says so."""
    assert np.array(5) == tree.trim((np.array(5),), 1)[0]
    with pytest.raises(TypeError, match="should have an axis for the samples, but a 0-d ndarray has none"):
        tree.length((np.array(5),))
    with pytest.raises(TypeError, match="no len"):
        tree.length((5,))


def test_mappings_of_any_class_are_branches():
    """Such as those that tokenizers return: they become dicts."""
    batch = ([7, 8, 9], UserDict(x=[1, 2, 3]))

    assert 3 == tree.length(batch[1:])
    assert ([7, 8], {"x": [1, 2]}) == tree.trim(batch, 2)
    assert {"x": [1], "y": [2]} == tree.join((UserDict(x=[1]), {"y": [2]}))
