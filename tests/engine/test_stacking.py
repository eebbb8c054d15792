"""Values that are stacked or concatenated keep their value and their kind, or there is an error."""

from __future__ import annotations

import contextlib
import datetime

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchup.engine.stacking import UnlikeKindsError, concatenate, object_array, stack

DAY, SECOND = np.datetime64("2020-01-01"), np.datetime64("2020-01-01T00:00:00")


class WithUnit(np.ndarray):
    """Arrays that know their unit, which `numpy.stack` drops."""


def kind_of(value):
    """The kind of a value, however it is stored: a number may be a NumPy scalar or a Python number."""
    if isinstance(value, (bool, np.bool_)):
        return "bool"
    if isinstance(value, (int, float, complex, np.number)) and not isinstance(value, np.timedelta64):
        return "number"
    if isinstance(value, (np.datetime64, np.timedelta64)):
        return type(value).__name__, None if np.isnat(value) else np.datetime_data(value.dtype)
    return next((kind for kind in (str, bytes) if isinstance(value, kind)), type(value))


def same(one, other):
    """Whether two values are equal, in value and kind."""
    if one is np.ma.masked or other is np.ma.masked:
        return one is other
    if kind_of(one) != kind_of(other):
        return False
    if kind_of(one) == "number":
        one, other = (x.item() if isinstance(x, np.generic) else x for x in (one, other))
    return bool(one == other) or bool(one != one and other != other)


numbers = st.one_of(
    st.integers(-(2**70), 2**70),
    st.sampled_from([2**53, 2**53 + 1, 2**63 - 1, 2**63, 2**64 - 1, -(2**63)]),
    st.floats(),
    st.complex_numbers(),
    st.integers(0, 2**64 - 1).map(np.uint64),
    st.integers(-(2**63), 2**63 - 1).map(np.int64),
    st.integers(-128, 127).map(np.int8),
    st.floats(width=32).map(np.float32),
)
words = st.one_of(
    st.text("a\0é", max_size=3),
    st.binary(max_size=3),
    st.text("a\0", max_size=3).map(np.str_),
    st.sampled_from([b"", b"a", b"a\0"]).map(np.bytes_),
)
moments = st.one_of(
    st.sampled_from([DAY, SECOND, np.datetime64("NaT", "D"), np.datetime64("2020", "Y"), np.datetime64(7, "ns")]),
    st.sampled_from([np.timedelta64(1, "D"), np.timedelta64(5, "s"), np.timedelta64("NaT", "D")]),
    st.sampled_from([datetime.date(2020, 1, 1), datetime.datetime(2020, 1, 1)]),
)
others = st.sampled_from([None, True, False, np.True_, np.ma.masked, 1 + 0j])
values = st.one_of(numbers, words, moments, others)
lists = st.one_of(*(st.lists(each, min_size=1, max_size=4) for each in (numbers, words, moments, values)))


@given(lists)
def test_each_value_of_a_stack_is_what_went_in(items):
    """In value and kind, for any values that `stack` accepts; else there is a `TypeError`."""
    with contextlib.suppress(UnlikeKindsError):
        found = stack(items)

        assert len(items) == len(found)
        assert all(same(item, found[i]) for i, item in enumerate(items)), (items, found)


@given(lists, st.integers(1, 3))
def test_each_value_of_a_concatenation_is_what_went_in(items, cut):
    """Also if the values come in two arrays, as from two batches."""
    with contextlib.suppress(UnlikeKindsError):
        parts = [stack(part) for part in (items[:cut], items[cut:]) if part]
        found = concatenate(parts)

        assert len(items) == len(found)
        assert all(same(item, found[i]) for i, item in enumerate(items)), (items, found)


@given(lists)
def test_each_item_of_an_array_of_objects_is_what_went_in(items):
    """NumPy's scalars of bytes and text, too."""
    assert all(same(item, found) for item, found in zip(items, object_array(items), strict=True))


@pytest.mark.parametrize(
    ("items", "one", "other"),
    [
        (["cat", 3], "'cat' (str)", "3 (number)"),
        ([True, 2], "True (bool)", "2 (number)"),
        ([b"cat", "cat"], "b'cat' (bytes)", "'cat' (str)"),
        ([b"cat", 3], "b'cat' (bytes)", "3 (number)"),
        ([["cat", 3], ["dog", 4]], "'cat' (str)", "3 (number)"),
        ([2**53 + 1, 2.5], "9007199254740993 (int64)", "2.5 (float64)"),
        ([np.uint64(2**64 - 1), 2.5], "18446744073709551615 (uint64)", "2.5 (float64)"),
        ([DAY, SECOND], "(datetime64[D])", "(datetime64[s])"),
        ([np.zeros(2, "M8[D]"), np.array([None, 1])], "(datetime)", "(object)"),
        ([np.zeros(1, "i4,i4"), np.zeros(1, "f4,f4")], "(0, 0)", "(0.0, 0.0)"),
    ],
)
def test_values_of_unlike_kinds_are_refused(items, one, other):
    """The error names both kinds, with a value of each."""
    with pytest.raises(TypeError, match="of one kind, not") as caught:
        stack(items)

    assert one in str(caught.value)
    assert other in str(caught.value)


@pytest.mark.parametrize(
    ("items", "dtype"),
    [
        ([2**63 + 1, 5], np.uint64),
        ([-1, 2**63 + 1], object),
        ([np.int64(5), np.uint64(2**63)], np.uint64),
        ([np.array([5]), np.array([7], np.uint64)], np.int64),
        ([1, 2.5], np.float64),
        ([np.float32(1), 2], np.float64),
        ([["a"], ["bc"]], "U2"),
        ([b"a", b"b"], object),
        ([np.array([b"a"]), np.array([b"bc"])], "S2"),
        ([np.zeros(1, ">i4"), np.zeros(1, "<i4")], np.int32),
        ([np.zeros(1, ">M8[D]"), np.zeros(1, "<M8[D]")], "M8[D]"),
        ([np.zeros(1, "i4,f4"), np.zeros(1, "i4,f4")], "i4,f4"),
        ([range(2), [3, 4]], np.int64),
        ([[], []], np.float64),
    ],
)
def test_the_type_of_a_stack(items, dtype):
    """The smallest common type of NumPy's that holds all values; objects if there is none."""
    assert np.dtype(dtype) == stack(items).dtype


def test_masks_are_kept():
    """In arrays, and for `numpy.ma.masked` itself, which takes the type of the other values."""
    x = np.ma.array([1, 2], mask=[False, True])

    assert [[1, None], [3, 4], [1, None]] == stack([x, np.array([3, 4]), x]).tolist()
    assert [1, None, 3, 4] == concatenate([x, np.array([3, 4])]).tolist()
    found = stack([7, x[1], np.int64(8)])
    assert ([7, None, 8], np.int64) == (found.tolist(), found.dtype)
    assert [None] == stack([np.ma.masked]).tolist()


def test_arrays_of_a_class_that_would_be_lost():
    """Arrays of a subclass are refused, unless NumPy's functions keep the class; a matrix is no more than its data."""
    x = np.arange(2).view(WithUnit)
    for join in (stack, concatenate):
        with pytest.raises(TypeError, match=r"plain arrays, not WithUnit.*numpy.asarray\(\)"):
            join([x, x])

    assert (2, 1, 2) == stack([np.ones((1, 2)).view(np.matrix)] * 2).shape


def test_values_of_several_shapes():
    """They make no array."""
    with pytest.raises(ValueError, match=r"one shape, not \(2,\), \(\)"):
        stack([[1, 2], 3])
