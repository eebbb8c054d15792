"""A pipe resumed from its state gives the batches that it would have given without an interruption."""

from __future__ import annotations

import itertools
import json

import numpy as np
import pytest

from batchup.batch_iter import (
    ExpirationPool,
    Infinite,
    Loky,
    Threads,
    items_of,
    load_by_random_id,
    random_apply,
    sample,
)

pytestmark = [pytest.mark.timeout(60), pytest.mark.usefixtures("kept_workers")]


def noisy(x, rng):
    return x + rng.random()


def pipe_of(n_workers=1, batch_size=3, source=None, seed=7, stage=Threads):
    source = sample(range(1000), random_state=5) if source is None else source
    stages = [random_apply(0.5, noisy), stage(noisy, n_workers=n_workers)]
    return Infinite(source, *stages, batch_size=batch_size, batches_per_epoch=8, seed=seed)


def stream(pipe, n):
    return np.array(list(itertools.islice(itertools.chain.from_iterable(iter(pipe, None)), n)))


SOURCES = {
    "sample": lambda: sample(range(1000), random_state=5),
    "sample by the seed of the pipe": lambda: sample(range(1000)),
    "weighted": lambda: sample(range(1000), weights=np.arange(1000), random_state=5),
    "loaded": lambda: load_by_random_id(float, ids=range(1000), random_state=5),
}


STEPS = [(name, step, Threads) for name in SOURCES for step in (0, 1, 8, 11)]


@pytest.mark.parametrize(
    ("name", "step", "stage"),
    [*STEPS, ("sample", 8, Loky), ("loaded", 8, Loky)],
    ids=lambda each: getattr(each, "__name__", each),
)
def test_a_run_is_its_head_and_the_run_resumed_there(name, step, stage):
    """This holds at any step, with another number of workers or in processes, and after a round trip through JSON."""
    source = SOURCES[name]
    with pipe_of(source=source()) as pipe:
        whole = stream(pipe, 20)
    with pipe_of(source=source(), n_workers=3) as pipe:
        head = list(stream(pipe, step))
        state = json.loads(json.dumps(pipe.state_dict()))
    with pipe_of(source=source(), n_workers=2, stage=stage) as pipe:
        pipe.load_state_dict(state)
        rest = stream(pipe, 20 - step)

    assert np.array_equal(whole, [*head, *rest])


def test_a_state_holds_for_another_batch_size():
    """Items are counted, so the stream of items continues."""
    with pipe_of() as pipe:
        whole = stream(pipe, 8).ravel()
        pipe.close()
        stream(pipe, 2)
        state = pipe.state_dict()
    with pipe_of(batch_size=2) as pipe:
        pipe.load_state_dict(state)

        assert np.array_equal(whole[6:], stream(pipe, 9).ravel())


def test_a_pipe_without_a_seed_draws_one_from_the_global_generator():
    """Runs differ, and `numpy.random.seed` decides about them; a pipe with a seed draws none."""

    def runs(seed):
        np.random.seed(0)
        with pipe_of(source=sample(range(1000)), seed=seed) as pipe:
            first = stream(pipe, 4)
            pipe.close()
            return first, stream(pipe, 4), np.random.random()

    (first, second, _), (again, other, _) = runs(None), runs(None)

    assert not np.array_equal(first, second)
    assert np.array_equal([first, second], [again, other])
    np.random.seed(0)
    assert np.random.random() == runs(7)[2]


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"items": 10**30}, "items of the state should be below"),
        ({"items": -1}, "items of the state should be an integer of at least 0, not -1"),
        ({"items": 1.5}, "items of the state should be an integer of at least 0, not 1.5"),
        ({"entropy": float("nan")}, "entropy of the state should be an integer of at least 0, not nan"),
        ({"entropy": {}}, "entropy of the state should be an integer"),
        ({"entropy": None}, "entropy of the state should be the seed of the run, not None: 12 items"),
        ({"source_seed": "5"}, "source_seed of the state should be an integer"),
    ],
)
def test_a_state_that_cannot_be_is_refused(change, error):
    """With the name of the entry. A pipe without a seed of its own takes any that can be."""
    pipe = pipe_of(seed=None)

    with pytest.raises((TypeError, ValueError), match=error):
        pipe.load_state_dict({"items": 12, "entropy": 7, "source_seed": 5, **change})
    with pytest.raises(TypeError, match="a state should be the dict that state_dict"):
        pipe.load_state_dict(5)


def test_what_was_drawn_before_is_not_loaded_again():
    """Resuming replays the random draws, and calls no loader for them."""
    loaded = []
    pipe = pipe_of(source=load_by_random_id(lambda i: loaded.append(i) or i, ids=range(1000), random_state=5))
    pipe.load_state_dict({"items": 3_000_000, "entropy": 7, "source_seed": 5})
    with pipe:
        next(pipe())

    assert 3 <= len(loaded) < 20
    assert np.random.RandomState(5).random_sample(3_000_001)[-1] * 1000 // 1 == loaded[0]


def test_a_state_counts_what_was_delivered():
    """Prefetched batches are not counted. `close` keeps the count."""
    pipe = pipe_of()
    assert 0 == pipe.state_dict()["items"]
    epoch = pipe()
    next(epoch)
    next(epoch)
    assert 6 == pipe.state_dict()["items"]
    pipe.close()
    assert 6 == pipe.state_dict()["items"]
    next(pipe())
    assert 3 == pipe.state_dict()["items"]
    pipe.close()


def test_a_state_holds_once():
    """After `close` a new call starts over, not at the loaded state."""
    with pipe_of() as pipe:
        first = stream(pipe, 2)
        pipe.load_state_dict(pipe.state_dict())
        then = stream(pipe, 2)
        pipe.close()

        assert np.array_equal(first, stream(pipe, 2))
        assert not np.array_equal(first, then)


def test_a_pipe_without_a_seed_has_its_entropy_in_its_state():
    """Only the source needs a seed."""
    with pipe_of(seed=None) as pipe:
        head = stream(pipe, 2)
        state = pipe.state_dict()
        whole = np.array([*head, *stream(pipe, 3)])
    with pipe_of(seed=None) as pipe:
        pipe.load_state_dict({**state, "items": 0})

        assert np.array_equal(whole, stream(pipe, 5))


@pytest.mark.parametrize(
    ("make", "error", "match"),
    [
        (lambda: pipe_of(source=range(9)), TypeError, "sample.. or load_by_random_id"),
        (lambda: pipe_of(source=items_of([np.arange(3)], shuffle=7)), TypeError, "not ItemsOf"),
        (lambda: pipe_of(batch_size=lambda batch, item: True), TypeError, "batch_size that is an int"),
        (lambda: pipe_of(source=sample(range(9)), seed=None), ValueError, "a pipe with a state needs a seed"),
        (lambda: pipe_of(source=sample(range(9), random_state=np.random.RandomState(1))), ValueError, "needs a seed"),
        (
            lambda: Infinite(sample("ab"), ExpirationPool(2, 2), batch_size=1, batches_per_epoch=1, seed=7),
            TypeError,
            "not ExpirationPool",
        ),
    ],
    ids=["source", "items of a source", "should_add", "no seed", "a generator", "iterator"],
)
def test_a_pipe_that_cannot_be_resumed_says_why(make, error, match):
    """When a state is taken, and when one is loaded."""
    pipe = make()
    with pytest.raises(error, match=match):
        pipe.state_dict()
    with pytest.raises(error, match=match):
        pipe.load_state_dict({"items": 0, "entropy": 7, "source_seed": None})


@pytest.mark.parametrize(
    ("state", "match"),
    [
        ({"entropy": 7, "source_seed": 5}, "an entry 'items'"),
        ({"items": -1, "entropy": 7, "source_seed": 5}, "items of the state should be"),
        ({"items": 3, "entropy": 8, "source_seed": 5}, "the same seeds, entropy=7, source_seed=5"),
        ({"items": 3, "entropy": 7, "source_seed": None}, "the same seeds"),
    ],
)
def test_a_state_of_another_pipe_is_refused(state, match):
    """A state with missing entries or other seeds raises a ValueError."""
    with pytest.raises(ValueError, match=match):
        pipe_of().load_state_dict(state)
