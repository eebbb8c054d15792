"""Arrays of zarr, in both formats, with and without shards."""

import numpy as np
import pytest

from batchup.storage import ZarrArray
from batchup.testing import ArrayLikeContract

N = 23
X = np.random.default_rng(0).integers(0, 100, (N, 3, 4)).astype("i4")


class Stored(ArrayLikeContract):
    """The contract, for a file that is written for each test; the pools serve all tests."""

    how = {}

    @pytest.fixture(autouse=True)
    def file(self, tmp_path):
        self.folder = tmp_path
        self.write(tmp_path)

    def test_pools_give_the_same_batches(self, pool):
        """A shuffled epoch in threads or processes is the one without, batch for batch."""
        self.same_in(pool)


class Zarr(Stored):
    def write(self, folder):
        zarr = pytest.importorskip("zarr", "3")
        made = zarr.create_array(folder / "x.zarr", name="x", shape=X.shape, dtype=X.dtype, **self.how)
        made[:] = X

    def expected(self):
        return X

    def make(self):
        return ZarrArray(self.folder / "x.zarr", "x")


class TestZarrCompressed(Zarr):
    how = {"chunks": (5, 3, 4)}


class TestZarrMapped(Zarr):
    how = {"chunks": (5, 3, 4), "compressors": None}


class TestZarrShards(Zarr):
    how = {"chunks": (5, 3, 4), "shards": (10, 3, 4)}


class TestZarrMappedShards(Zarr):
    how = {"chunks": (5, 3, 4), "shards": (10, 3, 4), "compressors": None}


class TestZarrChunksOfSomeColumns(Zarr):
    how = {"chunks": (5, 2, 3)}


class TestZarrOfFormat2(Zarr):
    how = {"chunks": (5, 3, 4), "zarr_format": 2}


ROWS = np.arange(300).reshape(100, 3)


def test_a_zarr_group_is_an_error(zarr, tmp_path):
    """It says which arrays there are; so does the error for one that is not there."""
    zarr.create_array(tmp_path / "x.zarr", name="x", data=ROWS)

    with pytest.raises(TypeError, match="should be an array, but it is a group; it holds 'x'"):
        len(ZarrArray(tmp_path / "x.zarr"))
    with pytest.raises(FileNotFoundError, match="'y', but there is none; it holds 'x'"):
        len(ZarrArray(tmp_path / "x.zarr", "y"))
