"""Weighted draws: how many, of what, and how often."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from batchup.sampling.draws import WeightedDraws, rising, without_replacement

WEIGHTS = np.array([1.0, 2.0, 3.0, 4.0])


@pytest.mark.parametrize("replace", [True, False])
@pytest.mark.parametrize("n", [1, 3, 4])
def test_a_number_of_draws(n, replace):
    """As many as asked for, in batches; the last one is short."""
    draws = WeightedDraws(WEIGHTS / WEIGHTS.sum(), n, replace)
    batches = [batch.tolist() for batch in draws.batches(3, np.random.default_rng(0))]

    assert [min(3, n - first) for first in range(0, n, 3)] == [len(batch) for batch in batches]
    assert replace or n == len(set(itertools.chain(*batches)))


def test_draws_for_ever_are_those_of_choice():
    """One batch after the other draws what `choice` draws."""
    draws = WeightedDraws(WEIGHTS / 10, None, True).batches(50, np.random.RandomState(3))
    rng = np.random.RandomState(3)

    for batch in itertools.islice(draws, 4):
        assert rng.choice(4, 50, p=WEIGHTS / 10).tolist() == batch.tolist()


def test_a_weight_of_zero_is_never_drawn():
    """With and without replacement."""
    weights = np.array([0.0, 1.0, 0.0, 1.0])
    once = [sorted(without_replacement(weights, 2, np.random.default_rng(seed)).tolist()) for seed in range(50)]
    often = next(WeightedDraws(weights / 2, 1000, True).batches(1000, np.random.default_rng(0)))

    assert [[1, 3]] * 50 == once
    assert {1, 3} == set(often.tolist())


@pytest.mark.parametrize("n", [2, 4])
def test_draws_without_replacement_follow_the_definition(n):
    """χ² over all orders: each is drawn in proportion to the weights of those that are left (99.99 % bound)."""
    rng = np.random.default_rng(5)
    found = [tuple(without_replacement(WEIGHTS, n, rng).tolist()) for _ in range(8_000)]
    orders = list(itertools.permutations(range(4), n))

    def probability(order):
        left = 1.0
        for k in range(n):
            left *= WEIGHTS[order[k]] / (WEIGHTS.sum() - WEIGHTS[list(order[:k])].sum())
        return left

    expected = np.array([probability(order) for order in orders]) * len(found)
    counts = np.array([found.count(order) for order in orders])
    chi2, free = ((counts - expected) ** 2 / expected).sum(), len(orders) - 1

    assert chi2 < free * (1 - 2 / (9 * free) + 3.72 * math.sqrt(2 / (9 * free))) ** 3  # Wilson and Hilferty, 1931


def test_tiny_weights_are_drawn_in_their_proportion():
    """Weights that lie hundreds of powers of ten apart, and some that are not normal numbers."""
    weights = np.array([5e-324, 1e-300, 1.0, 1e300])

    assert [3, 2, 1, 0] == without_replacement(weights, 4, np.random.default_rng(0)).tolist()


@given(
    arrays(
        np.float64, st.integers(1, 60), elements=st.floats(0, 1e300) | st.sampled_from([0.0, 1.0, np.nextafter(1, 2)])
    )
)
def test_rising(keys):
    """Keys in rising order, also those that differ in their last bits only; equal keys in the order of their places."""
    assert keys.argsort(kind="stable").tolist() == rising(keys.copy()).tolist()
