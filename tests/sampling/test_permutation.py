"""Keyed permutations: every number once, whatever the key, and no pattern that a test of pairs would find."""

import numpy as np
import pytest

from batchup.sampling.permutation import ROUNDS, Feistel, KeyedPermutation, key_from

SIZES = [*range(301), *(2**k + d for k in range(9, 21) for d in (-1, 0, 1))]
LARGE = [65_537, 10**6, 2**20 + 1, 10**9, 2**40 + 1]


def network(n, key):
    return Feistel(n, np.random.SeedSequence(key).generate_state(2 * ROUNDS, np.uint64))


def test_a_network_gives_each_number_once():
    """For every size, also beside powers of two, and for both widths of words."""
    for n in SIZES:
        found = network(n, n)(np.arange(n))
        found.sort()
        assert np.array_equal(np.arange(n), found), n


def test_wide_numbers_stay_different_and_in_range():
    """Above 2**32 numbers are of 64 bits: pieces from anywhere have no number twice, and none out of range."""
    n = 2**40 + 1
    permutation = KeyedPermutation(n, key=1)
    found = np.concatenate([permutation.between(first, first + 20_000) for first in (0, n // 2, n - 20_000)])

    assert len(found) == len(np.unique(found))
    assert (0 <= found.min(), found.max() < n) == (True, True)


@pytest.mark.parametrize("n", [0, 1, 2, 300, 65_536, 65_537])
def test_a_permutation_has_each_number_once_and_can_be_entered_anywhere(n):
    """`between` and single positions give what the whole gives."""
    permutation = KeyedPermutation(n, key=5)
    whole = permutation(np.arange(n))
    some = np.arange(n)[n // 3 :: 7]

    assert np.array_equal(np.arange(n), np.sort(whole))
    assert np.array_equal(whole[n // 3 : n // 2], permutation.between(n // 3, n // 2))
    assert np.array_equal(whole[some], permutation(some))


@pytest.mark.parametrize("n", LARGE)
def test_neighbours_are_independent(n):
    """χ² of pairs of neighbours, by their remainders and by their sizes, is that of chance; so is their correlation."""
    found = KeyedPermutation(n, key=3).between(0, min(n, 500_000))

    assert 0.93 < chi2_of_pairs(found % 97, 97) < 1.07
    assert 0.93 < chi2_of_pairs(found // -(-n // 97), 97) < 1.07
    assert abs(np.corrcoef(found[:-1], found[1:])[0, 1]) < 0.006


@pytest.mark.parametrize("keys", [[(7, (0,)), (7, (1,))], [(7, ()), (8, ())]], ids=["paths", "keys"])
@pytest.mark.parametrize("n", [50_000, 10**6])
def test_permutations_of_other_keys_and_paths_are_independent(n, keys):
    """What stands at one place in two permutations has nothing to do with each other."""
    one, other = (KeyedPermutation(n, key, path).between(0, 50_000) for key, path in keys)

    assert 0.9 < chi2(one % 53 * 53 + other % 53, 53**2) < 1.1
    assert (one == other).sum() < 12


def test_small_orders_are_equally_likely():
    """All 24 orders of four samples come equally often."""
    counts = {}
    for key in range(4800):
        order = tuple(KeyedPermutation(4, key).between(0, 4).tolist())
        counts[order] = counts.get(order, 0) + 1

    assert 24 == len(counts)
    assert sum((n - 200) ** 2 / 200 for n in counts.values()) < 60  # 23 degrees of freedom


@pytest.mark.parametrize("new_rng", [np.random.RandomState, np.random.default_rng])
def test_a_key_follows_from_the_generator(new_rng):
    """Equal generators give equal keys, and the next key of one is another."""
    rng = new_rng(1)

    assert key_from(new_rng(1)) == key_from(rng)
    assert key_from(new_rng(1)) != key_from(rng)


def chi2(values, kinds):
    """χ² per degree of freedom against equal probabilities."""
    counts, expected = np.bincount(values, minlength=kinds), len(values) / kinds
    return ((counts - expected) ** 2).sum() / expected / (kinds - 1)


def chi2_of_pairs(values, kinds):
    return chi2(values[:-1] * kinds + values[1:], kinds**2)
