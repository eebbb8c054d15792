"""Items are combined into batches."""

from __future__ import annotations

from collections import namedtuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchup.batch_iter import combine_batches, combine_pad, combine_to_arrays, pad_batch_equal

Pair = namedtuple("Pair", "x y")


@pytest.mark.parametrize(
    ("items", "expected"),
    [
        ([(1, "a"), (2, "b")], ([1, 2], ["a", "b"])),
        ([[1, "a"], [2, "b"]], ([1, 2], ["a", "b"])),
        ([(1,), (2,)], ([1, 2],)),
        ([{"x": 1}, {"x": 2}], {"x": [1, 2]}),
        ([1, 2], [1, 2]),
        ([Pair(1, 2), Pair(3, 4)], Pair([1, 3], [2, 4])),
    ],
    ids=repr,
)
def test_parts_go_together_with_their_like(items, expected):
    """As the items are, so is the batch; a single part needs no tuple."""
    assert expected == combine_batches(items)
    assert type(expected) is type(combine_batches(items))


def test_arrays():
    """Of each part, its type kept."""
    xs, ys, names = combine_to_arrays([(np.zeros((2, 3), np.float32), 1, "a"), (np.ones((2, 3), np.float32), 2, "b")])

    assert ((2, 2, 3), np.float32) == (xs.shape, xs.dtype)
    assert [1, 2] == ys.tolist()
    assert ["a", "b"] == names.tolist()
    assert [1, 2] == combine_to_arrays([np.int64(1), np.int64(2)]).tolist()
    assert [0.0, 1.0] == combine_to_arrays([{"x": 0.0}, {"x": 1.0}])["x"].tolist()


def test_parts_of_one_shape_may_be_of_several_kinds():
    """As behind `random_apply`, where a number is now and then one of NumPy's; or a list beside an array."""
    xs, ys = combine_to_arrays([(np.zeros(2), np.int64(1)), ([1.0, 2.0], 2)])

    assert [[0, 0], [1, 2]] == xs.tolist()
    assert [1, 2] == ys.tolist()
    assert [[1, 2], [3, 4]] == pad_batch_equal([[1, 2], np.array([3, 4])]).tolist()


@pytest.mark.parametrize(
    ("items", "match"),
    [
        ([(1, 2), (1,)], "number of parts, not 2 and 1"),
        ([{"x": 1}, {"y": 1}], "the same keys"),
        ([(np.zeros(2),), (np.zeros(3),)], r"one shape, not \(2,\), \(3,\); combiner=combine_pad"),
        ([([1, 2],), ([1],)], "combiner=combine_pad"),
        ([([1, 2],), (np.ones(1),)], r"one shape, not \(2,\), \(1,\)"),
        ([(np.zeros(2),), (1,)], r"one shape, not \(2,\), \(\)"),
    ],
    ids=str,
)
def test_items_that_make_no_batch_are_an_error(items, match):
    """None is cut, none left out."""
    with pytest.raises(ValueError, match=match):
        combine_to_arrays(items)


sides = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=1, max_size=4)


@given(shapes=sides, ratio=st.sampled_from([0, 0.25, 0.5, 1]))
def test_padding_is_numpy_pad(shapes, ratio):
    """To the largest of the shapes; the ratio of it, rounded down, goes before."""
    arrays = [np.full(shape, i + 1) for i, shape in enumerate(shapes)]
    largest = np.max(shapes, axis=0)

    def padded(array):
        missing = largest - array.shape
        before = (missing * ratio).astype(int)
        return np.pad(array, np.stack([before, missing - before], 1), constant_values=-7)

    expected = np.stack([padded(array) for array in arrays])
    assert np.array_equal(expected, pad_batch_equal(arrays, -7, ratio))
    assert np.array_equal(expected, combine_pad([(array,) for array in arrays], -7, ratio)[0])


def test_labels_are_not_padded():
    """Numbers have no axis to pad."""
    xs, ys = combine_pad([(np.ones(2), 3), (np.ones(1), 4)])

    assert [[1, 1], [0, 1]] == xs.tolist() or [[1, 1], [1, 0]] == xs.tolist()
    assert [3, 4] == ys.tolist()


def test_padding_values():
    """One for all parts, one for each, or what a function says for an array."""
    items = [(np.array([5, 3]), np.array([0.5])), (np.array([4]), np.array([0.5, 0.25]))]

    assert [[5, 3], [4, -1]] == combine_pad(items, -1, ratio=0)[0].tolist()
    ints, floats = combine_pad(items, [-1, np.nan], ratio=0)
    assert [[5, 3], [4, -1]] == ints.tolist()
    assert np.isnan(floats[0, 1])
    assert [[5, 3], [4, 4]] == combine_pad(items, np.min, ratio=0)[0].tolist()
    assert [[0.5, 0.5], [0.5, 0.25]] == combine_pad(items, (0, np.max), ratio=0)[1].tolist()
    named = [{"x": np.array([1]), "y": np.array([1])}, {"x": np.array([1, 2]), "y": np.array([1, 2])}]
    assert [[1, 8], [1, 2]] == combine_pad(named, {"x": 8, "y": 9}, ratio=0)["x"].tolist()
    assert [[1, 9], [1, 2]] == combine_pad(named, {"x": 8, "y": 9}, ratio=0)["y"].tolist()


def test_a_ratio_for_each_axis():
    """Of the last ones; the others have half of it on each side."""
    found = pad_batch_equal([np.ones((1, 1, 1)), np.ones((3, 3, 3))], 0, ratio=[1, 0])[0]

    assert [(1, 2, 0)] == list(zip(*np.nonzero(found), strict=True))


def test_types_in_common():
    """No number is lost."""
    assert np.float64 == pad_batch_equal([np.ones(2, np.float32), np.ones(1, np.int64)]).dtype


@pytest.mark.parametrize(
    ("call", "match"),
    [
        (lambda: combine_pad([(np.ones(2, int),), (np.ones(3, int),)], 0.5), "padding value 0.5 does not fit"),
        (lambda: combine_pad([(np.ones(2, int),), (np.ones(3, int),)], np.nan), "does not fit"),
        (lambda: combine_pad([(np.ones(2, np.uint8),), (np.ones(3, np.uint8),)], -1), "does not fit"),
        (lambda: combine_pad([(np.array([1, 2]),), (np.ones(3, int),)], np.mean), "1.5.* does not fit"),
        (lambda: combine_pad([(np.ones(2),), (np.ones((3, 1)),)]), "same number of dimensions"),
        (lambda: combine_pad([(np.ones(2),), (np.ones(3),)], [1, 2]), "one value, or 1, one for each part, not 2"),
        (lambda: combine_pad([(np.ones(2),), (np.ones(3),)], ratio=1.5), "ratio should be"),
        (lambda: combine_pad([(np.ones(2),), (np.ones(3),)], ratio=[0, 1]), "ratio should be"),
    ],
)
def test_padding_that_would_change_numbers_is_an_error(call, match):
    """Rather than a silent wrong batch."""
    with pytest.raises(ValueError, match=match):
        call()


def test_a_batch_does_not_share_memory_with_its_items():
    """Whoever writes into a batch changes no data."""
    item = np.zeros(3)
    for batch in [combine_to_arrays([item]), combine_pad([item]), pad_batch_equal([item, np.zeros(4)])]:
        batch[...] = 1

    assert not item.any()
