"""SeedPath has an address, and `shuffle` may be several things."""

import random
import sys
import types

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchup.engine.global_rng import globals_kept, seed_globals
from batchup.engine.rng import rng_at
from batchup.engine.shuffle import as_rng

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


@pytest.mark.parametrize("shuffle", [None, False, np.False_])
def test_no_shuffle(shuffle):
    """The order is kept."""
    assert as_rng(shuffle) is None


@pytest.mark.parametrize("rng", [np.random.RandomState(0), np.random.default_rng(0)])
def test_generators_are_used_as_they_are(rng):
    """Not copied: they advance."""
    assert as_rng(rng) is rng


@pytest.mark.parametrize("shuffle", [True, np.True_, np.random])
def test_true_is_the_global_generator(shuffle):
    """The one behind `numpy.random.seed`, or what was given to `numpy.random` itself."""
    before = np.random.get_state()
    np.random.seed(12345)
    drawn = as_rng(shuffle).permutation(10)
    np.random.set_state(before)

    assert np.random.RandomState(12345).permutation(10).tolist() == drawn.tolist()


@pytest.mark.parametrize("seed", [0, 7, np.int32(7), 2**70])
def test_a_seed_is_its_epoch_0(seed):
    """An int, of Python or of NumPy, or a SeedSequence."""
    assert state(rng_at(int(seed), 0)) == state(as_rng(seed))
    assert state(rng_at(int(seed), 0)) == state(as_rng(np.random.SeedSequence(int(seed))))


@pytest.mark.parametrize(
    ("shuffle", "error", "said"),
    [(-1, ValueError, "0 or more, not -1"), ("yes", TypeError, "not 'yes'"), (1.5, TypeError, "not 1.5")],
)
def test_what_shuffle_may_not_be(shuffle, error, said):
    """The message says what was given."""
    with pytest.raises(error, match=said):
        as_rng(shuffle)


class OfTorch(random.Random):
    """What PyTorch's default generator can do."""

    manual_seed, get_state, set_state = random.Random.seed, random.Random.getstate, random.Random.setstate


def test_the_generator_of_pytorch_is_seeded_where_pytorch_is_there(monkeypatch):
    """By the place, as those of NumPy and Python are; and it is where it was after `globals_kept`."""
    torch = types.SimpleNamespace(default_generator=OfTorch(1))
    monkeypatch.setitem(sys.modules, "torch", torch)
    drawn = []
    with globals_kept():
        for place in [(0, 0), (0, 1), (0, 0)]:
            seed_globals(7, *place)
            drawn.append(torch.default_generator.random())

    assert drawn[0] == drawn[2] != drawn[1]
    assert random.Random(1).random() == torch.default_generator.random()


def test_pytorch_need_not_be_there(monkeypatch):
    """Nor need it be whole: it may be in the midst of its import."""
    for torch in [None, types.SimpleNamespace()]:
        monkeypatch.setitem(sys.modules, "torch", torch)
        with globals_kept():
            seed_globals(7, 0)
            drawn = random.random()
            seed_globals(7, 0)
            assert drawn == random.random()
