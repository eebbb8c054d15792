"""What a loader gives to frameworks."""

import numpy as np
import pytest

from batchup import Loader
from batchup.loader.conversions import Conversions


def test_a_loader_has_the_methods():
    """They are those of `Conversions`, which has no more of a loader."""
    assert issubclass(Loader, Conversions)


@pytest.mark.timeout(60)
@pytest.mark.parametrize("pool", [None, 2])
def test_prefetch_to(pool):
    """The batches after the function, epoch by epoch; the place is that of the loop."""
    with Loader([np.arange(5)], 2, pool=pool).prefetch_to(lambda batch: batch[0] + 10, depth=3) as batches:
        seen = [(x.tolist(), batches.epoch, batches.step) for _ in range(2) for x in batches]

    epoch = [([10, 11], 1), ([12, 13], 2), ([14], 3)]
    assert [(x, e, step) for e in (0, 1) for x, step in epoch] == seen
    assert (2, 0) == (batches.epoch, batches.step)
