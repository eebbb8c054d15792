"""Arrays that are mapped from files: sent by path, while the path is that of the file."""

from __future__ import annotations

import os
import pickle
import platform
import shutil

import numpy as np
import pytest

from batchup.engine.process import constants, file_maps, pickling
from batchup.engine.process.file_maps import FileMaps, file_mapped, in_a_file


@pytest.fixture(autouse=True)
def no_constant_stays():
    """What this process has loaded as if it were a worker."""
    yield
    constants._constants.clear()


@pytest.mark.parametrize(
    "part",
    [
        lambda m: m,
        lambda m: m[100:200],
        lambda m: m[::-3, 1:],
        lambda m: np.asarray(m)[5:],
        lambda m: m.reshape(-1)[7:],
    ],
    ids=["whole", "rows", "strided", "ndarray", "flat"],
)
@pytest.mark.parametrize("mode", ["r", "r+"])
def test_a_memory_map_travels_as_its_path(tmp_path, part, mode):
    """Any view of it; what is written to the file later is seen."""
    np.save(tmp_path / "X.npy", np.arange(100_000.0).reshape(1000, 100))
    mapped = np.load(tmp_path / "X.npy", mmap_mode=mode)
    constant = constants.Constant({"X": part(mapped)})
    loaded = pickle.loads(constant.reference)["X"]

    assert constant.nbytes < 5000
    np.testing.assert_array_equal(loaded, part(mapped))
    assert not loaded.flags.writeable
    if mode == "r+":
        mapped[:] = -1
        assert -1 == loaded.flat[0]
    constants.forget(constant.serial)
    constant.close()


@pytest.mark.parametrize("offset", [0, 808, 1 << 16, 80_008])
def test_a_memory_map_may_begin_anywhere_in_its_file(tmp_path, offset):
    """In its first pages or in later ones."""
    np.arange(20_000.0).tofile(tmp_path / "X")
    mapped = np.memmap(tmp_path / "X", np.float64, "r", offset, 1000)
    constant = constants.Constant(mapped[3:])
    loaded = pickle.loads(constant.reference)

    assert constant.nbytes < 5000
    np.testing.assert_array_equal(loaded, np.arange(1000.0)[3:] + offset // 8)
    constants.forget(constant.serial)
    constant.close()


def test_a_private_memory_map_is_copied(tmp_path):
    """What was written to it is in no file."""
    np.save(tmp_path / "X.npy", np.zeros(1000))
    mapped = np.load(tmp_path / "X.npy", mmap_mode="c")
    mapped[3] = 5
    constant = constants.Constant(mapped)

    assert 5 == pickle.loads(constant.reference)[3]
    constants.forget(constant.serial)
    constant.close()


@pytest.mark.parametrize(
    "made",
    [
        lambda m: np.ma.masked_array(m, mask=np.arange(1000) % 2 == 0),
        lambda m: m.reshape(10, 100).view(np.matrix),
        lambda m: m.view([("a", "f4"), ("b", "f4")]).view(np.recarray),
    ],
    ids=["masked", "matrix", "records"],
)
def test_a_memory_map_within_another_array_keeps_its_class(tmp_path, made):
    """A masked array is more than its data: its mask came from no file."""
    np.save(tmp_path / "X.npy", np.arange(1000.0))
    array = made(np.load(tmp_path / "X.npy", mmap_mode="r"))
    constant = constants.Constant(array)
    loaded = pickle.loads(constant.reference)

    assert (type(array), array.tolist()) == (type(loaded), loaded.tolist())
    constants.forget(constant.serial)
    constant.close()


@pytest.mark.skipif(not os.path.exists("/proc/self/maps"), reason="the system does not say what is mapped")
@pytest.mark.parametrize("change", ["replaced", "moved", "deleted"])
def test_a_memory_map_whose_path_is_not_its_own_any_more_is_copied(tmp_path, change):
    """The file that is mapped is what counts, whatever has come to be at its path."""
    path, other = tmp_path / "X.npy", tmp_path / "other.npy"
    np.save(path, np.zeros(1000))
    mapped = np.load(path, mmap_mode="r")
    if change == "replaced":
        np.save(other, np.ones(1000))
        os.replace(other, path)
    elif change == "moved":
        os.replace(path, other)
        np.save(path, np.ones(1000))
    else:
        os.remove(path)
    constant = constants.Constant(mapped)

    assert (pickle.loads(constant.reference) == 0).all()
    assert len(pickling.dumps(mapped)[0]) < 500
    constant.close()


def test_a_memory_map_of_a_new_file_at_the_same_path_is_another(tmp_path):
    """It is sent again, or workers would go on with the file that was there before."""
    path, other = tmp_path / "X.npy", tmp_path / "other.npy"
    np.save(path, np.zeros(1000))
    constant = constants.Constant(np.load(path, mmap_mode="r"))
    loaded = pickle.loads(constant.reference)
    np.save(other, np.ones(1000))
    os.replace(other, path)

    assert (loaded == 0).all()
    assert not constant.holds(np.load(path, mmap_mode="r"))
    constant.close()


def test_a_file_that_is_replaced_before_it_is_mapped_is_an_error(tmp_path):
    """A worker that is started later does not mix two files into one epoch."""
    np.save(tmp_path / "X.npy", np.zeros(1000))
    constant = constants.Constant(np.load(tmp_path / "X.npy", mmap_mode="r"))
    np.save(tmp_path / "other.npy", np.ones(1000))
    os.replace(tmp_path / "other.npy", tmp_path / "X.npy")

    with pytest.raises(FileNotFoundError, match=r"X\.npy was replaced while a loop over it ran"):
        pickle.loads(constant.reference)
    constant.close()


def test_an_array_in_memory_is_in_no_file():
    """Nor is one of Python objects."""
    maps = FileMaps()

    assert in_a_file(np.arange(10), maps) is None
    assert in_a_file(np.array([{}], object), maps) is None


def test_what_is_mapped_is_listed_only_for_arrays_in_files(tmp_path, monkeypatch):
    """Where many libraries are loaded, the list alone would take milliseconds at the beginning of each loop."""
    np.arange(100.0).tofile(tmp_path / "X")
    (tmp_path / "maps").write_text("")
    monkeypatch.setattr(file_maps, "MAPS", str(tmp_path / "maps"))
    opened = []

    def noted_open(path, **kwargs):
        opened.append(path)
        return open(path, **kwargs)

    monkeypatch.setattr(file_maps, "open", noted_open, raising=False)

    assert pickling.dumps([np.arange(1000), np.ones((3, 4))])
    assert [] == opened
    assert pickling.dumps([np.memmap(tmp_path / "X", np.float64, "r")] * 2)
    assert [str(tmp_path / "maps")] == opened


def test_a_view_is_found_where_it_lies_in_its_file(tmp_path):
    """Path, identity, offset, type, shape and strides: from these the other side maps it again."""
    np.arange(100.0).tofile(tmp_path / "X")
    view = np.memmap(tmp_path / "X", np.float64, "r", 0, 100)[10:50:4]
    path, identity, *rest = found = in_a_file(view, FileMaps())
    there = os.stat(tmp_path / "X")

    assert (str(tmp_path / "X"), (platform.node(), there.st_dev, there.st_ino)) == (path, identity)
    assert [80, np.float64, (10,), (32,)] == rest
    again = file_mapped(*found)
    assert view.tolist() == again.tolist()
    assert not again.flags.writeable


@pytest.mark.skipif(not os.path.exists("/proc/self/maps"), reason="the system does not say what is mapped")
def test_the_identity_of_a_file_is_that_of_what_is_mapped(tmp_path):
    """Not that of another file at the same path; none for a path that is gone."""
    np.arange(100.0).tofile(tmp_path / "X")
    mapped = np.memmap(tmp_path / "X", np.float64, "r")
    address, there = mapped.ctypes.data, os.stat(tmp_path / "X")
    assert (platform.node(), there.st_dev, there.st_ino) == FileMaps().identity(str(tmp_path / "X"), address)

    np.arange(100.0).tofile(tmp_path / "Y")
    os.replace(tmp_path / "Y", tmp_path / "X")
    assert FileMaps().identity(str(tmp_path / "X"), address) is None
    assert FileMaps().identity(str(tmp_path / "Z"), address) is None


def test_on_another_host_a_file_is_known_by_its_path(tmp_path, monkeypatch):
    """There it has other numbers, though it is the same; one that is not there is an error."""
    np.save(tmp_path / "X.npy", np.arange(1000))
    constant = constants.Constant(np.load(tmp_path / "X.npy", mmap_mode="r"))
    os.replace(shutil.copy(tmp_path / "X.npy", tmp_path / "copy.npy"), tmp_path / "X.npy")
    monkeypatch.setattr(platform, "node", lambda: "far")

    assert 499500 == pickle.loads(constant.reference).sum()
    constants.forget(constant.serial)
    os.remove(tmp_path / "X.npy")
    with pytest.raises(FileNotFoundError, match="X.npy"):
        pickle.loads(constant.reference)
    constant.close()
