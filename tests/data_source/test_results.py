"""Results per sample and means, over all batches."""

from __future__ import annotations

import numpy as np
import pytest

from batchup import data_source
from batchup.data_source import ArrayDataSource


def arrays(n=10, start=0, **kwargs):
    return ArrayDataSource([np.arange(start, start + n), np.arange(n * 2.0).reshape(n, 2)], **kwargs)


def test_means_are_over_samples_not_over_batches():
    """A short last batch weighs less."""
    ds = ArrayDataSource([np.array([0.0, 0.0, 3.0])])

    assert (1.0,) == ds.batch_map_mean(lambda x: x.sum(), 2)
    assert (1.0,) == ds.batch_map_mean(lambda x: x, 2, sum_axis=0)


def test_means_of_single_precision_are_in_double():
    """Sums of float32 are carried in float64."""
    ds = ArrayDataSource([np.full(3, 16777217.0, dtype=np.float64)])
    (mean,) = ds.batch_map_mean(lambda x: np.float32(0.1), 1)

    assert (np.float64, float(np.float32(0.1))) == (type(mean), pytest.approx(float(mean), abs=1e-15))


def test_means_of_arrays():
    """A sum may be an array, and a tuple gives several."""
    ds = ArrayDataSource([np.arange(10.0).reshape(5, 2)])
    whole, per_column = ds.batch_map_mean(lambda x: (x.sum(), x.sum(axis=0)), 2)

    assert (9.0, [4.0, 5.0]) == (whole, per_column.tolist())


def test_no_samples_have_no_results():
    """Neither mean nor concatenation: None."""
    assert arrays(0).batch_map_mean(lambda x, y: x.sum(), 2) is None
    assert arrays(0).batch_map_concat(lambda x, y: x, 2) is None


def test_the_rest_of_an_iterator_stays_in_it():
    """`n_batches` takes so many and no more."""
    batches = arrays(10).batch_iterator(2)
    data_source.batch_map_concat(lambda x, y: x, batches, n_batches=2)

    assert [4, 5] == next(batches)[0].tolist()


def test_an_endless_source_needs_n_batches():
    """With it, the results of so many batches come."""
    ds = arrays(3, repeats=-1)

    assert [0, 1, 2, 0] == ds.batch_map_concat(lambda x, y: x, 2, n_batches=2)[0].tolist()
    with pytest.raises(ValueError, match="n_batches"):
        ds.batch_map_concat(lambda x, y: x, 2)


def test_a_progress_bar_knows_the_smaller_number():
    """The total is `n_batches`, or the batches of the source where it has fewer."""
    totals = []

    def progress(batches, total, leave):
        totals.append(total)
        return batches

    for n_batches in (2, 9, None):
        arrays(10).batch_map_concat(lambda x, y: x, 3, progress_iter_func=progress, n_batches=n_batches)

    assert [2, 4, 4] == totals


def test_fields_in_a_list_are_those_of_a_batch():
    """As PyTorch's DataLoader gives them: each is an argument, and they are not counted as samples."""
    batches = [[np.array([1.0, 2.0]), np.zeros(2)], [np.array([6.0]), np.zeros(1)]]

    assert (3.0,) == data_source.batch_map_mean(lambda x, y: x, iter(batches), sum_axis=0)
    assert [1.0, 2.0, 6.0] == data_source.batch_map_concat(lambda x, y: x, iter(batches))[0].tolist()
