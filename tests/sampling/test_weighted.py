"""Weighted samplers: the contract, and draws that equal those of NumPy's `choice` bit for bit."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchup.sampling import WeightedSampler, WeightedSubsetSampler
from batchup.sampling.draws import rising
from batchup.testing import SamplerContract, batch_sizes, rngs

GENERATORS = [np.random.RandomState, np.random.default_rng]
SUBSET = [7, 2, 5, 11]


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


SHAPES = [ordinary, skewed, mostly_zero, one_giant, zeros_at_both_ends, equal]
DRAWN = [
    *((n, shape, np.float64) for n in (3000, 1 << 16, (1 << 16) + 1, 200_000) for shape in SHAPES),
    *((n, shape, np.float32) for n in (3000, (1 << 16) + 1) for shape in SHAPES),
    *((3000, shape, dtype) for dtype in (np.int32, np.int64) for shape in SHAPES),
]


@pytest.mark.parametrize("new_rng", GENERATORS)
@pytest.mark.parametrize(("n", "shape", "dtype"), DRAWN)
def test_weighted_draws_are_those_of_choice(n, shape, dtype, new_rng):
    """The indices are `rng.choice(n, size, p=weights / weights.sum())`, and as many numbers are drawn."""
    weights = shape(n, np.random.RandomState(n))
    if np.issubdtype(dtype, np.integer):
        weights = weights * 10_000 + (weights > 0)
    with np.errstate(under="ignore"):  # of float32, the smallest are 0
        weights = weights.astype(dtype)
        p = weights / weights.sum()
    rng, model = new_rng(12345), new_rng(12345)
    batches = WeightedSampler(weights).shuffled_indices_batch_iterator(20_000, rng)

    for _ in range(2):
        assert np.array_equal(model.choice(n, size=(20_000,), p=p), next(batches))
    assert model.random() == rng.random()


@pytest.mark.parametrize("new_rng", GENERATORS)
def test_weighted_draws_of_a_subset_are_those_of_choice(new_rng):
    """The draws are those of `choice`, mapped to the indices of the subset."""
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
    """This holds for any weights."""
    array = np.array(weights)
    expected = fresh().choice(len(array), size=(batch_size,), p=array / array.sum())

    assert (
        expected.tolist()
        == next(WeightedSampler(weights).shuffled_indices_batch_iterator(batch_size, fresh())).tolist()
    )


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
    """If only the sum of the weights is out of range, samples are still drawn in proportion."""
    sampler = WeightedSampler(np.array([large, 0, large], type(large)))
    batch = next(sampler.shuffled_indices_batch_iterator(50, np.random.RandomState(0)))

    assert [0.5, 0.0, 0.5] == sampler.weights.tolist()

    assert {0, 2} == set(batch.tolist())


def test_booleans_are_weights():
    """A mask draws equally from where it is True."""
    mask = np.array([False, True, False, True])
    batch = next(WeightedSampler(mask).shuffled_indices_batch_iterator(50, np.random.RandomState(0)))

    assert {1, 3} == set(batch.tolist())


class TestWeightedEpoch(SamplerContract):
    n_samples = 6

    def make(self):
        return WeightedSampler([0.0, 1.0, 2.0, 3.0, 0.0, 4.0], num_samples=20)

    def one_go(self):
        return None


class TestWeightedOrder(SamplerContract):
    n_samples = 6

    def make(self):
        return WeightedSampler([0.0, 1.0, 2.0, 3.0, 0.0, 4.0], replace=False)

    def one_go(self):
        return [1, 2, 3, 5]


class TestWeightedOrderOfASubset(SamplerContract):
    n_samples = 12

    def make(self):
        return WeightedSubsetSampler([1.0, 2.0, 0.0, 3.0], SUBSET, replace=False)

    def one_go(self):
        return [7, 2, 11]


@given(rngs(), batch_sizes(), st.integers(1, 60))
def test_an_epoch_that_ends_begins_like_one_that_does_not(fresh, batch_size, n):
    """`num_samples` cuts the infinite sequence of draws, and draws no more numbers than needed."""
    weights, rng, model = [1.0, 0.0, 5.0, 2.0], fresh(), fresh()
    batches = WeightedSampler(weights, n).shuffled_indices_batch_iterator(batch_size, rng)
    p = np.array(weights) / np.sum(weights)

    assert model.choice(4, size=n, p=p).tolist() == [int(i) for batch in batches for i in batch]
    assert model.random() == rng.random()


@pytest.mark.parametrize(
    ("scale", "num_samples", "new_rng"),
    [
        (1.0, None, np.random.RandomState),
        (1.0, 2, np.random.default_rng),
        (1e-300, None, np.random.default_rng),
        (1e-300, 2, np.random.RandomState),
    ],
    ids=["plain-all", "plain-two", "tiny-all", "tiny-two"],
)
def test_draws_without_replacement_follow_their_definition(new_rng, num_samples, scale):
    """Each order is as likely as drawing one sample after the other, in proportion to the weights that are left."""
    weights = np.array([1.0, 2.0, 4.0, 0.0])
    if scale < 1:
        weights = np.append(weights * scale, 1.0)  # the heavy one comes first
    sampler = WeightedSampler(weights, num_samples if scale == 1 else num_samples and 3, replace=False)
    rng, counts = new_rng(5), {}
    for _ in range(3500):
        order = [i for i in next(sampler.shuffled_indices_batch_iterator(9, rng)).tolist() if i != 4]
        counts[tuple(order[:2])] = counts.get(tuple(order[:2]), 0) + 1
    w = [1, 2, 4]
    expected = {(a, b): 3500 * w[a] / 7 * w[b] / (7 - w[a]) for a in range(3) for b in range(3) if a != b}

    assert set(expected) == set(counts)
    assert sum((counts[k] - n) ** 2 / n for k, n in expected.items()) < 25  # 5 degrees of freedom: 1e-4


@pytest.mark.parametrize("new_rng", GENERATORS)
def test_a_few_of_many_are_the_first_of_all(new_rng):
    """Drawing some of the samples gives the beginning of the order of all."""
    weights = np.random.RandomState(0).random(1000) ** 9
    few, every = (
        next(WeightedSampler(weights, n, replace=False).shuffled_indices_batch_iterator(1000, new_rng(3)))
        for n in (30, 1000)
    )

    assert every[:30].tolist() == few.tolist()


@given(
    st.lists(st.sampled_from([0.0, 5e-324, 1.0, np.nextafter(1.0, 2), np.nextafter(1.0, 0), 7.0, 1e300]), max_size=60)
)
def test_rising_is_argsort(values):
    """Positions are in rising order of their numbers, also of those that differ in the last bit only."""
    keys = np.array(values, float)

    assert keys[np.argsort(keys, kind="stable")].tolist() == keys[rising(keys)].tolist()
    assert list(range(len(keys))) == sorted(rising(keys).tolist())


def test_more_than_there_are_is_refused():
    """Without replacement, there cannot be more draws than weights that are not 0."""
    with pytest.raises(ValueError, match="num_samples should be at most 2, the number of weights that are not 0"):
        WeightedSampler([0, 1, 1], num_samples=3, replace=False)
    with pytest.raises(ValueError, match="num_samples should be an integer of at least 1, not 0"):
        WeightedSubsetSampler([1, 1], [4, 5], num_samples=0)


def test_repr_says_how_an_epoch_ends():
    """The options are in `repr` where they are given."""
    assert "WeightedSampler(<2 weights>, num_samples=5)" == repr(WeightedSampler([1, 2], 5))
    assert "WeightedSubsetSampler(<2 weights and indices>, num_samples=2, replace=False)" == repr(
        WeightedSubsetSampler([1, 2], [3, 4], replace=False)
    )


@pytest.mark.parametrize(
    "weights",
    [
        [1e-300, 1e300, 1e300],
        [5e-324, 1.0, 0.0],
        [1e308, 1e308, 1e308],
        np.array([1e-38, 3e38, 3e38], np.float32),
        np.array([2**63 - 1] * 2),
    ],
    ids=str,
)
@pytest.mark.parametrize("replace", [True, False])
def test_weights_of_any_size_raise_no_floating_point_error(weights, replace):
    """Where the program has NumPy raise for overflows and the like: a tiny probability is none of its own."""
    with np.errstate(all="raise"):
        batches = WeightedSampler(weights, replace=replace).shuffled_indices_batch_iterator(2, np.random.default_rng(7))

        assert 2 == len(next(batches))


def test_a_balanced_epoch_that_ends():
    """With `num_samples`, an epoch of a class-balancing sampler ends after so many samples."""
    y = np.array([0, 0, 0, 1])

    assert 8 == WeightedSampler.class_balancing_sampler(y, num_samples=8).num_indices_generated()
    assert 6 == WeightedSubsetSampler.class_balancing_sampler(y, [1, 3], num_samples=6).num_indices_generated()
