"""Positions: counts of epochs and batches, that go through JSON and back."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchup.engine.position import Position

counts = st.integers(0, 1 << 40)


@given(counts, counts)
def test_a_position_goes_through_json(epoch, step):
    """And comes back as it was."""
    here = Position(epoch, step)

    assert here == Position.of_state(json.loads(json.dumps(here.state())))


@given(counts, counts)
def test_positions_are_ordered_as_a_run_passes_them(epoch, step):
    """Each batch and each epoch leads on."""
    here = Position(epoch, step)

    assert here < here.after_batch() < here.after_epoch()


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
