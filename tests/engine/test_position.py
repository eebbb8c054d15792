"""Positions: counts of epochs and batches, from what a state says."""

from __future__ import annotations

import pytest

from batchup.engine.position import Position


@pytest.mark.parametrize(
    ("state", "said"),
    [
        ({"epoch": 1}, "should have an entry 'step'"),
        ({"epoch": -1, "step": 0}, "epoch should be an integer of at least 0, not -1"),
        ({"epoch": 1, "step": True}, "step should be an integer of at least 0, not True"),
    ],
)
def test_a_state_that_is_none_is_refused(state, said):
    """It says which entry."""
    with pytest.raises((ValueError, TypeError), match=said):
        Position.of_state(state)
