"""Stages: workers that keep the order, their buffers, and functions of the whole iterator."""

from __future__ import annotations

import itertools
import threading
import time

import pytest

from batchup.batch_iter import Infinite, Iterator, Loky, Threads

pytestmark = pytest.mark.timeout(60)


def as_it_is(x):
    return x


def squared(x):
    return x**2


def lists(pipe):
    return [batch.tolist() for batch in pipe]


def wait_for(condition, seconds=30.0):
    until = time.monotonic() + seconds
    while not condition() and time.monotonic() < until:
        time.sleep(0.001)
    assert condition()


@pytest.mark.parametrize(("n_workers", "buffer_size"), [(1, 1), (3, 1), (2, 4)])
def test_no_more_items_are_drawn_than_the_stages_hold(n_workers, buffer_size):
    """While all workers are busy, `buffer_size` more items wait."""
    gate, drawn, begun = threading.Event(), [], []

    def source():
        for n in itertools.count():
            drawn.append(n)
            yield n

    def work(x):
        begun.append(x)
        gate.wait(30)
        return x

    stage = Threads(work, n_workers=n_workers, buffer_size=buffer_size)
    with Infinite(source(), stage, batch_size=1, batches_per_epoch=3) as pipe:
        epoch = pipe()
        wait_for(lambda: len(begun) == n_workers and len(drawn) >= n_workers + buffer_size)

        assert n_workers + buffer_size == len(drawn)
        gate.set()
        assert [[0], [1], [2]] == lists(epoch)


def test_order_is_kept_when_later_items_are_done_first():
    """A slow item keeps its position."""
    later = threading.Event()

    def slow_first(x):
        if x == 0:
            later.wait(30)
        elif x == 2:
            later.set()
        return x

    with Infinite(range(6), Threads(slow_first, n_workers=2), batch_size=6, batches_per_epoch=1) as pipe:
        assert [[0, 1, 2, 3, 4, 5]] == lists(pipe)


def test_a_stage_over_the_whole_iterator():
    """A function of the iterator may leave items out and repeat them."""

    def pairs(items, gap):
        for item in items:
            if item % gap:
                yield item
                yield -item

    with Infinite(itertools.count(), squared, Iterator(pairs, gap=2), batch_size=4, batches_per_epoch=1) as pipe:
        assert [[1, -1, 9, -9]] == lists(pipe)


@pytest.mark.parametrize(
    ("make", "error", "match"),
    [
        (lambda: Threads(as_it_is, n_workers=0), ValueError, "n_workers should be"),
        (lambda: Threads(as_it_is, buffer_size=0), ValueError, "buffer_size should be"),
        (lambda: Loky(as_it_is, n_workers=0), ValueError, "n_workers should be"),
        (lambda: Threads(3), TypeError, "func should be a function"),
        (lambda: Iterator(as_it_is, n_workers=2), ValueError, "takes no n_workers"),
    ],
)
def test_a_stage_refuses_what_cannot_be(make, error, match):
    """An invalid argument raises an error when the stage is made."""
    with pytest.raises(error, match=match):
        make()


def test_processes_are_counted_as_in_joblib():
    """-1 is one per core; the number is never less than one."""
    import joblib

    assert joblib.cpu_count() == Loky(as_it_is, n_workers=-1).n_workers
    assert 1 == Loky(as_it_is, n_workers=-10_000).n_workers
