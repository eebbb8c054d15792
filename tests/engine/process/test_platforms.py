"""Which way worker processes are run."""

from __future__ import annotations

import sys

import pytest

from batchup import WorkerProcessPool
from batchup.engine.process.mapped import MappedGroup
from batchup.engine.process.platforms import VARIABLE, is_portable
from batchup.engine.process.portable import PortableGroup

pytestmark = pytest.mark.timeout(60)


@pytest.mark.parametrize(("platform", "portable"), [("linux", False), ("darwin", True), ("win32", True)])
def test_linux_has_a_way_of_its_own(monkeypatch, platform, portable):
    """Everywhere else it is the one for all systems."""
    monkeypatch.delenv(VARIABLE, raising=False)
    monkeypatch.setattr(sys, "platform", platform)

    assert portable == is_portable()


@pytest.mark.skipif(sys.platform != "linux", reason="there is one way here")
@pytest.mark.parametrize(("chosen", "kind"), [("", MappedGroup), ("portable", PortableGroup)])
def test_a_pool_chooses_when_it_is_made(monkeypatch, chosen, kind):
    """By the environment then; what comes later changes nothing."""
    monkeypatch.setenv(VARIABLE, chosen)
    with WorkerProcessPool(1) as pool:
        monkeypatch.setenv(VARIABLE, "")

        assert isinstance(pool.engine._group, kind)
        assert [8] == list(pool.work_stream([(pow, (2, 3))]))


def test_an_unknown_way_is_refused(monkeypatch):
    """With what it may be."""
    monkeypatch.setenv(VARIABLE, "fork")

    with pytest.raises(ValueError, match="BATCHUP_PROCESSES should be 'portable' or not set, not 'fork'"):
        WorkerProcessPool(1)
