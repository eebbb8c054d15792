"""Rows of several arrays, gathered by their addresses."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchup.storage.addresses import MOST_BYTES, first_byte, gathered


@given(st.data())
def test_rows_of_several_arrays(data):
    """Any rows, in any order, are those that indexing gives."""
    row_bytes, rows = data.draw(st.integers(1, 40)), data.draw(st.integers(1, 5))
    rng = np.random.default_rng(data.draw(st.integers(0, 9)))
    arrays = [rng.integers(0, 256, (rows, row_bytes), np.uint8) for _ in range(data.draw(st.integers(1, 4)))]
    picks = data.draw(st.lists(st.tuples(st.integers(0, len(arrays) - 1), st.integers(0, rows - 1)), max_size=9))

    places = np.array([first_byte(arrays[i]) + row * row_bytes for i, row in picks], np.intp)
    found = gathered(places, row_bytes)

    assert [arrays[i][row].tobytes() for i, row in picks] == [item.tobytes() for item in found]


@pytest.mark.parametrize(
    "array",
    [np.zeros((4, 2))[:, 0], np.zeros((2, 3)).T, np.array([None]), [1, 2], memoryview(b"12")],
    ids=["strided", "transposed", "objects", "a list", "a buffer"],
)
def test_what_has_no_rows_of_bytes(array):
    """Has no address."""
    assert 0 == first_byte(array)


@pytest.mark.parametrize("row_bytes", [0, MOST_BYTES + 1])
def test_rows_that_are_too_large_are_left_to_numpy(row_bytes):
    """Neither those without bytes, nor those for which there is no array that large."""
    assert gathered(np.array([1]), row_bytes) is None


def test_the_largest_rows():
    """Are still gathered."""
    array = np.arange(2 * MOST_BYTES, dtype=np.uint8).reshape(2, MOST_BYTES)

    assert array[1].tobytes() == gathered(np.array([first_byte(array) + MOST_BYTES]), MOST_BYTES).tobytes()
