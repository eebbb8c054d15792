"""Batches of similar length: the contract, each sample once, a known number of batches, and little padding."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchup import ArrayDataSource, CompositeDataSource, Loader
from batchup.sampling import BucketSampler
from batchup.testing import SamplerContract, batch_sizes, rngs

LENGTHS = [3, 9, 2, 3, 8, 9, 1, 0, 4, 30]


class TestBuckets(SamplerContract):
    n_samples = 10

    def make(self):
        return BucketSampler(LENGTHS, window=1)

    def test_positions_begin_where_the_order_begins(self):
        """In order, the shortest samples come first; positions are those of the data."""
        assert [7] == next(self.in_order(1)).tolist()[:1]


class TestBudget(TestBuckets):
    def make(self):
        return BucketSampler(LENGTHS, max_tokens=32, multiple=4, window=1)


class TestNone(SamplerContract):
    n_samples = 0

    def make(self):
        return BucketSampler([])


class TestOneSize(TestBuckets):
    batch_size = 4

    def make(self):
        return BucketSampler(LENGTHS, batch_size=4)


@given(
    st.lists(st.integers(0, 40), max_size=60),
    batch_sizes(12),
    st.integers(40, 200),
    st.integers(1, 4),
    st.sampled_from([1, 8]),
    rngs(),
)
def test_batches_keep_the_budget(lengths, batch_size, max_tokens, window, multiple, fresh):
    """No padded batch has more tokens, each sample comes once, and there are as many batches in any order."""
    sampler = BucketSampler(lengths, max_tokens=max_tokens, window=window, multiple=multiple)
    shuffled = [b.tolist() for b in sampler.shuffled_indices_batch_iterator(batch_size, fresh())]
    in_order = [b.tolist() for b in sampler.in_order_indices_batch_iterator(batch_size)]

    assert list(range(len(lengths))) == sorted(i for b in shuffled for i in b) == sorted(i for b in in_order for i in b)
    assert len(in_order) == len(shuffled) == sampler.num_batches(batch_size)
    for batch in shuffled:
        padded = -(-max(max(lengths[i] for i in batch), 1) // multiple) * multiple
        assert padded * len(batch) <= max_tokens
        assert len(batch) <= batch_size


def test_little_is_wasted():
    """Buckets of lengths from 1 to 511 have some per cent of padding, plain shuffling has half."""
    sampler = BucketSampler(np.random.default_rng(0).integers(1, 512, 5000), window=4)
    waste = sampler.waste(32)

    assert waste.buckets < 0.05 < 0.45 < waste.shuffled
    assert sampler.waste(1) == (0.0, 0.0)


def test_a_larger_window_mixes_more():
    """With more batches per bucket, there are fewer buckets, and more padding."""
    lengths = np.random.default_rng(0).integers(1, 512, 5000)
    small, large = BucketSampler(lengths, window=2), BucketSampler(lengths, window=30)

    assert len(small.shapes(32)) > len(large.shapes(32))
    assert small.waste(32).buckets < large.waste(32).buckets


def test_full_batches_have_a_fixed_set_of_shapes():
    """With `last="pad"` and padding to the length of the bucket, a batch has one of the shapes."""
    data = [np.ones(n) for n in LENGTHS]
    sampler = BucketSampler(LENGTHS, max_tokens=32, multiple=4, window=2)
    loader = Loader(ArrayDataSource([data], sampler=sampler), 6, shuffle=7, last="pad")
    rows = {len(x) for x, valid in loader}

    assert rows <= {n for n, _ in sampler.shapes(6)}
    assert sampler.num_batches(6) == len(loader)
    assert all(n * length <= 32 for n, length in sampler.shapes(6))


@pytest.mark.parametrize("last", ["keep", "drop", "pad", "wrap"])
@pytest.mark.parametrize("shard", [None, (0, 3), (2, 3)])
def test_a_loader_over_buckets_knows_its_length_and_resumes(last, shard):
    """Whatever becomes of short batches, `len` is right, and a state goes on at the next batch."""
    ds = ArrayDataSource([np.array(LENGTHS * 3)], sampler=BucketSampler(LENGTHS * 3, max_tokens=32, window=1))
    every = [repr(batch) for batch in Loader(ds, 4, shuffle=7, last=last, shard=shard)]
    loader, again = (Loader(ds, 4, shuffle=7, last=last, shard=shard, pool=2) for _ in range(2))
    with loader, again:
        batches = iter(loader)
        next(batches)
        again.load_state_dict(loader.state_dict())

        assert len(every) == len(loader)
        assert every[1:] == [repr(batch) for batch in again]


def test_ranks_have_each_sample_once():
    """The valid samples of all ranks are all samples, in the same number of steps."""
    ds = ArrayDataSource([np.arange(30)], sampler=BucketSampler(LENGTHS * 3, max_tokens=32, window=1))
    ranks = [list(Loader(ds, 4, shuffle=7, last="pad", shard=(rank, 2), remainder="pad")) for rank in range(2)]

    assert list(range(30)) == sorted(i for batches in ranks for x, valid in batches for i in x[valid].tolist())
    assert len(ranks[0]) == len(ranks[1])


def test_samples_that_are_too_long():
    """They raise an error that names the first, make batches of their own, or are left out."""
    with pytest.raises(ValueError, match="at most max_tokens=16, but sample 9 is padded to 30"):
        BucketSampler(LENGTHS, max_tokens=16)
    alone, skip = (BucketSampler(LENGTHS, max_tokens=16, longer=longer) for longer in ("alone", "skip"))

    assert [9] in [b.tolist() for b in alone.in_order_indices_batch_iterator(8)]
    assert (10, 9) == (alone.num_indices_generated(), skip.num_indices_generated())


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: BucketSampler([3, -1]), "that of sample 1 is -1"),
        (lambda: BucketSampler([3, np.nan]), "that of sample 1 is nan"),
        (lambda: BucketSampler([0.5]), "that of sample 0 is 0.5"),
        (lambda: BucketSampler([[3]]), "1-D array of integers"),
        (lambda: BucketSampler(["a"]), "1-D array of integers"),
        (lambda: BucketSampler([3], longer="cut"), "'error', 'alone' or 'skip', not 'cut'"),
        (lambda: BucketSampler([3], batch_size=4).num_batches(5), "batch_size should be 4, as the sampler says, not 5"),
        (lambda: ArrayDataSource([range(3)], sampler=BucketSampler([3])), "1 lengths, 3 samples"),
    ],
)
def test_what_cannot_be_is_refused(make, said):
    """Errors name the sample."""
    with pytest.raises(ValueError, match=said):
        make()


def test_repr_has_the_options():
    """Lengths are counted, not printed."""
    assert "BucketSampler(<2 lengths>, max_tokens=9, window=8, multiple=4)" == repr(
        BucketSampler([1, 2], max_tokens=9, multiple=4)
    )


@pytest.mark.parametrize("trim", [True, False])
def test_side_by_side_with_other_sources(trim):
    """A batch has as many samples as its bucket says; with `trim`, of both sources. One that is full is not short."""
    lengths = np.array(LENGTHS * 3)
    buckets = ArrayDataSource([np.arange(30)], sampler=BucketSampler(lengths, max_tokens=32, window=1))
    ds = CompositeDataSource([buckets, ArrayDataSource([np.arange(100, 200)])], trim=trim)
    shapes = {rows for rows, _ in buckets.sampler.shapes(8)}
    alone = [x.tolist() for (x,) in Loader(buckets, 8, shuffle=7)]
    kept, dropped, padded = (list(Loader(ds, 8, shuffle=7, last=last)) for last in ("keep", "drop", "pad"))
    full = [x for x in alone if len(x) == buckets.sampler.full_size(np.array(x), 8)]

    assert alone == [x.tolist() for x, _ in kept]
    assert [len(x) if trim else 8 for x in alone] == [len(y) for _, y in kept]
    assert full == [x.tolist() for x, _ in dropped]
    assert {len(x) for x, *_ in padded} <= shapes
    assert alone == [x[valid if trim else valid[0]].tolist() for x, _, valid in padded]
