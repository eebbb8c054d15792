"""The doctests of modules for a framework are collected where it is installed; Keras gets a backend that is."""

import importlib.util
import os

MODULES = {"torch": "batchup/interop/torch/*", "sklearn": "batchup/interop/sklearn.py"}

collect_ignore_glob = [path for name, path in MODULES.items() if not importlib.util.find_spec(name)]
os.environ.setdefault("KERAS_BACKEND", "jax" if importlib.util.find_spec("jax") else "torch")
