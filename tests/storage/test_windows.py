"""Windows of series."""

import numpy as np
import pytest

from batchup.storage import HDF5Array, Windows
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


class TestWindowsOfAFile(Stored):
    def write(self, folder):
        h5py = pytest.importorskip("h5py")
        with h5py.File(folder / "x.h5", "w") as file:
            file.create_dataset("group/x", data=X, chunks=(5, 3, 4))

    def make(self):
        return Windows([HDF5Array(self.folder / "x.h5", "group/x"), X[:3], X[:7]], length=4, stride=2)

    def expected(self):
        whole = [X[i : i + 4] for i in range(0, N - 3, 2)]
        return np.stack([*whole, X[:4], X[2:6]])


class TestWindowsOfNumbers(ArrayLikeContract):
    def make(self):
        return Windows(np.arange(20), length=3)


def test_windows_that_are_too_long_are_refused():
    """It says how long the longest series is."""
    with pytest.raises(ValueError, match="at most 4, the length of the longest series, not 5"):
        Windows([np.arange(4), np.arange(3)], length=5)
