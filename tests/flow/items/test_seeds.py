"""Random numbers of items do not depend on who does the work."""

import asyncio

import numpy as np
import pytest
from flow_batches import Points, X, points

from batchup.flow import (
    apply_parallel,
    inbatch_parallel,
)

pytestmark = pytest.mark.timeout(60)

TARGETS = ["for", "threads", "mpc", "async"]


class Noisy(Points):
    @apply_parallel(src="x", dst="y")
    def noisy(self, x, rng):
        return x + rng.normal()

    @apply_parallel(src="x", dst="y")
    def noisy_by_self(self, x):
        return self.random.normal()


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("name", ["noisy", "noisy_by_self"])
def test_random_numbers_do_not_depend_on_the_target(name, target):
    """Each item has its own generator, as ``rng`` or as ``self.random``, the same with each target."""
    batch, expected = points(batch_class=Noisy), points(batch_class=Noisy)
    batch.random_seed = expected.random_seed = 7

    found = getattr(batch, name)(target=target).y

    assert getattr(expected, name)(target="for").y.tolist() == found.tolist()
    assert 4 == len(set(found - X[:4]))


def test_random_numbers_of_coroutines():
    """A coroutine has the random numbers of its item, also after it has waited."""

    class Reads(Points):
        @inbatch_parallel(init="indices", post="keep")
        async def draw_late(self, number):
            await asyncio.sleep(0)
            return self.random.normal()

        @inbatch_parallel(init="indices", post="keep")
        def draw(self, number):
            return self.random.normal()

    late, expected = Reads(4), Reads(4)
    late.random_seed = expected.random_seed = 3

    assert expected.draw().y.tolist() == late.draw_late().y.tolist()


def test_seeds_may_be_given():
    """`rng_seeds` has one seed for each item; equal seeds draw the same."""
    found = points(3).apply_parallel(lambda x, rng: rng.random(), src="x", dst="z", rng_seeds=[1, 1, 2]).z

    assert found[0] == found[1] != found[2]
    assert np.random.default_rng(1).random() == found[0]
    with pytest.raises(ValueError, match="rng_seeds should be one for each of 3"):
        points(3).apply_parallel(lambda x, rng: x, src="x", rng_seeds=[1])


def test_rng_is_given_where_it_is_required():
    """``requires_rng`` passes ``rng`` to a function with ``**kwargs``; each call draws new numbers."""
    batch = points(2)

    batch.apply_parallel(lambda x, **given: given["rng"].random(), src="x", dst="p", requires_rng=True)
    batch.apply_parallel(lambda x, **given: given["rng"].random(), src="x", dst="q", requires_rng=True)

    assert 4 == len({*batch.p, *batch.q})
