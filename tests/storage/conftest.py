"""Files for the tests, and libraries that may not be installed."""

import numpy as np
import pytest

from batchup import WorkerProcessPool, WorkerThreadPool

X = np.arange(300).reshape(100, 3)


@pytest.fixture
def h5py():
    return pytest.importorskip("h5py")


@pytest.fixture
def zarr():
    return pytest.importorskip("zarr", "3")


@pytest.fixture
def write_h5(h5py, tmp_path):
    """Makes an HDF5 file with the data set x, and returns its path."""

    def write(data=X, **how):
        with h5py.File(tmp_path / "x.h5", "w") as file:
            file.create_dataset("x", data=data, **how)
        return tmp_path / "x.h5"

    return write


@pytest.fixture(scope="session")
def processes():
    """Two worker processes for all tests of this folder: each imports the libraries once."""
    with WorkerProcessPool(2) as made:
        yield made


@pytest.fixture(scope="session", params=["threads", "processes"])
def pool(request):
    """A pool of two workers of each kind."""
    if request.param == "processes":
        yield request.getfixturevalue("processes")
        return
    with WorkerThreadPool(2) as made:
        yield made
