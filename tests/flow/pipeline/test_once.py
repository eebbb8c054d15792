"""Steps that run once, before and after the batches."""

import pytest

from batchup.flow import Dataset, Pipeline, V


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
