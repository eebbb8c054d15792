"""The formats csv, feather, hdf5 and blosc."""

import numpy as np
import pytest

from batchup.flow import Batch, Dataset

MODULES = {"csv": "pandas", "feather": "pyarrow", "hdf5": "h5py", "blosc": "blosc2"}


class Rows(Batch):
    components = "x", "y"


def rows(ids):
    n = 10
    return Dataset(n, Rows, preloaded=(np.arange(n) * 1.5, np.arange(2 * n).reshape(n, 2))).create_batch(ids)


@pytest.fixture
def need():
    def wanted(fmt):
        pytest.importorskip("pandas")
        pytest.importorskip(MODULES[fmt])

    return wanted


@pytest.mark.parametrize("fmt", ["csv", "feather"])
def test_a_component_of_rows_becomes_columns(fmt, need, tmp_path):
    """A 2-D component becomes the columns y0, y1; one of more dimensions is an error."""
    need(fmt)
    options = {"index_col": 0} if fmt == "csv" else {}

    rows([4, 5]).dump(tmp_path / "t", fmt)
    batch = Batch([5]).load(tmp_path / "t", fmt, dst=("y0", "y1"), **options)

    assert (10, 11) == (batch.y0[0], batch.y1[0])
    with pytest.raises(ValueError, match="1-D or 2-D"):
        Batch(1).load(src=np.zeros((1, 2, 2)), dst="x").dump(tmp_path / "u", fmt)


def test_images_in_hdf5(need, tmp_path):
    """hdf5 has components of any shape; batches add items to the file or replace them."""
    need("hdf5")
    images = np.random.rand(6, 4, 4)
    dataset = Dataset(6, Rows, preloaded=(images, np.arange(6)))

    for ids in ([0, 1, 2], [5, 4], [3]):
        dataset.create_batch(ids).dump(tmp_path / "f.h5", "hdf5", key="train")
    changed = dataset.create_batch([4, 0])
    changed.y[:] = 40
    changed.dump(tmp_path / "f.h5", "hdf5", key="train", components="y")
    batch = Rows([5, 0, 4]).load(tmp_path / "f.h5", "hdf5", key="train")

    assert (images[[5, 0, 4]] == batch.x).all()
    assert [5, 40, 40] == batch.y.tolist()
    with pytest.raises(KeyError, match="no group 'data'; it has train"):
        Rows([5]).load(tmp_path / "f.h5", "hdf5")


def test_string_ids_and_values_in_hdf5(need, tmp_path):
    """String ids and values are read as strings."""
    need("hdf5")
    batch = Rows(["a", "b"], preloaded=({"a": 1, "b": 2}, {"a": "one", "b": "two"}))

    batch.dump(tmp_path / "f.h5", "hdf5", components="x")
    batch.dump(tmp_path / "f.h5", "hdf5", components="x")

    assert [2, 1] == Rows(["b", "a"]).load(tmp_path / "f.h5", "hdf5").x.tolist()


def test_hdf5_of_pandas(need, tmp_path):
    """A table of pandas is read if PyTables is installed, and is not overwritten."""
    need("hdf5")
    pandas, _ = pytest.importorskip("pandas"), pytest.importorskip("tables")
    pandas.DataFrame({"x": [1, 2, 3]}, index=[7, 8, 9]).to_hdf(tmp_path / "p.h5", key="data")

    assert [3, 1] == Rows([9, 7]).load(tmp_path / "p.h5", "hdf5", dst=("x",)).x.tolist()
    with pytest.raises(ValueError, match="a table of pandas"):
        rows([1]).dump(tmp_path / "p.h5", "hdf5")


@pytest.mark.parametrize(
    ("ids", "x", "match"),
    [
        ([0, 1], [0.5, 1], "x should be values that an array of int64 holds"),
        ([0.5, 1], [1, 2], "index should be values that an array of int64 holds"),
        (["a", "b"], [1, 2], r"of one kind, not 1 \(number\) and .b. \(str\)"),
        ([0, 1], np.ma.array([1, 2], mask=[True, False]), "x should be without a mask"),
    ],
)
def test_values_that_hdf5_would_change_are_refused(need, tmp_path, ids, x, match):
    """Values and ids that do not fit what is in the file."""
    need("hdf5")
    Rows([0, 1], preloaded=(np.array([1, 2]), np.zeros(2))).dump(tmp_path / "f.h5", "hdf5")
    batch = Rows(ids)
    batch.x, batch.y = x, np.zeros(2)

    with pytest.raises(TypeError, match=match):
        batch.dump(tmp_path / "f.h5", "hdf5")
    assert [1, 2] == Rows([0, 1]).load(tmp_path / "f.h5", "hdf5").x.tolist()


def test_masked_values_do_not_go_into_a_table(need, tmp_path):
    """A table has no masks."""
    need("csv")
    batch = Rows(2)
    batch.x, batch.y = np.ma.array([1, 2], mask=[True, False]), np.zeros(2)

    with pytest.raises(TypeError, match=r"x should be without a mask .* x.filled\(0\)"):
        batch.dump(tmp_path / "t", "csv")
