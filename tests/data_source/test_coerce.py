"""Data sources from what they are made of."""

from __future__ import annotations

import numpy as np
import pytest

from batchup.data_source import ArrayDataSource, CallableDataSource, IteratorDataSource, coerce_data_source
from batchup.data_source.coerce import as_data_source


def arrays(n=10, start=0, **kwargs):
    return ArrayDataSource([np.arange(start, start + n), np.arange(n * 2.0).reshape(n, 2)], **kwargs)


def counted(batch_size, shuffle=None):
    for first in range(0, 10, batch_size):
        yield (np.arange(first, min(first + batch_size, 10)),)


def test_coercion():
    """A source stays itself; a list or tuple of arrays, an iterator and a function become one."""
    ds = arrays()

    assert ds is coerce_data_source(ds)
    assert [ArrayDataSource, ArrayDataSource, IteratorDataSource, CallableDataSource] == [
        type(coerce_data_source(x)) for x in ([np.arange(3)], (np.arange(3),), iter([]), counted)
    ]


def test_a_dict_of_arrays_is_a_source_of_dicts():
    """With the names of the dict."""
    assert {"x": [0, 1]} == next(coerce_data_source({"x": range(2)}).batch_iterator(2))


@pytest.mark.parametrize(
    ("x", "hint"),
    [
        (np.arange(3), "; put it into a list: [X] or [X, y]"),
        (zip, None),
        ("files", "'files'"),
        (7, "an int: 7"),
    ],
    ids=["array", "callable", "str", "int"],
)
def test_what_is_no_source_is_told_what_to_do(x, hint):
    """A callable is one."""
    if hint is None:
        assert isinstance(coerce_data_source(x), CallableDataSource)
    else:
        with pytest.raises(TypeError, match="x should be a data source, a list of array-likes, ") as caught:
            coerce_data_source(x)
        assert str(caught.value).endswith(hint)


def test_an_iterable_may_hold_batches_or_samples():
    """The error names what takes either."""

    class Samples:
        def __iter__(self):
            return iter([1, 2])

    with pytest.raises(TypeError, match=r"yields batches, use IteratorDataSource\(x\); .*Infinite\(x, …\)"):
        coerce_data_source(Samples())


def test_the_error_names_the_argument():
    """Not always `x`."""
    with pytest.raises(TypeError, match=r"datasets\[1\] should be a data source, .* not an? int: 7"):
        as_data_source(7, "datasets[1]")
