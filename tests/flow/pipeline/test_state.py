"""State: variables of a pipeline, and how to reset them."""

import pytest
from flow_batches import rows

from batchup.flow import (
    F,
    I,
    Pipeline,
    V,
)

pytestmark = pytest.mark.timeout(60)


def test_variables():
    """First values are copied or evaluated; variables can be read, set and checked."""
    default = []
    template = (
        Pipeline().init_variable("a", default).init_variables("b", "c").init_variables({"d": 4, "e": {"default": 5}})
        .init_variable("f", F(lambda: 6))
    )  # fmt: skip
    one, two = template << rows(), template << rows()

    one.v("a").append(1)
    one.set_variable("b", 2)
    one.set_variable("a", 3, mode="a")

    assert ([1, 3], 2, None, 4, 5, 6) == tuple(map(one.v, "abcdef"))
    assert ([], [], None) == (two.v("a"), default, two.v("b"))
    assert one.has_variable("f")
    assert not one.has_variable("g")
    with pytest.raises(KeyError, match="there is no variable 'g'; there are 'a', 'b'"):
        one.v("g")


def test_variables_live_on_unless_they_are_reset():
    """Variables last from run to run, except those that are declared for each run."""
    pipeline = (
        rows().p.init_variable("all", []).init_variable("this", init_on_each_run=list)
        .update(V("all", mode="a"), I()).update(V("this", mode="a"), I())
    )  # fmt: skip

    pipeline.run(5).run(5)
    assert ([1, 2, 1, 2], [1, 2]) == (pipeline.v("all"), pipeline.v("this"))
    assert [1, 2] == pipeline.run(5, reset="vars").v("all")
    assert [] == pipeline.reset("vars").v("all")


def test_all_can_be_reset():
    """'all' and lists of names forget variables and models."""
    pipeline = rows().p.init_variable("n", 0).update(V("n"), V("n") + 1)

    assert [2, 4, 2, 2, 4] == [
        pipeline.run(5, reset=what).v("n")
        for what in (None, "iter", "all", ["variables", "models"], ["models", "iter"])
    ]


@pytest.mark.parametrize("what", ["variable", ["vars", "model"]])
def test_what_can_be_reset(what):
    """Other names raise."""
    with pytest.raises(ValueError, match="should be 'iter', 'variables', 'models' or 'all'"):
        rows().p.run(5, reset=what)
