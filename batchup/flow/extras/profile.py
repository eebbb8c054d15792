"""Tables of the durations of the steps of a pipeline."""

from __future__ import annotations

from typing import Any

__all__ = ["profile_table", "step_totals"]


def step_totals(rows: list[dict[str, Any]]) -> Any:
    """For each step the sum, the mean and the maximum of its durations in seconds, the longest sum first.

    >>> step_totals([{"action": "load #0", "iter": n, "total_time": s} for n, s in enumerate([1.0, 3.0], 1)])
            total_time
                   sum mean  max
    action
    load #0        4.0  2.0  3.0
    """
    frame = profile_table(rows)
    totals = frame.groupby("action")[["total_time"]].agg(["sum", "mean", "max"])
    return totals.sort_values(("total_time", "sum"), ascending=False)


def profile_table(rows: list[dict[str, Any]]) -> Any:
    """A data frame of the durations, with the names of the steps as its index."""
    try:
        import pandas
    except ImportError as error:
        raise ImportError("a profile is a data frame: pip install pandas") from error
    return pandas.DataFrame(rows).set_index("action")
