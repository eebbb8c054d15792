"""The doctests of modules for a framework are collected where it is installed."""

import importlib.util

collect_ignore_glob = [] if importlib.util.find_spec("torch") else ["batchup/interop/torch/*"]
