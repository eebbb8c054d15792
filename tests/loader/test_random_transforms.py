"""Random transforms in a loader: each batch has random numbers of its own, which follow from the seed."""

from __future__ import annotations

import numpy as np
import pytest

from batchup import ArrayDataSource, Loader
from batchup.testing import plain
from batchup.work_pool import WorkerProcessPool

pytestmark = pytest.mark.timeout(120)


def arrays(n=24):
    return ArrayDataSource([np.arange(n)])


def with_noise(x, rng):
    return x, rng.random(len(x))


def cropped(*batch, rng):
    return *batch, rng.integers(1000)


@pytest.fixture(scope="module")
def processes(kept_processes):
    return kept_processes(1), kept_processes(4)


def epochs(loader, n=2):
    return [[plain(batch) for batch in loader] for _ in range(n)]


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


def drawn(x, rng):
    return (rng.random(len(x)),)


def drawn_globally(x):
    return (np.random.random(len(x)),)


def values(batches):
    return np.concatenate([x for (x,) in batches]).tolist()


@pytest.mark.parametrize("pool", [None, 2])
def test_loaders_without_a_seed_draw_different_numbers(pool):
    """Two in one program differ, and ``numpy.random.seed`` decides about both."""

    def twice():
        np.random.seed(12345)
        found = []
        for _ in range(2):
            with Loader(ArrayDataSource([np.arange(8)]).random_map(drawn), 4, pool=pool) as loader:
                found += [values(loader), values(loader)]
        return found

    first, again = twice(), twice()

    assert first == again
    assert 4 == len({tuple(each) for each in first})


def test_global_draws_in_processes_differ_without_a_seed(processes):
    """With a new loader, a new parallel source and a new pool for each epoch."""
    ds = ArrayDataSource([np.arange(8)]).map(drawn_globally)
    np.random.seed(12345)
    found = [values(Loader(ds, 4, pool=processes[0])) for _ in range(2)]
    found += [values(processes[0].parallel_data_source(ds).batch_iterator(4)) for _ in range(2)]
    with WorkerProcessPool(1) as pool:
        found += [values(pool.parallel_data_source(ds).batch_iterator(4))]

    assert 5 == len({tuple(each) for each in found})


def test_plain_arrays_leave_the_global_generator_alone(processes):
    """Also before anything seeds it anew."""
    np.random.seed(12345)
    state = np.random.get_state()[1].tolist()
    list(Loader(ArrayDataSource([np.arange(8)]), 4, pool=processes[0]))
    list(processes[0].parallel_data_source(ArrayDataSource([np.arange(8)])).batch_iterator(4))

    assert state == np.random.get_state()[1].tolist()
