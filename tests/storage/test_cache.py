"""The cache of chunks: its limit, and who leaves it."""

import numpy as np

from batchup.storage import HDF5Array
from batchup.storage.cache import ChunkCache, Share

N = 100
X = np.arange(3 * N).reshape(N, 3)


def test_the_cache_holds_no_more_than_its_limit(write_h5):
    """The chunks that were used longest ago go first."""
    limit = 2 * 10 * X[0].nbytes
    array = HDF5Array(write_h5(chunks=(10, 3), compression="gzip"), "x", cache=limit)
    for first in (0, 10, 0, 20, 0, 10):
        array[np.array([first])]

    assert (2, 4, limit, limit) == array.cache_stats()


def test_what_is_closed_or_gone_leaves_nothing_in_the_shared_cache(write_h5):
    """The memory is free again."""
    array = HDF5Array(write_h5(chunks=(10, 3), compression="gzip"), "x")
    before = array.cache_stats().nbytes
    array[:]
    assert array.cache_stats().nbytes > before
    array.close()

    assert before == array.cache_stats().nbytes


def test_an_array_that_is_collected_while_the_cache_is_in_use_does_not_wait(write_h5):
    """Garbage is collected at any time, also in the thread that is at the cache; its chunks go with the next one."""
    cache = ChunkCache(100)
    share = Share(cache, lambda _: 10)
    share.chunk(0, str)
    with cache._lock:
        del share

    assert 10 == cache.weight
    cache.put((-1, 0), "another", 1)
    assert 1 == cache.weight
