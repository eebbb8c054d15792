"""Runs: the same batches with any prefetch and any target."""

import os
import threading

import flow_batches
import numpy as np
import pytest
from flow_batches import Rows

from batchup.errors import WorkerError
from batchup.flow import (
    B,
    D,
    F,
    I,
    NumpySampler,
    P,
    Pipeline,
    R,
    SkipBatchException,
    StopPipeline,
    V,
    action,
    apply_parallel,
    inbatch_parallel,
)
from batchup.sampling import StandardSampler

pytestmark = [pytest.mark.timeout(90), pytest.mark.usefixtures("kept_workers")]

N = 40

WAYS = [(0, "threads"), (1, "threads"), (4, "threads"), (3, "mpc")]


class Steps(Rows):
    @apply_parallel(src="x", target="threads")
    def noise(self, x, rng, scale=1):
        return x + scale * rng.normal()

    @inbatch_parallel(init="indices", post="keep", target="threads")
    def by_id(self, number):
        return self.random.normal()

    def keep(self, results):
        self.x = self.x + np.array(results)
        return self

    @action
    def fail_at(self, number, error):
        if self.iteration == number + 1:
            raise error
        return self

    @action(in_order=True)
    def count(self):
        self.pipeline.set_variable("n", self.pipeline.v("n") * 2 + self.iteration)
        self.y = np.full(self.size, self.pipeline.v("n"))
        return self

    @action(in_order=True)
    def train(self, name):
        model = self.get_model_by_name(name)
        model.train(self.x)
        self.y = np.full(self.size, model.state)
        return self

    @action
    def whose(self):
        self.y = np.full(self.size, os.getpid() * 1_000_000 + threading.get_ident() % 1_000_000)
        return self


class Order:
    """A model whose state depends on the order of training."""

    def __init__(self, config=None):
        self.state = 1.0

    def train(self, x):
        self.state = self.state * 1.5 + x.sum()

    def predict(self, x):
        return x * self.state


class Unlucky(Exception):
    """An error class of the user."""


def rows():
    return flow_batches.rows(N, Steps, step=1)


def results(pipeline, **options):
    return [(b.iteration, b.indices.tolist(), b.x.tolist(), b.y.tolist()) for b in pipeline.gen_batch(6, **options)]


@pytest.mark.parametrize(("prefetch", "target"), WAYS)
@pytest.mark.parametrize(
    "make",
    [
        lambda: Pipeline().noise(scale=R("uniform")).by_id().draw(),
        lambda: Pipeline().noise(scale=P(R("uniform")), p=0.5) @ 0.5 + Pipeline().draw() * 2,
        lambda: Pipeline().init_variable("n", 1).draw().count().add(1),
        lambda: Pipeline().init_variable("n", 1).add(V("n")).update(V("n"), V("n") * 2 + I()).draw(),
        lambda: Pipeline().init_model("m", Order).noise().train_model("m", B.x).predict_model("m", B.x, save_to=B.y),
        lambda: Pipeline().init_model("m", Order).noise().train("m").add(1),
        lambda: Pipeline().add(F(NumpySampler("n", seed=5).sample)(B.size)[:, 0]).draw(),
        lambda: Pipeline().add(D.step).update(D.step, D.step * 2).draw(),
    ],
    ids=["items", "sometimes", "hidden variable", "variable", "model", "hidden model", "stateful function", "dataset"],
)
def test_a_run_gives_the_same_whoever_does_the_work(make, prefetch, target):
    """Random numbers, variables and models are the same, with an action that asks for them inside its code, too."""
    expected = results(make() << rows(), shuffle=3, n_epochs=2)

    assert expected == results(make() << rows(), shuffle=3, n_epochs=2, prefetch=prefetch, target=target)


@pytest.mark.parametrize("target", ["threads", "mpc"])
def test_workers_do_the_work(target):
    """Prefetched steps run in other threads or in other processes."""
    me = os.getpid() * 1_000_000 + threading.get_ident() % 1_000_000

    workers = {batch.y[0] for batch in rows().p.whose().gen_batch(6, n_epochs=1, prefetch=2, target=target)}

    assert me not in workers
    assert (target == "threads") == ({os.getpid()} == {int(worker) // 1_000_000 for worker in workers})
    assert {me} == {batch.y[0] for batch in rows().p.whose().gen_batch(6, n_epochs=1)}


@pytest.mark.parametrize(("prefetch", "target"), WAYS)
def test_an_error_keeps_its_place(prefetch, target):
    """Earlier batches arrive; the error keeps its type and names step and batch."""
    pipeline = rows().p.add(1).fail_at(3, Unlucky("no"))
    seen = []

    with pytest.raises(Unlucky, match="no") as error:
        seen.extend(batch.iteration for batch in pipeline.gen_batch(6, n_epochs=1, prefetch=prefetch, target=target))

    assert [1, 2, 3] == seen
    assert any(
        "at step 1 of the pipeline, fail_at, with batch 4 (items 18, 19" in note for note in error.value.__notes__
    )


@pytest.mark.parametrize(("prefetch", "target"), WAYS)
def test_skipping_and_stopping(prefetch, target):
    """Skipping leaves out that batch; stopping ends the run at it."""
    options = {"n_epochs": 1, "prefetch": prefetch, "target": target}

    skipped = rows().p.fail_at(3, SkipBatchException()).gen_batch(6, **options)
    stopped = rows().p.fail_at(3, StopPipeline()).gen_batch(6, **options)

    assert [1, 2, 3, 5, 6, 7] == [batch.iteration for batch in skipped]
    assert [1, 2, 3] == [batch.iteration for batch in stopped]


@pytest.mark.parametrize(("prefetch", "target"), WAYS)
def test_failing_batches_are_left_out_if_asked(prefetch, target):
    """Failing batches are left out with a warning; the others arrive in order."""
    pipeline = rows().p.fail_at(3, Unlucky("no"))

    with pytest.warns(RuntimeWarning, match="Unlucky"):
        batches = list(pipeline.gen_batch(6, n_epochs=1, prefetch=prefetch, target=target, ignore_exceptions=True))

    assert [1, 2, 3, 5, 6, 7] == [batch.iteration for batch in batches]


@pytest.mark.parametrize(("prefetch", "target"), WAYS)
def test_a_stop_iteration_of_the_users_is_an_error(prefetch, target):
    """A StopIteration of the user does not end the loop silently."""
    with pytest.raises(RuntimeError):
        rows().p.fail_at(2, StopIteration()).run(6, prefetch=prefetch, target=target)


def test_no_more_batches_are_begun_than_asked_for():
    """At most `prefetch` batches are in flight."""
    begun = []
    source = flow_batches.rows(N, Steps)
    pipeline = source.p.add_namespace({"note": lambda i: begun.append(i)}).note(I(), save_to=B.z)

    for prefetch in (0, 3):
        begun.clear()
        batches = pipeline.gen_batch(4, prefetch=prefetch)
        next(batches)
        batches.close()
        assert len(begun) <= prefetch + 1


@pytest.mark.usefixtures("own_workers")
@pytest.mark.parametrize("target", ["threads", "mpc"])
def test_a_loop_may_be_left(target):
    """After a break, no thread or process of the run is left."""
    before = threading.active_count()

    batches = rows().p.add(1).gen_batch(2, prefetch=3, target=target)
    next(batches)
    batches.close()

    assert before >= threading.active_count()


@pytest.mark.parametrize("target", ["threads", "mpc"])
def test_after_a_failed_batch_there_is_no_next(target):
    """Each call raises until `reset`."""
    pipeline = rows().p.fail_at(1, KeyError("x"))
    ahead = {"prefetch": 2, "target": target}
    pipeline.next_batch(6, **ahead)

    for error in (KeyError, RuntimeError, RuntimeError):
        with pytest.raises(error, match=r"x|reset\('iter'\) to start again"):
            pipeline.next_batch(6, **ahead)
    assert 0 == pipeline.reset("iter").next_batch(6, **ahead).x[0]
    pipeline.reset("iter")


@pytest.mark.usefixtures("own_workers")
@pytest.mark.parametrize("target", ["threads", "mpc"])
def test_next_batch_ahead(target):
    """`next_batch` with prefetch goes on in order, and `reset` ends its workers."""
    pipeline = rows().p.add(1)

    found = [pipeline.next_batch(6, prefetch=2, target=target).x[0] for _ in range(3)]
    pipeline.reset("iter")

    assert [1, 7, 13] == found


def test_batches_ahead_keep_their_size():
    """With prefetch the batch size may not change; without, it may."""
    pipeline = rows().p.add(1)

    assert [6, 4] == [pipeline.next_batch(size).size for size in (6, 4)]
    pipeline.next_batch(6, prefetch=2)
    with pytest.raises(ValueError, match="batch_size should stay 6, not become 4"):
        pipeline.next_batch(4, prefetch=2)
    assert 7 == pipeline.next_batch(6, prefetch=2).x[0]
    pipeline.reset("iter")


@pytest.mark.parametrize(("prefetch", "target"), WAYS)
def test_stop_iteration_in_an_action_ends_no_run(prefetch, target):
    """A StopIteration in an action is an error with each target."""
    with pytest.raises(WorkerError, match="raised StopIteration") as caught:
        rows().p.fail_at(1, StopIteration()).run(6, prefetch=prefetch, target=target)

    assert any("at step 0 of the pipeline, fail_at, with batch 2" in note for note in caught.value.__notes__)


class Broken(StandardSampler):
    def in_order_indices_batch_iterator(self, batch_size):
        yield np.arange(batch_size)
        raise OSError("no more positions")


@pytest.mark.parametrize(("prefetch", "target"), WAYS)
def test_a_plan_that_fails_is_no_batch_to_leave_out(prefetch, target):
    """An error of the plan is raised even with ``ignore_exceptions``."""
    batches = (
        rows()
        .p.add(1)
        .gen_batch(6, sampler=Broken(N), n_epochs=1, ignore_exceptions=True, prefetch=prefetch, target=target)
    )

    assert 1 == next(batches).x[0]
    with pytest.raises(OSError, match="no more positions"):
        next(batches)


@pytest.mark.parametrize("prefetch", [1, 4])
def test_the_order_does_not_depend_on_who_else_draws(prefetch):
    """A shuffled run draws from NumPy's global generator at its start only."""

    def order(prefetch):
        np.random.seed(3)
        batches = rows().p.add(1).gen_batch(7, shuffle=True, n_epochs=3, prefetch=prefetch)
        return [(batch.x.tolist(), np.random.random()) for batch in batches]

    assert order(0) == order(prefetch)


def test_an_interrupted_next_batch_is_not_the_end():
    """After Ctrl-C the next call says that the batch failed."""
    pipeline = rows().p.fail_at(1, KeyboardInterrupt())
    pipeline.next_batch(6)

    with pytest.raises(KeyboardInterrupt):
        pipeline.next_batch(6)
    with pytest.raises(RuntimeError, match=r"reset\('iter'\) to start again"):
        pipeline.next_batch(6)
