"""States say which batchup has saved them."""

import numpy as np
import pytest

import batchup
from batchup import ArrayDataSource, Loader
from batchup.version import __version__


def states():
    """The state of a loader, and of a batch iterator, each with what loads it."""
    ds = ArrayDataSource([np.arange(4)])
    loader, batches = Loader(ds, 2), ds.batch_iterator(2)
    return [(loader, loader.state_dict()), (batches, batches.state_dict())]


def test_a_state_has_the_version_that_saved_it():
    """That of the package."""
    assert [batchup.__version__] * 2 == [state["batchup"] for _, state in states()]
    assert batchup.__version__ is __version__


@pytest.mark.parametrize("i", [0, 1])
@pytest.mark.parametrize("version", ["0.9", None])
def test_a_state_of_another_version_is_loaded(i, version):
    """Also one from before states had it."""
    loads, state = states()[i]
    others = {name: entry for name, entry in state.items() if name != "batchup"}
    loads.load_state_dict(others if version is None else {**others, "batchup": version})

    assert [0, 1, 2, 3] == [n for (x,) in loads for n in x.tolist()]


@pytest.mark.parametrize("i", [0, 1])
def test_a_state_that_does_not_fit_says_the_versions_if_they_differ(i):
    """As the cause may be there."""
    loads, state = states()[i]

    with pytest.raises(ValueError, match=rf"\(saved by batchup 0\.9; this is {__version__}\)"):
        loads.load_state_dict({**state, "plan": "another", "batchup": "0.9"})
    with pytest.raises(ValueError, match="saved with$"):
        loads.load_state_dict({**state, "plan": "another"})
