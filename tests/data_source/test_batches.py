"""Iterators over the batches of a source."""

from __future__ import annotations

import numpy as np
import pytest

from batchup.data_source import ArrayDataSource, BatchIterator, ChoiceDataSource


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


@pytest.mark.parametrize("shuffle", [None, 0, True])
def test_batches_have_the_length_of_what_is_left(shuffle):
    """Where the plan knows it; an iterator is true nevertheless, as others are."""
    ds = ArrayDataSource([np.arange(5)])
    batches = ds.batch_iterator(2, shuffle=shuffle)
    lengths = [len(batches), next(batches) and len(batches), len(list(batches)), len(batches)]

    assert [3, 2, 2, 0] == lengths
    assert batches


def test_a_closed_iterator_has_no_batches_left():
    """Until a state is loaded."""
    batches = ArrayDataSource([np.arange(5)]).batch_iterator(2)
    state = batches.state_dict()
    batches.close()
    closed = len(batches)
    batches.load_state_dict(state)

    assert (0, 3) == (closed, len(batches))


@pytest.mark.parametrize(
    "source",
    [
        ArrayDataSource([np.arange(5)], repeats=-1),
        ChoiceDataSource([ArrayDataSource([np.arange(5)])] * 2, weights=[1, 2]),
    ],
)
def test_batches_of_unknown_number_have_no_length(source):
    """Python's own iterators raise the same."""
    with pytest.raises(TypeError, match="these batches have no len"):
        len(source.batch_iterator(2, shuffle=7))
    with pytest.raises(TypeError, match="these batches have no len"):
        len(BatchIterator(lambda pick: (pick,), iter([np.arange(3)])))


class Signalled:
    """Data whose second fetch runs what a signal handler would run meanwhile."""

    def __init__(self, handler):
        self.handler, self.calls = handler, 0

    def __len__(self):
        return 10

    def __getitem__(self, indices):
        self.calls += 1
        if self.calls == 2:
            self.handler()
        return indices


def test_a_signal_handler_may_load_a_state():
    """The batch under way is given up; the loop goes on where the state was saved, and counts from there."""
    ds = ArrayDataSource([Signalled(lambda: batches.load_state_dict(state))])
    batches = ds.batch_iterator(2)
    state = {**batches.state_dict(), "step": 3}
    found = [(x.tolist(), batches.state_dict()["step"]) for (x,) in batches]

    assert [([0, 1], 1), ([6, 7], 4), ([8, 9], 5)] == found


def test_a_signal_handler_may_close_an_iterator():
    """The batch under way is given up, and not counted."""
    ds = ArrayDataSource([Signalled(lambda: batches.close())])
    batches = ds.batch_iterator(2)

    assert [[0, 1]] == [x.tolist() for (x,) in batches]
    assert 1 == batches.state_dict()["step"]
