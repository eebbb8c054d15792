"""Draws that go through all members in shuffled cycles."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchup.sampling.cycles import Cycles


@st.composite
def cycles(draw):
    """Any cycles, and a number of draws that spans several of them."""
    size = draw(st.integers(1, 40))
    count = draw(st.integers(1, size))
    key = draw(st.none() | st.integers(0, 2**63))
    return Cycles(size, count, key, (1, 2)), draw(st.integers(1, 5 * size // count + 1))


@given(cycles())
def test_each_member_comes_once_in_a_cycle(made):
    """Cycles follow each other without a gap, across the borders of draws."""
    of, n = made
    flat = of.draws(0, n).ravel()
    seen = np.bincount(flat, minlength=of.size)

    assert {n * of.count // of.size, -(-n * of.count // of.size)} >= set(seen.tolist())


@given(cycles())
def test_no_draw_has_a_member_twice(made):
    """Also where one cycle ends and the next begins within the draw."""
    of, n = made

    assert [of.count] * n == [len(set(draw)) for draw in of.draws(0, n).tolist()]


@given(cycles(), st.data())
def test_draws_do_not_depend_on_those_asked_for_before(made, data):
    """In any order, and by other objects."""
    of, n = made
    expected = of.draws(0, n)
    other = Cycles(of.size, of.count, of.key, of.path)
    for i in data.draw(st.permutations(range(n))):
        assert expected[i].tolist() == other.draws(i, i + 1)[0].tolist()


def test_cycles_have_orders_of_their_own():
    """One key gives another order in each cycle, and for each path."""
    orders = [Cycles(50, 50, 7, path).draws(0, 3).tolist() for path in [(0,), (1,)]]

    assert 6 == len({tuple(order) for of_path in orders for order in of_path})


@pytest.mark.parametrize("key", [None, 3])
def test_far_draws_are_at_hand(key):
    """Nothing is gone through that lies before, unless the cycles are shorter than two draws."""
    first = 10**12
    draw = Cycles(1000, 10, key, ()).draws(first, first + 100)

    assert list(range(1000)) == sorted(draw.ravel().tolist())
