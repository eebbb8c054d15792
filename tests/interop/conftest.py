"""Worker processes that import PyTorch take seconds to start: tests share them."""

import itertools

import pytest


@pytest.fixture(scope="session")
def _pools():
    from batchup.engine.process.pool import ProcessPool

    made = {}
    yield lambda n, i: made.setdefault((n, i), None) or made.update({(n, i): ProcessPool(n)}) or made[n, i]
    for pool in made.values():
        pool.close()


@pytest.fixture
def shared_workers(_pools, monkeypatch):
    """Each DataLoader gets the same processes; it is not to be closed."""
    from batchup.interop.torch import epochs

    turns = itertools.cycle(range(2))
    monkeypatch.setattr(epochs, "_processes", lambda n: _pools(n, next(turns) if n == 1 else 0))
