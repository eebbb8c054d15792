"""What a worker does for one batch: it seeds the global generators, and says where an error was."""

from __future__ import annotations

import itertools
import os
import random
import threading

import numpy as np
import pytest

from batchup import ArrayDataSource, CompositeDataSource, Loader
from batchup.data_source import RandomAccessDataSource
from batchup.errors import BatchTimeoutError
from batchup.testing import plain
from batchup.work_pool import WorkerThreadPool

pytestmark = pytest.mark.timeout(120)


def arrays(n=24):
    return ArrayDataSource([np.arange(n)])


def with_noise(x, rng):
    return x, rng.random(len(x))


def global_noise(x):
    return x, np.random.random(3), np.array([random.random(), random.gauss(0, 1)])


@pytest.fixture(scope="module")
def processes(kept_processes):
    return kept_processes(1), kept_processes(2)


def epochs(loader, n=2):
    return [[plain(batch) for batch in loader] for _ in range(n)]


def noise(loader, field=1):
    return [plain(batch[field]) for batch in loader]


class Files(RandomAccessDataSource):
    """Numbers, some of which cannot be read."""

    def __init__(self, length, bad=(), **kwargs):
        super().__init__(length, **kwargs)
        self.bad = set(bad)

    def samples_by_indices_nomapping(self, indices):
        for i in indices.tolist():
            if i in self.bad:
                raise OSError(f"cannot read {i}")
        return (indices * 10,)


def failing_on(*bad):
    def fn(x, *rest):
        if set(bad) & set(x.tolist()):
            raise ValueError(f"{sorted(set(bad) & set(x.tolist()))} in it")
        return x, *rest

    return fn


@pytest.fixture(scope="module", params=["serial", "threads", "processes"])
def any_pool(request):
    if request.param == "threads":
        with WorkerThreadPool(2) as pool:
            yield pool
    else:
        yield None if request.param == "serial" else request.getfixturevalue("two_processes")


def notes_of(loader):
    with pytest.raises((OSError, ValueError)) as caught:
        list(loader)
    return [note for note in caught.value.__notes__ if "worker pid" not in note]


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


def test_a_worker_that_dies_changes_no_noise(tmp_path, two_processes):
    """What it had is made again elsewhere: the same batches, and none lost."""

    def deadly(x, noise):
        if 12 in x and not (tmp_path / "died").exists():
            (tmp_path / "died").touch()
            os._exit(7)
        return (x, noise, *global_noise(x)[1:])

    def made(pool):
        return Loader(arrays().random_map(with_noise).map(deadly), 3, shuffle=5, pool=pool)

    before = two_processes.engine.stats()["restarts"]
    found = epochs(made(two_processes))
    again = epochs(made(two_processes))
    restarts = two_processes.engine.stats()["restarts"] - before

    assert (again, 1) == (found, restarts)


def test_the_programs_own_generators_are_left_alone(processes):
    """No pool seeds them, or draws from them."""
    state = np.random.get_state()[1].tolist(), random.getstate()
    with WorkerThreadPool(2) as threads:
        for pool in (None, threads, processes[1]):
            for shuffle in (None, 5):
                list(Loader(arrays().random_map(with_noise), 3, shuffle=shuffle, pool=pool))

    assert state == (np.random.get_state()[1].tolist(), random.getstate())


@pytest.mark.parametrize(
    ("source", "stage"),
    [
        (Files(10, [7]), "in the fetch of Files"),
        (Files(10, [7]).map(lambda x: (x, x)), "in the fetch of Files"),
        (arrays().map(lambda x: (x, x)).map(failing_on(7)), "in failing_on.<locals>.fn"),
        (arrays().random_map(with_noise).map(failing_on(7)), "in failing_on.<locals>.fn"),
        (CompositeDataSource([Files(10), Files(10, [7])]), "in the fetch of CompositeDataSource"),
    ],
    ids=["fetch", "fetch below a map", "map", "map over noise", "composite"],
)
def test_an_error_says_where_it_was(any_pool, source, stage):
    """The stage, the batch, the epoch and the samples, on every pool alike."""
    loader = Loader(source, 4, pool=any_pool)
    samples = "(4, 5, 6, 7), (4, 5, 6, 7)" if isinstance(source, CompositeDataSource) else "4, 5, 6, 7"
    stage = stage.replace("failing_on.<locals>.", "")

    assert [stage, f"while fetching batch 1 of epoch 0 (samples {samples})"] == notes_of(loader)


def test_an_error_says_which_epoch(any_pool):
    """The number that the loader has for it."""
    source = Files(4)
    loader = Loader(source, 2, pool=any_pool)
    for _ in range(2):
        list(loader)
    source.bad = {2}

    assert "while fetching batch 1 of epoch 2 (samples 2, 3)" == notes_of(loader)[-1]


def test_an_error_of_a_single_batch_says_where_it_was():
    """`loader.batch` names what was asked for."""
    with pytest.raises(OSError, match="cannot read 3") as caught:
        Loader(Files(10, [3]), 4).batch(5, 0)

    assert [
        "in the fetch of Files",
        "while fetching batch 0 of epoch 5 (samples 0, 1, 2, 3)",
    ] == caught.value.__notes__


def test_an_error_keeps_its_place(any_pool):
    """The batches before and behind it arrive; the loop that goes on has lost one batch."""
    loop = iter(Loader(Files(10, [4]), 2, pool=any_pool))
    found = [next(loop)[0].tolist() for _ in range(2)]
    with pytest.raises(OSError, match="cannot read 4"):
        next(loop)

    assert [[0, 10], [20, 30], [60, 70], [80, 90]] == found + [x.tolist() for (x,) in loop]


@pytest.mark.timeout(60)
def test_a_batch_that_takes_too_long_says_which_it_was():
    """With its epoch; the loop goes on with the one behind it."""
    opened = threading.Event()

    def gated(x):
        if 4 in x:
            opened.wait()
        return (x,)

    with Loader(arrays(8).map(gated), 2, pool=2, timeout=1.0) as loader:
        loop = iter(loader)
        found = [next(loop)[0].tolist() for _ in range(2)]
        with pytest.raises(BatchTimeoutError) as caught:
            next(loop)
        opened.set()
        found += [x.tolist() for (x,) in loop]

    assert (0, 2, [4, 5]) == (caught.value.epoch, caught.value.batch_number, caught.value.indices.tolist())
    assert ["while fetching batch 2 of epoch 0 (samples 4, 5)"] == caught.value.__notes__
    assert [[0, 1], [2, 3], [6, 7]] == found
