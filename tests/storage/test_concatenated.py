"""Several array-likes as one."""

import numpy as np
import pytest

from batchup.storage import Concatenated, HDF5Array, Windows
from batchup.testing import ArrayLikeContract

N = 23
X = np.random.default_rng(0).integers(0, 100, (N, 3, 4)).astype("i4")


class Stored(ArrayLikeContract):
    """The contract, for a file that is written for each test; the pools serve all tests."""

    @pytest.fixture(autouse=True)
    def file(self, tmp_path):
        self.folder = tmp_path
        self.write(tmp_path)

    def test_pools_give_the_same_batches(self, pool):
        """A shuffled epoch in threads or processes is the one without, batch for batch."""
        self.same_in(pool)


class TestConcatenatedFiles(Stored):
    def write(self, folder):
        h5py = pytest.importorskip("h5py")
        with h5py.File(folder / "x.h5", "w") as file:
            file.create_dataset("group/x", data=X, chunks=(5, 3, 4), compression="gzip")

    def make(self):
        one = HDF5Array(self.folder / "x.h5", "group/x")
        return Concatenated([one, X[:0], X[:2], one])

    def expected(self):
        return np.concatenate([X, X[:2], X])


ROWS = np.arange(300).reshape(100, 3)


def test_arrays_of_unequal_samples_are_not_concatenated():
    """It says which."""
    with pytest.raises(ValueError, match=r"arrays\[0\] are \(3,\) int64, those of arrays\[1\] \(2,\) int64"):
        Concatenated([ROWS, ROWS[:, :2]])
    with pytest.raises(ValueError, match="at least one"):
        Concatenated([])


def test_lists_are_concatenated_as_lists():
    """Samples that make no array stay in a list."""
    assert ["d", "a", "b"] == Concatenated([["a", "b"], ["c", "d"]])[[3, 0, 1]]


def test_columns_of_pandas_are_taken_by_place():
    """Whatever their labels are."""
    pandas = pytest.importorskip("pandas")
    column = pandas.Series([1, 2, 3], index=[2, 0, 1])

    assert [1, 3, 1] == Concatenated([column, column])[[0, 2, 3]].tolist()
    assert [[1, 2], [2, 3]] == Windows(column, length=2)[:].tolist()
