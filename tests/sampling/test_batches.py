"""Cutting index orders into batches."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchup.sampling.batches import ascending, cut, repeated


@given(sizes=st.lists(st.integers(0, 9), max_size=6), batch_size=st.integers(1, 12))
def test_batches_are_slices_of_the_joined_orders(sizes, batch_size):
    """Each batch is the next `batch_size` indices of all orders, joined end to end."""
    orders = [np.arange(size) + 100 * i for i, size in enumerate(sizes)]
    joined = [int(index) for order in orders for index in order]

    expected = [joined[first : first + batch_size] for first in range(0, len(joined), batch_size)]
    assert expected == [batch.tolist() for batch in cut(orders, batch_size)]


def test_the_next_order_is_requested_when_a_batch_needs_it():
    """A shuffled pass draws its permutation as late as possible."""
    requested = []

    def orders():
        for i in range(3):
            requested.append(i)
            yield np.arange(4)

    batches = cut(orders(), 3)
    seen = []
    for _ in range(3):
        next(batches)
        seen.append(len(requested))

    assert [1, 2, 3] == seen


@pytest.mark.parametrize("batch_size", [1, 1000, 65536, 100_000])
def test_pieces_are_whole_batches(batch_size):
    """Only the last piece may have a short batch."""
    pieces = list(ascending(200_003, batch_size))

    assert np.array_equal(np.arange(200_003), np.concatenate(pieces))
    assert [0] * (len(pieces) - 1) == [len(piece) % batch_size for piece in pieces[:-1]]


def test_repeats():
    """As often as it says; -1 never ends."""
    assert [None] * 3 == list(repeated(3))
    assert [None] * 100 == [each for each, _ in zip(repeated(-1), range(100), strict=False)]
