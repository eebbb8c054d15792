"""The cache of chunks: its limit, and who leaves it."""

import numpy as np
import pytest

from batchup.storage import HDF5Array
from batchup.storage.cache import ChunkCache, Rows, Share

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


@pytest.mark.parametrize("layout", ["as said", "of another type", "strided"])
def test_rows_of_chunks_that_are_there_are_gathered_at_once(layout):
    """In the order of the batch; but not those of chunks that are missing, or of another form than was said."""
    share = Share(ChunkCache(1 << 20))

    def chunk(number):
        made = np.arange(10 * number, 10 * number + 8).reshape(4, 2)
        return {"as said": made, "of another type": made.astype(float), "strided": np.repeat(made, 2, 1)[:, ::2]}[
            layout
        ]

    def form(number):
        return (4, 2), np.dtype(int)

    wanted = Rows([3, 5], np.array([1, 2]), np.array([1, 0, 2]), np.array([3, 0, 1]), 16)
    before = share.rows(wanted)
    list(share.each([3, 5], chunk, form))
    found = share.rows(wanted)

    assert before is None
    expected = [[56, 57], [30, 31], [52, 53]] if layout == "as said" else None
    assert expected == (None if found is None else found.view(int).reshape(3, 2).tolist())
    assert (2 if expected else 0, 2) == (share.hits, share.misses)
