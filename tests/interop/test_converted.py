"""The batches of a loop after a function."""

import numpy as np
import pytest

from batchup import ArrayDataSource, Loader
from batchup.interop.converted import Converted


def test_its_length_is_what_is_left():
    """So a progress bar shows the right total, for the rest of an epoch as well."""
    loop = iter(Loader([np.arange(5)], 2))
    batches = Converted(lambda batch: batch[0].tolist(), loop)

    assert 3 == len(batches)
    assert [0, 1] == next(batches)
    assert 2 == len(batches)
    assert [[2, 3], [4]] == list(batches)
    assert 0 == len(batches)
    assert batches


def test_a_loop_without_a_length():
    """Its length is not known either."""
    endless = Converted(str, ArrayDataSource([np.arange(3)], repeats=-1).batch_iterator(2))

    with pytest.raises(TypeError):
        len(endless)


def test_a_loop_over_steps():
    """Wrappers know whether a loop ends with its epoch."""
    loader = Loader([np.arange(5)], 2)

    assert Converted(str, iter(loader)).is_over_epoch
    assert not Converted(str, loader.steps(4)).is_over_epoch
