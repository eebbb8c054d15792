"""What a loader counts of chunks, and says when a shuffle reads them again and again."""

import warnings

import numpy as np
import pytest

from batchup import ArrayDataSource, BlockSampler, CompositeDataSource, Loader, WorkerThreadPool
from batchup.storage import Concatenated, HDF5Array, Windows

h5py = pytest.importorskip("h5py")

ROWS, CHUNK = 400, 10
X = np.arange(3 * ROWS).reshape(ROWS, 3)


@pytest.fixture
def path(tmp_path):
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file.create_dataset("x", data=X, chunks=(CHUNK, 3), compression="gzip")
        file["contiguous"] = X
    return tmp_path / "x.h5"


def test_stats_count_chunks(path):
    """Those of delivered batches, that were in the cache or were read."""
    loader = Loader([HDF5Array(path, "x"), HDF5Array(path, "contiguous")], 5)
    list(loader)

    stats = loader.stats()
    assert (ROWS // CHUNK, ROWS // CHUNK) == (stats.chunk_hits, stats.chunk_misses)


def test_stats_count_chunks_of_threads(path):
    """All of them together have one cache."""
    array = HDF5Array(path, "x")
    with WorkerThreadPool(2) as pool:
        loader = Loader([array], CHUNK, pool=pool)
        list(loader)

    assert (0, ROWS // CHUNK) == (loader.stats().chunk_hits, loader.stats().chunk_misses)


def test_what_others_read_does_not_count(path):
    """Between two batches, in the same thread."""
    array = HDF5Array(path, "x")
    loader = Loader([array], CHUNK)
    for _ in loader:
        array[:]

    assert ROWS // CHUNK == loader.stats().chunk_hits + loader.stats().chunk_misses


def test_data_that_is_not_in_chunks_has_none():
    """Nothing is counted, and nothing said."""
    loader = Loader([X], 5, shuffle=7)
    list(loader)

    assert (0, 0) == (loader.stats().chunk_hits, loader.stats().chunk_misses)
    assert "chunks" not in loader.explain()


def test_a_shuffle_that_reads_chunks_again_and_again_is_told_once(path):
    """With numbers, and what to do; `explain` says so, too."""
    loader = Loader(ArrayDataSource([HDF5Array(path, "x", cache=300)]).map(lambda x: (x,)), 20, shuffle=7)
    with pytest.warns(UserWarning, match=r"in 40 chunks.* 8 batches.* have read 129 chunks, 16 per batch") as told:
        list(loader.steps(3 * 20))

    assert 1 == len(told)
    assert "BlockSampler.of(array, window=32)" in str(told[0].message)
    assert __file__ == told[0].filename
    assert str(told[0].message).partition(";")[0] in loader.explain()


@pytest.mark.parametrize("sampler", [None, BlockSampler(ROWS, CHUNK, window=4)], ids=["large cache", "blocks"])
def test_a_shuffle_that_reads_each_chunk_once_is_fine(path, sampler):
    """Nothing is said."""
    cache = 1_000_000 if sampler is None else 4 * X[:CHUNK].nbytes
    loader = Loader(ArrayDataSource([HDF5Array(path, "x", cache=cache)], sampler=sampler), 20, shuffle=7)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for _ in range(3):
            list(loader)

    assert "chunks" not in loader.explain()


def test_sources_know_in_how_many_chunks_they_lie(path):
    """Those of all their parts."""
    array, plain = HDF5Array(path, "x"), HDF5Array(path, "contiguous")
    source = ArrayDataSource([array, plain, X])

    assert 40 == source.traits.whole_chunks == source.map(lambda *x: x).traits.whole_chunks
    assert 80 == CompositeDataSource([source, source]).traits.whole_chunks
    assert 80 == ArrayDataSource([Concatenated([array, array])]).traits.whole_chunks
    assert 40 == ArrayDataSource([Windows(array, 5)]).traits.whole_chunks
    assert 0 == ArrayDataSource([plain]).traits.whole_chunks
