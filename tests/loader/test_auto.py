"""``pool="auto"``: what is chosen for which work, and that the batches never depend on it."""

import random

import numpy as np
import pytest

from batchup import ArrayDataSource, Loader
from batchup.loader import auto
from batchup.loader.auto import ALONE, TOGETHER, AutoPool, choice_of
from batchup.storage import HDF5Array

pytestmark = pytest.mark.timeout(120)

N = 40  # batches of one sample: more than are measured


class Busy:
    """Work of which a program says how long it takes."""

    def __init__(self, seconds):
        self.seconds = seconds

    def __call__(self, x):
        return (x * 10,)


def drawing(x):
    return (x + np.random.randint(1000) + random.randrange(1000),)


def made(fn=None, **kwargs):
    return Loader(ArrayDataSource([np.arange(N)]).map(fn or Busy(0)), 1, shuffle=7, **kwargs)


def plain(batches):
    return [x.tolist() for (x,) in batches]


def choosing(monkeypatch, kind):
    """Have this be chosen, whatever was measured."""
    workers = None if kind is None else 2
    monkeypatch.setattr(auto, "choice_of", lambda *_, **__: auto.Choice(kind, workers, "a test says so"))


@pytest.mark.parametrize(
    ("work", "together", "loop", "expected"),
    [
        (1e-5, 1e-5, 0.0, None),  # cheaper than sending it
        (0.01, 0.01, 1.0, None),  # the loop needs far longer
        (0.01, 0.0101, 0.001, "threads"),  # two at once take no longer
        (0.01, 0.02, 0.001, "processes"),  # one waits for the other
        (5e-4, 8e-4, 0.001, "threads"),  # some gain, and too short for processes
        (5e-4, 1e-3, 0.001, None),  # no gain
    ],
)
def test_what_suits_the_work(work, together, loop, expected):
    """The choice follows from how long a batch takes, alone and beside another one, and from the loop."""
    assert expected == choice_of([work] * 3, [together] * 5, loop, draws=False, cores=8).pool


def test_threads_share_global_generators():
    """What draws from them goes to processes, or stays in the loop."""
    assert "processes" == choice_of([0.01], [], 0.0, draws=True, cores=8).pool
    assert choice_of([5e-4], [], 0.0, draws=True, cores=8).pool is None


def test_one_core():
    """Without a second core, processes are no help; threads are where the work is to wait."""
    assert choice_of([0.01], [0.02], 0.0, draws=False, cores=1).pool is None
    assert "threads" == choice_of([0.01], [0.01], 0.0, draws=False, cores=1).pool


def test_how_many_workers():
    """As many as keep up with the loop, and one more; never more than cores, unless somebody says how many."""
    assert 4 == choice_of([0.3], [0.3], 0.1, draws=False, cores=8).workers
    assert 8 == choice_of([0.3], [0.3], 0.001, draws=False, cores=8).workers
    assert 5 == choice_of([0.3], [0.3], 0.001, draws=False, cores=2, workers=5).workers


@pytest.mark.usefixtures("kept_workers")
@pytest.mark.parametrize("kind", [None, "threads", "processes"])
def test_batches_do_not_depend_on_the_choice(monkeypatch, kind):
    """The batches are those of a loader without a pool, over epochs."""
    choosing(monkeypatch, kind)
    with made(pool="auto") as loader, made() as expected:
        assert plain(expected.steps(3 * N)) == plain(loader.steps(3 * N))
        assert (3, 0) == (loader.epoch, loader.step) or (2, N) == (loader.epoch, loader.step)


@pytest.mark.usefixtures("kept_workers")
@pytest.mark.parametrize("kind", [None, "processes"])
def test_what_draws_from_global_generators(monkeypatch, kind):
    """It gets the numbers that it has in worker processes, and those of the program stay as they were."""
    choosing(monkeypatch, kind)
    np.random.seed(5)
    expected_draw = np.random.RandomState(5).rand()
    with made(drawing, pool="auto") as loader, made(drawing, pool="processes", workers=1) as processes:
        batches = plain(loader)
        single = loader.batch(0, 3)[0].tolist()

        assert plain(processes) == batches
        assert single == batches[3]
    assert expected_draw == np.random.rand()


def test_drawing_is_noticed():
    """Threads are not even tried for what draws."""
    with made(drawing, pool="auto") as loader:
        plain(loader)

        assert loader._workers.auto.draws
        assert [] == loader._workers.auto._together


def test_it_is_measured_across_epochs():
    """Short epochs are measured together; the batches come once each."""
    with Loader(ArrayDataSource([np.arange(3)]).map(Busy(0)), 1, pool="auto") as loader:
        seen = [plain(loader) for _ in range(ALONE + TOGETHER)]

    assert [[[0], [10], [20]]] * (ALONE + TOGETHER) == seen
    assert loader._workers.auto.choice is not None


def test_a_loop_that_is_left_while_it_measures():
    """The next loop goes on, and a state loads into any other loader."""
    with made(pool="auto") as loader, made() as other:
        for _ in zip(range(2), loader, strict=False):
            pass
        other.load_state_dict(loader.state_dict())

        assert plain(other) == plain(loader.resume())


@pytest.mark.slow
def test_a_source_that_cannot_be_sent(monkeypatch):
    """The loop makes the batches itself, and explain says why."""
    choosing(monkeypatch, "processes")
    stuck = Busy(0)
    stuck.generator = (i for i in range(3))
    with made(stuck, pool="auto") as loader:
        assert plain(made()) == plain(loader)
        assert "took no workers: it cannot be sent to processes" in loader.explain()


def test_it_says_what_it_chose(monkeypatch):
    """`explain` says what was chosen and why, or that it is still measured."""
    choosing(monkeypatch, "threads")
    with made(pool="auto") as loader:
        assert loader.explain().startswith('pool="auto" measures the first batches; ')
        plain(loader)
        assert loader.explain().startswith('pool="auto" took 2 threads: a test says so; ')
        assert 2 == loader.stats().workers


def test_an_error_of_the_data_while_it_measures():
    """It has its place, and the batches behind it come."""

    def broken(x):
        if x[0] == 2:
            raise ValueError("broken")
        return (x,)

    loader = Loader(ArrayDataSource([np.arange(20)]).map(broken), 1, pool="auto")
    batches = iter(loader)
    head = [next(batches), next(batches)]
    with pytest.raises(ValueError, match="broken") as caught:
        next(batches)

    assert "while fetching batch 2 of epoch 0 (samples 2)" in caught.value.__notes__
    assert [i for i in range(20) if i != 2] == [int(x[0]) for (x,) in [*head, *batches]]
    loader.close()


def test_the_trial_ends():
    """Its threads are closed when the choice is made, or the loader is closed."""
    automatic = AutoPool(2)
    trial = automatic.trial()
    automatic.close()

    assert not any(thread.is_alive() for thread in trial.engine._state.threads)


def test_chunks_of_files_are_no_times(tmp_path, monkeypatch):
    """A batch that has read chunks took as long as its fetch, and no longer."""
    h5py = pytest.importorskip("h5py")
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file.create_dataset("x", data=np.arange(60.0), chunks=(2,), compression="gzip")
    added = []
    monkeypatch.setattr(AutoPool, "add", lambda self, *times: added.append(times))
    monkeypatch.setattr(AutoPool, "lacking", lambda self: (ALONE, False))
    with Loader([HDF5Array(tmp_path / "x.h5", "x")], 20, pool="auto") as loader:
        assert 3 == sum(1 for _ in loader)

    assert [True] * 2 == [0 <= fetch < 60 and 0 <= loop < 60 for fetch, loop, _ in added[:2]]
