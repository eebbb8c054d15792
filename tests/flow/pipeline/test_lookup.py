"""The names of steps: actions and functions."""

import copy
import pickle
import types

import flow_batches
import numpy as np
import pytest
from flow_batches import Rows, values

from batchup.flow import (
    B,
    Batch,
    Dataset,
    Pipeline,
    action,
)

pytestmark = pytest.mark.timeout(60)


class Steps(Rows):
    @action
    def to_other(self):
        return Other(self.index, preloaded=(np.arange(10) * 100,))

    def unmarked(self):
        return self


def rows():
    return flow_batches.rows(batch_class=Steps)


class Other(Batch):
    components = ("z",)

    @action
    def other_step(self):
        self.z = self.z + 1
        return self


@pytest.mark.parametrize(
    ("step", "error", "why"),
    [
        ("addd", AttributeError, "there is no step 'addd'"),
        ("unmarked", ValueError, "Steps.unmarked should be an action"),
    ],
)
@pytest.mark.parametrize(
    "bind",
    [
        lambda step: getattr(rows().p, step)(),
        lambda step: getattr(Pipeline(), step)() << rows(),
    ],
)
def test_an_unknown_step_is_refused_when_the_pipeline_is_bound(step, error, why, bind):
    """An unknown step raises as soon as step and dataset are known."""
    with pytest.raises(error, match=why):
        bind(step)


def test_a_step_of_another_batch_class():
    """An action may return a batch of another class; its actions may follow."""
    pipeline = rows().p.to_other().other_step()

    second = list(pipeline.gen_batch(4, n_iters=2))[1]

    assert [401, 501, 601, 701] == second.z.tolist()
    assert (pipeline.dataset, pipeline, 2) == (second.dataset, second.pipeline, second.iteration)


def test_private_names_are_no_steps():
    """Private names raise, so that copy, pickle and completion work."""
    with pytest.raises(AttributeError, match="private"):
        Pipeline()._add  # noqa: B018
    for clone in (copy.copy, copy.deepcopy, lambda p: pickle.loads(pickle.dumps(p))):
        assert [[1, 2]] == values((clone(Pipeline().add(1)) << rows()).gen_batch(2, n_iters=1))


def test_functions_of_namespaces():
    """The result of a function goes to `save_to`, which is not passed to it."""
    space = types.SimpleNamespace(scaled=lambda x, by: x * by, both=lambda x: (x, -x), table={"k": 1})

    pipeline = (
        Pipeline().add_namespace(space).scaled(B.x, by=3, save_to=B.x).both(B.x, save_to=[B.p, B.q]).add(1) << rows()
    )
    batch = pipeline.next_batch(3)

    assert ([1, 4, 7], [0, -3, -6]) == (batch.x.tolist(), batch.q.tolist())
    with pytest.raises(AttributeError, match="no step 'table'"):
        pipeline.table()


def test_actions_come_before_functions():
    """Actions come before functions of the same name; then namespaces in order, then the dataset."""

    class Named(Dataset):
        def level(self):
            return "dataset"

        def height(self):
            return "dataset"

    space = {"add": lambda n: 1 / 0, "level": lambda: "namespace"}
    pipeline = Named(4, Steps, preloaded=(np.arange(4), np.zeros(4))).p.add_namespace(space)

    batch = pipeline.add(5).level(save_to=B.level).height(save_to=B.height).next_batch(2)

    assert ([5, 6], "namespace", "dataset") == (batch.x.tolist(), batch.level, batch.height)


def test_functions_of_the_main_program(monkeypatch):
    """Functions of ``__main__`` are steps."""
    import __main__

    monkeypatch.setattr(__main__, "halved", lambda x: x / 2, raising=False)

    assert [[0, 0.5]] == values(rows().p.halved(B.x, save_to=B.x).gen_batch(2, n_iters=1))


def test_a_missing_name_is_an_attribute_error_with_similar_names():
    """It is no function that fails later."""
    with pytest.raises(AttributeError, match="no step 'init_varable'.* did you mean init_variable"):
        rows().p.init_varable  # noqa: B018
    assert not hasattr(Pipeline(), "save_everything")
