"""Samples fetched one by one, side by side."""

from __future__ import annotations

import threading

import numpy as np
import pytest

from batchup import ArrayDataSource, ParallelItems
from batchup.testing import AccessorContract


class Items:
    """Ten samples, by int alone."""

    def __len__(self):
        return 10

    def __getitem__(self, i):
        if not isinstance(i, int):
            raise TypeError(f"one at a time, not {i!r}")
        return np.full(2, i)


class TestItsContract(AccessorContract):
    """It is an accessor like any other."""

    def make(self):
        return ParallelItems(Items(), 3, np.stack)


def test_samples_of_a_batch_are_fetched_side_by_side():
    """Two samples that wait for each other get there."""
    barrier = threading.Barrier(2)

    class Waiting(Items):
        def __getitem__(self, i):
            barrier.wait(30)
            return i

    ds = ArrayDataSource([ParallelItems(Waiting(), 2)])

    assert [([0, 1],), ([2, 3],)] == [ds.samples_by_indices(np.array(pair)) for pair in ([0, 1], [2, 3])]


def test_it_works_in_a_pool(pool):
    """Threads of threads, and threads in processes."""
    ds = ArrayDataSource([ParallelItems(Items(), 2, np.stack)])
    actual = list(pool.parallel_data_source(ds).batch_iterator(4, shuffle=7))

    np.testing.assert_equal(actual, list(ds.batch_iterator(4, shuffle=7)))


def test_an_error_of_a_sample_is_that_of_its_batch():
    """As itself, and the batches behind it arrive."""

    class Torn(Items):
        def __getitem__(self, i):
            if i == 3:
                raise OSError("torn file")
            return i

    batches = ArrayDataSource([ParallelItems(Torn(), 2)]).batch_iterator(2)
    next(batches)
    with pytest.raises(OSError, match="torn file"):
        next(batches)

    assert [([4, 5],), ([6, 7],), ([8, 9],)] == list(batches)
