"""The front of the package: its names are there, and cost nothing until they are used."""

import subprocess
import sys

import pytest

import batchup.storage


@pytest.mark.parametrize("name", batchup.storage.__all__)
def test_a_name_is_that_of_a_class(name):
    """Each name in ``__all__`` can be imported, and is called so."""
    assert name == getattr(batchup.storage, name).__name__


def test_another_name_is_an_error():
    """As of any module."""
    with pytest.raises(AttributeError, match="has no attribute 'HDF6Array'"):
        batchup.storage.HDF6Array  # noqa: B018


@pytest.mark.slow
def test_importing_batchup_imports_no_format():
    """Neither the modules of formats, nor their libraries."""
    names = ["h5py", "zarr", "pyarrow", "pandas", "polars", "xarray", "scipy", "PIL", "batchup.storage.hdf5"]
    code = f"import sys, batchup; print([name for name in {names} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)

    assert "[]" == done.stdout.strip()
