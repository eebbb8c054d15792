"""Samplers over all samples or a subset: the contract, and what each promises beyond it."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchup.sampling import StandardSampler, SubsetSampler
from batchup.testing import SamplerContract, batch_sizes, lengths, rngs

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


def test_long_epochs_in_order_come_in_pieces_and_are_whole():
    """Epochs longer than one piece have every index once."""
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
