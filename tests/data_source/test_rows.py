"""Samples by index, from array-likes of all kinds."""

from __future__ import annotations

import numpy as np
import pytest

from batchup.data_source import ArrayDataSource
from batchup.testing import AccessorContract, plain


class Words:
    """An accessor that gives a list of strings of different lengths."""

    def __init__(self, n):
        self.n = n

    def __len__(self):
        return self.n

    def __getitem__(self, index):
        return ["word" * i for i in index] if isinstance(index, np.ndarray) else "word" * int(index)


class Short:
    """Gives too few samples, whatever it is asked for."""

    def __init__(self, some):
        self.some = some

    def __len__(self):
        return 10

    def __getitem__(self, indices):
        return self.some


class Pairs:
    """Such as one that is written for PyTorch: an image and its label for one index, never for many."""

    def __init__(self, n=6):
        self.images = np.arange(n * 4).reshape(n, 2, 2)
        self.names = [f"{i}.jpg" for i in range(n)]

    def __len__(self):
        return len(self.images)

    def __getitem__(self, i):
        return self.images[i][:, ::-1], self.names[i]


class TorchPairs(Pairs):
    """Has no more of PyTorch's ``Dataset`` than where it says it is from."""

    __module__ = "torch.utils.data.dataset"


def pairs():
    return ArrayDataSource([np.arange(10), np.arange(10) % 3])


class TestWords(AccessorContract):
    def make(self):
        return Words(5)


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("dtype", ["u1", "f4", "c16", "M8[s]", "U3", "O"])
def test_samples_of_any_array_are_array_indexed(order, dtype):
    """Whatever the layout and the dtype, a batch is `array[indices]`."""
    array = np.asarray(np.arange(24).reshape(6, 4).astype(dtype), order=order)
    indices = np.array([5, 0, 0, 3])

    for each in (array, array[:, ::2], array[::-1]):
        assert plain(each[indices]) == plain(ArrayDataSource([each]).samples_by_indices(indices)[0])


def test_a_memory_map_is_data(tmp_path):
    """Batches of a file mapped to memory are plain arrays of its samples."""
    np.save(tmp_path / "x.npy", np.arange(20.0).reshape(10, 2))
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    (batch,) = ArrayDataSource([mapped]).samples_by_indices(np.array([9, 1]))

    assert [[18.0, 19.0], [2.0, 3.0]] == batch.tolist()


def test_a_column_of_pandas_goes_by_position():
    """Samples of a Series are those at the positions, whatever its labels are."""

    class Column:  # as much of pandas.Series as is used
        def __init__(self, values):
            self.values, self.iloc = values, values

        def __len__(self):
            return len(self.values)

        def __getitem__(self, labels):
            raise KeyError(labels)

    assert [20, 10] == ArrayDataSource([Column(np.array([10, 20]))]).samples_by_indices(np.array([1, 0]))[0].tolist()


@pytest.mark.parametrize("some", [np.zeros((3, 2)), [1, 2, 3], np.array(3)], ids=["array", "list", "number"])
def test_an_array_like_gives_one_sample_for_each_index(some):
    """Fewer, or more, would stand beside the samples of others."""
    batches = ArrayDataSource([np.arange(10), Short(some)]).batch_iterator(4)
    if np.ndim(some):
        with pytest.raises(ValueError, match="a Short should give one sample for each index: 4 indices, 3 samples"):
            next(batches)
    else:
        assert 3 == next(batches)[1]


@pytest.mark.parametrize(
    ("some", "fits"),
    [
        ((np.zeros((4, 2)), (np.zeros(4), [1, 2, 3, 4])), True),
        ((1, 2, 3, 4), True),
        ((np.zeros((3, 2)), np.zeros(4)), False),
        ((np.zeros((4, 2)), [1, 2, 3]), False),
    ],
)
def test_fields_of_an_array_like_fit_its_indices(some, fits):
    """It may give several, as a tuple."""
    batches = ArrayDataSource([Short(some)]).batch_iterator(4)
    if fits:
        assert (some,) == next(batches)
    else:
        with pytest.raises(ValueError, match=r"4 indices, 3 samples; if it gives one sample .* ParallelItems"):
            next(batches)


def test_a_dataset_of_pytorch_gives_sample_by_sample():
    """It does not get an array of indices, for which its transforms are not made."""
    pairs = TorchPairs()
    (samples,) = next(ArrayDataSource([pairs]).batch_iterator(3, shuffle=np.random.RandomState(1)))

    np.testing.assert_equal(samples, [pairs[i] for i in np.random.RandomState(1).permutation(6)[:3]])


def test_an_array_like_for_one_index_is_told_what_to_do():
    """The error is its own, with a note."""
    with pytest.raises(TypeError) as caught:
        next(ArrayDataSource([Pairs()]).batch_iterator(3))

    assert "a Pairs is asked for an array of indices; if it gives one sample for one index, ParallelItems(it, " in str(
        caught.value.__notes__[0]
    )


def test_a_range_is_an_array_like():
    """Of the numbers in it."""
    assert [([5, 4, 3],), ([2, 1],)] == list(ArrayDataSource([range(5, 0, -1)]).batch_iterator(3))
