"""Block shuffles: the contract, windows of whole blocks, a start at any step, and how random they are."""

from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchup import ArrayDataSource, Loader
from batchup.sampling import BlockSampler
from batchup.testing import SamplerContract, batch_sizes, lengths, rngs


class TestBlocks(SamplerContract):
    n_samples = 11

    def make(self):
        return BlockSampler(11, block=3, window=2)


class TestNone(SamplerContract):
    n_samples = 0

    def make(self):
        return BlockSampler(0, block=3, window=2)


class TestTwice(SamplerContract):
    n_samples = 7

    def make(self):
        return BlockSampler(7, block=10, window=1, repeats=2)

    def one_go(self):
        return list(range(7)) * 2


@given(st.data(), lengths(), batch_sizes(), st.integers(1, 9), st.integers(1, 5), st.integers(1, 3), rngs())
def test_batches_from_a_step_are_the_rest_of_all_batches(data, n, batch_size, block, window, repeats, fresh):
    """Starting at a step gives what comes after so many batches, wherever the short block is."""
    sampler = BlockSampler(n, block, window, repeats)
    every = list(sampler.batches_from(0, batch_size, fresh()))
    step = data.draw(st.integers(0, len(every) + 1))

    assert [b.tolist() for b in every[step:]] == [b.tolist() for b in sampler.batches_from(step, batch_size, fresh())]
    assert sorted([*range(n)] * repeats) == sorted(i for batch in every for i in batch.tolist())


@given(st.integers(1, 60), st.integers(1, 9), st.integers(1, 5), rngs())
def test_each_window_has_whole_blocks(n, block, window, fresh):
    """The samples of a window are those of so many blocks, none of which comes again."""
    (order,) = BlockSampler(n, block, window).shuffled_indices_batch_iterator(n, fresh())
    blocks, seen = (order // block).tolist(), set()
    while blocks:
        these = list(dict.fromkeys(blocks))[:window]
        size = sum(min(block, n - block * b) for b in these)
        assert set(blocks[:size]) == set(these)
        assert not seen & set(these)
        seen |= set(these)
        blocks = blocks[size:]


def test_it_is_as_random_as_it_says():
    """The share of neighbours of one block is `same_block`."""
    sampler = BlockSampler(200_000, block=16, window=8)
    order = next(sampler.shuffled_indices_batch_iterator(200_000, np.random.default_rng(0)))
    blocks = order // 16

    assert sampler.same_block == pytest.approx(15 / 127)
    assert sampler.same_block == pytest.approx((blocks[1:] == blocks[:-1]).mean(), abs=0.005)


def test_a_large_window_is_a_full_shuffle():
    """The window is at most all blocks; then samples of one block are as rare as in any shuffle."""
    sampler = BlockSampler(1000, block=10, window=10**6)

    assert (100, 9 / 999) == (sampler.window, sampler.same_block)
    assert "0.9% of neighbours are of one block, 0.9% in a full shuffle" in repr(sampler)


@pytest.mark.parametrize("chunks", [(64, 28), ((64, 64, 36), (28,))], ids=["h5py", "dask"])
def test_blocks_are_the_chunks_of_an_array(chunks):
    """`of` takes the length and the chunks of the first axis."""
    sampler = BlockSampler.of(SimpleNamespace(shape=(200, 28), chunks=chunks), window=2)

    assert (200, 64, 2) == (sampler.length, sampler.block, sampler.window)


@pytest.mark.parametrize(
    "array", [np.zeros(3), SimpleNamespace(shape=(3,), chunks=None)], ids=["ndarray", "contiguous"]
)
def test_an_array_without_chunks_is_refused(array):
    """It says what to do instead."""
    with pytest.raises(TypeError, match=r"has none; shuffle it as a whole, or say how long the blocks should be"):
        BlockSampler.of(array)


def test_a_run_over_blocks_is_shared_out_and_resumed():
    """Ranks have all samples together, and each goes on at its next batch."""
    ds = ArrayDataSource([np.arange(40)], sampler=BlockSampler(40, block=4, window=3))
    ranks = [Loader(ds, 5, shuffle=7, shard=(rank, 2)) for rank in range(2)]
    batches = [[x.tolist() for (x,) in loader] for loader in ranks]
    again = Loader(ds, 5, shuffle=7, shard=(1, 2))
    again.load_state_dict({**ranks[1].state_dict(), "epoch": 0, "step": 2})

    assert list(range(40)) == sorted(i for rank in batches for batch in rank for i in batch)
    assert batches[1][2:] == [x.tolist() for (x,) in again]
