"""SeedPath has an address, and `shuffle` may be several things."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from batchup.engine.rng import rng_at

seeds = st.integers(0, 2**64)
positions = st.lists(st.integers(0, 2**32 - 1), max_size=4)


def state(rng):
    return rng.bit_generator.state


@given(seeds, positions)
def test_an_address_always_gives_the_same_generator(seed, position):
    """However often it is asked for."""
    assert state(rng_at(seed, *position)) == state(rng_at(seed, *position))


@given(seeds, positions)
def test_an_address_is_a_spawn_key(seed, position):
    """`rng_at(seed, *position)` is NumPy's generator for that spawn key."""
    model = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=tuple(position)))

    assert state(model) == state(rng_at(seed, *position))


@given(seeds, positions)
def test_a_seed_sequence_is_the_seed_that_it_is_made_from(seed, position):
    """An int and its SeedSequence have the same generators."""
    assert state(rng_at(seed, *position)) == state(rng_at(np.random.SeedSequence(seed), *position))


def test_a_spawned_seed_sequence_has_addresses_of_its_own():
    """A position is counted from where the sequence was spawned."""
    child = np.random.SeedSequence(5).spawn(3)[2]

    assert state(rng_at(5, 2, 7)) == state(rng_at(child, 7))


def test_addresses_are_apart():
    """No two of many neighbouring addresses draw the same."""
    addresses = [(seed, *position) for seed in range(3) for position in [(), (0,), (1,), (0, 0), (0, 1), (1, 0)]]
    draws = {rng_at(*address).integers(2**63) for address in addresses}

    assert len(addresses) == len(draws)


def test_asking_for_a_generator_does_not_change_a_seed_sequence():
    """It can be asked for another position, in any order."""
    sequence = np.random.SeedSequence(5)
    forwards = [state(rng_at(sequence, epoch)) for epoch in range(3)]
    backwards = [state(rng_at(sequence, epoch)) for epoch in (2, 1, 0)]

    assert (forwards, 0) == (backwards[::-1], sequence.n_children_spawned)
