"""Worker processes take half a second to start: pipes share them, unless it matters whose they are."""

import pytest

from batchup.batch_iter import Loky


@pytest.fixture
def kept_workers(resting_processes, monkeypatch):
    """Pipes get processes that others have used, and leave them with nothing to do."""
    monkeypatch.setattr(Loky, "pool", lambda stage: resting_processes(stage.n_workers).engine)


@pytest.fixture
def own_workers(kept_workers, monkeypatch):
    """Pipes start their processes, and end them."""
    monkeypatch.undo()
