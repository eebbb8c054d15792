"""Ids: which there are, where they are, how they are divided, which come next."""

import contextlib
import copy
import pickle

import numpy as np
import pytest

from batchup import StandardSampler, WeightedSampler
from batchup.flow import Batch, Dataset, DatasetIndex, FilesIndex
from batchup.flow.pipeline.plan import PipelinePlan


def ids(batches):
    return [batch.indices.tolist() for batch in batches]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (3, [0, 1, 2]),
        (np.int64(4), [0, 1, 2, 3]),
        (["b", "a"], ["b", "a"]),
        (np.array([5, 3]), [5, 3]),
        ("one", ["one"]),
        (lambda: [7, 8], [7, 8]),
        (DatasetIndex([4, 2]), [4, 2]),
    ],
)
def test_an_index_is_made_of_what_has_ids(given, expected):
    """A number is so many ids from 0; a string is one; a callable is called; an index is taken over."""
    assert expected == DatasetIndex(given).indices.tolist()


@pytest.mark.parametrize(("given", "error"), [(0, ValueError), ([], ValueError), (np.zeros((2, 2)), TypeError)])
def test_what_has_no_ids_is_refused(given, error):
    """No ids, and ids in two dimensions."""
    with pytest.raises(error, match="index should"):
        DatasetIndex(given)


def test_an_id_given_twice_is_warned_of():
    """The item is found at its first place."""
    with pytest.warns(UserWarning, match="more than once"):
        index = DatasetIndex(["a", "b", "a"])

    assert 0 == index.get_pos("a")


def test_ids_are_found():
    """One, several, or from one to another; one that is not there is a KeyError that shows some that are."""
    index = DatasetIndex(["a", "b", "c", "d"])

    assert 2 == index.get_pos("c")
    assert [3, 0] == index.get_pos(["d", "a"]).tolist()
    assert slice(1, 3, None) == index.get_pos(slice("b", "d"))
    with pytest.raises(KeyError, match=r"no item 'e' here; there are 'a', 'b'"):
        index.get_pos("e")


def test_subsets_are_of_the_same_kind():
    """By ids or by places; what a class of the user's knows is known to its subsets."""

    class Names(DatasetIndex):
        def build_index(self, names, shout):
            self.shout = shout
            return [name.upper() if shout else name for name in names]

    index = Names(["x", "y", "z"], shout=True)

    assert ["X", "Y", "Z"] == index.indices.tolist()
    for subset in (
        index.create_batch([2, 0]),
        index.create_batch(["Z", "X"], pos=False),
        index.create_subset(["Z", "X"]),
    ):
        assert (Names, ["Z", "X"], True) == (type(subset), subset.indices.tolist(), subset.shout)


def test_a_subset_has_no_other_ids():
    """So that no item of the test part gets into a batch of the train part."""
    dataset = Dataset(10, preloaded=np.arange(10))
    dataset.split(0.8)

    assert [5] == dataset.train.create_batch([5]).data.tolist()
    for asked in (dataset.train.create_batch, dataset.train.create_subset, dataset.train.index.create_subset):
        with pytest.raises(KeyError, match="no item 0 here"):
            asked([5, 0])


def test_two_indices_are_joined():
    """With a warning when they share an id."""
    assert [1, 2, 5] == (DatasetIndex([1, 2]) + DatasetIndex([5])).indices.tolist()
    with pytest.warns(UserWarning, match="in common"):
        DatasetIndex([1]) + DatasetIndex([1])


@pytest.mark.parametrize("shares", [0.6, (0.6, 0.2), [0.6, 0.2, 0.2], (0.5, 0.5)])
def test_a_split_divides_the_ids(shares):
    """Each id is in one part, in shares as asked."""
    index = DatasetIndex(10)

    index.split(shares, shuffle=3)

    parts = [part.indices for part in (index.train, index.test, index.validation) if part is not None]
    assert list(range(10)) == sorted(np.concatenate(parts).tolist())
    assert round(10 * np.atleast_1d(shares)[0]) == index.train.size
    assert index.is_split


@pytest.mark.parametrize("shares", [1.2, (0.5, 0.6), -0.1, (0.5, 0.2, 0.1), (0.1, 0.1, 0.1, 0.7)])
def test_wrong_shares_are_refused(shares):
    """More than all, less than nothing, three that leave items over, four."""
    with pytest.raises(ValueError, match="shares should"):
        DatasetIndex(10).split(shares)


def test_batches_of_ids():
    """In order, shuffled by a seed, by epochs that run into each other, without short batches."""
    index = DatasetIndex([10, 20, 30, 40])

    assert [[10, 20, 30], [40, 10, 20], [30, 40]] == ids(index.gen_batch(3, n_epochs=2))
    assert [[10, 20, 30], [10, 20, 30]] == ids(index.gen_batch(3, n_epochs=2, drop_last=True))
    assert [[10, 20, 30], [40, 10, 20]] == ids(index.gen_batch(3, n_iters=2))
    assert [[10, 20, 30, 40]] == ids(index.gen_batch(100, n_epochs=1))
    assert ids(index.gen_batch(3, shuffle=7, n_epochs=2)) == ids(index.gen_batch(3, shuffle=7, n_epochs=2))
    assert ids(index.gen_batch(3, shuffle=7, n_epochs=2)) != ids(index.gen_batch(3, shuffle=8, n_epochs=2))


@pytest.mark.parametrize("rng", [np.random.RandomState, np.random.default_rng])
def test_a_generator_shuffles_as_a_sampler_does(rng):
    """The order is that of batchup's own sampler for the same generator."""
    batches = StandardSampler(7).shuffled_indices_batch_iterator(3, rng(5))

    assert [batch.tolist() for batch in batches] == ids(DatasetIndex(7).gen_batch(3, shuffle=rng(5), n_epochs=1))


def test_the_next_batch_goes_on():
    """With the same options, whatever the batch size; with others it begins anew, as after `reset`; then it ends."""
    index = DatasetIndex(6)

    assert [0, 1] == index.next_batch(2, n_epochs=1).indices.tolist()
    assert [2, 3, 4] == index.next_batch(3, n_epochs=1).indices.tolist()
    assert [5] == index.next_batch(3, n_epochs=1).indices.tolist()
    with pytest.raises(StopIteration):
        index.next_batch(3, n_epochs=1)
    assert [0, 1] == index.next_batch(2).indices.tolist()
    index.reset("iter")
    assert [0, 1] == index.next_batch(2).indices.tolist()


@pytest.mark.parametrize(
    ("options", "error", "why"),
    [
        ({"batch_size": 0}, ValueError, "batch_size should"),
        ({"batch_size": 2, "n_iters": 1, "n_epochs": 1}, ValueError, "not both"),
        ({"batch_size": 9, "drop_last": True}, ValueError, "would leave no batch"),
        ({"batch_size": 2, "n_epochs": 0}, ValueError, "n_epochs should"),
        ({"batch_size": 2, "n_epochs": 1, "sampler": WeightedSampler([1, 1, 1, 1])}, ValueError, "is infinite"),
        ({"batch_size": 2, "sampler": StandardSampler(9)}, ValueError, "over 9 samples"),
        ({"batch_size": 2, "seed": -1}, ValueError, "seed should"),
        ({"batch_size": 2, "shuffle": "yes"}, TypeError, "shuffle should"),
    ],
)
def test_options_that_make_no_plan_are_refused(options, error, why):
    """Each says what should be."""
    with pytest.raises(error, match=why):
        list(Dataset(4).gen_batch(**options))


def test_a_sampler_that_gives_no_batch_does_not_go_on_for_ever():
    """Rather than search for a full batch without end, it says so."""
    with pytest.raises(ValueError, match="would never end"):
        list(PipelinePlan(4, 3, sampler=StandardSampler(2), drop_last=True))


def test_a_sampler_draws_the_positions():
    """Of a weighted one, only what has a weight; there are as many batches as asked for."""
    sampler = WeightedSampler([0, 1, 0, 1])

    found = ids(Dataset(["a", "b", "c", "d"]).gen_batch(5, shuffle=1, n_iters=3, sampler=sampler))

    assert 3 == len(found)
    assert {"b", "d"} == {each for batch in found for each in batch}


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"n_iters": 5}, 5),
        ({"n_epochs": 2}, 7),
        ({"n_epochs": 2, "drop_last": True}, 6),
        ({}, None),
        ({"n_epochs": 2, "sampler": StandardSampler(10)}, 8),
    ],
)
def test_a_plan_knows_how_many_batches_there_will_be(options, expected):
    """Where it counts them, it counts right."""
    plan = PipelinePlan(10, 3, **options)

    assert expected == plan.total
    assert expected is None or expected == len(list(plan))


def test_unseeded_runs_draw_anew_and_follow_numpys_seed():
    """Two runs differ; after ``numpy.random.seed`` they are the same again."""

    def roots():
        np.random.seed(3)
        return [PipelinePlan(4, 2).root().entropy for _ in range(2)]

    first = roots()

    assert first[0] != first[1]
    assert first == roots()


@pytest.fixture
def folder(tmp_path):
    for name in ("one/b.png", "one/a.png", "two/c.png", "two/note.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    return tmp_path


def test_files_have_their_names_as_ids(folder):
    """Each id leads to its path; a pattern's files are in the order of their paths; folders are passed over."""
    index = FilesIndex(path=f"{folder}/*/*.png")

    assert ["a.png", "b.png", "c.png"] == index.indices.tolist()
    assert f"{folder}/two/c.png" == index.get_fullpath("c.png")
    with pytest.raises(KeyError, match=r"no item 'd.png'"):
        index.get_fullpath("d.png")


@pytest.mark.parametrize("sort", [False, True])
def test_several_patterns(folder, sort):
    """Their files one after the other, or sorted; the extension may be left out of the id."""
    index = FilesIndex(path=[f"{folder}/two/*", folder / "one/*.png"], no_ext=True, sort=sort)

    assert (["a", "b", "c", "note"] if sort else ["c", "note", "a", "b"]) == index.indices.tolist()


def test_folders_as_items(folder):
    """With ``dirs=True``, and only these; ``**`` is any number of folders."""
    assert ["one", "two"] == FilesIndex(path=f"{folder}/*", dirs=True).indices.tolist()
    assert {"a.png", "b.png", "c.png", "note.txt"} == set(FilesIndex(f"{folder}/**", sort=True).indices)


def test_batches_of_files_know_their_paths(folder):
    """Subsets and batches, by hand or by `next_batch`, keep the paths of their own files."""
    index = FilesIndex(path=f"{folder}/*/*.png")

    batch = Dataset(index, Batch).next_batch(2).index

    assert [f"{folder}/one/a.png", f"{folder}/one/b.png"] == [batch.get_fullpath(each) for each in batch.indices]
    assert {"a.png", "b.png"} == set(batch.paths)
    assert [f"{folder}/two/c.png"] == list(index.create_subset(["c.png"]).paths.values())


def test_files_that_would_have_one_id_are_refused(folder):
    """The error names both."""
    (folder / "two" / "a.png").write_bytes(b"")

    with pytest.raises(ValueError, match=r"one/a.png and .*two/a.png would both be 'a.png'"):
        FilesIndex(path=f"{folder}/*/*.png")


def test_a_pattern_without_files_is_refused(folder):
    """Rather than an empty dataset."""
    with pytest.raises(ValueError, match="but there are none"):
        FilesIndex(path=f"{folder}/*.jpeg")


class Coloured(Batch):
    def __init__(self, index, *args, colour=None, seeds=None, **kwargs):
        super().__init__(index, *args, **kwargs)
        self.colour, self.seeds = colour, seeds


@pytest.mark.parametrize(
    "options",
    [
        lambda: {"colour": ["red", "blue"]},
        lambda: {"n_epochs": np.int64(3)},
        lambda: {"shuffle": -1, "seed": np.random.SeedSequence(3)},
        lambda: {"sampler": StandardSampler(6)},
        lambda: {"colour": lambda: "red"},
    ],
)
@pytest.mark.parametrize("prefetch", [None, 0, 2])
def test_the_next_batch_goes_on_with_equal_options(options, prefetch):
    """They need not be the same objects at each call."""
    batches = Dataset(6, Coloured) if prefetch is None else Dataset(6, Coloured).p.do_nothing()
    ahead = {} if prefetch is None else {"prefetch": prefetch}

    found = [batches.next_batch(2, **options(), **ahead).indices.tolist() for _ in range(3)]

    assert [[0, 1], [2, 3], [4, 5]] == found
    batches.reset("iter")


@pytest.mark.parametrize("batches", [Dataset(6, Coloured), Dataset(6, Coloured).p.do_nothing()])
def test_each_next_batch_is_made_with_what_its_call_gives(batches):
    """What is for the constructor may change from batch to batch."""
    found = [batches.next_batch(2, colour=colour) for colour in ["red", "blue"]]

    assert [("red", [0, 1]), ("blue", [2, 3])] == [(batch.colour, batch.indices.tolist()) for batch in found]


@pytest.mark.parametrize("batches", [Dataset(4, Coloured), Dataset(4, Coloured).p])
@pytest.mark.parametrize("how", ["next_batch", "gen_batch"])
def test_misspelt_options_are_refused(batches, how):
    """Not what the constructor of batches takes, be it like an option or not; nor what is an attribute."""

    def batch(**kwargs):
        found = getattr(batches, how)(2, **kwargs)
        return found if how == "next_batch" else next(found)

    with pytest.raises(TypeError, match="does not take 'shufle'; did you mean 'shuffle'"):
        batch(shufle=True)
    assert ("red", [1, 2], "Bob") == (lambda b: (b.colour, b.seeds, b.owner))(
        batch(colour="red", seeds=[1, 2], owner="Bob")
    )


def test_folds_for_cross_validation():
    """Each item is in the test part of one fold; train has all others; a second call replaces the folds."""
    dataset = Dataset(list("abcdefg"), Batch, preloaded=dict.fromkeys("abcdefg", 1))

    dataset.cv_split(n_splits=3, shuffle=4)

    assert sorted("abcdefg") == sorted(each for fold in dataset.cv for each in fold.test.indices)
    assert all(set(fold.train.indices) == set("abcdefg") - set(fold.test.indices) for fold in dataset.cv)
    assert dataset.cv0 is dataset.cv[0]
    with pytest.raises(ValueError, match="at most 7"):
        dataset.cv_split(n_splits=8)


@pytest.mark.parametrize("wrong", [3.0, True, {1, 2}, {"a": 1}, iter([1, 2])])
def test_what_is_no_sequence_of_ids_is_refused(wrong):
    """Rather than taken for one id."""
    with pytest.raises(TypeError, match="an index should be a number of items, or a list or array of their ids, not"):
        DatasetIndex(wrong)


@pytest.mark.parametrize("given", [3, np.arange(3)])
@pytest.mark.parametrize(
    "places", [np.array([2, 0]), np.array([-1, 1]), np.array([True, False, True]), [1], slice(1, 3), 2]
)
def test_places_of_numbers_are_those_of_ids(given, places):
    """Where each id is its place, they need not be looked up; what comes is the same, and the batch's own."""
    index = DatasetIndex(given)
    batch = index.create_batch(places)

    assert np.atleast_1d(np.arange(3)[places]).tolist() == batch.indices.tolist()
    batch.indices[:] = 7
    assert [0, 1, 2] == index.indices.tolist()
    assert [2, 1] == index.create_batch(np.array([0, 2, 1])).create_batch(np.array([1, 2])).indices.tolist()


def test_places_that_are_not_there_are_refused():
    """As by an array."""
    with pytest.raises(IndexError):
        DatasetIndex(3).create_batch(np.array([0, 3]))


def test_ids_that_stand_for_places_do_not_change():
    """The numbers up to n cannot be written to: they would not be their places any more."""
    with pytest.raises(ValueError, match="read-only"):
        DatasetIndex(3).indices[0] = 2


@pytest.mark.parametrize(
    "copied", [copy.copy, copy.deepcopy, *(lambda x, p=p: pickle.loads(pickle.dumps(x, p)) for p in (2, 4, 5))]
)
def test_a_copy_has_the_ids_that_it_says(copied):
    """Where NumPy lets those of a copy be changed, they are looked up."""
    index = copied(DatasetIndex(3))
    with contextlib.suppress(ValueError):
        index.indices[:] = [2, 1, 0]

    assert index.indices[[0, 2]].tolist() == index.create_batch(np.array([0, 2])).indices.tolist()
