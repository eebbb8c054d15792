"""Files for the tests, and libraries that may not be installed."""

import numpy as np
import pytest

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


@pytest.fixture
def processes(two_processes):
    """Two worker processes, which have imported the libraries if another test needed them."""
    return two_processes
