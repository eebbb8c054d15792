"""Libraries that are imported on use."""

from __future__ import annotations

import json
import sys

import pytest

from batchup.engine.optional import library


def test_a_library_that_is_installed():
    """The module itself."""
    assert json is library("json", "json", "a test")


@pytest.mark.parametrize(
    ("install", "title", "said"),
    [
        ("absent", None, "a test needs absent, which is not installed: pip install absent"),
        ("batchup[x]", "Absent", r"a test needs Absent, which is not installed: pip install 'batchup\[x\]'"),
    ],
)
def test_a_library_that_is_missing(monkeypatch, install, title, said):
    """The error says who needs it and how to install it, and has the name of the module."""
    monkeypatch.setitem(sys.modules, "absent", None)
    with pytest.raises(ModuleNotFoundError, match=f"^{said}$") as caught:
        library("absent", install, "a test", title)

    assert "absent" == caught.value.name
