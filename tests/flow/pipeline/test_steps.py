"""Steps: repeated, random, joined and merged."""

import flow_batches
import numpy as np
import pytest
from flow_batches import Rows, values

from batchup.flow import (
    B,
    C,
    I,
    Pipeline,
    V,
    action,
    apply_parallel,
)

pytestmark = pytest.mark.timeout(60)


class Steps(Rows):
    @action
    def together(self, *batches):
        self.y = sum(batch.x for batch in batches)
        return self

    @apply_parallel(src="x")
    def noise(self, x, rng):
        return x + rng.normal()


def test_an_action_returns_a_batch():
    """The error names an action that does not return a batch."""
    with pytest.raises(TypeError, match="the action 'nothing' of Steps should return a batch, not None; add `ret"):
        rows().p.nothing().add(1).run(2)


def test_repeated_steps():
    """``*`` repeats by a number or an expression."""
    with Pipeline() as p:
        pipeline = p.add(1) * 3 + p.add(1) * C("n")

    assert [[5, 6]] == values((pipeline << rows() << {"n": 2}).gen_batch(2, n_iters=1))


def test_steps_with_a_probability():
    """``@`` does steps for some batches, by the seed; or never, or always."""
    pipeline = rows(100).p + Pipeline().add(1000) @ 0.5

    first = [batch.x[0] >= 1000 for batch in pipeline.gen_batch(2, shuffle=3, n_epochs=1)]

    assert 10 < sum(first) < 40
    assert first == [batch.x[0] >= 1000 for batch in pipeline.gen_batch(2, shuffle=3, n_epochs=1)]
    for p, n in ((0, 0), (1, 50)):
        batches = (rows(100).p + Pipeline().add(1000) @ p).gen_batch(2, n_epochs=1)
        assert n == sum(batch.x[0] >= 1000 for batch in batches)


def test_random_numbers_of_repeated_steps_differ():
    """Each repetition draws other random numbers."""
    pipeline = rows().p + Pipeline().noise() * 2

    (batch,) = pipeline.gen_batch(1, shuffle=-5, n_iters=1)
    (once,) = rows().p.noise().gen_batch(1, shuffle=-5, n_iters=1)

    assert batch.x[0] != 2 * once.x[0]


def test_call_print_and_update(capsys):
    """`call`, `print` and `update` run for each batch."""
    seen = []
    pipeline = (
        rows().p.call(seen.append, B.size).print("batch", I(), end=";").update(B.y, B.x * 2)
        .call(len, B.x, save_to=V("n")).save_to(B.z, "z")
    )  # fmt: skip

    batches = list(pipeline.gen_batch(4, n_epochs=1))

    assert ([4, 4, 2], 2, "z") == (seen, pipeline.v("n"), batches[0].z)
    assert "batch 1;batch 2;batch 3;" == capsys.readouterr().out
    assert [[0, 2, 4, 6], [8, 10, 12, 14], [16, 18]] == values(batches, "y")


def test_joined_pipelines():
    """The next action gets the batches of the other pipelines with the same items."""
    other = rows().p.add(100)

    pipeline = rows().p.join(other, other.add(1000)).together()

    assert [[1200, 1202], [1204, 1206]] == values(pipeline.gen_batch(2, n_iters=2), "y")


def test_merged_pipelines():
    """Each batch is merged with the next batches of the others, by default or by a function."""
    pipeline = rows().p.merge(rows().p.add(100)).add(1)

    assert [[1, 2, 101, 102], [3, 4, 103, 104]] == values(pipeline.gen_batch(2, n_iters=2))
    chosen = rows().p.merge(rows().p.add(100), fn=lambda batches: batches[1])
    assert [[100, 101]] == values(chosen.gen_batch(2, n_iters=1))


def test_a_merged_pipeline_that_has_come_to_its_end():
    """The error names the pipeline that ended."""
    pipeline = rows().p.merge(rows().p, rows(4).p.run_later(n_epochs=1))

    with pytest.raises(RuntimeError, match="pipeline 1 of this merge has reached its n_epochs"):
        values(pipeline.gen_batch(2, n_iters=3))


def the_other(batches):
    return batches[1]


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (lambda other: rows().p.merge(other, other), [[0, 1, 100, 101, 102, 103], [2, 3, 104, 105, 106, 107]]),
        (lambda other: rows().p.merge(other, fn=the_other).merge(other, fn=the_other), [[102, 103], [106, 107]]),
        (lambda other: (Pipeline().merge(other, fn=the_other) * 2) << rows(), [[102, 103], [106, 107]]),
    ],
    ids=["in one step", "in two steps", "repeated"],
)
def test_a_pipeline_that_is_merged_twice_goes_on(make, expected):
    """A pipeline that is merged twice goes on; each run starts again."""
    pipeline = make(rows().p.add(100))

    assert expected == values(pipeline.gen_batch(2, n_iters=2, seed=3))
    assert expected == values(pipeline.gen_batch(2, n_iters=2))


def test_a_merged_pipeline_gives_as_many_items_as_the_batch_has():
    """A merged pipeline gives as many items as the batch has, even for a short last batch."""
    pipeline = rows().p.merge(rows().p.add(100).run_later(prefetch=2))

    assert [[8, 9, 108, 109]] == values(pipeline.gen_batch(4, n_epochs=1))[2:]


def rows(n=10, **attrs):
    return flow_batches.rows(n, Steps, **attrs)


class Drawing(Steps):
    @action
    def draw(self):
        self.x = self.random.integers(10**9, size=self.size)
        return self


@pytest.mark.parametrize("how", ["join", "merge"])
@pytest.mark.parametrize("later", [{}, {"shuffle": True}, {"shuffle": 5}])
def test_other_pipelines_draw_what_the_seed_of_the_run_says(how, later):
    """A seeded run with other pipelines can be repeated."""
    other = flow_batches.rows(batch_class=Drawing).p.draw().run_later(**later)
    pipeline = rows().p.join(other).together() if how == "join" else rows().p.merge(other)

    def drawn(seed):
        batches = pipeline.gen_batch(2, n_epochs=1, seed=seed)
        return np.concatenate([batch.y if how == "join" else batch.x[2:] for batch in batches]).tolist()

    first = drawn(3)

    assert first == drawn(3)
    assert len(set(first)) == len(first)
    assert first != drawn(4) or (how == "merge" and later == {"shuffle": 5})


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        (lambda p: p * -1, "the number of repetitions should be an integer of at least 0, not -1"),
        (lambda p: p @ 3, "the probability of steps should be from 0 to 1, not 3"),
    ],
)
def test_steps_are_repeated_or_done_as_often_as_can_be(wrong, why):
    """Wrong numbers are errors."""
    with pytest.raises(ValueError, match=why):
        wrong(rows().p.add(1)).next_batch(2)
