"""Recipes: declare, add and bind pipelines; steps that run once, before and after the batches."""

import pytest
from flow_batches import rows, values

from batchup.flow import (
    B,
    C,
    Dataset,
    I,
    Pipeline,
    V,
)

pytestmark = pytest.mark.timeout(60)


class Model:
    """A model that knows where it was saved."""

    path = None

    def train(self, x): ...

    def predict(self, x): ...

    def save(self, path):
        self.path = path


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
    pipeline = rows().p.call(seen.append, I())
    pipeline.before.call(seen.append, "before").init_variable("v", 5).call(seen.append, V("v"))
    pipeline.after.call(seen.append, "after")

    pipeline.run(5)
    assert ["before", 5, 1, 2, "after"] == seen
    assert 5 == pipeline.v("v")

    seen.clear()
    for _ in pipeline.gen_batch(5):
        break
    assert ["before", 5, 1] == seen
    seen.clear()
    pipeline.after.run()
    assert ["after"] == seen


def test_declarations_are_statements():
    """Variables, models, locks, namespaces, configs and options hold where nothing is done with what they return."""
    pipeline = Pipeline() << rows()
    pipeline.init_variable("n", 1)
    pipeline.init_variables({"m": 2})
    pipeline.init_model("model", source=Model())
    pipeline.init_lock("one")
    pipeline.add_namespace({"scaled": lambda x, by: x * by})
    pipeline.set_config({"model/lr": 0.5}).update_config({"by": 3})
    pipeline.run_later(5, n_epochs=1)
    pipeline.before.update(V("n"), 10)
    pipeline.after.update(V("m"), V("n") + 1).save_model("model", C.path)

    steps = pipeline.scaled(B.x, C("by"), save_to=B.x).update(V("n"), V("n") + 1) << {"path": "there"}
    steps.run()

    assert (12, 13, "there", 0.5) == (steps.v("n"), steps.v("m"), steps.m("model").path, steps.config["model"]["lr"])
    assert [0, 3, 6, 9, 12] == steps.next_batch().x.tolist()
    assert pipeline is pipeline.before.main


def test_a_variable_may_be_declared_again():
    """The last declaration holds, in a pipeline that ran, too."""
    pipeline = rows().p.init_variable("n", 1).update(V("n"), V("n") + 1)

    pipeline.run(5)
    pipeline.init_variable("n", 10)

    assert (10, 12) == (pipeline.v("n"), pipeline.run(5).v("n"))


def test_rebatch_in_a_sum():
    """A sum with a rebatch keeps the dataset."""
    tail = Pipeline().rebatch(5).add(1)

    assert [5, 5] == [batch.size for batch in (rows().p.add(1) + tail).gen_batch(2, n_epochs=1)]
    with pytest.raises(ValueError, match="cannot hold a rebatch"):
        tail * 2


def test_steps_are_collected_into_the_pipeline():
    """Statements and chains add steps in their order; `main` is the pipeline."""
    seen = []
    pipeline = Dataset(4).p.init_variable("n", 1)

    pipeline.before.call(seen.append, "a").call(seen.append, "b")
    pipeline.after.call(seen.append, V("n")).update(V("n"), 5)

    assert pipeline is pipeline.after.main
    assert (["a", "b", 1], 5) == (pipeline.run(2) and seen, pipeline.v("n"))


def test_steps_after_a_run_may_run_now():
    """`run` of `after` does its steps at once."""
    pipeline = Dataset(4).p.init_variable("n", 1)
    pipeline.after.update(V("n"), V("n") + 1)

    pipeline.after.run()

    assert 2 == pipeline.v("n")


def test_names_are_functions():
    """A function of a namespace is a step; other names raise."""
    pipeline = Pipeline().add_namespace({"two": lambda: 2}).init_variable("n") << Dataset(3)
    pipeline.before.two(save_to=V("n"))

    assert 2 == pipeline.run(3).v("n")
    with pytest.raises(AttributeError, match="no function 'tow'"):
        pipeline.before.tow()
