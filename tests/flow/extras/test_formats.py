"""Formats: dumped items are found by id, in any format and any batch."""

import threading

import numpy as np
import pytest

from batchup.flow import Batch, Dataset, FilesIndex, PerFile, Table, register_format

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


@pytest.mark.parametrize(("fmt", "options"), [("csv", {"index_col": 0}), ("feather", {}), ("hdf5", {})])
def test_a_table_is_found_by_id(fmt, options, need, tmp_path):
    """The ids are in the file, so any batch can be read, in any order."""
    need(fmt)

    rows([4, 5, 6]).dump(tmp_path / "t", fmt, components="x")
    batch = Rows([6, 4]).load(tmp_path / "t", fmt, dst=("x",), **options)

    assert [9.0, 6.0] == batch.x.tolist()


def test_options_of_the_reader(need, tmp_path):
    """Options are passed to the reader; a function may replace the table before items are taken."""
    need("csv")
    rows([4, 5]).dump(tmp_path / "t.csv", "csv", sep=";", index_label="id")

    batch = Rows([5]).load(
        tmp_path / "t.csv", "csv", dst=("x",), sep=";", index_col="id", post=lambda table, src, fmt, dst: table * 2
    )

    assert [15.0] == batch.x.tolist()


@pytest.fixture
def files(tmp_path):
    for name in ("a.dat", "b.dat", "c.dat"):
        (tmp_path / name).write_bytes(name.encode())
    return FilesIndex(path=tmp_path / "*.dat")


def test_a_file_for_each_item(files, need, tmp_path):
    """Items have files of the same names; plain arrays are written without pickle."""
    need("blosc")
    batch = Rows(files)
    batch.x, batch.y = np.arange(12.0).reshape(3, 4), [{"k": 1}, None, "text"]

    batch.dump(str(tmp_path / "out"), "blosc").dump(str(tmp_path / "plain"), "blosc", components="x")
    back = Rows(files.create_subset(["c.dat", "a.dat"])).load(str(tmp_path / "out"), "blosc")
    plain = Rows(files).load(str(tmp_path / "plain"), "blosc", dst="x")

    assert ([8, 9, 10, 11], ["text", {"k": 1}]) == (back.x[0].tolist(), back.y.tolist())
    assert (batch.x == plain.x).all()
    assert b"numpy._core" not in __import__("blosc2").decompress((tmp_path / "plain" / "a.dat").read_bytes())


def raw(packed):
    return {"x": packed.decode()}


register_format("raw-test", PerFile(raw, lambda values: values["x"].upper().encode()))


def test_where_the_files_are(files, tmp_path):
    """Files are those of the index, of another index, of a folder, or one in each indexed folder."""
    (tmp_path / "deep" / "a.dat").mkdir(parents=True)
    (tmp_path / "deep" / "a.dat" / "scan").write_bytes(b"in a folder")
    other = FilesIndex(paths={"a.dat": tmp_path / "c.dat"})
    folders = FilesIndex(path=tmp_path / "deep" / "*", dirs=True)
    one = files.create_subset(["a.dat"])

    def read(index, src):
        return Rows(index).load(src=src, fmt="raw-test", dst="x").x.tolist()

    Rows(files).load(fmt="raw-test").dump(str(tmp_path / "new"), "raw-test", components="x")

    assert ["a.dat", "b.dat", "c.dat"] == read(files, None)
    assert ["c.dat"] == read(one, other) == read(["a.dat"], other)
    assert ["A.DAT"] == read(one, str(tmp_path / "new"))
    assert ["in a folder"] == read(folders, "scan")
    with pytest.raises(ValueError, match="need a FilesIndex"):
        read(["a.dat"], str(tmp_path))
    with pytest.raises(ValueError, match="should be a folder"):
        read(one, 5)


def test_a_file_that_cannot_be_read(files, tmp_path):
    """The error of the file is raised, with the id of its item."""
    (tmp_path / "b.dat").unlink()

    with pytest.raises(FileNotFoundError) as error:
        Rows(files).load(fmt="raw-test", dst="x")
    assert ["for item 'b.dat'"] == error.value.__notes__


def test_an_unknown_format():
    """The error lists the known formats."""
    with pytest.raises(ValueError, match=r"fmt should be one of blosc, csv, feather, hdf5.*, not 'xml'"):
        Rows(2).load("x", "xml")


def test_a_format_whose_library_is_missing(monkeypatch):
    """The error says what to install."""
    import sys

    monkeypatch.setitem(sys.modules, "pandas", None)

    with pytest.raises(
        ImportError, match=r"the format csv needs pandas, which is not installed: pip install 'batchup\[tables\]'"
    ):
        Rows(2).load("x", "csv")


def test_an_empty_component_is_not_written(tmp_path):
    """The error names the component."""
    with pytest.raises(ValueError, match="x, y should have data"):
        Rows(2).dump(tmp_path / "x", "csv")


def test_writes_to_one_file_are_one_after_the_other():
    """Threads write to one file one after the other; two files do not wait for each other."""
    inside, most, both = [], [], threading.Barrier(2)

    def write(path, columns, ids):
        inside.append(path)
        most.append(len(inside))
        if path == "apart":
            both.wait(10)
        inside.remove(path)

    register_format("slow-test", Table(None, write))
    batch = rows([1, 2])

    def dump(path):
        batch.dump(path, "slow-test")

    threads = [threading.Thread(target=dump, args=("same",)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert {1} == set(most)


def test_a_dumped_batch_of_a_pipeline_by_threads(need, tmp_path):
    """The file has all items at the end."""
    need("hdf5")
    pipeline = Dataset(20, Rows, preloaded=(np.arange(20), np.arange(20))).p.dump(tmp_path / "f.h5", "hdf5")

    pipeline.run(3, shuffle=1, prefetch=3)

    assert list(range(20)) == Rows(20).load(tmp_path / "f.h5", "hdf5").x.tolist()
