"""Worker processes take half a second to start: runs of pipelines share them, unless it matters whose they are."""

import time

import pytest


@pytest.fixture(scope="session")
def _kept():
    from batchup.engine.process.pool import ProcessPool

    class KeptPool(ProcessPool):
        """A pool that a run may close as often as it likes."""

        def close(self):
            pass

    made = {}
    yield lambda n: made.get(n) or made.setdefault(n, KeptPool(n))
    for pool in made.values():
        ProcessPool.close(pool)


@pytest.fixture
def kept_workers(_kept, monkeypatch):
    """Runs get processes that others have used, and leave them with nothing to do."""
    from batchup.flow.pipeline import run

    used, make_pool = [], run.make_pool

    def make(target, n):
        if target == "threads":
            return make_pool(target, n)
        used.append(_kept(n))
        return used[-1]

    monkeypatch.setattr(run, "make_pool", make)
    yield
    until = time.monotonic() + 30
    for pool in used:
        while pool._schedule.waiting and time.monotonic() < until:
            pool.glance()
            time.sleep(0.001)
        assert {} == pool._schedule.waiting


@pytest.fixture
def own_workers(kept_workers, monkeypatch):
    """Runs start their processes, and end them."""
    monkeypatch.undo()
