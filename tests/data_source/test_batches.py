"""Iterators over the batches of a source."""

from __future__ import annotations

import numpy as np

from batchup.data_source import ArrayDataSource, BatchIterator


def arrays(n=10, start=0, **kwargs):
    return ArrayDataSource([np.arange(start, start + n), np.arange(n * 2.0).reshape(n, 2)], **kwargs)


class Words:
    """An accessor that gives a list of strings of different lengths."""

    def __init__(self, n):
        self.n = n

    def __len__(self):
        return self.n

    def __getitem__(self, index):
        return ["word" * i for i in index] if isinstance(index, np.ndarray) else "word" * int(index)


def pairs():
    return ArrayDataSource([np.arange(10), np.arange(10) % 3])


def test_nothing_is_fetched_before_it_is_asked_for():
    """Making an iterator touches no data; each batch is fetched on its own."""
    asked = []

    class Watched(Words):
        def __getitem__(self, index):
            asked.append(index.tolist())
            return super().__getitem__(index)

    batches = ArrayDataSource([Watched(5)]).batch_iterator(2)
    before = list(asked)
    next(batches)

    assert ([], [[0, 1]]) == (before, asked)


def test_a_closed_iterator_ends():
    """After `close` there are no more batches."""
    batches = arrays().batch_iterator(2)
    next(batches)
    batches.close()

    assert isinstance(batches, BatchIterator)
    assert [] == list(batches)


def test_iterators_of_one_source_are_independent():
    """Two loops over one source, side by side, each see all of it."""
    ds = arrays(6)
    pairs = zip(ds.batch_iterator(2), ds.batch_iterator(2), strict=True)

    assert [([0, 1], [0, 1]), ([2, 3], [2, 3]), ([4, 5], [4, 5])] == [(a[0].tolist(), b[0].tolist()) for a, b in pairs]
