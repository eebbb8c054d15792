"""What composites and choices have in common."""

from __future__ import annotations

import numpy as np
import pytest

from batchup.data_source import (
    ArrayDataSource,
    CallableDataSource,
    ChoiceDataSource,
    CompositeDataSource,
    IteratorDataSource,
)
from batchup.data_source.members import plans_of, traits_of_all


def arrays(n=10, start=0, **kwargs):
    return ArrayDataSource([np.arange(start, start + n), np.arange(n * 2.0).reshape(n, 2)], **kwargs)


def counted(batch_size, shuffle=None):
    for first in range(0, 10, batch_size):
        yield (np.arange(first, min(first + batch_size, 10)),)


def test_sources_may_be_given_as_what_they_are_made_from():
    """Composites and choices take lists of arrays, iterators and functions."""
    ds = CompositeDataSource([[np.arange(4)], iter([(np.array([7, 8]),)]), counted])

    assert [ArrayDataSource, IteratorDataSource, CallableDataSource] == [type(member) for member in ds.datasets]
    assert ([0, 1], [7, 8], [0, 1]) == tuple(part.tolist() for part in next(ds.batch_iterator(2)))


def test_keywords_go_to_those_that_take_them():
    """A function in a composite gets the user's keywords; the arrays beside it do not, and do not mind."""
    got = []

    def remembering(batch_size, **kwargs):
        got.append(kwargs)
        return counted(batch_size)

    ds = CompositeDataSource([arrays(), CallableDataSource(remembering)])
    next(ds.batch_iterator(2, subset="train"))

    assert [{"subset": "train"}] == got


@pytest.mark.parametrize("kind", [CompositeDataSource, ChoiceDataSource])
def test_there_is_at_least_one_member(kind):
    """And each of them is a source, or what one can be made of."""
    with pytest.raises(ValueError, match="datasets should hold at least one data source"):
        kind([])
    with pytest.raises(TypeError, match=r"datasets\[1\] should be a data source"):
        kind([arrays(), 7])


def test_a_trait_of_a_member_is_one_of_the_whole():
    """Keywords are taken if one member takes them; a map may use the global generator."""
    plain, mapped = arrays(), arrays().map(lambda *batch: batch)

    assert not traits_of_all([plain, plain]).may_use_global_rng
    assert traits_of_all([plain, mapped]).may_use_global_rng
    assert not traits_of_all([plain, mapped]).takes_keywords
    assert traits_of_all([plain, CallableDataSource(counted)]).takes_keywords


def test_keywords_that_no_member_takes_are_refused():
    """As a source of arrays alone refuses them."""
    with pytest.raises(TypeError, match="subset"):
        CompositeDataSource([arrays(), arrays()]).batch_iterator(2, subset="train")
    with pytest.raises(TypeError, match="subset"):
        plans_of([arrays(), arrays()], [2, 2], {"subset": "train"})
