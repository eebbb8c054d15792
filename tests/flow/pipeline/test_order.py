"""Prefetch: what runs ahead, and what is done in the order of the batches."""

import threading
import time

import flow_batches
import numpy as np
import pytest
from flow_batches import Rows

from batchup.flow import (
    B,
    D,
    F,
    I,
    NumpySampler,
    Pipeline,
    SkipBatchException,
    StopPipeline,
    V,
    action,
)
from batchup.flow.pipeline.order import BatchTurns, RunIsOverError, Section, Touches, order_plan
from batchup.flow.pipeline.plan import PipelinePlan
from batchup.flow.pipeline.run import PipelineRun, RunOptions

pytestmark = pytest.mark.timeout(60)

N = 48


class Steps(Rows):
    @action
    def note(self, seen):
        seen.append(self.iteration)
        return self

    @action
    def meet(self, barrier):
        barrier.wait(20)
        return self

    @action
    def stagger(self):
        time.sleep(0.01 * (3 - self.iteration % 4))  # later batches overtake
        return self

    @action(in_order=True)
    def count(self):
        self.pipeline.set_variable("n", self.pipeline.v("n") * 2 + self.iteration)
        return self

    @action
    def count_ahead(self):
        self.pipeline.set_variable("n", 1)
        return self

    @action(in_order=False)
    def count_at_will(self):
        self.pipeline.set_variable("n", 1)
        return self

    @action
    def fail_at(self, number, error):
        if self.iteration == number:
            raise error
        return self


def rows():
    return flow_batches.rows(N, Steps, step=1)


def total(x):
    return x.sum()


class Log:
    """A function that remembers."""

    def __init__(self):
        self.found = []

    def write(self, value):
        self.found.append(value)
        return len(self.found)


class Order:
    """A model whose state depends on the order of training."""

    def __init__(self):
        self.state = 1.0

    def train(self, x):
        self.state = self.state * 1.5 + x.sum()
        return self.state

    def predict(self, x):
        return x * self.state


BEHIND = {
    "call": lambda log: Pipeline().call(log.write, I()),
    "call of a function": lambda log: Pipeline().call(total, B.x, save_to=B.total),
    "V": lambda log: Pipeline().add(V("n")),
    "F": lambda log: Pipeline().add(F(log.write)(B.x)),
    "F of a sampler": lambda log: Pipeline().add(F(NumpySampler("n", seed=5).sample)(B.size)[:, 0]),
    "update(V)": lambda log: Pipeline().update(V("n"), V("n") * 2 + I()),
    "save_to=V": lambda log: Pipeline().call(total, B.x, save_to=V("n", mode="a")),
    "train_model": lambda log: Pipeline().train_model("m", B.x, save_to=V("losses", mode="a")),
    "predict_model": lambda log: Pipeline().predict_model("m", B.x, save_to=B.y),
    "in_order": lambda log: Pipeline().count(),
    "read and write": lambda log: Pipeline().add(V("n")).stagger().update(V("n"), V("n") + 1),
    "lock": lambda log: Pipeline().acquire_lock("one").add(1).release_lock("one"),
}


def behind(name, log):
    return Pipeline().init_variables({"n": 1, "losses": []}).init_model("m", source=Order()) + BEHIND[name](log)


@pytest.mark.parametrize("name", sorted(BEHIND.keys() - {"read and write", "save_to=V"}))
def test_actions_run_ahead_behind(name):
    """Two batches are in the same action at once, behind a call, a variable, a function or a model."""
    barrier = threading.Barrier(2)  # the action of a batch ends only when that of the other has begun

    pipeline = (behind(name, Log()) + Pipeline().meet(barrier)) << rows()

    assert 4 == len(list(pipeline.gen_batch(12, prefetch=2)))


@pytest.mark.parametrize("name", sorted(BEHIND.keys() - {"save_to=V"}))
def test_the_results_are_those_without_prefetch(name):
    """Components, variables, models and calls are the same, though later batches overtake."""

    def outcome(**options):
        log = Log()
        pipeline = (Pipeline().stagger() + behind(name, log) + Pipeline().stagger()) << rows()
        found = [(batch.iteration, batch.x.tolist()) for batch in pipeline.gen_batch(6, shuffle=3, **options)]
        return found, pipeline.v("n"), pipeline.v("losses"), pipeline.m("m").state, [np.sum(x) for x in log.found]

    assert outcome() == outcome(prefetch=4)


@pytest.mark.parametrize("prefetch", [0, 1, 3])
def test_each_action_runs_once_per_batch(prefetch):
    """Actions in front of and behind a step that is done in order run once for each batch."""
    before, after = [], []
    pipeline = rows().p.init_variable("n", 1).note(before).count().note(after)

    pipeline.run(6, prefetch=prefetch)

    assert list(range(1, 9)) == sorted(before) == sorted(after)


def test_what_is_done_last_is_not_ahead_of_the_loop():
    """In the loop, a variable and a model have seen the batches that the loop has, and no other."""
    pipeline = rows().p.init_variable("n", 0).init_model("m", source=Order()).stagger()
    pipeline = pipeline.train_model("m", B.x).update(V("n"), I())

    seen = [(batch.iteration, pipeline.v("n")) for batch in pipeline.gen_batch(6, prefetch=3)]

    assert [(number, number) for number in range(1, 9)] == seen


@pytest.mark.parametrize("error", [KeyError("x"), StopPipeline(), SkipBatchException()])
@pytest.mark.parametrize("prefetch", [0, 3])
def test_after_an_error_nothing_is_done_in_order(error, prefetch):
    """Batches behind the one that ended the run change no variable; behind a skipped one they do."""
    pipeline = rows().p.init_variable("n", []).fail_at(3, error).update(V("n", mode="a"), I()).stagger()

    try:
        pipeline.run(6, prefetch=prefetch)
    except KeyError:
        assert isinstance(error, KeyError)
    assert ([1, 2, 4, 5, 6, 7, 8] if isinstance(error, SkipBatchException) else [1, 2]) == pipeline.v("n")


def test_batches_left_out_do_not_hold_up_the_others():
    """With ``ignore_exceptions`` the batches behind a failed one pass."""
    pipeline = rows().p.init_variable("n", []).fail_at(3, KeyError("x")).update(V("n", mode="a"), I()).stagger()

    with pytest.warns(RuntimeWarning, match="left out"):
        pipeline.run(6, prefetch=3, ignore_exceptions=True)

    assert [1, 2, 4, 5, 6, 7, 8] == pipeline.v("n")


def test_a_loop_may_be_left_while_batches_wait_for_their_turn():
    """After a break no thread waits for a batch that never comes."""
    before = threading.active_count()
    pipeline = rows().p.init_variable("n", 1).stagger().count().stagger()

    next(batches := pipeline.gen_batch(2, prefetch=4))
    batches.close()

    assert before >= threading.active_count()


def test_an_action_that_sets_a_variable_ahead_of_its_turn_is_named():
    """A warning says how to mark the action; ``in_order=False`` says that the order does not matter."""
    pipeline = rows().p.init_variable("n", 1)

    with pytest.warns(RuntimeWarning, match=r"'count_ahead' uses the variable 'n' .* @action\(in_order=True\)"):
        pipeline.count_ahead().run(12, prefetch=2)
    pipeline.count_at_will().run(12, prefetch=2)
    pipeline.count_ahead().run(12)


@pytest.mark.parametrize(
    ("steps", "in_threads", "in_processes"),
    [
        (Pipeline().add(1).stagger(), 2, 2),
        (Pipeline().add(1).update(V("n"), 1).stagger(), 3, 1),
        (Pipeline().add(V("n")), 1, 0),
        (Pipeline().add(1).stagger(save_to=V("n")), 1, 1),
        (Pipeline().add(1).stagger(save_to=B.z), 2, 2),
        (Pipeline().add(1).call(print), 1, 1),
        (Pipeline().add(1).call(total, B.x, save_to=B.z), 2, 2),
        (Pipeline().add_namespace({"f": len}).add(1).f(B.x, save_to=B.n), 2, 2),
        (Pipeline().add_namespace({"f": len}).add(1).f(B.x), 1, 1),
        (Pipeline().add(1) * 2 + Pipeline().add(V("n")) * 2, 2, 1),
        (Pipeline().add(1).rebatch(3).add(1), 1, 1),
        (Pipeline().add(F(len)(B.x)), 1, 0),
        (Pipeline().add(1).add(D.size), 2, 2),
        (Pipeline().stagger().add(D.step).update(D.step, D.step * 2), 1, 1),
        (Pipeline().stagger() + (Pipeline().add(D.step) @ 0.5) + Pipeline().rebatch(3).update(D.step, 2), 1, 1),
    ],
)
def test_which_steps_run_ahead(steps, in_threads, in_processes):
    """All but the last ones that change something; in processes those that need nothing of the pipeline."""
    pipeline = steps << rows()

    order = PipelineRun(pipeline, PipelinePlan(N, 6), [], RunOptions(), {}).order

    assert (in_threads, in_processes) == (order.in_threads, order.in_processes)


def test_steps_that_share_a_thing_are_one_section():
    """The section is from the first to the last step that uses what one of them changes."""
    touches = [Touches(reads={"a"}), Touches(), Touches(changes={"a"}), Touches(reads={"b"}), Touches()]

    (section,) = order_plan(touches, set()).sections

    assert (0, 2) == (section.first, section.last)


def test_a_turn_that_never_comes_raises():
    """Who waits behind the end of a run is woken."""
    turns = BatchTurns([Section(3, 4)])
    turns.done(0)
    turns.begin(3, 1)
    turns.end(1)

    with pytest.raises(RunIsOverError):
        turns.begin(3, 2)
