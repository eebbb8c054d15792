"""The durations of steps."""

import sys

import pytest
from flow_batches import rows

from batchup.flow import (
    B,
)

pytestmark = pytest.mark.timeout(60)


@pytest.mark.parametrize("prefetch", [0, 2])
def test_a_profile(prefetch):
    """A profile has the durations of each step, if the run was profiled."""
    pytest.importorskip("pandas")
    pipeline = rows().p.add(1).call(len, B.x).rebatch(5).add(2)
    with pytest.raises(ValueError, match="profile=True"):
        pipeline.show_profile_info()

    pipeline.run(2, profile=True, prefetch=prefetch)

    totals = pipeline.show_profile_info()
    assert {"add #0", "call #1", "add #3"} == set(totals.index)
    assert [("total_time", each) for each in ("sum", "mean", "max")] == list(totals.columns)
    assert [1, 1, 2, 2, 3, 4, 5] == sorted(pipeline.profile_info.loc[["add #0", "add #3"]]["iter"])


def test_the_columns_of_a_profile():
    """They are those of BatchFlow: the batch, counted in all runs and in its run, its id, and the durations."""
    pytest.importorskip("pandas")
    pipeline = rows().p.add(B.x)
    for _ in range(2):
        pipeline.run(5, profile=True)

    profile = pipeline.profile_info
    assert ["iter", "outer_iter", "batch_id", "total_time", "action_time"] == list(profile.columns)
    assert ([1, 2, 3, 4], [1, 2, 1, 2]) == (profile["iter"].tolist(), profile["outer_iter"].tolist())
    assert (profile["action_time"] > 0).all()
    assert (profile["action_time"] <= profile["total_time"]).all()


def test_a_part_of_a_profile():
    """A profile can be shown for each batch, with some of the columns, sorted by one of them."""
    pytest.importorskip("pandas")
    pipeline = rows().p.add(1).add(2).run(5, profile=True)

    each = pipeline.show_profile_info(per_iter=True)
    assert (["iter", "action"], ["total_time", "batch_id"]) == (list(each.index.names), list(each.columns))
    assert [1, 1, 2, 2] == each.index.get_level_values("iter").tolist()
    assert each.groupby("iter")["total_time"].is_monotonic_decreasing.all()
    totals = pipeline.show_profile_info(columns=["action_time"], sortby=("action_time", "max"))
    assert [("action_time", of) for of in ("sum", "mean", "max")] == list(totals.columns)


def test_a_profile_needs_pandas(monkeypatch):
    """Without pandas the error says what to install."""
    monkeypatch.setitem(sys.modules, "pandas", None)

    with pytest.raises(ImportError, match="pip install pandas"):
        rows().p.add(1).run(5, profile=True).show_profile_info()
