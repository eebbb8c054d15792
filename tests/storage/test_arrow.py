"""Columns of parquet and Arrow files."""

import numpy as np
import pytest

from batchup.storage import ArrowColumn
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


class Arrow(Stored):
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


def test_a_nested_column_is_named(tmp_path):
    """An array cannot be made of structs, or of lists of many lengths."""
    pa, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    parquet.write_table(pa.table({"boxes": [[1, 2], [3]], "x": [1, 2]}), tmp_path / "x.parquet")

    with pytest.raises(TypeError, match="column 'boxes' should hold numbers.*list<"):
        len(ArrowColumn(tmp_path / "x.parquet", "boxes"))
    with pytest.raises(KeyError, match="no column 'y'; it has boxes, x"):
        len(ArrowColumn(tmp_path / "x.parquet", "y"))
    assert [2, 1] == ArrowColumn(tmp_path / "x.parquet", "x")[[1, 0]].tolist()
