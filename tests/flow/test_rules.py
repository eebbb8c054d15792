"""Rules of `batchup.flow`, one test for each."""

import numpy as np
import pytest

from batchup.flow import B, Batch, Dataset, Pipeline, action, apply_parallel

pytestmark = pytest.mark.timeout(60)
N = 10
X = np.arange(N) * 10


class Rows(Batch):
    components = "x", "y"

    @action
    def forget(self):
        self.x = self.x + 1

    @action
    def value(self):
        return 5

    @action
    def to_plain(self):
        return Batch(self.index)

    @action
    def invert(self, at):
        if self.iteration == at:
            raise ZeroDivisionError("user's own")
        return self

    @apply_parallel(src="x")
    def shift(self, x, by=1):
        return x + by


def rows():
    return Dataset(N, Rows, preloaded=(X, X))


def test_load_takes_by_id_and_data_are_stored_by_place():
    """`load` takes from the items of the dataset; `put_into_data` and ``_data`` take the items of the batch."""
    batch = Rows([7, 2])

    assert [70, 20] == batch.load(src=X, dst="x").x.tolist()
    batch.put_into_data([1, 2], "x")
    assert [1, 2] == batch.x
    batch._data = ([3, 4], [5, 6])
    assert ([3, 4], [5, 6]) == (batch.x, batch.y)


@pytest.mark.parametrize("names", [("x", "y"), ["x", "y"]])
def test_a_name_gets_the_source_whole_and_names_get_its_parts(names):
    """One name gets the whole source; several get its parts, by order or by name."""
    assert [70, 20] == Batch([7, 2]).load(src=X, dst="whole").whole.tolist()
    for source in ((X, -X), [X, -X], {"y": -X, "x": X}):
        batch = Batch([7]).load(src=source, dst=names)
        assert ([70], [-70]) == (batch.x.tolist(), batch.y.tolist())


def test_the_nearest_layer_says_where_results_go():
    """Options of the call come before those of the decorator, and these before those of the class."""
    batch = rows().create_batch([1, 2])

    batch.shift(src="y")

    assert ([10, 20], [11, 21]) == (batch.x.tolist(), batch.y.tolist())


def test_mask_and_seeds_are_drawn_once_for_all_sources():
    """Masks get the same transform as their images."""
    batch = rows().create_batch(np.arange(N))

    batch.apply_parallel(lambda x, rng: x + rng.integers(1, 1000), src=["x", "y"], p=0.5)

    assert batch.x.tolist() == batch.y.tolist()
    assert 0 < (batch.x != X).sum() < N


def test_arguments_are_offered():
    """A function gets src, dst and rng only if its signature has them."""
    batch = rows().create_batch([3])

    assert 1 == batch.apply_parallel(lambda x: 1, src="x").x[0]
    assert "x y Generator" == batch.apply_parallel(
        lambda x, src, dst, rng: f"{src} {dst} {type(rng).__name__}", src="x", dst="y"
    ).y[0]  # fmt: skip


def test_an_item_of_a_component_is_one_argument():
    """A list from an init method is several arguments; a list in a component is one."""
    batch = Rows(2).load(src=[[1, 2], [3, 4]], dst="x")

    assert [3, 7] == batch.apply_parallel(lambda pair: sum(pair), src="x", dst="y").y.tolist()


def test_writing_a_component_keeps_the_ids():
    """Items are found by id after assignments to components."""
    batch = rows().create_batch([7, 2])

    for _ in range(3):
        batch.x = batch.x + 1
        batch.add_components(f"more{_}", [0, 1])

    assert 23 == batch[2].x
    with pytest.raises(ValueError, match="x should have 2 items"):
        batch.x = np.zeros(3)


@pytest.mark.parametrize(
    ("name", "what"), [("forget", "None; add `return self`"), ("value", "an int; to keep a value, pass save_to=")]
)
@pytest.mark.parametrize("prefetch", [0, 2])
def test_an_action_returns_a_batch(name, what, prefetch):
    """The error names an action that does not return a batch."""
    with pytest.raises(TypeError, match=f"the action '{name}' of Rows should return a batch, not {what}"):
        getattr(rows().p, name)().run(5, prefetch=prefetch)


def test_a_batch_of_another_class_belongs_where_the_first_did():
    """A batch of another class gets the dataset, the pipeline and the number of the first."""
    pipeline = rows().p.to_plain()

    batch = list(pipeline.gen_batch(5, n_epochs=1))[1]

    assert (Batch, pipeline.dataset, pipeline, 2) == (type(batch), batch.dataset, batch.pipeline, batch.iteration)


@pytest.mark.parametrize("prefetch", [0, 2])
def test_errors_are_not_printed_nor_swallowed_and_keep_their_type_and_place(prefetch, capfd):
    """The exception is raised after the batches before it."""
    seen = []

    with pytest.raises(ZeroDivisionError, match="user's own"):
        seen.extend(batch.iteration for batch in rows().p.invert(2).gen_batch(3, n_epochs=1, prefetch=prefetch))

    assert [1] == seen
    assert ("", "") == capfd.readouterr()


def test_an_error_of_an_item_is_a_runtime_error_from_it():
    """The RuntimeError has the id of the item, and the exception as its cause."""
    with pytest.raises(RuntimeError, match="item 7 failed with ZeroDivisionError") as error:
        rows().create_batch([2, 7]).apply_parallel(lambda x: 1 // int(x - 70), src="x")

    assert isinstance(error.value.__cause__, ZeroDivisionError)


@pytest.mark.parametrize("prefetch", [0, 3])
def test_leaving_the_loop_is_normal(prefetch):
    """After a break a second loop starts again, and nothing of the first is left."""
    pipeline = rows().p.shift()

    for _ in range(3):
        for batch in pipeline.gen_batch(2, prefetch=prefetch):
            assert [1, 11] == batch.x.tolist()
            break


def test_names_of_steps(monkeypatch):
    """A step is an action, or a function of the namespaces, ``__main__`` or the dataset; not a private name."""
    import __main__

    class Named(Dataset):
        def first(self):
            return "dataset"

        second = third = fourth = shift = first

    for name in ("first", "second", "third", "shift"):
        monkeypatch.setattr(__main__, name, lambda: "main", raising=False)
    spaces = {"first": lambda: "one", "shift": lambda: "one"}, {"first": lambda: "two", "second": lambda: "two"}

    pipeline = Named(N, Rows, preloaded=(X, X)).p.add_namespace(*spaces).shift(by=5)
    for name in ("first", "second", "third", "fourth"):
        pipeline = getattr(pipeline, name)(save_to=getattr(B, name))
    batch = pipeline.next_batch(1)

    assert [5, "one", "two", "main", "dataset"] == [batch.x[0], batch.first, batch.second, batch.third, batch.fourth]
    with pytest.raises(AttributeError, match="private"):
        Pipeline()._shift_  # noqa: B018
