"""What all samplers have in common."""

import itertools
import pickle

from hypothesis import given

from batchup.sampling import StandardSampler, SubsetSampler, WeightedSampler, WeightedSubsetSampler, num_batches
from batchup.testing import batch_sizes, lengths, rngs, samplers

SUBSET = [7, 2, 5, 11]


@given(lengths(), batch_sizes())
def test_num_batches_is_how_many_come(n, batch_size):
    """It is the number of batches that the sampler gives."""
    assert num_batches(n, batch_size) == len(list(StandardSampler(n).in_order_indices_batch_iterator(batch_size)))


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


@given(samplers(9), batch_sizes(12), rngs())
def test_any_sampler_pickles(sampler, batch_size, fresh):
    """A sampler draws the same indices after pickling."""
    batches = sampler.shuffled_indices_batch_iterator(batch_size, fresh())
    again = pickle.loads(pickle.dumps(sampler)).shuffled_indices_batch_iterator(batch_size, fresh())

    assert [b.tolist() for b in itertools.islice(batches, 5)] == [b.tolist() for b in itertools.islice(again, 5)]
