"""Reading by the batch: blocks once, in the order of the file."""

import numpy as np

from batchup.storage import HDF5Array

N = 100
X = np.arange(3 * N).reshape(N, 3)


def test_chunks_of_columns_are_not_read_whole(write_h5):
    """Where a chunk has all rows, and is larger than the cache, a batch reads its own rows."""
    data = np.arange(40_000).reshape(20_000, 2).astype("f8")
    path = write_h5(data.repeat(50, 1), chunks=(20_000, 1), compression="gzip")
    array = HDF5Array(path, "x", cache=1000)

    assert np.array_equal(data[[7, 3, 7]].repeat(50, 1), array[[7, 3, 7]])
    assert 0 == array.cache_stats().nbytes


def test_a_batch_reads_each_chunk_once_and_the_cache_keeps_it(write_h5):
    """Hits and misses are counted by the chunk."""
    array = HDF5Array(write_h5(chunks=(10, 3), compression="gzip"), "x", cache=10_000)
    array[np.array([0, 25, 1, 29, 3])]

    assert (0, 2) == array.cache_stats()[:2]

    array[np.array([5, 95])]

    assert (1, 3) == array.cache_stats()[:2]
    assert 3 * 10 * X[0].nbytes == array.cache_stats().nbytes
