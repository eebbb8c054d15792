"""Each array-like of `batchup.storage` passes the contract, over each way that its format has to store data."""

import numpy as np
import pytest

from batchup.storage import ArrowColumn, Concatenated, HDF5Array, ImageFolder, SparseRows, Windows, ZarrArray
from batchup.testing import ArrayLikeContract

N = 23
X = np.random.default_rng(0).integers(0, 100, (N, 3, 4)).astype("i4")


class OfAFile(ArrayLikeContract):
    """Where a file is written for each test."""

    @pytest.fixture(autouse=True)
    def file(self, tmp_path):
        self.folder = tmp_path
        self.write(tmp_path)

    def expected(self):
        return X

    def test_pools_give_the_same_batches(self, pool):
        """A shuffled epoch in threads or processes is the one without, batch for batch; one pool serves all tests."""
        self.same_in(pool)


class HDF5(OfAFile):
    how = {}

    def write(self, folder):
        h5py = pytest.importorskip("h5py")
        with h5py.File(folder / "x.h5", "w") as file:
            file.create_dataset("group/x", data=X, **self.how)

    def make(self):
        return HDF5Array(self.folder / "x.h5", "group/x")


class TestContiguous(HDF5):
    pass


class TestChunked(HDF5):
    how = {"chunks": (5, 3, 4)}


class TestChunksOfSomeColumns(HDF5):
    how = {"chunks": (5, 2, 3)}


class TestGzip(HDF5):
    how = {"chunks": (5, 3, 4), "compression": "gzip", "shuffle": True}


class TestGzipOfSomeColumns(HDF5):
    how = {"chunks": (5, 2, 3), "compression": "gzip"}


class TestFiltersOfTheLibrary(HDF5):
    how = {"chunks": (5, 3, 4), "compression": "lzf", "fletcher32": True}


class TestScaleOffset(HDF5):
    how = {"chunks": (5, 3, 4), "scaleoffset": 0}


class TestAnOpenDataSet(HDF5):
    how = {"chunks": (5, 3, 4)}

    def make(self):
        import h5py

        return HDF5Array.of(h5py.File(self.folder / "x.h5", "r")["group/x"])


class Zarr(OfAFile):
    how = {}

    def write(self, folder):
        zarr = pytest.importorskip("zarr", "3")
        made = zarr.create_array(folder / "x.zarr", name="x", shape=X.shape, dtype=X.dtype, **self.how)
        made[:] = X

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


class Arrow(OfAFile):
    def table(self):
        pyarrow = pytest.importorskip("pyarrow")
        rows = pyarrow.FixedSizeListArray.from_arrays(pyarrow.array(X.reshape(-1)), 12)
        return pyarrow.table({"x": rows, "y": np.arange(N)})

    def expected(self):
        return X.reshape(N, 12)

    def make(self):
        return ArrowColumn(self.folder / "x", "x")


class TestParquet(Arrow):
    def write(self, folder):
        table = self.table()
        pytest.importorskip("pyarrow.parquet").write_table(table, folder / "x", row_group_size=5)


class TestFeather(Arrow):
    how = {"compression": "uncompressed"}

    def write(self, folder):
        table = self.table()
        pytest.importorskip("pyarrow.feather").write_feather(table, folder / "x", **self.how)


class TestFeatherInSeveralBatches(TestFeather):
    how = {"compression": "uncompressed", "chunksize": 5}


class TestFeatherCompressed(TestFeather):
    how = {"compression": "zstd", "chunksize": 5}


class TestManyParquetFiles(Arrow):
    def write(self, folder):
        table = self.table()
        for i in range(4):
            pytest.importorskip("pyarrow.parquet").write_table(table.slice(6 * i, 6), folder / f"x{i}.parquet")

    def make(self):
        return ArrowColumn(self.folder / "x*.parquet", "x")


DENSE = np.where(np.random.default_rng(1).random((N, 6)) < 0.3, np.arange(6 * N).reshape(N, 6), 0).astype("f4")


class Sparse(OfAFile):
    def expected(self):
        return DENSE

    def parts(self):
        matrix = pytest.importorskip("scipy.sparse").csr_matrix(DENSE)
        return {"data": matrix.data, "indices": matrix.indices, "indptr": matrix.indptr}

    def make(self):
        return SparseRows(self.folder / "x", "X", dense=True)


class TestSparseInHDF5(Sparse):
    def write(self, folder):
        h5py = pytest.importorskip("h5py")
        with h5py.File(folder / "x", "w") as file:
            for name, part in self.parts().items():
                file.create_dataset(f"X/{name}", data=part, chunks=(7,), compression="gzip")
            file["X"].attrs.update({"encoding-type": "csr_matrix", "shape": DENSE.shape})


class TestSparseInZarr(Sparse):
    def write(self, folder):
        zarr = pytest.importorskip("zarr", "3")
        group = zarr.open_group(folder / "x", mode="w").create_group("X")
        for name, part in self.parts().items():
            group.create_array(name, data=part, chunks=(7,))
        group.attrs.update({"encoding-type": "csr_matrix", "shape": DENSE.shape})


class TestImages(OfAFile):
    def write(self, folder):
        image = pytest.importorskip("PIL.Image")
        for i in range(6):
            of_class = folder / "ab"[i % 2]
            of_class.mkdir(exist_ok=True)
            image.fromarray(np.full((5, 4, 3), 40 * i, np.uint8)).save(of_class / f"{i}.png")

    def make(self):
        return ImageFolder(self.folder, size=(5, 4))

    def expected(self):
        return np.stack([np.full((5, 4, 3), 40 * i, np.uint8) for i in [0, 2, 4, 1, 3, 5]])


class TestConcatenatedFiles(HDF5):
    how = {"chunks": (5, 3, 4), "compression": "gzip"}

    def make(self):
        one = HDF5Array(self.folder / "x.h5", "group/x")
        return Concatenated([one, X[:0], X[:2], one])

    def expected(self):
        return np.concatenate([X, X[:2], X])


class TestWindowsOfAFile(TestChunked):
    def make(self):
        return Windows([HDF5Array(self.folder / "x.h5", "group/x"), X[:3], X[:7]], length=4, stride=2)

    def expected(self):
        whole = [X[i : i + 4] for i in range(0, N - 3, 2)]
        return np.stack([*whole, X[:4], X[2:6]])


class TestWindowsOfNumbers(ArrayLikeContract):
    def make(self):
        return Windows(np.arange(20), length=3)
