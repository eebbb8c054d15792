"""What is closed at the end of ``with``."""

from __future__ import annotations

import pytest

from batchup import Loader, WorkerThreadPool
from batchup.batch_iter import Infinite
from batchup.engine.closing import Closing
from batchup.engine.pools import Pool, ThreadPool


class Noted(Closing):
    closed = 0

    def close(self) -> None:
        self.closed += 1


def test_the_end_of_with_closes():
    """Once, and ``as`` names the object itself."""
    with Noted() as noted:
        assert 0 == noted.closed

    assert 1 == noted.closed


def test_an_error_closes_and_is_raised():
    """As it is."""
    noted = Noted()
    with pytest.raises(OSError, match="no such file"), noted:
        raise OSError("no such file")

    assert 1 == noted.closed


def test_what_cannot_be_closed_says_so():
    """By the name of its class."""

    class Open(Closing):
        pass

    with pytest.raises(NotImplementedError, match="Open should have a method"):
        Open().close()


@pytest.mark.parametrize("kind", [Pool, ThreadPool, WorkerThreadPool, Loader, Infinite])
def test_whatever_has_workers_is_one(kind):
    """And none has a way of its own."""
    assert issubclass(kind, Closing)
    assert Closing.__exit__ is kind.__exit__
