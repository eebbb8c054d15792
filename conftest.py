"""The doctests of modules for a framework are collected where it is installed; Keras gets a backend that is."""

import importlib.util
import os

collect_ignore_glob = [] if importlib.util.find_spec("torch") else ["batchup/interop/torch/*"]
os.environ.setdefault("KERAS_BACKEND", "jax" if importlib.util.find_spec("jax") else "torch")
