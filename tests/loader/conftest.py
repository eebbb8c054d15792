"""Worker processes take half a second to start: loaders that start some share them, where that is enough."""

import pytest


@pytest.fixture
def kept_workers(kept_processes, monkeypatch):
    """Loaders get processes that others have used, and leave them with nothing to do."""
    from batchup.loader import arguments

    used = []

    def make(n, initializer=None):
        assert initializer is None
        used.append(kept_processes(n))
        return used[-1]

    monkeypatch.setattr(arguments, "WorkerProcessPool", make)
    yield
    for pool in used:
        pool.engine.come_to_rest()
