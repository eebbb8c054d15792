"""Prefetched batches, in threads and processes."""

import threading

import flow_batches
import pytest
from flow_batches import Rows

from batchup.flow import B, Batch, action

pytestmark = [pytest.mark.timeout(90), pytest.mark.usefixtures("kept_workers")]

N = 40

WAYS = [(0, "threads"), (1, "threads"), (4, "threads"), (3, "mpc")]


class Steps(Rows):
    @action
    def add_variable(self):
        self.x = self.x + self.pipeline.v("n")
        return self

    @action
    def to_plain(self):
        return Batch(self.index).load(src=self.as_dataset().preloaded["x"], dst="z")


def rows():
    return flow_batches.rows(N, Steps, step=1)


@pytest.mark.parametrize("target", ["threads", "mpc"])
def test_batches_from_workers_belong_here(target):
    """Prefetched batches have the pipeline, the dataset and the class, and writable arrays."""
    pipeline = rows().p.add(1)

    for batch in pipeline.gen_batch(6, n_iters=2, prefetch=2, target=target):
        batch.x[0] = 7
        assert (pipeline, pipeline.dataset, Steps) == (batch.pipeline, batch.dataset, type(batch))
        assert (2, 7) == (batch.n_iters, batch[batch.indices[0]].x)


@pytest.mark.parametrize(("prefetch", "target"), WAYS)
def test_batches_of_another_class_from_workers(prefetch, target):
    """A prefetched batch of another class keeps its class."""
    (batch,) = rows().p.add(1).to_plain().gen_batch(3, n_iters=1, prefetch=prefetch, target=target)

    assert (Batch, [1, 2, 3], ("z",)) == (type(batch), batch.z.tolist(), batch.components)


def test_what_cannot_be_sent_to_processes():
    """What cannot be pickled is an error, not a hang."""
    dataset = flow_batches.rows(4, Steps, lock=threading.Lock())

    with pytest.raises(TypeError, match="cannot be pickled"):
        dataset.p.add(1).run(2, prefetch=1, target="mpc")


def test_actions_in_other_processes_have_no_variables():
    """An action that asks for one there raises, and says what to do; with ``in_order=True`` it runs here."""
    pipeline = rows().p.init_variable("n", 1).add_variable()

    with pytest.raises(RuntimeError, match=r"uses v of its pipeline .* mark it with @action\(in_order=True\)"):
        pipeline.run(6, prefetch=2, target="mpc")
    assert 1 == next(pipeline.gen_batch(6, prefetch=2)).x[0]


def test_what_is_done_in_order_is_not_sent_to_processes():
    """Arguments of steps that are not prefetched are not pickled."""

    class Log:
        def __init__(self):
            self.lock = threading.Lock()
            self.found = []

        def write(self, x):
            self.found.append(int(x[0]))

    log = Log()
    pipeline = rows().p.add(1).call(log.write, B.x).add_namespace({"noted": log.write}).noted(B.x)

    pipeline.run(20, prefetch=2, target="mpc")
    assert [1, 1, 21, 21] == log.found


def test_lambdas_go_to_processes():
    """Lambdas work in processes, as functions of a namespace and as arguments."""
    pipeline = rows().p.add_namespace({"f": lambda x, g: g(x)}).f(B.x, lambda x: x * 2, save_to=B.x)

    (batch,) = pipeline.gen_batch(3, n_iters=1, prefetch=1, target="mpc")

    assert [0, 2, 4] == batch.x.tolist()


class Elsewhere(Steps):
    @action
    def to_a_dataset_of_its_own(self):
        return self.as_dataset().next_batch(2)


@pytest.mark.parametrize(("prefetch", "target"), WAYS)
def test_a_batch_of_another_dataset_stays_one(prefetch, target):
    """A batch with a dataset of its own keeps it, with each target."""
    dataset = flow_batches.rows(8, Elsewhere)
    pipeline = dataset.p.to_a_dataset_of_its_own()

    batches = list(pipeline.gen_batch(4, n_epochs=1, prefetch=prefetch, target=target))

    assert [4, 4] == [len(batch.dataset) for batch in batches]
    assert all(batch.pipeline is pipeline for batch in batches)
