"""Weights with which all classes are equally likely."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchup.sampling import WeightedSampler, WeightedSubsetSampler


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
