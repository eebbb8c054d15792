"""Worker processes take half a second to start: pipes share them, unless it matters whose they are."""

import pytest

from batchup.batch_iter import Loky


@pytest.fixture
def kept_workers(kept_processes, monkeypatch):
    """Pipes get processes that others have used, and leave them with nothing to do."""
    used = []

    def pool(stage):
        used.append(kept_processes(stage.n_workers).engine)
        return used[-1]

    monkeypatch.setattr(Loky, "pool", pool)
    yield
    for each in used:
        each.come_to_rest()


@pytest.fixture
def own_workers(kept_workers, monkeypatch):
    """Pipes start their processes, and end them."""
    monkeypatch.undo()
