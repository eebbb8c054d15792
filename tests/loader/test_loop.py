"""Loops over a loader: where they begin, and how they end."""

from __future__ import annotations

import numpy as np
import pytest

from batchup import ArrayDataSource, Loader
from batchup.errors import PoolClosedError


def arrays(n=10, **kwargs):
    return ArrayDataSource([np.arange(n)], **kwargs)


def epoch_of(loader):
    return [x.tolist() for (x,) in loader]


def test_a_loop_that_is_left_has_ended_its_epoch():
    """The next loop begins the next epoch."""
    loader, other = (Loader(arrays(), 3, shuffle=5) for _ in range(2))
    epoch_of(other)
    for _ in loader:
        break

    assert (epoch_of(other), 2) == (epoch_of(loader), loader.epoch)


def test_a_loop_that_gave_nothing_has_not_begun_its_epoch():
    """The next one is over the same epoch."""
    loader = Loader(arrays(), 3, shuffle=5)
    iter(loader)

    assert epoch_of(Loader(arrays(), 3, shuffle=5)) == epoch_of(loader)


def test_a_second_loop_ends_the_first():
    """The first says so at its next batch; the second is whole."""
    loader = Loader(arrays(), 3)
    first = iter(loader)
    next(first)
    second = iter(loader)

    with pytest.raises(RuntimeError, match="this loop has ended: another one has begun since"):
        next(first)
    assert [[0, 1, 2], [3, 4, 5], [6, 7, 8], [9]] == [x.tolist() for (x,) in second]


def test_a_loop_that_has_ended_stays_ended():
    """Asked again, it gives nothing, and the epoch is not counted twice."""
    loader = Loader(arrays(), 3)
    loop = iter(loader)
    list(loop)

    assert [] == list(loop)
    assert 1 == loader.epoch


def test_a_closed_loader_says_so():
    """Its loop, its next loop, and its steps; it can be closed again, and still says where it is."""
    loader = Loader(arrays(), 3, pool=1)
    loop = iter(loader)
    next(loop)
    loader.close()
    loader.close()

    for call in (lambda: next(loop), lambda: iter(loader), lambda: loader.steps(1)):
        with pytest.raises(PoolClosedError, match="the loader (was|is) closed"):
            call()
    assert (0, 1) == (loader.epoch, loader.step)


def test_an_epoch_after_steps_is_the_next():
    """Of the epoch that the steps ended in, some was delivered."""
    loader, other = (Loader(arrays(), 3, shuffle=5) for _ in range(2))
    list(loader.steps(5))
    for _ in range(2):
        epoch_of(other)

    assert (epoch_of(other), 3) == (epoch_of(loader), loader.epoch)
