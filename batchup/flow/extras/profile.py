"""Tables of the durations of the steps of a pipeline."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

__all__ = ["profile_table", "step_durations", "step_totals"]


def step_totals(rows: list[dict[str, Any]], columns: Sequence[str] | None = None, sortby: Any = None) -> Any:
    """For each step the sum, the mean and the maximum of its durations in seconds, the longest sum first.

    >>> step_totals([{"action": "load #0", "iter": n, "total_time": s} for n, s in enumerate([1.0, 3.0], 1)])
            total_time
                   sum mean  max
    action
    load #0        4.0  2.0  3.0
    """
    columns = ["total_time"] if columns is None else list(columns)
    totals = profile_table(rows).groupby("action")[columns].agg(["sum", "mean", "max"])
    return totals.sort_values((columns[0], "sum") if sortby is None else sortby, ascending=False)


def step_durations(rows: list[dict[str, Any]], columns: Sequence[str] | None = None, sortby: Any = None) -> Any:
    """The durations of each batch and step, batch by batch, the longest first."""
    columns = ["total_time", "batch_id"] if columns is None else list(columns)
    durations = profile_table(rows).reset_index().set_index(["iter", "action"])[columns]
    return durations.sort_values(["iter", columns[0] if sortby is None else sortby], ascending=[True, False])


def profile_table(rows: list[dict[str, Any]]) -> Any:
    """A data frame of the durations, with the names of the steps as its index."""
    try:
        import pandas
    except ImportError as error:
        raise ImportError("a profile is a data frame: pip install pandas") from error
    return pandas.DataFrame(rows).set_index("action")
