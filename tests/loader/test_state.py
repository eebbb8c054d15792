"""The state of a run: small, plain, of the batches delivered, and refused where it does not fit."""

from __future__ import annotations

import contextlib
import itertools
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchup import ArrayDataSource, ChoiceDataSource, CompositeDataSource, Loader
from batchup.sampling import StandardSampler, SubsetSampler, WeightedSampler
from batchup.testing import batch_sizes, plain, sources
from batchup.work_pool import WorkerThreadPool


def arrays(n=10, **kwargs):
    return ArrayDataSource([np.arange(n)], **kwargs)


def with_noise(x, rng):
    return x, rng.random(len(x))


def other_noise(x, rng):
    return x, rng.random(len(x))


def rest_of(loader, state):
    loader.load_state_dict(json.loads(json.dumps(state)))
    return plain(list(loader))


@pytest.mark.slow
@given(
    st.data(),
    batch_sizes(25),
    st.none()
    | st.integers(0, 2**128 - 1)
    | st.builds(np.random.SeedSequence, st.integers(0, 2**128 - 1), spawn_key=st.tuples(st.integers(0, 2**32 - 1)))
    | st.builds(np.random.default_rng, st.integers(0, 99)),
)
def test_a_state_is_small_and_plain(data, batch_size, shuffle):
    """Under 500 bytes of JSON, which gives the same state back."""
    ds = data.draw(sources(weighted=shuffle is not None, random=True, batch_size=batch_size))
    shard = (10, 64) if isinstance(shuffle, (int, np.random.SeedSequence)) else None
    loader = Loader(ds, batch_size, shuffle=shuffle, shard=shard, remainder="uneven")
    next(iter(loader), None)
    state = loader.state_dict()

    assert state == json.loads(json.dumps(state))
    assert len(json.dumps(state)) < 500


def test_a_state_says_where_the_run_is():
    """Version, seed, epoch, step, batch size, shard, length, and a fingerprint of the rest."""
    loader = Loader(arrays(), 3, shuffle=5)
    list(loader)
    next(iter(loader))
    state = loader.state_dict()
    plan, _ = state.pop("plan"), state.pop("batchup")

    assert {
        "version": 1,
        "seed": 5,
        "epoch": 1,
        "step": 1,
        "shard": None,
        "batch_size": 3,
        "length": 10,
        "shuffle": True,
        "last": "keep",
        "remainder": "drop",
    } == state
    assert 16 == len(plan)


def test_batches_count_when_they_are_delivered():
    """Those that a pool has prepared ahead do not."""
    with Loader(arrays(), 1, pool=2, depth=8) as loader:
        loop = iter(loader)
        steps = [loader.state_dict()["step"]]
        for _ in itertools.islice(loop, 3):
            steps.append(loader.state_dict()["step"])

    assert [0, 1, 2, 3] == steps


def test_a_state_may_be_loaded_by_who_made_it():
    """The loop that was under way ends, and says why."""
    loader = Loader(arrays(), 3, shuffle=5)
    loop = iter(loader)
    next(loop)
    state = loader.state_dict()
    expected = plain(list(loop))

    assert expected == rest_of(loader, state)
    again = iter(loader)
    loader.load_state_dict(state)
    with pytest.raises(RuntimeError, match="this loop has ended: another one has begun since, or a state was loaded"):
        next(again)


def test_a_state_waits_for_its_first_batch():
    """A loop that is made and left before its first batch has not used the state up."""
    loader, other = (Loader(arrays(), 3, shuffle=5) for _ in range(2))
    next(iter(other))
    loader.load_state_dict(other.state_dict())
    iter(loader)

    assert plain([other.batch(0, step) for step in (1, 2, 3)]) == plain(list(loader))
    assert 1 == loader.epoch


def test_a_state_of_the_last_batch_has_nothing_left():
    """The loop over it is empty, and the next one is the next epoch."""
    loader, other = (Loader(arrays(), 3, shuffle=5) for _ in range(2))
    state = [loader.state_dict() for _ in loader][-1]
    other.load_state_dict(state)

    assert [(0, 4), [], (1, 0)] == [(other.epoch, other.step), list(other), (other.epoch, other.step)]
    assert plain(list(loader)) == plain(list(other))


@pytest.mark.parametrize("make", [np.random.default_rng, np.random.RandomState])
def test_the_seed_of_a_generator_is_in_the_state(make):
    """Another generator, or none that is the same, goes on with it."""
    loader, other = Loader(arrays(), 3, shuffle=make(1)), Loader(arrays(), 3, shuffle=make(2))
    loop = iter(loader)
    next(loop)
    state = loader.state_dict()

    assert plain(list(loop)) == rest_of(other, state)
    assert plain(list(loader)) == plain(list(other))


@pytest.mark.parametrize("seed", [3, (1, 2, 3), [4, 5], np.array([6, 7]), np.int64(8), 2**100], ids=repr)
def test_noise_goes_on_for_every_kind_of_seed_sequence(seed):
    """Whatever its entropy was given as."""

    def make():
        return Loader(arrays().random_map(with_noise), 3, shuffle=np.random.SeedSequence(seed, spawn_key=(1,)))

    loader = make()
    loop = iter(loader)
    next(loop)
    state = loader.state_dict()

    assert plain(list(loop)) == rest_of(make(), state)


def test_the_noise_of_an_epoch_in_order_goes_on():
    """Without a shuffle, a state has what it was drawn from."""
    np.random.seed(1)
    loader = Loader(arrays().random_map(with_noise), 3)
    loop = iter(loader)
    next(loop)
    state = loader.state_dict()
    np.random.seed(2)

    assert plain(list(loop)) == rest_of(Loader(arrays().random_map(with_noise), 3), state)


@pytest.mark.timeout(120)
@pytest.mark.slow
def test_pools_may_be_others(two_processes):
    """A state from threads goes on in processes, without a pool, and in other numbers, and the other way round."""
    source = arrays(40).random_map(with_noise)
    with WorkerThreadPool(3) as threads:
        pools = [None, threads, two_processes]
        found = []
        for before, after in itertools.product(pools, pools):
            loader = Loader(source, 3, shuffle=5, pool=before, depth=2)
            head = [plain(batch) for batch in itertools.islice(loader, 6)]
            found.append(head + rest_of(Loader(source, 3, shuffle=5, pool=after, depth=9), loader.state_dict()))

    assert [plain(list(Loader(source, 3, shuffle=5)))] * 9 == found


def test_an_error_costs_no_place():
    """The state behind a failed batch has that batch as the next one."""

    def failing(x):
        if fails and 3 in x:
            raise OSError("gone")
        return (x,)

    fails = True
    loader = Loader(arrays().map(failing), 3)
    loop = iter(loader)
    next(loop)
    with pytest.raises(OSError, match="gone"):
        next(loop)
    fails = False

    assert plain([(np.array(each),) for each in ([3, 4, 5], [6, 7, 8], [9])]) == rest_of(loader, loader.state_dict())


# States that do not fit.


def made(source=None, batch_size=3, **kwargs):
    return Loader(arrays() if source is None else source, batch_size, **{"shuffle": 5, **kwargs})


MISFITS = {
    "batch_size": ({}, {"batch_size": 4}, "batch_size 3, but here it is 4"),
    "length": ({}, {"source": arrays(11)}, "length 10, but here it is 11"),
    "no length": ({}, {"source": arrays(repeats=-1)}, "length 10, but here it is None"),
    "seed": ({}, {"shuffle": 6}, "seed 5, but here it is 6"),
    "seed sequence": ({}, {"shuffle": np.random.SeedSequence(5)}, r"seed 5, but here it is \{'entropy': 5"),
    "shuffle": ({}, {"shuffle": None}, "shuffle True, but here it is False"),
    "no shuffle": ({"shuffle": None}, {}, "shuffle False, but here it is True"),
    "last": ({}, {"last": "drop"}, "last 'keep', but here it is 'drop'"),
    "remainder": ({"remainder": "pad"}, {}, "remainder 'pad', but here it is 'drop'"),
}
PLANS = {
    "subset": arrays(20, indices=np.arange(10)),
    "other subset": arrays(20, indices=np.arange(10, 20)),
    "sampler": arrays(sampler=WeightedSampler(np.ones(10))),
    "other weights": arrays(sampler=WeightedSampler(np.arange(10))),
    "composite": CompositeDataSource([arrays(), arrays()]),
    "composite in parts": CompositeDataSource([arrays(), arrays(20)], batch_sizes=(1, 2)),
    "composite in other parts": CompositeDataSource([arrays(), arrays(20)], batch_sizes=(2, 1)),
    "choice": ChoiceDataSource([arrays(5), arrays(5)]),
    "choice in strata": ChoiceDataSource([arrays(5), arrays(5)], stratified=True),
    "choice by weight": ChoiceDataSource([arrays(5), arrays(5)], weights=[1, 1]),
    "choice by other weights": ChoiceDataSource([arrays(5), arrays(5)], weights=[1, 2]),
    "noise": arrays().random_map(with_noise),
    "other noise": arrays().random_map(other_noise),
    "noise with a seed": arrays().random_map(with_noise, seed=1),
    "noise with another seed": arrays().random_map(with_noise, seed=2),
}


@pytest.mark.parametrize(("saved", "here", "said"), MISFITS.values(), ids=MISFITS)
def test_a_state_of_another_run_is_refused(saved, here, said):
    """The error names what differs, has both values, and says what to do."""
    loader = made(**here)
    with pytest.raises(ValueError, match=f"the state has {said}.*; make it with what the state was saved with"):
        loader.load_state_dict(made(**saved).state_dict())

    assert (0, 0) == (loader.epoch, loader.step)


@pytest.mark.parametrize("name", PLANS)
def test_a_state_of_another_plan_is_refused(name):
    """Samplers, subsets, sources, weights, random transforms: every one of these has a fingerprint of its own."""
    state = made(PLANS[name]).state_dict()
    fitting = []
    for other, source in PLANS.items():
        with contextlib.suppress(ValueError):
            made(source).load_state_dict(state)
            fitting.append(other)

    assert [name] == fitting


def test_a_map_may_be_another():
    """The plan does not depend on it: a program may change its functions and go on."""
    state = made().state_dict()

    made(arrays().map(lambda x: (x, x))).load_state_dict(state)


@pytest.mark.parametrize(
    "sampler", [StandardSampler(10), SubsetSampler(np.arange(10)), SubsetSampler(np.arange(10), repeats=2)], ids=repr
)
def test_a_fingerprint_is_the_same_for_equal_samplers(sampler):
    """It goes by what a sampler holds, not by which object it is."""
    again = StandardSampler(10) if isinstance(sampler, StandardSampler) else SubsetSampler(range(10), sampler.repeats)

    made(arrays(sampler=again)).load_state_dict(made(arrays(sampler=sampler)).state_dict())


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (1, 2),
        (np.int64(1), np.int64(2)),
        (0.5, 0.25),
        ([1, 2], [1, 3]),
        ((1,), [1]),
        ("a", "b"),
        (np.arange(2), [0, 1]),
    ],
    ids=str,
)
def test_a_sampler_of_ones_own_has_a_fingerprint(one, other):
    """Of the plain values that it holds, in any form, and of arrays."""

    class Mine(StandardSampler):
        def __init__(self, held):
            super().__init__(10)
            self.held = held

    state = made(arrays(sampler=Mine(one))).state_dict()

    made(arrays(sampler=Mine(one))).load_state_dict(state)
    with pytest.raises(ValueError, match="a plan"):
        made(arrays(sampler=Mine(other))).load_state_dict(state)


@pytest.mark.parametrize(
    "name",
    ["version", "seed", "epoch", "step", "shard", "batch_size", "length", "shuffle", "last", "remainder", "plan"],
)
def test_an_entry_that_is_missing_is_named(name):
    """And those that there are."""
    state = made().state_dict()
    del state[name]

    with pytest.raises(ValueError, match=f"the state should have an entry '{name}'"):
        made().load_state_dict(state)


@pytest.mark.parametrize("state", [None, [], "state", 7])
def test_what_is_no_state_is_refused(state):
    """It says what it should be."""
    with pytest.raises(TypeError, match=r"a state should be the dict that state_dict\(\) gave, not "):
        made().load_state_dict(state)


@pytest.mark.parametrize(
    ("entries", "said"),
    [
        ({"version": 2}, "version 2, but here it is 1"),
        ({"step": -1}, "step should be an integer of at least 0, not -1"),
        ({"epoch": "two"}, "epoch should be an integer of at least 0, not 'two'"),
        ({"shard": "ab"}, r"shard should be \(rank, world_size\), .* not 'ab'"),
    ],
)
def test_an_entry_that_is_wrong_is_named(entries, said):
    """A state from a later version, or one that was written by hand."""
    with pytest.raises((ValueError, TypeError), match=said):
        made().load_state_dict({**made().state_dict(), **entries})


@pytest.mark.parametrize(
    ("entries", "said"),
    [
        ({"step": 4}, "step of the state should be at most 3"),
        ({"step": 10**30}, "step should be below"),
        ({"epoch": 10**30}, "epoch should be below"),
        ({"epoch": -1}, "epoch should be an integer of at least 0"),
        ({"step": True}, "step should be an integer"),
        ({"seed": {}}, "seed of the state should be an int, or have the entries entropy, spawn_key, pool_size"),
        ({"seed": {"entropy": float("nan"), "spawn_key": [], "pool_size": 4}}, r"seed\['entropy'\] of the state"),
        ({"seed": {"entropy": 7, "spawn_key": [-1], "pool_size": 4}}, r"seed\['spawn_key'\] of the state"),
        ({"seed": None}, "seed of the state should be an integer"),
        ({"seed": -7}, "seed of the state should be an integer of at least 0"),
    ],
)
def test_a_state_that_cannot_be_is_refused(entries, said):
    """By the entry that is wrong; the loader stays where it is."""
    loader = Loader(ArrayDataSource([np.arange(5)]), 2, shuffle=np.random.RandomState(0))
    state = loader.state_dict()

    with pytest.raises((TypeError, ValueError), match=said):
        loader.load_state_dict({**state, **entries})
    assert state == loader.state_dict()


def test_a_state_after_the_last_batch_can_be_loaded():
    """It was saved in the loop, when the last batch had come."""
    loader = Loader(ArrayDataSource([np.arange(5)]), 2, shuffle=7)
    states = [loader.state_dict() for _ in loader]
    loader.load_state_dict(states[-1])

    assert (0, 3) == (loader.epoch, loader.step)
    assert [] == list(loader)
    assert 3 == len(list(loader))
