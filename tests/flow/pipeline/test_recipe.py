"""Recipes: declare, add and bind pipelines."""

import numpy as np
import pytest

from batchup.flow import (
    B,
    Batch,
    C,
    Dataset,
    I,
    Pipeline,
    V,
    action,
)

pytestmark = pytest.mark.timeout(60)

N = 10


class Rows(Batch):
    components = "x", "y"

    @action
    def add(self, n):
        self.x = self.x + n
        return self

    @action
    def nothing(self):
        pass


def rows(n=N, **attrs):
    return Dataset(n, Rows, preloaded=(np.arange(n), np.zeros(n)), **attrs)


def values(batches, name="x"):
    return [getattr(batch, name).tolist() for batch in batches]


def test_a_pipeline_is_never_changed():
    """Each call returns a new pipeline, so a template can be used twice."""
    template = Pipeline().add(1)
    one, two = template.add(10), template.add(n=20)
    dataset = rows()

    assert [[1, 2]] == values((template << dataset).gen_batch(2, n_iters=1))
    assert [[11, 12]] == values((one << dataset).gen_batch(2, n_iters=1))
    assert [[21, 22]] == values((two << dataset).gen_batch(2, n_iters=1))
    assert template.dataset is None


@pytest.mark.parametrize(
    "bind", [lambda t, d: t << d, lambda t, d: d >> t, lambda t, d: Pipeline(d) + t, lambda t, d: t + d.p]
)
def test_ways_to_bind(bind):
    """A dataset is bound with ``<<``, with ``>>``, or by a sum."""
    dataset = rows()

    bound = bind(Pipeline().add(1), dataset)

    assert dataset is bound.dataset
    assert [[1, 2, 3]] == values(bound.gen_batch(3, n_iters=1))


@pytest.mark.parametrize("value", ["missing", 5, [1]])
def test_what_is_bound_to_a_pipeline(value):
    """``<<`` takes a dataset or a config, nothing else."""
    with pytest.raises(TypeError, match="should be followed by a dataset or a config"):
        Pipeline() << value


def test_sums():
    """A sum has the steps, variables, configs and namespaces of both; two datasets are an error."""
    first = Pipeline(config={"a": 1, "b": 1}).init_variable("v", [])
    second = Pipeline(config={"b": 2}).update(V("v", mode="a"), C("a") + C("b") + B.x[0])

    assert [3, 7] == (first + second << rows()).run(4, n_iters=2).v("v")
    with pytest.raises(ValueError, match="different datasets"):
        rows().p + rows().p
    with pytest.raises(TypeError):
        Pipeline() + 1


def test_config():
    """``<<`` adds to the config, and the later entry wins; `C` finds it."""
    pipeline = Pipeline(config={"n": 1}).add(C("n")) << {"n": 5} << rows()

    assert [[5, 6]] == values(pipeline.gen_batch(2, n_iters=1))


def test_steps_before_and_after():
    """Steps before and after run once; not after a break out of the loop."""
    seen = []
    pipeline = (
        rows().p.before.call(seen.append, "before").after.call(seen.append, "after").call(seen.append, I())
        .before.init_variable("v", 5)
    )  # fmt: skip

    pipeline.run(5)
    assert ["before", 0, 1, "after"] == seen
    assert 5 == pipeline.v("v")

    seen.clear()
    for _ in pipeline.gen_batch(5):
        break
    assert ["before", 0] == seen


def test_rebatch_in_a_sum():
    """A sum with a rebatch keeps the dataset."""
    tail = Pipeline().rebatch(5).add(1)

    assert [5, 5] == [batch.size for batch in (rows().p.add(1) + tail).gen_batch(2, n_epochs=1)]
    with pytest.raises(ValueError, match="cannot hold a rebatch"):
        tail * 2
