"""States say which batchup has saved them."""

import numpy as np
import pytest

import batchup
from batchup import ArrayDataSource, Loader
from batchup.batch_iter import Infinite, sample
from batchup.version import __version__

KINDS = ["loader", "iterator", "pipe", "torch"]  # test cases with "torch" are slow, as its import takes seconds
OTHER = {"plan": "another"}, {"plan": "another"}, {"source_seed": 9}, {"batch_size": 3}


def made(kind):
    """What has a state, and gives the numbers from 0 to 3."""
    ds = ArrayDataSource([np.arange(4)])
    if kind == "pipe":
        return Infinite(sample([0, 1, 2, 3]), batch_size=2, batches_per_epoch=2, seed=7)
    if kind == "torch":
        pytest.importorskip("torch")
        from batchup.interop.torch import DataLoader

        return DataLoader([0, 1, 2, 3], batch_size=2)
    return Loader(ds, 2) if kind == "loader" else ds.batch_iterator(2)


def numbers(batches):
    arrays = [np.ravel(batch[0] if isinstance(batch, tuple) else batch) for batch in batches]
    return [int(n) for array in arrays for n in array]


@pytest.mark.parametrize("kind", KINDS)
def test_a_state_has_the_version_that_saved_it(kind):
    """That of the package; also in the state of what a state was loaded into."""
    first, second = made(kind), made(kind)
    second.load_state_dict({**first.state_dict(), "batchup": "0.9"})

    assert [batchup.__version__] * 2 == [each.state_dict()["batchup"] for each in (first, second)]
    assert batchup.__version__ is __version__


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("version", ["0.9", None])
def test_a_state_of_another_version_is_loaded(kind, version):
    """Also one from before states had it."""
    loads, expected = made(kind), made(kind)
    others = {name: entry for name, entry in loads.state_dict().items() if name != "batchup"}
    loads.load_state_dict(others if version is None else {**others, "batchup": version})

    assert numbers(expected) == numbers(loads)


@pytest.mark.parametrize(("kind", "other"), list(zip(KINDS, OTHER, strict=True)))
def test_a_state_that_does_not_fit_says_the_versions_if_they_differ(kind, other):
    """As the cause may be there."""
    loads = made(kind)
    state = loads.state_dict()

    with pytest.raises(ValueError, match=rf"\(saved by batchup 0\.9; this is {__version__}\)$"):
        loads.load_state_dict({**state, **other, "batchup": "0.9"})
    with pytest.raises(ValueError, match="^(?!.*saved by)"):
        loads.load_state_dict({**state, **other})
