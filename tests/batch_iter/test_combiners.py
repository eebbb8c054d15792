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
    """The batch has the structure of its items; items without a structure give a list."""
    assert expected == combine_batches(items)
    assert type(expected) is type(combine_batches(items))


def test_arrays():
    """Each part becomes an array that keeps its dtype."""
    xs, ys, names = combine_to_arrays([(np.zeros((2, 3), np.float32), 1, "a"), (np.ones((2, 3), np.float32), 2, "b")])

    assert ((2, 2, 3), np.float32) == (xs.shape, xs.dtype)
    assert [1, 2] == ys.tolist()
    assert ["a", "b"] == names.tolist()
    assert [1, 2] == combine_to_arrays([np.int64(1), np.int64(2)]).tolist()
    assert [0.0, 1.0] == combine_to_arrays([{"x": 0.0}, {"x": 1.0}])["x"].tolist()


def test_parts_of_one_shape_may_be_of_several_kinds():
    """NumPy scalars and Python numbers may be mixed, as after `random_apply`; so may lists and arrays."""
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
    """Items with different structures or shapes raise a ValueError; nothing is trimmed."""
    with pytest.raises(ValueError, match=match):
        combine_to_arrays(items)


sides = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=1, max_size=4)


@given(shapes=sides, ratio=st.sampled_from([0, 0.25, 0.5, 1]))
def test_padding_is_numpy_pad(shapes, ratio):
    """Arrays are padded to the largest shape; the share given by `ratio`, rounded down, goes before the array."""
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
    """A padding value may be one number, one per part, or a function of the array."""
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
    """A short sequence is for the last axes; the other axes are padded equally on both sides."""
    found = pad_batch_equal([np.ones((1, 1, 1)), np.ones((3, 3, 3))], 0, ratio=[1, 0])[0]

    assert [(1, 2, 0)] == list(zip(*np.nonzero(found), strict=True))


def test_types_in_common():
    """The common dtype holds all values."""
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
    """A padding value that the dtype cannot hold raises an error, as do wrong arguments."""
    with pytest.raises(ValueError, match=match):
        call()


def test_values_are_unchanged():
    """Bytes and text keep NULs at their end, large integers stay integers, and masks are kept, also in lists."""
    big = 2**63 + 1
    names, words, ids, pairs = combine_to_arrays([(b"a\0", "a\0", big, [b"\0", b""]), (b"bc", "bc", 5, [b"c", b"d"])])

    assert [b"a\0", b"bc"] == names.tolist()
    assert ["a\0", "bc"] == words.tolist()
    assert ([big, 5], np.uint64) == (ids.tolist(), ids.dtype)
    assert [[b"\0", b""], [b"c", b"d"]] == pairs.tolist()
    masked = np.ma.array([1, 2], mask=[False, True])
    for combine in (combine_to_arrays, combine_pad):
        assert [[1, None], [3, 4]] == combine([masked, np.array([3, 4])]).tolist()
    assert [[b"a\0", b"bc"], [b"", b"d"]] == pad_batch_equal([[b"a\0", b"bc"], [b"d"]], b"", ratio=1).tolist()


@pytest.mark.parametrize("combine", [combine_to_arrays, combine_pad])
@pytest.mark.parametrize(
    ("items", "match"),
    [
        (["cat", 3], r"'cat' \(str\) and 3 \(number\)"),
        ([True, 2], r"True \(bool\) and 2 \(number\)"),
        ([2**53 + 1, 0.5], "9007199254740993 .* and 0.5"),
        ([np.datetime64("2020"), np.datetime64("2020-01-01")], r"datetime64\[Y\].*datetime64\[D\]"),
    ],
)
def test_values_of_unlike_kinds_are_refused(combine, items, match):
    """The error names both; nothing is converted."""
    with pytest.raises(TypeError, match=match):
        combine([(item,) for item in items])


@pytest.mark.parametrize(
    ("arrays", "fill", "error", "match"),
    [
        ([np.array(["ab"]), np.array(["cd", "e"])], 0, ValueError, "padding value 0 does not fit arrays of <U2"),
        ([np.array(["ab"]), np.array(["cd", "e"])], "long", ValueError, "'long' does not fit"),
        ([np.ones(1), np.ones(2)], "0", ValueError, "'0' does not fit arrays of float64"),
        ([np.ones(1), np.ones(2)], 1j, ValueError, "1j does not fit arrays of float64"),
        ([np.array(["ab"]), np.array([1, 2])], 0, TypeError, r"'ab' \(str\) and 1 \(number\)"),
        ([np.ma.array([1], mask=[True]), np.ones(2)], 0, TypeError, r"not a MaskedArray; convert it, .*filled"),
    ],
)
def test_padding_that_would_change_values_is_an_error(arrays, fill, error, match):
    """Padding makes no text of numbers, cuts no text off, and loses no mask."""
    with pytest.raises(error, match=match):
        pad_batch_equal(arrays, fill)


def test_a_batch_does_not_share_memory_with_its_items():
    """Writing into a batch does not change its items."""
    item = np.zeros(3)
    for batch in [combine_to_arrays([item]), combine_pad([item]), pad_batch_equal([item, np.zeros(4)])]:
        batch[...] = 1

    assert not item.any()
