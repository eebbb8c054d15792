"""Checks return what they were given in one form, or say what is wrong with it."""

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchup.engine.checks import all_in_range, index_array, no_keywords, whole

HUGE = 2**70


@given(st.integers(-5, 5), st.integers())
def test_integers_of_at_least_the_least_pass(least, value):
    """As plain ints; smaller ones do not."""
    if value >= least:
        assert value == whole("n", value, least)
    else:
        with pytest.raises(ValueError, match=f"n should be an integer of at least {least}, not {value}"):
            whole("n", value, least)


@pytest.mark.parametrize("value", [3, np.int8(3), np.uint64(3), np.array(3)])
def test_anything_that_is_an_integer_to_python_passes(value):
    """And comes back as an int."""
    assert (3, int) == (whole("n", value), type(whole("n", value)))


@pytest.mark.parametrize("value", [True, np.True_, 3.0, np.float64(3), "3", None, [3], np.array([3, 4])])
def test_anything_else_does_not(value):
    """The message has the name and the value."""
    with pytest.raises(TypeError, match=f"n should be an integer of at least 1, not {re.escape(repr(value))}"):
        whole("n", value)


@given(st.lists(st.integers(0, 99), max_size=20), st.sampled_from(["i1", "u1", "i4", "u8", "i8"]))
def test_indices_come_back_as_intp(indices, dtype):
    """Whatever integer type they were of."""
    array = index_array("i", np.array(indices, dtype=dtype), below=100)

    assert (np.intp, 1, indices) == (array.dtype, array.ndim, array.tolist())


@pytest.mark.parametrize("indices", [[], (), np.array([]), [3, 1], (3, 1), range(3)])
def test_sequences_are_indices(indices):
    """Empty ones too, which are floats to NumPy."""
    assert list(indices) == index_array("i", indices).tolist()


def test_indices_are_not_copied():
    """An index array passes through as it is."""
    indices = np.arange(3)

    assert index_array("i", indices) is indices


@given(st.lists(st.integers(-10, 20), min_size=1, max_size=20), st.integers(0, 20))
def test_indices_out_of_range(indices, below):
    """One that is negative, or not below, is named."""
    if min(indices) < 0:
        expected = f"i should be 0 or more, not {min(indices)}"
    elif max(indices) >= below:
        expected = f"i should be below {below}, the number of samples, not {max(indices)}"
    else:
        assert indices == index_array("i", indices, below).tolist()
        return
    with pytest.raises(IndexError, match=f"^{expected}$"):
        index_array("i", indices, below)


@pytest.mark.parametrize(
    ("indices", "error", "said"),
    [
        ([True, False], TypeError, "numpy.flatnonzero"),
        ([0.0], TypeError, "not of float64"),
        (["a"], TypeError, "not of <U1"),
        ([None], TypeError, "not of object"),
        (3, IndexError, r"0-D of shape \(\)"),
        ([[1, 2]], IndexError, r"2-D of shape \(1, 2\)"),
        ([HUGE], TypeError, "object"),
    ],
)
def test_what_are_no_indices(indices, error, said):
    """The message says what they are instead."""
    with pytest.raises(error, match=said):
        index_array("i", indices)


def test_an_index_past_what_an_index_may_be_is_named_as_it_was_given():
    """A huge unsigned one does not wrap to a negative number."""
    with pytest.raises(IndexError, match=str(2**63 + 3)):
        index_array("i", np.array([2**63 + 3], dtype=np.uint64), below=10)


def test_no_keywords_are_no_error():
    """Nothing given, nothing refused."""
    assert no_keywords("f", {}, ["x"]) is None


def test_an_unknown_keyword_is_named_and_the_known_ones_are():
    """And a similar one is suggested."""
    with pytest.raises(TypeError, match=r"f\(\) does not take 'colour'; it takes size, shuffle"):
        no_keywords("f", {"colour": 1}, ["size", "shuffle"])
    with pytest.raises(TypeError, match=r"f\(\) does not take 'shufle'; did you mean 'shuffle'\?"):
        no_keywords("f", {"shufle": 1}, ["size", "shuffle"])


@given(st.lists(st.integers(-3, 12), min_size=1), st.integers(0, 10))
def test_indices_are_in_range_at_both_ends(indices, n):
    """Just if all of them are from 0 to n - 1."""
    assert all(0 <= index < n for index in indices) == all_in_range(np.array(indices, np.intp), n)
