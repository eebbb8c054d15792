"""Rows of sparse matrices in HDF5 and zarr."""

import numpy as np
import pytest

from batchup import ArrayDataSource
from batchup.storage import Concatenated, SparseRows
from batchup.testing import ArrayLikeContract

N = 23


class Stored(ArrayLikeContract):
    """The contract, for a file that is written for each test; the pools serve all tests."""

    @pytest.fixture(autouse=True)
    def file(self, tmp_path):
        self.folder = tmp_path
        self.write(tmp_path)

    def test_pools_give_the_same_batches(self, pool):
        """A shuffled epoch in threads or processes is the one without, batch for batch."""
        self.same_in(pool)


DENSE = np.where(np.random.default_rng(1).random((N, 6)) < 0.3, np.arange(6 * N).reshape(N, 6), 0).astype("f4")


class Sparse(Stored):
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


def test_a_sparse_matrix_by_column_is_refused(h5py, tmp_path):
    """And says how to store it."""
    sparse = pytest.importorskip("scipy.sparse")
    matrix = sparse.csc_matrix(np.eye(3))
    with h5py.File(tmp_path / "x.h5ad", "w") as file:
        for name in ("data", "indices", "indptr"):
            file[f"X/{name}"] = getattr(matrix, name)
        file["X"].attrs.update({"encoding-type": "csc_matrix", "shape": (3, 3)})
        file["raw"] = np.eye(3)

    with pytest.raises(TypeError, match=r"stored by row \(CSR\), but it is a csc_matrix.*tocsr"):
        len(SparseRows(tmp_path / "x.h5ad"))
    with pytest.raises(TypeError, match=r"no sparse matrix, but an array; HDF5Array\(path, 'raw'\)"):
        len(SparseRows(tmp_path / "x.h5ad", "raw"))
    with pytest.raises(KeyError, match="no group 'layers'; it has X, raw"):
        len(SparseRows(tmp_path / "x.h5ad", "layers"))


def test_rows_of_a_sparse_file_are_a_csr_matrix(h5py, tmp_path, pool):
    """In pools, too, and also in several files."""
    sparse = pytest.importorskip("scipy.sparse")
    matrix = sparse.random(30, 7, 0.3, "csr", random_state=0)
    with h5py.File(tmp_path / "x.h5ad", "w") as file:
        for name in ("data", "indices", "indptr"):
            file[f"X/{name}"] = getattr(matrix, name)
        file["X"].attrs.update({"encoding-type": "csr_matrix", "shape": matrix.shape})
    rows = SparseRows(tmp_path / "x.h5ad")
    order = np.random.RandomState(3).permutation(30)
    found = list(pool.parallel_data_source(ArrayDataSource([rows])).batch_iterator(8, np.random.RandomState(3)))

    assert np.array_equal(matrix.toarray()[order], sparse.vstack([batch for (batch,) in found]).toarray())
    assert np.array_equal(matrix.toarray()[[3, 2, 3]], Concatenated([rows, rows])[[33, 2, 3]].toarray())
