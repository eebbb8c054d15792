"""Worker processes take half a second to start: runs of pipelines share them, unless it matters whose they are."""

import pytest


@pytest.fixture
def kept_workers(resting_processes, monkeypatch):
    """Runs get processes that others have used, and leave them with nothing to do."""
    from batchup.flow.pipeline import run

    make_pool = run.make_pool

    def make(target, n):
        return make_pool(target, n) if target == "threads" else resting_processes(n).engine

    monkeypatch.setattr(run, "make_pool", make)


@pytest.fixture
def own_workers(kept_workers, monkeypatch):
    """Runs start their processes, and end them."""
    monkeypatch.undo()
