"""Packages whose names are imported when they are asked for."""

from __future__ import annotations

import ast
import importlib
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGES = ["batchup", "batchup.data_source", "batchup.loader", "batchup.sampling", "batchup.storage"]


def for_type_checkers(package):
    """The names that a package imports for type checkers, with the modules that it takes them from."""
    tree = ast.parse(Path(package.__file__).read_text())
    (block,) = (node for node in tree.body if isinstance(node, ast.If))
    return {name.asname or name.name: node.module for node in block.body for name in node.names}


@pytest.mark.parametrize("name", PACKAGES)
def test_type_checkers_see_what_a_program_gets(name):
    """The lists for type checkers, of modules, and ``__all__`` agree."""
    package = importlib.import_module(name)
    typed = for_type_checkers(package)

    assert set(package.__all__) - set(typed) <= {"Batch", "Pick"}
    for each, module in typed.items():
        assert getattr(package, each) is getattr(importlib.import_module(f"{name}.{module}"), each), each
    assert set(typed) <= set(dir(package))


@pytest.mark.parametrize("name", PACKAGES)
def test_other_names_are_refused_as_always(name):
    package = importlib.import_module(name)

    with pytest.raises(AttributeError, match=f"module '{name}' has no attribute 'Loadr'"):
        getattr(package, "Loadr")  # noqa: B009
    assert not hasattr(package, "_private")


def test_importing_batchup_imports_nothing_else():
    """Neither NumPy nor a part that the program does not use; modules of it are attributes none the less."""
    code = """
import sys
before = set(sys.modules)
import batchup
print(*sorted({name.partition(".")[0] for name in set(sys.modules) - before} & {"numpy", "six", "joblib"}))
batchup.StandardSampler
print("batchup.data_source" in sys.modules, batchup.data_source.ArrayDataSource.__name__, batchup.errors.__name__)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)

    assert ("\nFalse ArrayDataSource batchup.errors\n", "") == (done.stdout, done.stderr)
