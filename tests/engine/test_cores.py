"""How many cores there are for this program."""

from __future__ import annotations

import os

import joblib
import pytest

from batchup.engine import cores as module
from batchup.engine.cores import cores


@pytest.fixture(autouse=True)
def without_limits(monkeypatch, tmp_path):
    """A machine of 64 cores, whose control group has no limit."""
    monkeypatch.delenv("LOKY_MAX_CPU_COUNT", raising=False)
    monkeypatch.setattr(module, "CGROUP", tmp_path)
    monkeypatch.setattr(os, "cpu_count", lambda: 64)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(64)), raising=False)


def test_they_are_those_of_the_machine_if_nothing_limits_them(monkeypatch):
    assert 64 == cores()
    monkeypatch.delattr(os, "sched_getaffinity")  # as on macOS
    assert 64 == cores()


def test_affinity_limits_them(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {3, 5}, raising=False)

    assert 2 == cores()


@pytest.mark.parametrize(
    ("text", "expected"), [("400000 100000", 4), ("150000 100000", 2), ("1000 100000", 1), ("max 100000", 64), ("", 64)]
)
def test_a_container_limits_them(tmp_path, text, expected):
    """As Docker's ``--cpus=1.5`` does; a part of a core counts as one."""
    (tmp_path / "cpu.max").write_text(text + "\n")

    assert expected == cores()


@pytest.mark.parametrize(("quota", "expected"), [("300000", 3), ("-1", 64)])
def test_an_older_container_limits_them(tmp_path, quota, expected):
    (tmp_path / "cpu").mkdir()
    (tmp_path / "cpu" / "cpu.cfs_quota_us").write_text(quota)
    (tmp_path / "cpu" / "cpu.cfs_period_us").write_text("100000")

    assert expected == cores()


@pytest.mark.parametrize(("text", "expected"), [("7", 7), ("1000", 64), ("0", 1), ("many", 64)])
def test_the_variable_of_joblib_limits_them(monkeypatch, text, expected):
    monkeypatch.setenv("LOKY_MAX_CPU_COUNT", text)

    assert expected == cores()


def test_they_are_as_many_as_joblib_says(monkeypatch):
    """On this machine, as it is."""
    monkeypatch.undo()

    assert joblib.cpu_count() == cores()
