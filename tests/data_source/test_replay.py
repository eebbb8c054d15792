"""The iterators of a source can be left and gone on with: with any shuffle, on any pool."""

from __future__ import annotations

import contextlib
import itertools
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchup.data_source import (
    ArrayDataSource,
    BatchIterator,
    CallableDataSource,
    ChoiceDataSource,
    CompositeDataSource,
    IteratorDataSource,
)
from batchup.sampling import WeightedSampler
from batchup.testing import batch_sizes, plain, shuffles, sources
from batchup.work_pool import WorkerThreadPool

pytestmark = pytest.mark.timeout(120)
SOME = 12  # batches, where there may be no end

SHUFFLES = {
    "in order": lambda: None,
    "False": lambda: False,
    "True": lambda: True,
    "int": lambda: 5,
    "numpy int": lambda: np.int64(5),
    "SeedSequence": lambda: np.random.SeedSequence(5),
    "SeedSequence of several": lambda: np.random.SeedSequence((1, 2)),
    "RandomState": lambda: np.random.RandomState(5),
    "PCG64": lambda: np.random.default_rng(5),
    "MT19937": lambda: np.random.Generator(np.random.MT19937(5)),
    "Philox": lambda: np.random.Generator(np.random.Philox(5)),
    "SFC64": lambda: np.random.Generator(np.random.SFC64(5)),
}


def arrays(n=20, **kwargs):
    return ArrayDataSource([np.arange(n)], **kwargs)


def with_noise(x, rng):
    return x, rng.random(len(x))


@pytest.fixture(scope="module")
def every_pool(two_processes):
    """None for the source itself, and pools."""
    with WorkerThreadPool(2) as threads:
        yield [None, threads, two_processes]


def iterator(ds, pool, batch_size, shuffle, depth=3):
    """The batches of one go through it."""
    source = ds if pool is None else pool.parallel_data_source(ds, depth)
    return source.batch_iterator(batch_size, shuffle=shuffle)


def some(batches, n=SOME):
    return [plain(batch) for batch in itertools.islice(batches, n)]


@pytest.mark.slow
@pytest.mark.parametrize("shuffle", SHUFFLES.values(), ids=SHUFFLES)
@pytest.mark.parametrize("noisy", [False, True])
def test_an_iterator_goes_on_on_every_pool(every_pool, shuffle, noisy):
    """Saved on one and loaded on any other: the exact next batch, and all behind it."""
    ds = arrays(repeats=2).random_map(with_noise) if noisy else arrays(repeats=2)
    for before in every_pool:
        np.random.seed(3)
        batches = iterator(ds, before, 3, shuffle())
        some(batches, 5)
        state = json.loads(json.dumps(batches.state_dict()))
        rest = some(batches)
        for after in every_pool:
            np.random.seed(4)
            again = iterator(ds, after, 3, shuffle())
            again.load_state_dict(state)

            assert rest == some(again)


@given(st.data(), batch_sizes(25), shuffles(in_order=False), st.integers(0, SOME), st.integers(1, 9))
def test_any_source_goes_on_anywhere(every_pool, data, batch_size, fresh, cut, depth):
    """At any batch, on any pool, with any source that fetches by index."""
    ds = data.draw(sources(weighted=True, random=True, batch_size=batch_size))
    before, after = (data.draw(st.sampled_from(every_pool)) for _ in range(2))
    with contextlib.closing(iterator(ds, before, batch_size, fresh(), depth)) as batches:
        head = some(batches, cut)
        state = json.loads(json.dumps(batches.state_dict()))
    with contextlib.closing(iterator(ds, after, batch_size, fresh(), depth)) as again:
        again.load_state_dict(state)
        tail = some(again, SOME - len(head))
        moved = again.state_dict()["step"]

    assert some(ds.batch_iterator(batch_size, shuffle=fresh())) == head + tail
    assert len(head + tail) == moved


def test_a_state_says_where_the_iterator_is():
    """Version, step, batch size, length, shuffle, and a fingerprint of the plan."""
    batches = arrays().batch_iterator(3, shuffle=5)
    next(batches)
    state = batches.state_dict()
    del state["plan"], state["batchup"]

    assert {"version": 1, "step": 1, "rng": None, "batch_size": 3, "length": 20, "shuffle": 5} == state


def test_batches_count_when_they_are_delivered(every_pool):
    """Those that a pool has ready do not."""
    for pool in every_pool:
        batches = iterator(arrays(), pool, 3, 5, depth=5)
        next(batches)

        assert 1 == batches.state_dict()["step"]


def test_a_batch_that_failed_is_over(every_pool):
    """The state behind an error has the batch behind it as the next one, as the loop has."""

    def failing(x):
        if 4 in x:
            raise ValueError("4 is bad")
        return (x,)

    for pool in every_pool:
        ds = arrays(8).map(failing)
        batches = iterator(ds, pool, 2, None)
        found = some(batches, 2)
        with pytest.raises(ValueError, match="4 is bad"):
            next(batches)
        again = iterator(ds, pool, 2, None)
        again.load_state_dict(batches.state_dict())

        assert [[0, 1], [2, 3], [6, 7]] == [x[2] for (x,) in found + some(again)]


# Generators that others use, too.


def test_two_iterators_may_share_a_generator():
    """Each knows from where its own order was drawn."""
    rng = np.random.RandomState(5)
    pair = [arrays().batch_iterator(3, shuffle=rng) for _ in range(2)]
    for batches in pair:
        next(batches)
    states = [batches.state_dict() for batches in pair]
    rest = [some(batches) for batches in pair]
    rng = np.random.RandomState(6)
    again = [arrays().batch_iterator(3, shuffle=rng) for _ in range(2)]
    for batches, state in zip(again, states, strict=True):
        batches.load_state_dict(state)

    assert rest == [some(batches) for batches in again]
    assert rest[0] != rest[1]


@pytest.mark.parametrize("cut", [0, 1, 3])
@pytest.mark.parametrize("ahead", [False, True], ids=["serial", "drawn ahead"])
def test_a_generator_may_be_set_back_behind_a_load(every_pool, cut, ahead):
    """A program that saves its generator itself finds the same order."""
    rng = np.random.RandomState(5)
    batches = iterator(arrays(), every_pool[1] if ahead else None, 3, rng)
    for _ in range(cut):
        next(batches)
    saved = batches.state_dict(), rng.get_state()
    rest, drawn = some(batches), rng.random_sample()
    other = np.random.RandomState(6)
    again = arrays().batch_iterator(3, shuffle=other)
    again.load_state_dict(saved[0])
    other.set_state(saved[1])

    assert rest == some(again)
    if cut or ahead:
        assert drawn == other.random_sample()


def test_a_generator_is_where_it_would_be():
    """The epochs behind the resumed one are the same, too."""
    rng, other = np.random.default_rng(5), np.random.default_rng(6)
    batches, again = (arrays().batch_iterator(3, shuffle=each) for each in (rng, other))
    next(batches)
    again.load_state_dict(batches.state_dict())
    list(batches)
    list(again)

    assert some(arrays().batch_iterator(3, shuffle=rng)) == some(arrays().batch_iterator(3, shuffle=other))


def test_noise_and_order_from_two_places_cannot_be_saved():
    """A random transform goes by where the generator was when the iterator was made: it says so."""
    rng = np.random.default_rng(5)
    batches = arrays().random_map(with_noise).batch_iterator(3, shuffle=rng)
    rng.random()
    next(batches)

    with pytest.raises(TypeError, match="its generator was used elsewhere between the making .* and its first batch"):
        batches.state_dict()


# States that do not fit.

MISFITS = {
    "batch_size": (arrays(), 4, 5, "batch_size 3, but here it is 4"),
    "length": (arrays(21), 3, 5, "length 20, but here it is 21"),
    "seed": (arrays(), 3, 6, "shuffle 5, but here it is 6"),
    "in order": (arrays(), 3, None, "shuffle 5, but here it is False"),
    "generator": (arrays(), 3, np.random.default_rng(5), r"shuffle 5, but here it is 'Generator\(PCG64\)'"),
    "RandomState": (arrays(), 3, np.random.RandomState(5), "shuffle 5, but here it is 'RandomState'"),
    "SeedSequence": (arrays(), 3, np.random.SeedSequence(5), r"shuffle 5, but here it is \{'entropy': 5"),
    "subset": (arrays(30, indices=range(20)), 3, 5, "a plan .* here it is "),
    "weights": (arrays(sampler=WeightedSampler(np.ones(20))), 3, 5, "length 20, but here it is None"),
    "composite": (CompositeDataSource([arrays()]), 3, 5, "a plan .* here it is "),
    "choice": (ChoiceDataSource([arrays()]), 3, 5, "a plan .* here it is "),
    "noise": (arrays().random_map(with_noise), 3, 5, "a plan .* here it is "),
}


@pytest.mark.parametrize(("ds", "batch_size", "shuffle", "said"), MISFITS.values(), ids=MISFITS)
def test_a_state_of_another_iterator_is_refused(every_pool, ds, batch_size, shuffle, said):
    """It names what differs, with both values; the iterator goes on where it was."""
    state = arrays().batch_iterator(3, shuffle=5).state_dict()
    for pool in every_pool[:2]:
        batches = iterator(ds, pool, batch_size, shuffle)
        with pytest.raises(ValueError, match=f"the state has {said}.*; make it with what the state was saved with"):
            batches.load_state_dict(state)
        assert 0 == batches.state_dict()["step"]


@pytest.mark.parametrize("kind", ["PCG64", "MT19937", "Philox"])
def test_the_kind_of_generator_is_part_of_the_state(kind):
    """The state of one cannot be set to another."""
    state = arrays().batch_iterator(3, shuffle=SHUFFLES["SFC64"]()).state_dict()

    with pytest.raises(ValueError, match=rf"shuffle 'Generator\(SFC64\)', but here it is 'Generator\({kind}\)'"):
        arrays().batch_iterator(3, shuffle=SHUFFLES[kind]()).load_state_dict(state)


@pytest.mark.parametrize("state", [None, "state", [1]])
def test_what_is_no_state_is_refused(state):
    """It says what it should be."""
    with pytest.raises(TypeError, match=r"a state should be the dict that state_dict\(\) gave"):
        arrays().batch_iterator(3).load_state_dict(state)


@pytest.mark.parametrize("name", ["version", "step", "rng", "batch_size", "length", "shuffle", "plan"])
def test_an_entry_that_is_missing_is_named(name):
    """And those that there are."""
    state = arrays().batch_iterator(3).state_dict()
    del state[name]

    with pytest.raises(ValueError, match=f"the state should have an entry '{name}'"):
        arrays().batch_iterator(3).load_state_dict(state)


def test_a_step_is_a_count():
    """A state that was written by hand."""
    state = arrays().batch_iterator(3).state_dict()

    with pytest.raises(ValueError, match="step of the state should be an integer of at least 0, not -1"):
        arrays().batch_iterator(3).load_state_dict({**state, "step": -1})


def counted(batch_size, shuffle=None):
    yield (np.arange(batch_size),)


@pytest.mark.parametrize(
    "ds",
    [
        CallableDataSource(counted),
        IteratorDataSource(iter([])),
        CallableDataSource(counted).map(lambda x: (x,)),
        CompositeDataSource([CallableDataSource(counted), arrays()]),
        ChoiceDataSource([CallableDataSource(counted), arrays()]),
    ],
    ids=["callable", "iterator", "map", "composite", "choice"],
)
def test_sources_that_cannot_replay_have_no_states(ds):
    """Their iterators are not those of a source that can."""
    batches = ds.batch_iterator(3)

    assert not hasattr(batches, "state_dict")


def test_a_plan_of_ones_own_cannot_be_drawn_again():
    """An iterator over picks has no state: it says why."""
    batches = BatchIterator(lambda pick: (pick,), iter([np.arange(3)]))

    for call in (batches.state_dict, lambda: batches.load_state_dict({})):
        with pytest.raises(TypeError, match="these batches come from a plan that cannot be replayed"):
            call()


@pytest.mark.parametrize(
    ("entries", "said"),
    [
        ({"step": 4}, "step of the state should be at most 3"),
        ({"step": 10**30}, "step of the state should be at most"),
        ({"step": -1}, "step of the state should be an integer of at least 0"),
        ({"rng": {}}, "rng of the state should be the state of a Generator"),
        ({"rng": None}, "rng of the state should be the state of a Generator"),
    ],
)
def test_a_state_of_an_iterator_that_cannot_be_is_refused(entries, said):
    """By the entry that is wrong."""
    batches = ArrayDataSource([np.arange(5)]).batch_iterator(2, shuffle=np.random.default_rng(0))

    with pytest.raises((TypeError, ValueError), match=said):
        batches.load_state_dict({**batches.state_dict(), **entries})
