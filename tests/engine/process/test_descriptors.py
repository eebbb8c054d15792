"""Descriptors that worker processes get."""

from __future__ import annotations

import os
import subprocess
import sys
from types import SimpleNamespace

import pytest

from batchup.engine.process import descriptors

pytestmark = pytest.mark.timeout(60)


def test_on_windows_handles_are_inherited(monkeypatch):
    """Those of the pipes alone, while the process is started; in the worker they become descriptors again."""
    inheritable = []
    fake = SimpleNamespace(
        get_osfhandle=lambda fd: 1000 + fd, open_osfhandle=lambda handle, flags: (handle - 1000, flags)
    )
    monkeypatch.setitem(sys.modules, "msvcrt", fake)
    monkeypatch.setattr(descriptors, "WINDOWS", True)
    monkeypatch.setattr(subprocess, "STARTUPINFO", SimpleNamespace, raising=False)
    monkeypatch.setattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 512, raising=False)
    monkeypatch.setattr(os, "set_handle_inheritable", lambda *args: inheritable.append(args), raising=False)
    with descriptors.passed([3, 4]) as (names, keywords):
        assert [(1003, True), (1004, True)] == inheritable

    assert [1003, 1004] == names
    assert {"handle_list": [1003, 1004]} == keywords["startupinfo"].lpAttributeList
    assert 512 == keywords["creationflags"]
    assert [(1003, False), (1004, False)] == inheritable[2:]
    assert 3 == descriptors.descriptor_of("1003", os.O_RDONLY)[0]
    assert [(1003, False)] == inheritable[4:]


def test_a_pipe_is_not_taken_for_a_standard_stream():
    """Where a program has closed its own, a pipe would get their numbers, and be replaced in the worker."""
    code = """
import os
from batchup.engine.process.descriptors import new_pipe

os.close(0), os.close(1)
before = set(os.listdir("/dev/fd"))
out, into = new_pipe()
os.write(into, b"through")
print(min(out, into) > 2, os.read(out, 10), len(set(os.listdir("/dev/fd")) - before), file=__import__("sys").stderr)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=50)

    assert "True b'through' 2\n" == done.stderr
