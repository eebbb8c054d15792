"""Known faults of batch pipelines, each with a test that batchup does not have it."""

import subprocess
import sys
import textwrap
import threading

import numpy as np
import pytest

from batchup.flow import (
    B,
    Batch,
    Dataset,
    FilesIndex,
    HistoSampler,
    NumpySampler,
    Pipeline,
    SkipBatchException,
    action,
    apply_parallel,
    inbatch_parallel,
)

pytestmark = [pytest.mark.timeout(60), pytest.mark.usefixtures("kept_workers")]
N = 12
X = np.arange(N)


class Rows(Batch):
    components = "x", "y"
    apply_defaults = dict(Batch.apply_defaults, src="x", dst="x")

    @action
    def fail(self, at):
        if self.iteration == at:
            raise OSError("disk is gone")
        return self

    @action
    def skip(self, at):
        if self.iteration == at:
            raise SkipBatchException
        return self

    @action(use_lock="disk")
    def locked(self):
        if self.iteration == 1:
            raise OSError("disk is gone")
        return self

    @inbatch_parallel(init="indices", post="keep", target="threads")
    def ask(self, number):
        return self.random.random(), self.dataset.name, self.pipeline.config["k"]

    def keep(self, results):
        self.y = results
        return self

    @action
    def add(self, *batches):
        self.y = self.x + sum(batch.x for batch in batches)
        return self

    @apply_parallel
    def negate(self, x):
        return -x


def rows(**attrs):
    return Dataset(N, Rows, preloaded=(X, X), **attrs)


@pytest.mark.parametrize("target", ["threads", "mpc"])
def test_a_failing_batch_does_not_end_the_run_in_silence(target):
    """With prefetch, the run raises the error of the action."""
    with pytest.raises(OSError, match="disk is gone"):
        rows().p.fail(at=2).run(3, prefetch=2, target=target)


@pytest.mark.parametrize("target", ["threads", "mpc"])
def test_a_skipped_batch_is_not_replaced_by_the_one_before(target):
    """The other batches come once each."""
    batches = rows().p.skip(at=2).gen_batch(3, n_epochs=1, prefetch=2, target=target)

    assert [1, 3, 4] == [batch.iteration for batch in batches]


@pytest.mark.parametrize("target", ["threads", "mpc"])
def test_a_program_that_leaves_a_loop_early_ends(target):
    """The program ends while batches are in flight and the generator is alive."""
    program = f"""
        import numpy as np
        from batchup.flow import Batch, Dataset
        class Rows(Batch):
            components = "x",
        batches = Dataset(100, Rows, preloaded=(np.arange(100),)).p.do_nothing().gen_batch(
            2, prefetch=4, target={target!r})
        print(next(batches).x.tolist())
    """

    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)], capture_output=True, text=True, timeout=50, check=True
    )

    assert ("[0, 1]\n", "") == (done.stdout, done.stderr)


def test_what_is_written_into_preloaded_data_is_not_lost():
    """``batch.images[i] = x`` changes the batch."""
    batch = rows().create_batch([3, 4])

    batch.x[1] = 77

    assert 77 == batch.x[1] == batch[4].x


def test_a_lock_is_released_when_the_action_raises():
    """The next batch does not deadlock."""
    pipeline = rows().p.locked()

    with pytest.warns(RuntimeWarning, match="disk is gone"):
        assert 3 == len(list(pipeline.gen_batch(3, n_epochs=1, ignore_exceptions=True)))
    free = []
    thread = threading.Thread(target=lambda: free.append(pipeline.lock("disk").acquire(blocking=False)))
    thread.start()
    thread.join(10)
    assert [True] == free


@pytest.mark.parametrize("prefetch", [0, 2])
def test_items_in_threads_have_random_numbers_dataset_and_pipeline(prefetch):
    """Items in threads can use random numbers, dataset and pipeline of their batch."""
    pipeline = rows(name="scans").pipeline({"k": 5}).ask()

    (batch,) = pipeline.gen_batch(3, n_iters=1, prefetch=prefetch)

    assert [["scans", 5]] * 3 == [rest for _, *rest in batch.y]
    assert 3 == len({drawn for drawn, *_ in batch.y})


def test_a_step_that_is_not_done_does_no_harm():
    """``pipeline @ p`` passes on batches that do not take the step."""
    assert 4 == len(list((rows().p + Pipeline().negate() @ 0).gen_batch(3, n_epochs=1)))


def test_joined_pipelines_from_the_second_batch_on():
    """The next action gets each joined batch once."""
    batches = list(rows().p.join(rows().p).add().gen_batch(3, n_epochs=1))

    assert (2 * X).tolist() == [y for batch in batches for y in batch.y]


def test_merged_pipelines():
    """Merged batches have twice the items."""
    assert [6, 6] == [batch.size for batch in rows().p.merge(rows().p).gen_batch(3, n_iters=2)]


def test_next_batch_after_gen_batch():
    """`next_batch` does not depend on `gen_batch` of the same pipeline."""
    pipeline = rows().p.negate()

    list(pipeline.gen_batch(3, n_epochs=1))

    assert [0, -1] == pipeline.next_batch(2).x.tolist()


def test_seeded_mixtures_are_reproducible():
    """Seeded mixtures do not draw from NumPy's global generator."""
    samples = [(NumpySampler("n", seed=1) | NumpySampler("u", seed=2)).sample(9).tolist() for _ in range(2)]

    assert samples[0] == samples[1]


def test_seeded_coordinates_differ():
    """``dim=`` with a seed gives independent columns."""
    points = NumpySampler("u", seed=1, dim=2).sample(9)

    assert (points[:, 0] != points[:, 1]).all()


def test_an_updated_histogram_is_sampled_from():
    """Samples come from the updated histogram."""
    sampler = HistoSampler(np.histogramdd([[0.5]], [[0, 1, 2]]), seed=1)

    sampler.update([[1.5]] * 1000)

    assert (sampler.sample(50) > 1).mean() > 0.9


@pytest.mark.parametrize("p", [np.float32(0.5), np.float64(0.5), [True, False] * 6])
def test_a_probability_of_any_type_of_number(p):
    """The function is applied to some items, whatever the type of `p`."""
    batch = rows().create_batch(np.arange(N))
    batch.random_seed = 3

    assert 0 < (batch.negate(p=p).x < 0).sum() < N - 1


def test_a_default_destination_is_not_written_over():
    """A call with `src` does not write to the default `dst`."""
    batch = rows().create_batch([1, 2])

    batch.negate(src="y")

    assert ([1, 2], [-1, -2]) == (batch.x.tolist(), batch.y.tolist())


def test_folders_with_different_numbers_of_files(tmp_path):
    """Folders with different numbers of files make one index."""
    for name in ("one/a", "one/b", "two/c"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("")

    assert ["a", "b", "c"] == FilesIndex(path=[tmp_path / "one/*", tmp_path / "two/*"]).indices.tolist()


def test_importing_is_light():
    """`import batchup.flow` imports no data frames, image libraries or frameworks."""
    heavy = ["pandas", "PIL", "scipy", "sklearn", "torch", "h5py", "pyarrow", "blosc2", "tqdm", "numba", "matplotlib"]
    code = f"import sys, batchup.flow; print(*[name for name in {heavy} if name in sys.modules])"

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=50, check=True)

    assert "" == done.stdout.strip()


def test_threads_are_not_made_for_each_call():
    """A hundred calls start no more threads than one."""
    batch = rows().create_batch(np.arange(4))
    names = set()

    for _ in range(100):
        batch.apply_parallel(
            lambda x: names.add(threading.get_ident()), src="x", dst="y", target="threads", n_workers=2
        )

    assert len(names) <= 2


def test_star_import_brings_names_not_modules():
    """``from batchup.flow import *`` does not overwrite variables named `index` or `batch`."""
    space = {"batch": "mine", "index": "mine"}

    exec("from batchup.flow import *", space)

    assert ("mine", "mine") == (space["batch"], space["index"])
    assert space["B"] is B
