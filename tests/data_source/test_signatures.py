"""What a plan depends on, as plain values, and a short hash of it."""

from __future__ import annotations

import numpy as np
import pytest

from batchup.data_source.signatures import fingerprint, signature_of
from batchup.sampling import StandardSampler, SubsetSampler, WeightedSampler


def holding(value):
    """A sampler with one attribute of its own."""
    sampler = StandardSampler(10)
    sampler.held = value
    return sampler


def test_a_fingerprint_is_short_and_the_same_in_every_process():
    """It is part of saved states, so it must not change."""
    assert "e0b5dde6f9613aa2" == fingerprint("a", 1, (None, 0.5))
    assert fingerprint("a", 1) != fingerprint("a", "1") != fingerprint(("a", "1"))


@pytest.mark.parametrize(
    "make",
    [
        lambda: StandardSampler(10, repeats=2),
        lambda: SubsetSampler(np.arange(4)),
        lambda: WeightedSampler(np.ones(3)),
        lambda: holding([1, (np.int64(2), "x")]),
    ],
    ids=["standard", "subset", "weighted", "own"],
)
def test_equal_samplers_have_equal_signatures(make):
    """They go by what a sampler holds, and are plain values."""
    assert signature_of(make()) == signature_of(make())
    assert eval(repr(signature_of(make()))) == signature_of(make())


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (np.arange(3), np.arange(3)[::-1]),
        (np.arange(3), np.arange(3.0)),
        (np.zeros((2, 3)), np.zeros((3, 2))),
        ([1], (1,)),
        (None, False),
        (object(), [object()]),
    ],
    ids=["order", "dtype", "shape", "kind of sequence", "None", "unknown"],
)
def test_other_values_have_other_signatures(one, other):
    """Also where arrays have the same bytes."""
    assert signature_of(holding(one)) != signature_of(holding(other))


def test_what_is_private_or_unknown_does_not_count():
    """Caches, and objects without a plain form, of which only the class counts."""
    sampler = holding(object())
    sampler._cache = [1, 2, 3]

    assert signature_of(holding(object())) == signature_of(sampler)


def test_the_class_of_a_sampler_counts():
    """Two kinds of sampler with equal attributes differ."""

    class Other(StandardSampler):
        pass

    assert signature_of(StandardSampler(3)) != signature_of(Other(3))
    assert ("object",) == signature_of(object())
