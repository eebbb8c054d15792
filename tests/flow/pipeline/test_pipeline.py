"""Pipelines: runs, their options, and their errors."""

import pytest
from flow_batches import Rows, rows, values

from batchup.flow import (
    B,
    Batch,
    C,
    D,
    Dataset,
    EmptyBatchSequence,
    P,
    Pipeline,
    R,
    SkipBatchException,
    StopPipeline,
    V,
    action,
)

pytestmark = pytest.mark.timeout(60)


class Steps(Rows):
    @action
    def skip_odd(self):
        if self.iteration % 2 == 0:
            raise SkipBatchException
        return self

    @action
    def stop_at(self, number):
        if self.iteration == number:
            raise StopPipeline
        return self


class Other(Batch):
    components = ("z",)


@pytest.mark.parametrize("run", ["run", "next_batch", "gen_batch"])
def test_a_pipeline_without_dataset_does_not_run(run):
    """The error says how to bind a dataset; another one asks for the batch size."""
    with pytest.raises(ValueError, match="has no dataset: bind it"):
        getattr(Pipeline().add(1), run)(2)
    with pytest.raises(ValueError, match="batch_size should be given"):
        getattr(rows().p, run)()


def test_a_run_is_one_epoch():
    """A run is one epoch by default, and returns the pipeline."""
    counted = rows().p.init_variable("n", 0).update(V("n"), V("n") + B.size)

    assert counted is counted.run(3)
    assert 10 == counted.v("n")
    assert 10 + 20 == counted.run(3, n_epochs=2).v("n")
    assert 30 + 3 == counted.run(3, n_iters=1).v("n")


def test_generators_and_next_batch_have_states_of_their_own():
    """`gen_batch` and `next_batch` do not affect each other; the batch size of `next_batch` may change."""
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
    """`run_later` sets defaults for `run`, `next_batch` and `gen_batch`."""
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
    """Misspelled options raise."""
    with pytest.raises(error, match=why):
        rows().p.run(2, **options)


def test_options_of_the_batch():
    """Keywords of the constructor of batches are passed to it; others do not become attributes."""

    class Coloured(Rows):
        def __init__(self, index, *args, colour="none", **kwargs):
            super().__init__(index, *args, **kwargs)
            self.colour = colour

    assert "red" == Dataset(4, Coloured).p.next_batch(2, colour="red").colour
    with pytest.raises(TypeError, match="does not take 'colour': the constructor of Rows has none"):
        rows().p.next_batch(2, colour="red")


def test_batches_may_be_skipped_and_runs_stopped():
    """Actions skip batches or stop the run with exceptions; a run without batches gives a warning."""
    assert [[0, 1], [4, 5], [8, 9]] == values(rows(batch_class=Steps).p.skip_odd().gen_batch(2, n_epochs=1))
    assert [[0, 1], [2, 3]] == values(rows(batch_class=Steps).p.stop_at(3).gen_batch(2, n_epochs=1))
    with pytest.warns(EmptyBatchSequence, match="gave no batch"):
        rows(batch_class=Steps).p.stop_at(1).run(2)


def test_failing_batches_may_be_left_out():
    """With ``ignore_exceptions`` a failing batch is left out with a warning."""

    def invert(x):
        return 1 // (x - 1)

    pipeline = rows().p.add_namespace({"invert": invert}).invert(B.iteration, save_to=B.z)

    with pytest.raises(ZeroDivisionError):
        pipeline.run(5)
    with pytest.warns(RuntimeWarning, match="a batch is left out: ZeroDivisionError"):
        assert [[5, 6, 7, 8, 9]] == values(pipeline.gen_batch(5, n_epochs=1, ignore_exceptions=True))


def test_an_error_says_where_it_was():
    """An error keeps its type, and has a note with step and batch."""
    with pytest.raises(AttributeError) as error:
        rows().p.add(1).add(B.missing).run(4, n_epochs=1)

    assert ["at step 1 of the pipeline, add, with batch 1 (items 0, 1, 2, 3)"] == error.value.__notes__


def test_one_batch_by_hand():
    """`execute_for` takes a batch through all steps."""
    batch = rows().create_batch([5, 6])

    assert [6, 7] == (Pipeline().add(1) << rows()).execute_for(batch).x.tolist()


def test_a_progress_bar(capsys):
    """The bar of tqdm has the number of batches."""
    pytest.importorskip("tqdm")

    rows().p.run(4, bar=True)

    assert "3/3" in capsys.readouterr().err


@pytest.mark.parametrize("options", [{"notifier": True}, {"notifier": "t"}, {"notifier": {"bar": True, "ncols": 40}}])
def test_a_notifier_is_a_progress_bar(capsys, options):
    """`notifier` shows a bar, too; a dict has keyword arguments of tqdm."""
    pytest.importorskip("tqdm")

    rows().p.run(4, **options)

    assert "3/3" in capsys.readouterr().err


def test_a_pipeline_gives_one_epoch():
    """So does it after `run_later`; ``n_epochs=None`` and `next_batch` never end."""
    pipeline = rows().p.add(1)

    assert 3 == len(list(pipeline.gen_batch(4)))
    assert 3 == len(list(pipeline.run_later(4).gen_batch()))
    assert 9 == len([batch for batch, _ in zip(pipeline.gen_batch(4, n_epochs=None), range(9), strict=False)])
    assert 9 == len([pipeline.next_batch(4) for _ in range(9)])


def test_options_of_a_run_may_be_expressions():
    """Each option is evaluated with the pipeline."""
    pipeline = rows().p.add(1) << {"bs": 5, "ne": 2, "order": 7}

    options = {"n_epochs": C("ne"), "shuffle": C.order, "drop_last": C("last", default=True), "prefetch": C("bs") - 4}

    assert values(pipeline.gen_batch(5, n_epochs=2, shuffle=7)) == values(pipeline.gen_batch(C("bs"), **options))
    assert 4 == len(list(pipeline.run_later(C("bs"), n_epochs=C("ne")).gen_batch()))


def test_variables_by_hand():
    """They can be created, assigned and deleted."""
    pipeline = rows().p

    assert None is pipeline.get_variable("empty", create=True)
    assert 5 == pipeline.get_variable("n", 5)
    pipeline.assign_variable("n", 6)
    assert 6 == pipeline.v("n")
    assert not pipeline.delete_variable("n").has_variable("n")


def test_discarded_batches_have_no_data():
    """The steps before have done their work; the batch is empty."""
    pipeline = rows().p.init_variable("n", 0).update(V("n"), V("n") + B.size).discard_batch()

    batches = list(pipeline.gen_batch(5, prefetch=True))

    assert (10, [None, None]) == (pipeline.v("n"), [batch.data for batch in batches])


@pytest.mark.parametrize("prefetch", [0, 3])
def test_batches_of_another_size(prefetch):
    """`rebatch` keeps items, order and variables; the last batch may be short."""
    pipeline = (
        rows().p.init_variable("sizes", []).add(1).rebatch(C("size")).update(V("sizes", mode="a"), B.size).add(10)
        << {"size": 4}
    )  # fmt: skip

    found = values(pipeline.gen_batch(3, n_epochs=1, prefetch=prefetch))

    assert [[11, 12, 13, 14], [15, 16, 17, 18], [19, 20]] == found
    assert [4, 4, 2] == pipeline.v("sizes")


def test_dataset_attributes():
    """`D` gives attributes of the dataset; names of its own are an error."""
    assert [[7, 8]] == values(rows(shift=7).p.add(D("shift")).gen_batch(2, n_iters=1))
    with pytest.raises(ValueError, match="already"):
        rows(split=1)


def test_values_per_item_reach_functions():
    """A function gets values per item as a sequence."""
    space = {"total": sum}

    batch = rows().p.add_namespace(space).total(P(R("integers", 1, 2)), save_to=B.z).next_batch(4)

    assert 4 == batch.z


def test_there_is_no_batch_before_a_run():
    """An action before a run is an error that says there is no batch."""
    with pytest.raises(AttributeError, match="no function 'add'; before and after a run there is no batch"):
        rows().p.before.add(1).run(5)


@pytest.mark.parametrize("pipeline", [rows().p, rows().p.rebatch(R("integers", 1, 9))])
def test_a_run_without_actions_is_seeded_too(pipeline):
    """A seed makes a random batch size and later random numbers reproducible."""

    def drawn(seed):
        return [(batch.size, batch.random.random()) for batch in pipeline.gen_batch(3, n_epochs=2, seed=seed)]

    assert drawn(1) == drawn(1) != drawn(2)


def test_a_batch_of_these_items():
    """`create_batch` takes items by id through all steps."""
    assert [4, 6] == rows().p.add(1).create_batch([3, 5]).x.tolist()


def test_a_variable_by_its_name():
    """`update_variable` is an `update` of a variable."""
    pipeline = rows().p.init_variable("sizes", []).update_variable("sizes", B.size, mode="a")

    assert [4, 4, 2] == pipeline.run(4).v("sizes")


def test_the_dataset_may_be_an_expression():
    """A pipeline over a fold that the config names."""
    dataset = rows()
    dataset.cv_split(n_splits=5)
    template = Pipeline().add(1) << dataset.CV(C("fold")).train

    assert [[1, 2, 5], [6, 7, 8], [9, 10]] == values((template << {"fold": 1}).gen_batch(3))
    assert [[2, 3]] == values((Pipeline().add(0) << dataset.CV(C("fold")).test << {"fold": 1}).gen_batch(3))
    assert [[11, 12, 15]] == values((template + Pipeline().add(10) << {"fold": 1}).gen_batch(3, n_iters=1))
    assert [[1, 2, 5]] == values(Pipeline().add(1).set_dataset(dataset.CV(1).train).gen_batch(3, n_iters=1))
    with pytest.raises(KeyError, match="fold"):
        list(template.gen_batch(3))
