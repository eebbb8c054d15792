"""What all array-likes over files do: handles, changes, and files that are not there."""

import os
import pickle

import numpy as np
import pytest

from batchup import ArrayDataSource, WorkerProcessPool
from batchup.storage import ArrowColumn, HDF5Array, SparseRows, ZarrArray, base

N = 100
X = np.arange(3 * N).reshape(N, 3)


def test_nothing_is_opened_before_it_is_needed_and_nothing_stays_open(write_h5):
    """A file is opened on first use, and closed with the object."""
    path = write_h5()
    open_here = lambda: [fd for fd in os.listdir("/proc/self/fd") if _target(fd) == str(path)]  # noqa: E731
    if not os.path.isdir("/proc/self/fd"):
        pytest.skip("this system does not say which files are open")
    array = HDF5Array(path, "x")

    assert [] == open_here()
    array[[0]]
    assert open_here()
    del array
    assert [] == open_here()


def _target(fd):
    try:
        return os.readlink(f"/proc/self/fd/{fd}")
    except OSError:
        return ""


@pytest.mark.parametrize("make", [lambda p: HDF5Array(p, "x"), ZarrArray, lambda p: ArrowColumn(p, "x"), SparseRows])
def test_a_file_that_is_not_there_is_an_error_at_once(tmp_path, make):
    """When the object is made, not in a worker."""
    with pytest.raises(FileNotFoundError, match="nowhere"):
        make(tmp_path / "nowhere")


@pytest.mark.parametrize("make", [lambda p: HDF5Array(p, "x"), lambda p: ArrowColumn(p, "x"), SparseRows])
def test_a_file_of_another_format_is_an_error(tmp_path, h5py, make):
    """It says which file, and what it should be."""
    pytest.importorskip("pyarrow")
    pytest.importorskip("scipy")
    (tmp_path / "x.txt").write_text("not data " * 100)

    with pytest.raises(OSError, match=r"x\.txt.*(HDF5|parquet)"):
        len(make(tmp_path / "x.txt"))


def test_a_file_that_has_changed_is_an_error(write_h5):
    """Its size or its time; also in a process that opens it later."""
    path = write_h5()
    array = HDF5Array(path, "x")
    array[[0]]
    sent = pickle.dumps(array)
    os.utime(path, ns=(0, 0))

    with pytest.raises(OSError, match="has changed since this array was made"):
        array[[0]]
    with pytest.raises(OSError, match="has changed since this array was made"):
        pickle.loads(sent)[[0]]


def test_another_file_in_the_place_of_one_is_an_error(write_h5, monkeypatch):
    """It is noticed before long; until then, batches are of the file that was opened."""
    path = write_h5()
    soon, at_once = HDF5Array(path, "x"), HDF5Array(path, "x")
    monkeypatch.setattr(base, "LOOK", 1e9)
    soon[[0]]
    monkeypatch.setattr(base, "LOOK", 0.0)
    at_once[[0]]
    path.rename(path.with_suffix(".old"))
    write_h5(X + 1)

    assert X[[5]].tolist() == soon[[5]].tolist()
    with pytest.raises(OSError, match="has changed since this array was made"):
        at_once[[5]]


@pytest.mark.slow
@pytest.mark.timeout(60)
def test_a_file_that_is_cut_off_does_not_end_a_worker(write_h5):
    """Its pages are mapped there: it is an error of the batch, and the worker lives."""
    path = write_h5(np.zeros((4096, 64)))
    source = ArrayDataSource([HDF5Array(path, "x")])
    with WorkerProcessPool(1) as pool:
        batches = pool.parallel_data_source(source, batch_buffer_size=1).batch_iterator(16)
        next(batches)
        os.truncate(path, 5000)

        with pytest.raises(OSError, match="has changed"):
            for _ in batches:
                pass


def test_nothing_is_written_to_the_files(write_h5, zarr, tmp_path):
    """An epoch leaves files as they were, also those without permission to write."""
    path = write_h5(chunks=(10, 3), compression="gzip")
    zarr.create_array(tmp_path / "x.zarr", name="x", data=X)
    files = [each for each in tmp_path.rglob("*") if each.is_file()]
    for each in files:
        each.chmod(0o444)
    before = [(each.read_bytes(), each.stat().st_mtime_ns) for each in files]
    list(ArrayDataSource([HDF5Array(path, "x"), ZarrArray(tmp_path / "x.zarr", "x")]).batch_iterator(7, shuffle=7))

    assert before == [(each.read_bytes(), each.stat().st_mtime_ns) for each in files]
    assert sorted(files) == sorted(each for each in tmp_path.rglob("*") if each.is_file())


@pytest.mark.parametrize(
    ("make", "missing"),
    [(lambda p: HDF5Array(p, "x"), "h5py"), (ZarrArray, "zarr"), (lambda p: ArrowColumn(p, "x"), "pyarrow")],
)
def test_a_library_that_is_not_installed_is_named(tmp_path, monkeypatch, make, missing):
    """With the extra that brings it."""
    (tmp_path / "x").write_bytes(b"PAR1")
    monkeypatch.setitem(__import__("sys").modules, missing, None)

    with pytest.raises(ModuleNotFoundError, match=rf"needs {missing}.*batchup\[(hdf5|zarr|arrow)\]"):
        len(make(tmp_path / "x"))
