"""Chance: what random transforms draw, and what functions draw from `numpy.random` in worker processes."""

from __future__ import annotations

import itertools
import os
import random

import numpy as np
import pytest

from batchup import ArrayDataSource, Loader
from batchup.testing import plain
from batchup.work_pool import WorkerProcessPool, WorkerThreadPool

pytestmark = pytest.mark.timeout(120)


def arrays(n=24):
    return ArrayDataSource([np.arange(n)])


def with_noise(x, rng):
    return x, rng.random(len(x))


def cropped(*batch, rng):
    return *batch, rng.integers(1000)


def global_noise(x):
    return x, np.random.random(3), np.array([random.random(), random.gauss(0, 1)])


@pytest.fixture(scope="module")
def processes():
    with WorkerProcessPool(1) as one, WorkerProcessPool(3) as three:
        yield one, three


def epochs(loader, n=2):
    return [[plain(batch) for batch in loader] for _ in range(n)]


# Random transforms.


def noise(loader, field=1):
    return [plain(batch[field]) for batch in loader]


def test_every_batch_of_every_epoch_has_noise_of_its_own():
    """No two of many are the same, nor the same as with another seed."""
    loaders = [Loader(arrays().random_map(with_noise), 3, shuffle=seed) for seed in (5, 6)]
    found = [str(each) for loader in loaders for _ in range(4) for each in noise(loader)]

    assert 2 * 4 * 8 == len(set(found))


def test_the_noise_of_an_epoch_depends_on_seed_and_epoch_alone():
    """It is that of epoch 2, however the run came there."""
    loader, hasty = (Loader(arrays().random_map(with_noise), 3, shuffle=5) for _ in range(2))
    for _ in range(2):
        next(iter(hasty))

    assert epochs(loader, 3)[2] == epochs(hasty, 1)[0]


def test_ranks_do_not_repeat_each_others_noise():
    """It belongs to the place in the plan, which they share."""
    loaders = [Loader(arrays().random_map(with_noise), 3, shuffle=5, shard=(rank, 2)) for rank in range(2)]

    assert sorted(map(str, noise(Loader(arrays().random_map(with_noise), 3, shuffle=5)))) == sorted(
        str(each) for loader in loaders for each in noise(loader)
    )


def test_another_transform_does_not_change_the_noise_of_this_one():
    """Before it or behind it, random or not."""
    ds = arrays()
    alone = noise(Loader(ds.random_map(with_noise), 3, shuffle=5))
    before = noise(Loader(ds.random_map(lambda x, rng: (x + rng.integers(9),)).random_map(with_noise), 3, shuffle=5))
    behind = noise(Loader(ds.random_map(with_noise).random_map(cropped), 3, shuffle=5))
    mapped = noise(Loader(ds.map(lambda x: (x,)).random_map(with_noise).map(lambda *b: b), 3, shuffle=5))

    assert [alone] * 3 == [before, behind, mapped]


def test_the_same_transform_twice_has_noise_of_its_own_each_time():
    """It goes by its name, and by how often that came before."""
    first, second = zip(
        *(batch[1:] for batch in Loader(arrays().random_map(cropped).random_map(cropped), 3, shuffle=5)), strict=True
    )

    assert list(first) != list(second)
    assert [(x,) for x in first] == [batch[1:] for batch in Loader(arrays().random_map(cropped), 3, shuffle=5)]


def test_a_seed_of_its_own_decides():
    """The same for each seed of the run, in order too; another one, other noise; each epoch still has its own."""

    def found(seed, own):
        loader = Loader(arrays().random_map(with_noise, seed=own), 3, shuffle=seed)
        return noise(loader), noise(loader)

    assert found(5, 1) == found(6, 1) == found(None, 1)
    assert found(5, 1) != found(5, 2)
    assert found(5, 1)[0] != found(5, 1)[1]


# `numpy.random` and `random`, in processes.


def test_global_noise_repeats(processes):
    """The same run draws the same, with any number of workers, and what was drawn before."""
    found = []
    for pool in (*processes, processes[0]):
        found.append(epochs(Loader(arrays().map(global_noise), 3, shuffle=5, pool=pool)))
        list(Loader(arrays().map(global_noise), 3, shuffle=6, pool=pool))

    assert found[0] == found[1] == found[2]


def test_global_noise_differs(processes):
    """Between batches, epochs and seeds."""
    loaders = [Loader(arrays().map(global_noise), 3, shuffle=seed, pool=processes[1]) for seed in (5, 6)]
    batches = [batch for loader in loaders for epoch in epochs(loader) for batch in epoch]

    assert 2 * 2 * 8 == len({str(batch[1]) for batch in batches}) == len({str(batch[2]) for batch in batches})


def test_global_noise_of_ranks_differs(processes):
    """Though they have the same seed, and the same steps."""
    loaders = [
        Loader(arrays().map(global_noise), 3, shuffle=5, shard=(rank, 2), pool=processes[rank]) for rank in range(2)
    ]
    batches = [batch for loader in loaders for epoch in epochs(loader) for batch in epoch]

    assert 2 * 8 == len({str(batch[1]) for batch in batches})


def test_global_noise_goes_on_in_a_run_that_is_resumed(processes):
    """In another number of processes."""
    loader, other = (Loader(arrays().map(global_noise), 3, shuffle=5, pool=pool) for pool in processes)
    head = [plain(batch) for batch in itertools.islice(loader, 3)]
    other.load_state_dict(loader.state_dict())

    (whole,) = epochs(Loader(arrays().map(global_noise), 3, shuffle=5, pool=processes[0]), 1)
    assert whole == head + epochs(other, 1)[0]


def test_a_single_batch_has_the_global_noise_of_the_loop(processes):
    """Fetched here, with the generators as the worker had them; afterwards they are as they were."""
    loader = Loader(arrays().map(global_noise), 3, shuffle=5, pool=processes[0])
    found = epochs(loader)
    np.random.seed(1)
    random.seed(1)
    expected = np.random.random(), random.random()
    np.random.seed(1)
    random.seed(1)

    assert found == [[plain(loader.batch(epoch, step)) for step in range(8)] for epoch in range(2)]
    assert expected == (np.random.random(), random.random())


@pytest.mark.parametrize("bad", [3, 5])
def test_samples_that_are_left_out_do_not_change_global_noise(processes, bad):
    """The batch is fetched again with the generators where they were."""

    def failing(x):
        drawn = np.random.random(3)
        if bad in x:
            raise ValueError("bad")
        return x, drawn

    def drawing(x):
        return x, np.random.random(3)

    with pytest.warns(UserWarning, match="left out a sample"):
        found = noise(Loader(arrays().map(failing), 3, shuffle=5, pool=processes[0], on_error="skip"))

    assert noise(Loader(arrays().map(drawing), 3, shuffle=5, pool=processes[0])) == found


def test_a_worker_that_dies_changes_no_noise(tmp_path):
    """What it had is made again elsewhere: the same batches, and none lost."""

    def deadly(x, noise):
        if 12 in x and not (tmp_path / "died").exists():
            (tmp_path / "died").touch()
            os._exit(7)
        return (x, noise, *global_noise(x)[1:])

    def made(pool):
        return Loader(arrays().random_map(with_noise).map(deadly), 3, shuffle=5, pool=pool)

    with WorkerProcessPool(2) as pool:
        found = epochs(made(pool))
        again = epochs(made(pool))
        restarts = pool.engine.stats()["restarts"]

    assert (again, 1) == (found, restarts)


def test_the_programs_own_generators_are_left_alone(processes):
    """No pool seeds them, or draws from them."""
    state = np.random.get_state()[1].tolist(), random.getstate()
    with WorkerThreadPool(2) as threads:
        for pool in (None, threads, processes[1]):
            for shuffle in (None, 5):
                list(Loader(arrays().random_map(with_noise), 3, shuffle=shuffle, pool=pool))

    assert state == (np.random.get_state()[1].tolist(), random.getstate())
