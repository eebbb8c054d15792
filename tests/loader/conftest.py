"""Worker processes take half a second to start: loaders that start some share them, where that is enough."""

import pytest


@pytest.fixture
def kept_workers(resting_processes, monkeypatch):
    """Loaders get processes that others have used, and leave them with nothing to do."""
    from batchup.loader import arguments

    def make(n, initializer=None):
        assert initializer is None
        return resting_processes(n)

    monkeypatch.setattr(arguments, "WorkerProcessPool", make)
