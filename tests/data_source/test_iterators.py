"""Sequential sources: from a function, and from an iterator."""

from __future__ import annotations

import numpy as np
import pytest

from batchup.data_source import CallableDataSource, IteratorDataSource
from batchup.testing import SequentialSourceContract


def counted(batch_size, shuffle=None):
    for first in range(0, 10, batch_size):
        yield (np.arange(first, min(first + batch_size, 10)),)


class TestCallable(SequentialSourceContract):
    def make(self):
        return CallableDataSource(counted, 10)


class TestIterator(SequentialSourceContract):
    def make(self):
        return IteratorDataSource(iter([(np.array([1]),), (np.array([3]),)]), 2)


def test_shuffle_by_position_reaches_a_function_by_name():
    """And without one, the function gets none."""
    given = []
    ds = CallableDataSource(lambda batch_size, **kwargs: given.append(kwargs) or iter(()))
    ds.batch_iterator(4, 7)
    ds.map(lambda x: (x,)).batch_iterator(4, 7)
    ds.batch_iterator(4)

    assert [{"shuffle": 7}, {"shuffle": 7}, {}] == given


def test_a_third_argument_is_refused():
    """That of a function is given by its name: it is not left without effect."""
    ds = CallableDataSource(lambda batch_size, shuffle=None, fold=0: iter([]))

    with pytest.raises(TypeError, match="by its name"):
        ds.batch_iterator(2, None, 5)
    assert [] == list(ds.batch_iterator(2, None, fold=5))


def test_sequential_sources_say_what_they_are():
    """The function, or how many samples there are."""
    assert "CallableDataSource(counted)" == repr(CallableDataSource(counted))
    assert "<IteratorDataSource of 2 samples>" == repr(IteratorDataSource(iter([]), 2))
    assert "<IteratorDataSource of an unknown number of samples>" == repr(IteratorDataSource(iter([])))
