"""Whatever decides which samples come: `len` is right, ranks share the epoch, and a run resumes at every step."""

import collections

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batchup import (
    ArrayDataSource,
    BlockSampler,
    BucketSampler,
    ClassCountSampler,
    CompositeDataSource,
    ConcatDataSource,
    LazyShuffleSampler,
    Loader,
    WeightedSampler,
    WeightedSubsetSampler,
)
from batchup.testing import plain

pytestmark = pytest.mark.timeout(240)
N = 24
LABELS = np.arange(N) % 3
SHARDS = [None, (0, 2), (1, 2), (2, 3)]


def over(sampler, **kwargs):
    return ArrayDataSource([np.arange(N)], sampler=sampler, **kwargs)


def data(start=0, n=N):
    return [np.arange(start, start + n)]


def with_noise(x, rng):
    return x, rng.random(len(x))


weights = st.lists(st.floats(0.01, 1), min_size=N, max_size=N)
ends = st.sampled_from(["longest", "shortest"]) | st.integers(1, 9)
stops = st.sampled_from(["first", "all"]) | st.integers(1, 40)


def of_weights(values):
    n = st.integers(1, N)
    once = st.builds(WeightedSampler, st.just(values), n, st.booleans())
    return once | st.builds(WeightedSubsetSampler, st.just(values), st.just(np.arange(N)[::-1]), n, st.booleans())


# Samplers with the batch size that they take.
counted = st.one_of(
    st.tuples(st.builds(lambda e: ClassCountSampler(LABELS, {0: 3, 2: 1}, epoch=e), ends), st.just(4)),
    st.tuples(st.builds(lambda e: ClassCountSampler(LABELS, {0: 0.75, 2: 0.25}, epoch=e), ends), st.integers(4, 8)),
    st.tuples(
        st.builds(lambda e: ClassCountSampler(LABELS, classes_per_batch=2, samples_per_class=2, epoch=e), ends),
        st.just(4),
    ),
)
lengths = st.lists(st.integers(0, 30), min_size=N, max_size=N)
bucketed = st.builds(
    lambda values, tokens, window: BucketSampler(values, max_tokens=tokens, window=window, longer="alone"),
    lengths,
    st.none() | st.integers(20, 90),
    st.integers(1, 4),
)
of_any_size = st.one_of(
    weights.flatmap(of_weights),
    bucketed,
    st.builds(BlockSampler, st.just(N), st.integers(1, 7), st.integers(1, 4)),
    st.just(LazyShuffleSampler(N)),
)
with_samplers = (counted | st.tuples(of_any_size, st.integers(1, 9))).map(lambda made: (over(made[0]), made[1]))
mixed = st.builds(
    lambda w, stop: ConcatDataSource([data(0, 7), data(100, 11)], weights=[w, 1 - w], stop=stop),
    st.floats(0.05, 0.95),
    stops,
)
others = st.one_of(
    mixed,
    st.builds(lambda b: ArrayDataSource(data(0, 40), indices=np.arange(N) + 9, sampler=b), bucketed),
    st.integers(0, 9).map(
        lambda seed: over(None).split({"a": 0.6, "b": 0.4}, stratify=LABELS, groups=np.arange(N) // 2, seed=seed)["a"]
    ),
    mixed.map(lambda ds: CompositeDataSource([ds, over(None)])),
    st.just(ConcatDataSource([data(0, 5), data(50, 9)])),
)
cases = with_samplers | st.tuples(others, st.integers(1, 9))


def indices(batches):
    return [int(i) for x, *_ in batches for i in x]


@given(cases, st.sampled_from(["keep", "drop", "pad", "wrap"]), st.sampled_from(SHARDS), st.integers(0, 99))
@settings(max_examples=100)
def test_len_is_the_number_of_batches(case, last, shard, seed):
    """In each of two epochs, whatever becomes of short batches, on any rank."""
    ds, batch_size = case
    for remainder in ("drop", "pad", "uneven"):
        loader = Loader(ds, batch_size, shuffle=seed, last=last, shard=shard, remainder=remainder)
        found = [sum(1 for _ in loader) for _ in range(2)]
        said = [len(loader)] * 2 if last != "drop" or not isinstance(ds, CompositeDataSource) else found

        assert said == found


@given(cases, st.integers(1, 4), st.integers(0, 99))
@settings(max_examples=80)
def test_ranks_together_have_the_epoch(case, world, seed):
    """Each batch once where ranks may differ in their steps. Padded, in the same number of steps, each sample as often
    as in the epoch."""
    ds, batch_size = case
    whole = [x.tolist() for x, *_ in Loader(ds, batch_size, shuffle=seed)]
    uneven, padded = (
        [list(Loader(ds, batch_size, shuffle=seed, shard=(rank, world), **options)) for rank in range(world)]
        for options in ({"remainder": "uneven"}, {"remainder": "pad", "last": "pad"})
    )
    valid = [int(i) for batches in padded for x, *_, mask in batches for i in x[mask]]

    assert whole == [uneven[i % world][i // world][0].tolist() for i in range(len(whole))]
    assert 1 == len({len(batches) for batches in padded})
    assert collections.Counter(i for batch in whole for i in batch) == collections.Counter(valid)


@given(cases, st.sampled_from(SHARDS), st.sampled_from(["keep", "drop", "pad", "wrap"]), st.integers(0, 99))
@settings(max_examples=settings.default.max_examples // 4)  # each goes through an epoch at every step
def test_a_run_resumes_at_every_step_on_every_pool(pool, case, shard, last, seed):
    """With the batches of an uninterrupted run without a pool; random transforms included."""
    ds, batch_size = case
    if not isinstance(ds, CompositeDataSource):
        ds = ds.random_map(with_noise)
    loader, again = (
        Loader(ds, batch_size, shuffle=seed, shard=shard, last=last, pool=each, remainder="pad")
        for each in (None, pool)
    )
    next(iter(loader), None)
    state = {**loader.state_dict(), "epoch": 1}
    every = [plain(loader.batch(1, step)) for step in range(len(list(loader)))]

    for step in range(len(every) + 1):
        again.load_state_dict({**state, "step": step})
        assert every[step:] == [plain(batch) for batch in again]
