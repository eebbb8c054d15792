"""Indices: ids, positions, subsets, splits and batches."""

import contextlib
import copy
import pickle

import numpy as np
import pytest

from batchup import StandardSampler
from batchup.flow import Dataset, DatasetIndex


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
    """An int gives ids from 0; a string is one id; a callable is called; an index is copied."""
    assert expected == DatasetIndex(given).indices.tolist()


@pytest.mark.parametrize(("given", "error"), [(0, ValueError), ([], ValueError), (np.zeros((2, 2)), TypeError)])
def test_what_has_no_ids_is_refused(given, error):
    """Empty and two-dimensional ids are errors."""
    with pytest.raises(error, match="index should"):
        DatasetIndex(given)


def test_an_id_given_twice_is_warned_of():
    """`get_pos` gives the first position of a repeated id."""
    with pytest.warns(UserWarning, match="more than once"):
        index = DatasetIndex(["a", "b", "a"])

    assert 0 == index.get_pos("a")


def test_ids_are_found():
    """`get_pos` takes an id, several, or a slice; a missing id is a KeyError that lists some ids."""
    index = DatasetIndex(["a", "b", "c", "d"])

    assert 2 == index.get_pos("c")
    assert [3, 0] == index.get_pos(["d", "a"]).tolist()
    assert slice(1, 3, None) == index.get_pos(slice("b", "d"))
    with pytest.raises(KeyError, match=r"no item 'e' here; there are 'a', 'b'"):
        index.get_pos("e")


def test_subsets_are_of_the_same_kind():
    """Subsets by ids or positions have the class and the attributes of the index."""

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
    """A train split cannot give a batch with items of the test split."""
    dataset = Dataset(10, preloaded=np.arange(10))
    dataset.split(0.8)

    assert [5] == dataset.train.create_batch([5]).data.tolist()
    of_others = lambda ids: dataset.train.create_subset(DatasetIndex(ids))  # noqa: E731
    for asked in (
        of_others,
        dataset.train.create_batch,
        dataset.train.create_subset,
        dataset.train.index.create_subset,
    ):
        with pytest.raises(IndexError, match="no item 0 here"):
            asked([5, 0])


def test_two_indices_are_joined():
    """Joined indices with a common id give a warning."""
    assert [1, 2, 5] == (DatasetIndex([1, 2]) + DatasetIndex([5])).indices.tolist()
    with pytest.warns(UserWarning, match="in common"):
        DatasetIndex([1]) + DatasetIndex([1])


@pytest.mark.parametrize("shares", [0.6, (0.6, 0.2), [0.6, 0.2, 0.2], (0.5, 0.5)])
def test_a_split_divides_the_ids(shares):
    """Each id is in one split, and the splits have the given shares."""
    index = DatasetIndex(10)

    index.split(shares, shuffle=3)

    parts = [part.indices for part in (index.train, index.test, index.validation) if part is not None]
    assert list(range(10)) == sorted(np.concatenate(parts).tolist())
    assert round(10 * np.atleast_1d(shares)[0]) == index.train.size
    assert index.is_split


@pytest.mark.parametrize("shares", [1.2, (0.5, 0.6), -0.1, (0.1, 0.1, 0.1, 0.7)])
def test_wrong_shares_are_refused(shares):
    """Shares above 1, below 0, and four are errors."""
    with pytest.raises(ValueError, match="shares should"):
        DatasetIndex(10).split(shares)


def test_batches_of_ids():
    """Batches are in order, shuffled, across epochs, or without the short batch."""
    index = DatasetIndex([10, 20, 30, 40])

    assert [[10, 20, 30], [40, 10, 20], [30, 40]] == ids(index.gen_batch(3, n_epochs=2))
    assert [[10, 20, 30], [10, 20, 30]] == ids(index.gen_batch(3, n_epochs=2, drop_last=True))
    assert [[10, 20, 30], [40, 10, 20]] == ids(index.gen_batch(3, n_iters=2))
    assert [[10, 20, 30, 40]] == ids(index.gen_batch(100, n_epochs=1))
    assert ids(index.gen_batch(3, shuffle=7, n_epochs=2)) == ids(index.gen_batch(3, shuffle=7, n_epochs=2))
    assert ids(index.gen_batch(3, shuffle=7, n_epochs=2)) != ids(index.gen_batch(3, shuffle=8, n_epochs=2))


@pytest.mark.parametrize("rng", [np.random.RandomState, np.random.default_rng])
def test_a_generator_shuffles_as_a_sampler_does(rng):
    """The order is that of `StandardSampler` with the same generator."""
    batches = StandardSampler(7).shuffled_indices_batch_iterator(3, rng(5))

    assert [batch.tolist() for batch in batches] == ids(DatasetIndex(7).gen_batch(3, shuffle=rng(5), n_epochs=1))


def test_the_next_batch_goes_on():
    """`next_batch` goes on with the same options; with others, or after `reset`, it starts again."""
    index = DatasetIndex(6)

    assert [0, 1] == index.next_batch(2, n_epochs=1).indices.tolist()
    assert [2, 3, 4] == index.next_batch(3, n_epochs=1).indices.tolist()
    assert [5] == index.next_batch(3, n_epochs=1).indices.tolist()
    with pytest.raises(StopIteration):
        index.next_batch(3, n_epochs=1)
    assert [0, 1] == index.next_batch(2).indices.tolist()
    index.reset("iter")
    assert [0, 1] == index.next_batch(2).indices.tolist()


@pytest.mark.parametrize("wrong", [3.0, True, {1, 2}, {"a": 1}, iter([1, 2])])
def test_what_is_no_sequence_of_ids_is_refused(wrong):
    """Sets, dicts, floats and iterators are errors, not a single id."""
    with pytest.raises(TypeError, match="an index should be a number of items, or a list or array of their ids, not"):
        DatasetIndex(wrong)


@pytest.mark.parametrize("given", [3, np.arange(3)])
@pytest.mark.parametrize(
    "places", [np.array([2, 0]), np.array([-1, 1]), np.array([True, False, True]), [1], slice(1, 3), 2]
)
def test_places_of_numbers_are_those_of_ids(given, places):
    """If ids equal positions, they are not looked up; the batch gets the same ids, in its own array."""
    index = DatasetIndex(given)
    batch = index.create_batch(places)

    assert np.atleast_1d(np.arange(3)[places]).tolist() == batch.indices.tolist()
    batch.indices[:] = 7
    assert [0, 1, 2] == index.indices.tolist()
    assert [2, 1] == index.create_batch(np.array([0, 2, 1])).create_batch(np.array([1, 2])).indices.tolist()


def test_places_that_are_not_there_are_refused():
    """Positions out of range are an IndexError."""
    with pytest.raises(IndexError):
        DatasetIndex(3).create_batch(np.array([0, 3]))


def test_ids_that_stand_for_places_do_not_change():
    """The ids 0 to n - 1 are read-only, because they have to equal their positions."""
    with pytest.raises(ValueError, match="read-only"):
        DatasetIndex(3).indices[0] = 2


@pytest.mark.parametrize(
    "copied", [copy.copy, copy.deepcopy, *(lambda x, p=p: pickle.loads(pickle.dumps(x, p)) for p in (2, 4, 5))]
)
def test_a_copy_has_the_ids_that_it_says(copied):
    """The ids of a copy may be changed, so they are looked up."""
    index = copied(DatasetIndex(3))
    with contextlib.suppress(ValueError):
        index.indices[:] = [2, 1, 0]

    assert index.indices[[0, 2]].tolist() == index.create_batch(np.array([0, 2])).indices.tolist()
