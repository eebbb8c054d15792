"""Worker processes take half a second to start: runs of pipelines share them, unless it matters whose they are."""

import pytest


@pytest.fixture
def kept_workers(kept_processes, monkeypatch):
    """Runs get processes that others have used, and leave them with nothing to do."""
    from batchup.flow.pipeline import run

    used, make_pool = [], run.make_pool

    def make(target, n):
        if target == "threads":
            return make_pool(target, n)
        used.append(kept_processes(n).engine)
        return used[-1]

    monkeypatch.setattr(run, "make_pool", make)
    yield
    for pool in used:
        pool.come_to_rest()


@pytest.fixture
def own_workers(kept_workers, monkeypatch):
    """Runs start their processes, and end them."""
    monkeypatch.undo()
