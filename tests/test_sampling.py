"""Samplers: the contract over all of them, and what each promises beyond it."""

import itertools
import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchup.sampling import (
    Inverse,
    StandardSampler,
    SubsetSampler,
    WeightedSampler,
    WeightedSubsetSampler,
    num_batches,
)
from batchup.testing import SamplerContract, batch_sizes, lengths, rngs, samplers

GENERATORS = [np.random.RandomState, np.random.default_rng]
SUBSET = [7, 2, 5, 11]


class TestAll(SamplerContract):
    n_samples = 10

    def make(self):
        return StandardSampler(10)


class TestNone(SamplerContract):
    n_samples = 0

    def make(self):
        return StandardSampler(0)


class TestAllTwice(SamplerContract):
    n_samples = 5

    def make(self):
        return StandardSampler(5, repeats=2)

    def one_go(self):
        return list(range(5)) * 2


class TestSubset(SamplerContract):
    n_samples = 12

    def make(self):
        return SubsetSampler(SUBSET)

    def one_go(self):
        return SUBSET


class TestSubsetThreeTimes(SamplerContract):
    n_samples = 12

    def make(self):
        return SubsetSampler([*SUBSET, 7], repeats=3)

    def one_go(self):
        return [*SUBSET, 7] * 3


class TestWeighted(SamplerContract):
    n_samples = 6

    def make(self):
        return WeightedSampler([0.0, 1.0, 2.0, 3.0, 0.0, 4.0])

    def one_go(self):
        return None


class TestWeightedSubset(SamplerContract):
    n_samples = 12

    def make(self):
        return WeightedSubsetSampler([1.0, 2.0, 0.0, 3.0], SUBSET)

    def one_go(self):
        return None


@pytest.mark.parametrize("make", [lambda: StandardSampler(4, repeats=-1), lambda: SubsetSampler(SUBSET, repeats=-1)])
def test_a_sampler_without_end_goes_on(make):
    """`repeats=-1` gives full batches for ever, in order and shuffled."""
    for batches in (
        make().in_order_indices_batch_iterator(3),
        make().shuffled_indices_batch_iterator(3, np.random.RandomState(0)),
    ):
        assert [3] * 1000 == [len(batch) for batch in itertools.islice(batches, 1000)]
    assert np.inf == make().num_indices_generated()


@given(st.data(), lengths(), batch_sizes(), rngs())
def test_a_sampler_draws_as_many_permutations_as_it_has_repeats(data, n, batch_size, fresh):
    """An epoch of `repeats=3` draws three permutations and no fourth."""
    repeats = data.draw(st.integers(1, 4))
    rng, model = fresh(), fresh()
    for _ in StandardSampler(n, repeats).shuffled_indices_batch_iterator(batch_size, rng):
        pass
    for _ in range(repeats):
        model.permutation(n)

    assert model.random() == rng.random()


@given(lengths(), batch_sizes())
def test_num_batches_is_how_many_come(n, batch_size):
    """As many as the sampler gives."""
    assert num_batches(n, batch_size) == len(list(StandardSampler(n).in_order_indices_batch_iterator(batch_size)))


def test_long_epochs_in_order_come_in_pieces_and_are_whole():
    """Also past the size of a piece, nothing is missing or twice."""
    batches = StandardSampler(200_003).in_order_indices_batch_iterator(64)

    assert np.array_equal(np.arange(200_003), np.concatenate(list(batches)))


def test_a_subset_is_a_copy():
    """Writing to the user's array afterwards changes nothing, and writing to a batch does not change the user's."""
    indices = np.array([3, 1, 2])
    sampler = SubsetSampler(indices)
    indices[:] = 0
    batch = next(sampler.in_order_indices_batch_iterator(3))
    before = batch.tolist()
    batch[:] = 9

    assert ([3, 1, 2], [0, 0, 0], [3, 1, 2]) == (before, indices.tolist(), sampler.indices.tolist())


def test_a_sampler_says_what_it_is():
    """`repr` tells them apart, without printing all indices."""
    assert [
        "StandardSampler(5, repeats=2)",
        "SubsetSampler(<4 indices>, repeats=-1)",
        "WeightedSampler(<2 weights>)",
        "WeightedSubsetSampler(<2 weights and indices>)",
    ] == [
        repr(sampler)
        for sampler in [
            StandardSampler(5, 2),
            SubsetSampler(SUBSET, -1),
            WeightedSampler([1, 2]),
            WeightedSubsetSampler([1, 2], [3, 4]),
        ]
    ]


# Weighted draws are NumPy's, bit for bit.


def ordinary(n, rng):
    return rng.random(n)


def skewed(n, rng):
    return rng.random(n) ** 30


def mostly_zero(n, rng):
    return np.where(rng.random(n) < 0.999, 0, rng.random(n))


def one_giant(n, rng):
    weights = np.full(n, 1e-6)
    weights[n // 3] = 1.0
    return weights


def zeros_at_both_ends(n, rng):
    weights = rng.random(n)
    weights[: n // 3] = weights[-n // 3 :] = 0
    return weights


def equal(n, rng):
    return np.ones(n)


@pytest.mark.parametrize("new_rng", GENERATORS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int32, np.int64])
@pytest.mark.parametrize("shape", [ordinary, skewed, mostly_zero, one_giant, zeros_at_both_ends, equal])
@pytest.mark.parametrize("n", [3000, 1 << 16, (1 << 16) + 1, 200_000])
def test_weighted_draws_are_those_of_choice(n, shape, dtype, new_rng):
    """The indices are `rng.choice(n, size, p=weights / weights.sum())`, and as many numbers are drawn."""
    weights = shape(n, np.random.RandomState(n))
    if np.issubdtype(dtype, np.integer):
        weights = weights * 10_000 + (weights > 0)
    weights = weights.astype(dtype)
    rng, model = new_rng(12345), new_rng(12345)
    batches = WeightedSampler(weights).shuffled_indices_batch_iterator(20_000, rng)

    for _ in range(2):
        assert np.array_equal(model.choice(n, size=(20_000,), p=weights / weights.sum()), next(batches))
    assert model.random() == rng.random()


@pytest.mark.parametrize("new_rng", GENERATORS)
def test_weighted_draws_of_a_subset_are_those_of_choice(new_rng):
    """As without a subset, but of its indices."""
    indices = np.random.RandomState(1).permutation(300_000)[:100_000]
    weights = np.random.RandomState(2).random(100_000) ** 5
    batches = WeightedSubsetSampler(weights, indices).shuffled_indices_batch_iterator(5000, new_rng(3))

    expected = indices[new_rng(3).choice(100_000, size=(5000,), p=weights / weights.sum())]
    assert np.array_equal(expected, next(batches))


@given(
    st.lists(st.one_of(st.just(0.0), st.floats(1e-9, 1e9)), min_size=1, max_size=60).filter(any),
    batch_sizes(),
    rngs(),
)
def test_any_weighted_draws_are_those_of_choice(weights, batch_size, fresh):
    """For any weights, as NumPy's own."""
    array = np.array(weights)
    expected = fresh().choice(len(array), size=(batch_size,), p=array / array.sum())

    assert (
        expected.tolist()
        == next(WeightedSampler(weights).shuffled_indices_batch_iterator(batch_size, fresh())).tolist()
    )


@given(st.lists(st.sampled_from([0.0, 1e-12, 1.0, 7.0, 1e6]), min_size=2, max_size=300).filter(any), st.integers(0, 99))
def test_the_table_finds_what_a_search_finds(weights, seed):
    """With a table in front, however few or uneven the weights, the index is the same, also on the very edges."""
    p = np.array(weights) / np.sum(weights)
    plain, table = Inverse(p), _with_table(p)
    uniform = np.concatenate([np.random.RandomState(seed).random(200), plain.cumulated[plain.cumulated < 1], [0.0]])
    uniform = np.concatenate([uniform, np.nextafter(uniform, 0), np.nextafter(uniform, 1)])
    uniform = uniform[uniform < 1]

    assert plain(uniform).tolist() == table(uniform).tolist()


def _with_table(p):
    class Always(Inverse):
        few = 1
        wide = 3

    return Always(p)


def test_weights_of_zero_are_never_drawn():
    """Not even by the smallest and largest number that a generator can give."""

    class Extreme:
        def random(self, size):
            return np.where(np.arange(size) % 2, np.nextafter(1.0, 0), 0.0)

    for n in (8, 100_000):
        weights = zeros_at_both_ends(n, np.random.RandomState(0))
        batch = next(WeightedSampler(weights).shuffled_indices_batch_iterator(10, Extreme()))
        assert (weights[batch] > 0).all()


@pytest.mark.parametrize("large", [1.5e308, 2**62, np.uint64(2**63)], ids=["float", "int", "unsigned"])
def test_weights_whose_sum_overflows(large):
    """Each weight is in range, the sum is not: drawn by their proportions all the same."""
    sampler = WeightedSampler(np.array([large, 0, large], type(large)))
    batch = next(sampler.shuffled_indices_batch_iterator(50, np.random.RandomState(0)))

    assert [0.5, 0.0, 0.5] == sampler.weights.tolist()

    assert {0, 2} == set(batch.tolist())


def test_booleans_are_weights():
    """A mask draws equally from where it is True."""
    mask = np.array([False, True, False, True])
    batch = next(WeightedSampler(mask).shuffled_indices_batch_iterator(50, np.random.RandomState(0)))

    assert {1, 3} == set(batch.tolist())


@given(st.lists(st.integers(0, 5), min_size=1, max_size=50))
def test_balanced_classes_weigh_the_same(labels):
    """The weights of each class that occurs sum to one by the number of such classes."""
    y = np.array(labels)
    weights = WeightedSampler.class_balancing_sample_weights(y, n_classes=6)
    occurring = np.unique(y)

    assert [1 / len(occurring)] * len(occurring) == pytest.approx([weights[y == c].sum() for c in occurring])


def test_balancing_a_subset_goes_by_the_classes_in_it():
    """Weights are those of the subset's labels, over the subset's indices."""
    sampler = WeightedSubsetSampler.class_balancing_sampler([0, 0, 0, 1, 1], [0, 3, 4], n_classes=2)

    assert ([0, 3, 4], [0.5, 0.25, 0.25]) == (sampler.indices.tolist(), sampler.sub_weights.tolist())
    assert sampler.sub_weights.tolist() == WeightedSubsetSampler.class_balancing_sample_weights([0, 1, 1], 2).tolist()


@given(samplers(9), batch_sizes(12), rngs())
def test_any_sampler_pickles(sampler, batch_size, fresh):
    """What was pickled draws the same."""
    batches = sampler.shuffled_indices_batch_iterator(batch_size, fresh())
    again = pickle.loads(pickle.dumps(sampler)).shuffled_indices_batch_iterator(batch_size, fresh())

    assert [b.tolist() for b in itertools.islice(batches, 5)] == [b.tolist() for b in itertools.islice(again, 5)]
