"""Sources that fetch by index: from lists and dicts of arrays, over subsets and samplers."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from batchup.data_source import ArrayDataSource, RandomAccessDataSource
from batchup.engine import tree
from batchup.sampling import StandardSampler, WeightedSampler
from batchup.testing import RandomAccessSourceContract


def arrays(n=10, start=0, **kwargs):
    return ArrayDataSource([np.arange(start, start + n), np.arange(n * 2.0).reshape(n, 2)], **kwargs)


class Words:
    """An accessor that gives a list of strings of different lengths."""

    def __init__(self, n):
        self.n = n

    def __len__(self):
        return self.n

    def __getitem__(self, index):
        return ["word" * i for i in index] if isinstance(index, np.ndarray) else "word" * int(index)


class Squares(RandomAccessDataSource):
    def samples_by_indices_nomapping(self, indices):
        return (indices**2,)


def named(n=10, **kwargs):
    return ArrayDataSource({"x": np.arange(n), "y": np.arange(n * 2.0).reshape(n, 2)}, **kwargs)


def lists(batches):
    return [tree.map_leaves(lambda leaf: leaf.tolist(), batch) for batch in batches]


X = np.arange(5)


def refused(error, said, call):
    """`call` raises `error`, whose message has all of `said` in it."""
    with pytest.raises(error) as caught:
        call()
    message = str(caught.value)
    assert [] == [words for words in said if words not in message], message


class TestArrays(RandomAccessSourceContract):
    def make(self):
        return arrays()


class TestSubset(RandomAccessSourceContract):
    def make(self):
        return arrays(indices=[7, 2, 3, 9], include_indices=True)


class TestNoSamples(RandomAccessSourceContract):
    def make(self):
        return arrays(0)


class TestForEver(RandomAccessSourceContract):
    def make(self):
        return arrays(4, repeats=-1)

    @pytest.mark.parametrize("batch_size", [1, 3, 1000])
    def test_batches_are_full(self, batch_size):
        """Without an end there is no short batch."""
        batches = itertools.islice(self.make().batch_iterator(batch_size), 5)

        assert [batch_size] * 5 == [len(x) for x, _ in batches]


class TestAccessors(RandomAccessSourceContract):
    def make(self):
        return ArrayDataSource([Words(8), list("abcdefgh"), np.arange(8)])


class TestSourceOfOnesOwn(RandomAccessSourceContract):
    def make(self):
        return Squares(10, indices=[1, 5, 3, 3])


def test_batches_are_copies():
    """Writing to a batch does not change the data."""
    data = np.arange(5)
    for (x,) in ArrayDataSource([data]).batch_iterator(2):
        x[:] = -1

    assert [0, 1, 2, 3, 4] == data.tolist()


def test_writing_to_included_indices_changes_no_later_epoch():
    """The array of indices in a batch belongs to the consumer."""
    ds = arrays(indices=[4, 3, 2], include_indices=True)
    for indices, *_ in ds.batch_iterator(2):
        indices[:] = 0

    assert [4, 3, 2] == [int(i) for indices, *_ in ds.batch_iterator(2) for i in indices]


def test_one_sample_by_its_index():
    """An int gives one sample of each array, without an axis for the batch; a slice gives a batch."""
    ds = ArrayDataSource([np.arange(10) * 2, list("abcdefghij")], indices=[7, 3])

    assert (14, "h") == ds.samples_by_indices(0)
    assert (6, "d") == ds.samples_by_indices(np.int64(1))
    assert ([0, 2], ["a", "b"]) == (lambda x, y: (x.tolist(), y))(*ds.samples_by_indices_nomapping(slice(0, 2)))


def test_no_indices_are_a_batch_without_samples():
    """An empty array or list of indices gives arrays of length 0."""
    ds = arrays()

    for none in ([], np.array([], dtype=int)):
        assert [(0,), (0, 2)] == [part.shape for part in ds.samples_by_indices(none)]


def test_indices_may_be_of_any_integer_type():
    """Lists, and arrays of small and of unsigned integers, are indices."""
    for indices in ([3, 1], np.array([3, 1], dtype=np.uint8), np.array([3, 1], dtype=np.int16)):
        assert [3, 1] == arrays().samples_by_indices(indices)[0].tolist()


def test_a_sampler_may_be_any_object_with_its_methods():
    """A sampler need not be derived from AbstractSampler."""

    class Backwards:
        def num_indices_generated(self):
            return 4

        def in_order_indices_batch_iterator(self, batch_size):
            return iter([np.array([3, 2]), np.array([1, 0])])

    ds = ArrayDataSource([np.arange(4) * 10], sampler=Backwards())

    assert [30, 20, 10, 0] == [int(x) for (batch,) in ds.batch_iterator(2) for x in batch]


def test_a_sampler_takes_the_place_of_indices():
    """Weights and repeats come by the sampler."""
    ds = arrays(6, sampler=StandardSampler(4, repeats=2))
    weighted = arrays(3, sampler=WeightedSampler([0, 1, 0]))

    assert (8, np.inf) == (ds.num_samples(), weighted.num_samples())
    assert [1, 1, 1] == next(weighted.batch_iterator(3, shuffle=0))[0].tolist()


@pytest.mark.parametrize("seed", [7, np.random.SeedSequence(7), np.int64(7)])
def test_a_seed_is_the_same_order_each_time(seed):
    """`shuffle=7` is the order of epoch 0 of seed 7."""
    once, again = ([x.tolist() for x, _ in arrays().batch_iterator(4, shuffle=seed)] for _ in range(2))

    assert once == again == [x.tolist() for x, _ in arrays().batch_iterator(4, shuffle=7)]
    assert once != [x.tolist() for x, _ in arrays().batch_iterator(4)]


@pytest.mark.parametrize("shuffle", [None, False, np.False_])
def test_no_shuffle_is_in_order(shuffle):
    """None and False keep the order."""
    assert [0, 1, 2] == next(arrays().batch_iterator(3, shuffle=shuffle))[0].tolist()


class TestNamed(RandomAccessSourceContract):
    def make(self):
        return named()


class TestNamedWithIndices(RandomAccessSourceContract):
    def make(self):
        return named(indices=[7, 2, 3], include_indices=True)


def test_a_dict_gives_dicts():
    """With the names of the data, in their order; indices come first, and have a name."""
    assert [{"indices": [3, 1], "x": [3, 1], "y": [[6.0, 7.0], [2.0, 3.0]]}] == lists(
        named(indices=[3, 1], include_indices=True).batch_iterator(4)
    )
    assert ["indices", "x", "y"] == [*next(named(include_indices=True).batch_iterator(4))]


@pytest.mark.parametrize(
    ("data", "error", "said"),
    [
        ({}, ValueError, ["data should hold at least one array-like"]),
        ({"x": X, "y": X[:3]}, ValueError, ["data should be of one length: data['x'] has 5, data['y'] 3"]),
        ({"x": 7}, TypeError, ["data['x'] should have a length and items"]),
        (X, TypeError, ["data should be a list of array-likes, or a dict of them by name, not a ndarray"]),
    ],
)
def test_named_data_are_array_likes_of_one_length(data, error, said):
    """The one that is not is named."""
    refused(error, said, lambda: ArrayDataSource(data))


def test_the_name_of_the_indices_is_taken_once():
    """By data, or by `include_indices`."""
    said = ["include_indices gives each batch a field 'indices', but data has one of that name"]
    refused(ValueError, said, lambda: ArrayDataSource({"indices": X}, include_indices=True))
