"""The doctests of modules for a library are collected where it is installed; Keras gets a backend that is."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path
from typing import Any

MODULES = {
    "torch": ["batchup/interop/torch/*"],
    "sklearn": ["batchup/interop/sklearn.py", "batchup/flow/extras/models.py"],
    "PIL": ["batchup/flow/extras/images.py", "batchup/storage/images.py"],
    "pandas": ["batchup/flow/extras/profile.py"],
    "h5py": ["batchup/storage/hdf5.py"],
    "zarr": ["batchup/storage/zarr.py"],
}

collect_ignore_glob = [path for name, paths in MODULES.items() if not importlib.util.find_spec(name) for path in paths]
os.environ.setdefault("KERAS_BACKEND", "jax" if importlib.util.find_spec("jax") else "torch")


def pytest_ignore_collect(collection_path: Path, config: Any) -> bool | None:
    """`make test-fast` does not wait for PyTorch and scikit-learn to be imported, as their doctests do."""
    slow = any(collection_path.match(path) for path in ["batchup/interop/torch", *MODULES["sklearn"]])
    return True if slow and config.option.markexpr == "not slow" else None
