"""The durations of steps."""

import sys

import numpy as np
import pytest

from batchup.flow import (
    B,
    Batch,
    Dataset,
    action,
)
from batchup.flow.extras.profile import step_totals

pytestmark = pytest.mark.timeout(60)

N = 10


class Rows(Batch):
    components = "x", "y"

    @action
    def add(self, n):
        self.x = self.x + n
        return self


def rows(n=N, **attrs):
    return Dataset(n, Rows, preloaded=(np.arange(n), np.zeros(n)), **attrs)


@pytest.mark.parametrize("prefetch", [0, 2])
def test_a_profile(prefetch):
    """A profile has the calls and durations of each step, if the run was profiled."""
    pipeline = rows().p.add(1).call(len, B.x).rebatch(5).add(2)
    with pytest.raises(ValueError, match="profile=True"):
        pipeline.show_profile_info()

    pipeline.run(2, profile=True, prefetch=prefetch)

    found = {row["step"]: (row["name"], row["calls"]) for row in step_totals(pipeline.state.profile)}
    assert {0: ("add", 5), 1: ("call", 5), 3: ("add", 2)} == found
    assert 12 == len(pipeline.profile_info)
    assert "add" in str(pipeline.show_profile_info())


def test_a_profile_without_pandas(monkeypatch):
    """Without pandas the profile is a list of dicts that prints as a table."""
    monkeypatch.setitem(sys.modules, "pandas", None)

    found = rows().p.add(1).run(5, profile=True).show_profile_info()

    assert ("add", 2) == (found[0]["name"], found[0]["calls"])
    assert ["step", "name", "calls", "sum", "mean", "max"] == str(found).splitlines()[0].split()
