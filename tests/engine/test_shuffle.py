"""What `shuffle` may be."""

from __future__ import annotations

import numpy as np
import pytest

from batchup.engine.rng import rng_at
from batchup.engine.shuffle import as_rng


def state(rng):
    return rng.bit_generator.state


@pytest.mark.parametrize("shuffle", [None, False, np.False_])
def test_no_shuffle(shuffle):
    """The order is kept."""
    assert as_rng(shuffle) is None


@pytest.mark.parametrize("rng", [np.random.RandomState(0), np.random.default_rng(0)])
def test_generators_are_used_as_they_are(rng):
    """Not copied: they advance."""
    assert as_rng(rng) is rng


@pytest.mark.parametrize("shuffle", [True, np.True_, np.random])
def test_true_is_the_global_generator(shuffle):
    """The one behind `numpy.random.seed`, or what was given to `numpy.random` itself."""
    before = np.random.get_state()
    np.random.seed(12345)
    drawn = as_rng(shuffle).permutation(10)
    np.random.set_state(before)

    assert np.random.RandomState(12345).permutation(10).tolist() == drawn.tolist()


@pytest.mark.parametrize("seed", [0, 7, np.int32(7), 2**70])
def test_a_seed_is_its_epoch_0(seed):
    """An int, of Python or of NumPy, or a SeedSequence."""
    assert state(rng_at(int(seed), 0)) == state(as_rng(seed))
    assert state(rng_at(int(seed), 0)) == state(as_rng(np.random.SeedSequence(int(seed))))


@pytest.mark.parametrize(
    ("shuffle", "error", "said"),
    [(-1, ValueError, "0 or more, not -1"), ("yes", TypeError, "not 'yes'"), (1.5, TypeError, "not 1.5")],
)
def test_what_shuffle_may_not_be(shuffle, error, said):
    """The message says what was given."""
    with pytest.raises(error, match=said):
        as_rng(shuffle)
