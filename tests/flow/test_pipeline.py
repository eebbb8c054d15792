"""Pipelines: what is written down, and what comes of it in a run."""

import copy
import pickle
import sys
import types

import numpy as np
import pytest

from batchup.flow import (
    B,
    Batch,
    C,
    D,
    Dataset,
    EmptyBatchSequence,
    F,
    I,
    P,
    Pipeline,
    R,
    SkipBatchException,
    StopPipeline,
    V,
    action,
    apply_parallel,
)
from batchup.flow.extras.profile import step_totals

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

    @action
    def to_other(self):
        return Other(self.index, preloaded=(np.arange(N) * 100,))

    @action
    def together(self, *batches):
        self.y = sum(batch.x for batch in batches)
        return self

    @action
    def skip_odd(self):
        if self.iteration % 2:
            raise SkipBatchException
        return self

    @action
    def stop_at(self, number):
        if self.iteration == number:
            raise StopPipeline
        return self

    @apply_parallel(src="x")
    def noise(self, x, rng):
        return x + rng.normal()

    def unmarked(self):
        return self


class Other(Batch):
    components = ("z",)

    @action
    def other_step(self):
        self.z = self.z + 1
        return self


def rows(n=N, **attrs):
    return Dataset(n, Rows, preloaded=(np.arange(n), np.zeros(n)), **attrs)


def values(batches, name="x"):
    return [getattr(batch, name).tolist() for batch in batches]


# ---- writing it down


def test_a_pipeline_is_never_changed():
    """Each call gives a new one: a template serves twice, and an unfinished one can be continued in two ways."""
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
    """A pipeline and a dataset, from either side, or the sum with one that has a dataset."""
    dataset = rows()

    bound = bind(Pipeline().add(1), dataset)

    assert dataset is bound.dataset
    assert [[1, 2, 3]] == values(bound.gen_batch(3, n_iters=1))


@pytest.mark.parametrize(
    ("step", "error", "why"),
    [
        ("addd", AttributeError, "there is no step 'addd'"),
        ("unmarked", ValueError, "Rows.unmarked should be an action"),
    ],
)
@pytest.mark.parametrize(
    "bind", [lambda step: getattr(rows().p, step)(), lambda step: getattr(Pipeline(), step)() << rows()]
)
def test_an_unknown_step_is_refused_when_the_pipeline_is_bound(step, error, why, bind):
    """Before anything is loaded, whichever comes first."""
    with pytest.raises(error, match=why):
        bind(step)


def test_a_step_of_another_batch_class():
    """May follow an action that returns such a batch, which keeps dataset, pipeline and number."""
    pipeline = rows().p.to_other().other_step()

    second = list(pipeline.gen_batch(4, n_iters=2))[1]

    assert [401, 501, 601, 701] == second.z.tolist()
    assert (pipeline.dataset, pipeline, 1) == (second.dataset, second.pipeline, second.iteration)


@pytest.mark.parametrize("value", ["missing", 5, [1]])
def test_what_is_bound_to_a_pipeline(value):
    """A dataset or a config, nothing else."""
    with pytest.raises(TypeError, match="should be followed by a dataset or a config"):
        Pipeline() << value


@pytest.mark.parametrize("run", ["run", "next_batch", "gen_batch"])
def test_a_pipeline_without_dataset_does_not_run(run):
    """The error says how to bind it; another one asks for the batch size."""
    with pytest.raises(ValueError, match="has no dataset: bind it"):
        getattr(Pipeline().add(1), run)(2)
    with pytest.raises(ValueError, match="batch_size should be given"):
        getattr(rows().p, run)()


def test_private_names_are_no_steps():
    """So that copy, pickle and prompts do what they should."""
    with pytest.raises(AttributeError, match="private"):
        Pipeline()._add  # noqa: B018
    for clone in (copy.copy, copy.deepcopy, lambda p: pickle.loads(pickle.dumps(p))):
        assert [[1, 2]] == values((clone(Pipeline().add(1)) << rows()).gen_batch(2, n_iters=1))


def test_an_action_returns_a_batch():
    """One that forgets it is told so, by name, at once."""
    with pytest.raises(TypeError, match="the action 'nothing' of Rows should return a batch, not None; add `ret"):
        rows().p.nothing().add(1).run(2)


def test_sums():
    """Steps, variables, config, namespaces of both; two datasets are refused."""
    first = Pipeline(config={"a": 1, "b": 1}).init_variable("v", [])
    second = Pipeline(config={"b": 2}).update(V("v", mode="a"), C("a") + C("b") + B.x[0])

    assert [3, 7] == (first + second << rows()).run(4, n_iters=2).v("v")
    with pytest.raises(ValueError, match="different datasets"):
        rows().p + rows().p
    with pytest.raises(TypeError):
        Pipeline() + 1


def test_config():
    """Added by ``<<``, where the later entry wins; an expression finds it."""
    pipeline = Pipeline(config={"n": 1}).add(C("n")) << {"n": 5} << rows()

    assert [[5, 6]] == values(pipeline.gen_batch(2, n_iters=1))


def test_repeated_steps():
    """``*`` as often as said, by a number or by an expression."""
    with Pipeline() as p:
        pipeline = p.add(1) * 3 + p.add(1) * C("n")

    assert [[5, 6]] == values((pipeline << rows() << {"n": 2}).gen_batch(2, n_iters=1))


def test_steps_with_a_probability():
    """``@``: done for some of the batches, by the seed; never, always."""
    pipeline = rows(100).p + Pipeline().add(1000) @ 0.5

    first = [batch.x[0] >= 1000 for batch in pipeline.gen_batch(2, shuffle=3, n_epochs=1)]

    assert 10 < sum(first) < 40
    assert first == [batch.x[0] >= 1000 for batch in pipeline.gen_batch(2, shuffle=3, n_epochs=1)]
    for p, n in ((0, 0), (1, 50)):
        batches = (rows(100).p + Pipeline().add(1000) @ p).gen_batch(2, n_epochs=1)
        assert n == sum(batch.x[0] >= 1000 for batch in batches)


def test_random_numbers_of_repeated_steps_differ():
    """Each repetition draws its own."""
    pipeline = rows().p + Pipeline().noise() * 2

    (batch,) = pipeline.gen_batch(1, shuffle=-5, n_iters=1)
    (once,) = rows().p.noise().gen_batch(1, shuffle=-5, n_iters=1)

    assert batch.x[0] != 2 * once.x[0]


# ---- functions as steps


def test_functions_of_namespaces():
    """Their values go where save_to says; the batch goes on; save_to is not passed on."""
    space = types.SimpleNamespace(scaled=lambda x, by: x * by, both=lambda x: (x, -x), table={"k": 1})

    pipeline = (
        Pipeline().add_namespace(space).scaled(B.x, by=3, save_to=B.x).both(B.x, save_to=[B.p, B.q]).add(1) << rows()
    )
    batch = pipeline.next_batch(3)

    assert ([1, 4, 7], [0, -3, -6]) == (batch.x.tolist(), batch.q.tolist())
    with pytest.raises(AttributeError, match="no step 'table'"):
        pipeline.table()


def test_actions_come_before_functions():
    """Of the same name; then namespaces, in order, then methods of the dataset."""

    class Named(Dataset):
        def level(self):
            return "dataset"

        def height(self):
            return "dataset"

    space = {"add": lambda n: 1 / 0, "level": lambda: "namespace"}
    pipeline = Named(4, Rows, preloaded=(np.arange(4), np.zeros(4))).p.add_namespace(space)

    batch = pipeline.add(5).level(save_to=B.level).height(save_to=B.height).next_batch(2)

    assert ([5, 6], "namespace", "dataset") == (batch.x.tolist(), batch.level, batch.height)


def test_functions_of_the_main_program(monkeypatch):
    """As in a script or a notebook."""
    import __main__

    monkeypatch.setattr(__main__, "halved", lambda x: x / 2, raising=False)

    assert [[0, 0.5]] == values(rows().p.halved(B.x, save_to=B.x).gen_batch(2, n_iters=1))


def test_call_print_and_update(capsys):
    """For each batch: a function, a line, a value."""
    seen = []
    pipeline = (
        rows().p.call(seen.append, B.size).print("batch", I(), end=";").update(B.y, B.x * 2)
        .call(len, B.x, save_to=V("n")).save_to(B.z, "z")
    )  # fmt: skip

    batches = list(pipeline.gen_batch(4, n_epochs=1))

    assert ([4, 4, 2], 2, "z") == (seen, pipeline.v("n"), batches[0].z)
    assert "batch 0;batch 1;batch 2;" == capsys.readouterr().out
    assert [[0, 2, 4, 6], [8, 10, 12, 14], [16, 18]] == values(batches, "y")


# ---- variables


def test_variables():
    """Their first values are copies; expressions are evaluated; all can be read, set and asked for."""
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
    """From run to run of the same pipeline; those of each run begin anew."""
    pipeline = (
        rows().p.init_variable("all", []).init_variable("this", init_on_each_run=list)
        .update(V("all", mode="a"), I()).update(V("this", mode="a"), I())
    )  # fmt: skip

    pipeline.run(5).run(5)
    assert ([0, 1, 0, 1], [0, 1]) == (pipeline.v("all"), pipeline.v("this"))
    assert [0, 1] == pipeline.run(5, reset="vars").v("all")
    assert [] == pipeline.reset("vars").v("all")


@pytest.mark.parametrize("what", ["variables", ["vars", "model"]])
def test_what_can_be_reset(what):
    """Anything else is refused."""
    with pytest.raises(ValueError, match="should be 'iter', 'vars' or 'models'"):
        rows().p.run(5, reset=what)


def test_steps_before_and_after():
    """Once each, around the batches; not after a loop that was left."""
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


# ---- runs


def test_a_run_is_one_epoch():
    """Unless it is told otherwise; it returns the pipeline."""
    counted = rows().p.init_variable("n", 0).update(V("n"), V("n") + B.size)

    assert counted is counted.run(3)
    assert 10 == counted.v("n")
    assert 10 + 20 == counted.run(3, n_epochs=2).v("n")
    assert 30 + 3 == counted.run(3, n_iters=1).v("n")


def test_generators_and_next_batch_have_states_of_their_own():
    """One does not move the other; the batch size of `next_batch` may change."""
    pipeline = rows().p.add(0)
    one, two = pipeline.gen_batch(4), pipeline.gen_batch(4)

    assert [0, 1] == pipeline.next_batch(2).x.tolist()
    assert next(one).x.tolist() == next(two).x.tolist() == [0, 1, 2, 3]
    assert [2, 3, 4] == pipeline.next_batch(3).x.tolist()
    pipeline.reset("iter")
    assert [0, 1] == pipeline.next_batch(2).x.tolist()
    with pytest.raises(StopIteration):
        [pipeline.next_batch(5, n_epochs=1) for _ in range(3)]


def test_a_run_that_is_told_later():
    """Its options hold for `run`, `next_batch` and `gen_batch`, where these say nothing else."""
    pipeline = rows().p.init_variable("n", 0).update(V("n"), V("n") + 1).run_later(5, n_epochs=3, shuffle=1)

    assert 6 == pipeline.run().v("n")
    assert 6 + 5 == pipeline.run(2, n_epochs=1).v("n")
    assert 6 + 5 + 4 == pipeline.run(2, n_iters=4).v("n")
    assert 5 == pipeline.next_batch().size
    assert 4 == rows().p.run(4, lazy=True).next_batch().size


@pytest.mark.parametrize(
    ("options", "error", "why"),
    [
        ({"shufle": True}, TypeError, "did you mean 'shuffle'"),
        ({"prefetch": -1}, ValueError, "prefetch should"),
        ({"target": "gpu"}, ValueError, "target should"),
        ({"target": "async"}, ValueError, "'threads' or 'mpc'"),
        ({"n_iters": 1, "n_epochs": 1}, ValueError, "not both"),
    ],
)
def test_wrong_options_of_a_run(options, error, why):
    """A misspelt one is not given to the batch in silence."""
    with pytest.raises(error, match=why):
        rows().p.run(2, **options)


def test_options_of_the_batch():
    """Other keywords of a run reach its constructor."""
    assert "red" == rows().p.next_batch(2, colour="red").colour


def test_batches_may_be_skipped_and_runs_stopped():
    """By exceptions of an action; a run without any batch gives a warning."""
    assert [[0, 1], [4, 5], [8, 9]] == values(rows().p.skip_odd().gen_batch(2, n_epochs=1))
    assert [[0, 1], [2, 3]] == values(rows().p.stop_at(2).gen_batch(2, n_epochs=1))
    with pytest.warns(EmptyBatchSequence, match="gave no batch"):
        rows().p.stop_at(0).run(2)


def test_failing_batches_may_be_left_out():
    """With a warning for each, if that is asked for."""

    def invert(x):
        return 1 // x

    pipeline = rows().p.add_namespace({"invert": invert}).invert(B.iteration, save_to=B.z)

    with pytest.raises(ZeroDivisionError):
        pipeline.run(5)
    with pytest.warns(RuntimeWarning, match="a batch is left out: ZeroDivisionError"):
        assert [[5, 6, 7, 8, 9]] == values(pipeline.gen_batch(5, n_epochs=1, ignore_exceptions=True))


def test_an_error_says_where_it_was():
    """The user's own type, with a note of step and batch."""
    with pytest.raises(AttributeError) as error:
        rows().p.add(1).add(B.missing).run(4, n_epochs=1)

    assert ["at step 1 of the pipeline, add, with batch 0 (items 0, 1, 2, 3)"] == error.value.__notes__


def test_one_batch_by_hand():
    """Goes through all steps."""
    batch = rows().create_batch([5, 6])

    assert [6, 7] == (Pipeline().add(1) << rows()).execute_for(batch).x.tolist()


def test_a_progress_bar(capsys):
    """Of tqdm, which knows how many batches there are."""
    pytest.importorskip("tqdm")

    rows().p.run(4, bar=True)

    assert "3/3" in capsys.readouterr().err


# ---- several pipelines


def test_joined_pipelines():
    """The next action gets their batches of the same items, for each batch anew."""
    other = rows().p.add(100)

    pipeline = rows().p.join(other, other.add(1000)).together()

    assert [[1200, 1202], [1204, 1206]] == values(pipeline.gen_batch(2, n_iters=2), "y")


def test_merged_pipelines():
    """Each batch grows by the next ones of the others; a function may say how."""
    pipeline = rows().p.merge(rows().p.add(100)).add(1)

    assert [[1, 2, 101, 102], [3, 4, 103, 104]] == values(pipeline.gen_batch(2, n_iters=2))
    chosen = rows().p.merge(rows().p.add(100), fn=lambda batches: batches[1])
    assert [[100, 101]] == values(chosen.gen_batch(2, n_iters=1))


def test_a_merged_pipeline_that_has_come_to_its_end():
    """It is an error that says which one."""
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
    """Each time with the items behind those that it gave before, and with each run anew."""
    pipeline = make(rows().p.add(100))

    assert expected == values(pipeline.gen_batch(2, n_iters=2, seed=3))
    assert expected == values(pipeline.gen_batch(2, n_iters=2))


def test_a_merged_pipeline_gives_as_many_items_as_the_batch_has():
    """Be the last batch short, and be it told to work ahead."""
    pipeline = rows().p.merge(rows().p.add(100).run_later(prefetch=2))

    assert [[8, 9, 108, 109]] == values(pipeline.gen_batch(4, n_epochs=1))[2:]


class Drawing(Rows):
    @action
    def draw(self):
        self.x = self.random.integers(10**9, size=self.size)
        return self


@pytest.mark.parametrize("how", ["join", "merge"])
@pytest.mark.parametrize("later", [{}, {"shuffle": True}, {"shuffle": 5}])
def test_other_pipelines_draw_what_the_seed_of_the_run_says(how, later):
    """A run with a seed can be repeated, by the same pipeline too; its batches differ from one another."""
    other = Dataset(N, Drawing, preloaded=(np.arange(N), np.zeros(N))).p.draw().run_later(**later)
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
    """Another number is an error, not never or always."""
    with pytest.raises(ValueError, match=why):
        wrong(rows().p.add(1)).next_batch(2)


@pytest.mark.parametrize("prefetch", [0, 3])
def test_batches_of_another_size(prefetch):
    """The same items in the same order, with variables of before; the last may be short."""
    pipeline = (
        rows().p.init_variable("sizes", []).add(1).rebatch(C("size")).update(V("sizes", mode="a"), B.size).add(10)
        << {"size": 4}
    )  # fmt: skip

    found = values(pipeline.gen_batch(3, n_epochs=1, prefetch=prefetch))

    assert [[11, 12, 13, 14], [15, 16, 17, 18], [19, 20]] == found
    assert [4, 4, 2] == pipeline.v("sizes")


def test_rebatch_in_a_sum():
    """Keeps the dataset, wherever the rebatch is."""
    tail = Pipeline().rebatch(5).add(1)

    assert [5, 5] == [batch.size for batch in (rows().p.add(1) + tail).gen_batch(2, n_epochs=1)]
    with pytest.raises(ValueError, match="cannot hold a rebatch"):
        tail * 2


# ---- profile


@pytest.mark.parametrize("prefetch", [0, 2])
def test_a_profile(prefetch):
    """How often each step was done, and how long it took; only if it was asked for."""
    pipeline = rows().p.add(1).call(len, B.x).rebatch(5).add(2)
    with pytest.raises(ValueError, match="profile=True"):
        pipeline.show_profile_info()

    pipeline.run(2, profile=True, prefetch=prefetch)

    found = {row["step"]: (row["name"], row["calls"]) for row in step_totals(pipeline.state.profile)}
    assert {0: ("add", 5), 1: ("call", 5), 3: ("add", 2)} == found
    assert 12 == len(pipeline.profile_info)
    assert "add" in str(pipeline.show_profile_info())


def test_a_profile_without_pandas(monkeypatch):
    """Is a list of dicts, which prints as a table."""
    monkeypatch.setitem(sys.modules, "pandas", None)

    found = rows().p.add(1).run(5, profile=True).show_profile_info()

    assert ("add", 2) == (found[0]["name"], found[0]["calls"])
    assert ["step", "name", "calls", "sum", "mean", "max"] == str(found).splitlines()[0].split()


def test_dataset_attributes():
    """`D` finds them; what a dataset has itself cannot be given."""
    assert [[7, 8]] == values(rows(shift=7).p.add(D("shift")).gen_batch(2, n_iters=1))
    with pytest.raises(ValueError, match="already"):
        rows(split=1)


def test_values_per_item_reach_functions():
    """As a sequence of as many values."""
    space = {"total": sum}

    batch = rows().p.add_namespace(space).total(P(R("integers", 1, 2)), save_to=B.z).next_batch(4)

    assert 4 == batch.z


def test_there_is_no_batch_before_a_run():
    """An action there is an error that says so."""
    with pytest.raises(AttributeError, match="no function 'add'; before and after a run there is no batch"):
        rows().p.before.add(1).run(5)


@pytest.mark.parametrize("pipeline", [rows().p, rows().p.rebatch(R("integers", 1, 9))])
def test_a_run_without_actions_is_seeded_too(pipeline):
    """What is drawn for a new batch size, and what the batches draw later."""

    def drawn(seed):
        return [(batch.size, batch.random.random()) for batch in pipeline.gen_batch(3, n_epochs=2, seed=seed)]

    assert drawn(1) == drawn(1) != drawn(2)
