"""Samplers over a subset: the contract, and a source that takes indices and a sampler."""

import numpy as np
import pytest

from batchup import ArrayDataSource, Loader
from batchup.sampling import BucketSampler, ClassCountSampler, LazyShuffleSampler, WeightedSampler
from batchup.sampling.mapped import MappedSampler
from batchup.testing import SamplerContract

SUBSET = [7, 2, 5, 11]


class TestCountsInASubset(SamplerContract):
    n_samples = 12
    batch_size = 2

    def make(self):
        return MappedSampler(ClassCountSampler([0, 0, 1, 1], {0: 1, 1: 1}), SUBSET)

    def one_go(self):
        return SUBSET


class TestBucketsInASubset(SamplerContract):
    n_samples = 12

    def make(self):
        return MappedSampler(BucketSampler([3, 30, 4, 40], max_tokens=60, window=1), SUBSET)

    def one_go(self):
        return SUBSET


class TestShuffledSubset(SamplerContract):
    n_samples = 12

    def make(self):
        return MappedSampler(LazyShuffleSampler(4), SUBSET)

    def one_go(self):
        return SUBSET


def source(weights, indices=SUBSET):
    return ArrayDataSource([np.arange(12)], indices=indices, sampler=WeightedSampler(weights, 20))


def test_a_source_takes_indices_and_a_sampler_over_them():
    """Weights are those of the subset; draws are those of the subset sampler."""
    found = [x.tolist() for (x,) in source([0, 1, 1, 0]).batch_iterator(6, shuffle=7)]

    assert [6, 6, 6, 2] == list(map(len, found))
    assert {2, 5} == {i for batch in found for i in batch}


def test_a_state_tells_samplers_over_subsets_apart():
    """Other weights of the same subset are another plan."""
    state = Loader(source([0, 1, 1, 0]), 6, shuffle=7).state_dict()

    Loader(source([0, 1, 1, 0]), 6, shuffle=7).load_state_dict(state)
    with pytest.raises(ValueError, match="the state has a plan"):
        Loader(source([0, 1, 2, 0]), 6, shuffle=7).load_state_dict(state)


@pytest.mark.parametrize(
    ("make", "error", "said"),
    [
        (lambda: source(np.ones(12)), ValueError, "one weight per sample: 12 weights, 4 samples"),
        (lambda: source(np.ones(4), [1, 2, 3, 12]), IndexError, "below 12"),
    ],
)
def test_what_does_not_fit_is_refused(make, error, said):
    """The sampler is over the subset, and the subset over the data."""
    with pytest.raises(error, match=said):
        make()
