"""Random numbers in a pipe depend on the seed, the stage and the item, and on nothing else."""

from __future__ import annotations

import functools
import itertools

import numpy as np
import pytest

from batchup.batch_iter import (
    ExpirationPool,
    Infinite,
    Iterator,
    Loky,
    Threads,
    buckets,
    load_by_random_id,
    multiply,
    random_apply,
    sample,
    sample_args,
)
from batchup.engine.rng import SeedPath

pytestmark = [pytest.mark.timeout(60), pytest.mark.usefixtures("kept_workers")]


def noisy(x, scale=1.0, rng=None):
    return x + scale * rng.random()


def shifted(x, by):
    return x + by


noises = {
    "a parameter": noisy,
    "random_apply": random_apply(0.5, shifted, 10),
    "nested": multiply(random_apply(0.7, noisy, scale=3.0)),
    "a sampler with rng": sample_args(shifted, lambda rng: rng.normal()),
    "numpy.random": sample_args(shifted, by=np.random.normal),
    "a part of numpy.random": sample_args(shifted, functools.partial(np.random.uniform, -3, 3)),
}


def batches(*stages, seed=7, source=None, **kwargs):
    source = ((n, -n) for n in range(1000)) if source is None else source
    options = {"batch_size": 5, "batches_per_epoch": 4, "combiner": np.array, "seed": seed, **kwargs}
    with Infinite(source, *stages, **options) as pipe:
        return np.array(list(pipe))


@pytest.mark.parametrize("noise", noises.values(), ids=noises)
def test_batches_do_not_depend_on_the_workers(noise):
    """One seed, one result: in the thread of the pipe, in one thread or several, in processes."""
    source = [np.array([float(n), -float(n)]) for n in range(100)]
    ways = [noise, Threads(noise), Threads(noise, n_workers=4), Loky(noise, n_workers=2)]
    found = [batches(way, source=source) for way in ways]

    assert not np.array_equal(found[0], np.array(source[:20]).reshape(4, 5, 2))
    for each in found[1:]:
        assert np.array_equal(found[0], each)


def test_what_processes_draw_from_the_global_generators_follows_from_the_seed():
    """Worker processes seed `numpy.random` and `random` for each item."""

    def legacy(x):
        import random

        return x + np.random.random() + random.random()

    one, two = (batches(Loky(legacy, n_workers=n), source=itertools.count()) for n in (1, 2))

    assert np.array_equal(one, two)
    assert 20 == len(np.unique(one % 1))


def test_each_item_and_each_stage_has_a_generator_of_its_own():
    """No two draws are equal, along the stream and across the stages."""

    def draw(_, rng):
        return rng.random()

    def drawn_again(x, rng):
        return x, rng.random()

    assert 40 == len(np.unique(batches(draw, drawn_again)))


def test_the_generator_of_an_item_has_a_seed_path():
    """``SeedPath(seed, (stage, item))``: any item can be made again, alone."""

    def draw(_, rng):
        return rng.random()

    got = batches(str, Threads(draw, n_workers=3)).ravel()

    assert [SeedPath(7, (2, n)).rng().random() for n in range(20)] == got.tolist()


def test_the_seed_decides():
    """Another seed gives other batches; without a seed, each run gives others."""

    def draw(_, rng):
        return rng.random()

    assert not np.array_equal(batches(draw, seed=7), batches(draw, seed=8))
    assert not np.array_equal(batches(draw, seed=None), batches(draw, seed=None))
    seeds = [np.random.SeedSequence(7), np.random.SeedSequence(7)]
    assert np.array_equal(*(batches(draw, seed=seed) for seed in seeds))


def test_the_seed_of_the_pipe_is_that_of_a_source_without_one():
    """``sample(data)`` follows the seed of the pipe, unless it has a seed of its own."""

    def drawn(seed, **kwargs):
        return batches(source=sample(range(1000), **kwargs), seed=seed)

    assert np.array_equal(drawn(7), drawn(7))
    assert not np.array_equal(drawn(7), drawn(8))
    assert not np.array_equal(drawn(None), drawn(None))
    assert np.array_equal(drawn(7, random_state=3), drawn(8, random_state=3))


def test_loaders_are_stage_0():
    """A loader with a parameter ``rng`` gets the generator of its item."""

    def load(_, rng):
        return rng.random()

    got = batches(source=load_by_random_id(load, ids=range(9), random_state=1)).ravel()

    assert [SeedPath(7, (0, n)).rng().random() for n in range(20)] == got.tolist()


@pytest.mark.parametrize(
    "stage",
    [ExpirationPool(8, 2), buckets(float, 5), Iterator(lambda items, rng: (x + rng.random() for x in items))],
    ids=["pool", "buckets", "own"],
)
def test_stages_over_the_iterator_follow_the_seed(stage):
    """The number of workers in the stages before them makes no difference."""

    def run(first, seed=7):
        return batches(first, stage, noisy, source=np.arange(100.0), seed=seed)

    assert np.array_equal(run(noisy), run(Threads(noisy)))
    assert np.array_equal(run(noisy), run(Threads(noisy, n_workers=4)))
    assert not np.array_equal(run(noisy), run(noisy, seed=8))


def test_a_combiner_gets_the_generator_of_its_batch():
    """The combiner counts as the stage after the last one."""

    def combine(items, rng):
        return [rng.random(), float(len(items))]

    got = batches(str, combiner=combine)

    assert [SeedPath(7, (2, n)).rng().random() for n in range(4)] == got[:, 0].tolist()


def test_a_generator_that_is_given_is_kept():
    """A generator that the user passes as ``rng=…`` is used as it is."""
    own = np.random.default_rng(3)
    got = batches(Threads(noisy, rng=own), source=itertools.repeat(0.0)).ravel()

    assert np.random.default_rng(3).random(20).tolist() == got.tolist()


def test_a_function_of_numpy_random_does_not_take_a_copy_of_the_generator_along():
    """As a stage it draws from the generator of the item, also in processes."""
    ways = [np.random.permutation, Threads(np.random.permutation), Loky(np.random.permutation, n_workers=2)]
    found = [batches(way, source=[range(9)] * 20) for way in ways]

    assert np.array_equal(found[0], found[1])
    assert np.array_equal(found[0], found[2])
    assert 20 == len({tuple(order) for batch in found[0].tolist() for order in batch})


def test_the_global_generator_is_left_alone():
    """A seeded pipe does not draw from ``numpy.random``, nor seed it."""
    np.random.seed(5)
    for noise in noises.values():
        batches(noise, source=[np.zeros(2)] * 50)

    assert np.random.RandomState(5).random_sample() == np.random.random_sample()
