"""The plans of sources with members, side by side or in turns."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchup import AbstractDataSource, ArrayDataSource, ChoiceDataSource, CompositeDataSource, Loader


def arrays(n):
    return ArrayDataSource([np.arange(n)])


class Wrapper(AbstractDataSource):
    """Forwards the plan, and says nothing of unequal parts."""

    def __init__(self, ds):
        self.ds = ds

    def num_samples(self, **kwargs):
        return self.ds.num_samples(**kwargs)

    def plan(self, batch_size, **kwargs):
        return self.ds.plan(batch_size, **kwargs)

    def samples_by_indices_nomapping(self, indices):
        return self.ds.samples_by_indices_nomapping(indices)


def test_a_composite_refuses_to_trim_unequal_parts_behind_a_wrapper():
    """A wrapper does not have to say that its parts differ in length: its plan does."""
    unequal = CompositeDataSource([arrays(10), arrays(10)], trim=False, batch_sizes=[1, 3])
    ds = CompositeDataSource([Wrapper(unequal), arrays(10)])

    with pytest.raises(ValueError, match="trim should be False"):
        Loader(ds, 4)


@given(
    st.lists(st.integers(0, 12), min_size=1, max_size=3),
    st.integers(1, 5),
    st.sampled_from([CompositeDataSource, ChoiceDataSource]),
    st.booleans(),
)
def test_the_length_is_the_number_of_picks(sizes, batch_size, kind, shuffled):
    """Where it is known: an order of the members' turns that is drawn by weight ends anywhere."""
    plan = kind([arrays(n) for n in sizes]).plan(batch_size)
    n = plan.length(shuffled=shuffled)
    picks = list(itertools.islice(plan.picks(np.random.default_rng(0) if shuffled else None), 1000))

    assert n in (None, len(picks)) or (n == np.inf and len(picks) == 1000)
    assert kind is ChoiceDataSource or n is not None


@pytest.mark.parametrize("full", [False, True])
def test_a_short_pick_of_any_member_is_short(full):
    """In a composite that does not trim, and in a choice."""
    side_by_side = CompositeDataSource([arrays(8), arrays(8 if full else 7)], trim=False).plan(4)
    in_turns = ChoiceDataSource([arrays(8), arrays(8 if full else 7)]).plan(4)

    assert [False, not full] == [side_by_side.is_short(pick) for pick in side_by_side.picks()]
    assert (0 if full else 1) == sum(in_turns.is_short(pick) for pick in in_turns.picks(np.random.default_rng(0)))


def test_weights_go_to_the_one_member_that_takes_them():
    """With none, or several, the error says how many there are."""
    with pytest.raises(TypeError, match="it has none"):
        CompositeDataSource([arrays(3), arrays(3)]).plan(2).with_weights([1, 1, 1])
    one_sided = ChoiceDataSource([arrays(9), arrays(9)], weights=[0.5, 0.5]).plan(3).with_weights([1, 0])
    chosen = [pick.ds_index for pick in itertools.islice(one_sided.picks(np.random.default_rng(0)), 20)]

    assert {0} == set(chosen)
