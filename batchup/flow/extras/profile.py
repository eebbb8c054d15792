"""Tables of the durations of the steps of a pipeline."""

from __future__ import annotations

from typing import Any

__all__ = ["Records", "as_table", "step_totals"]


class Records(list[dict[str, Any]]):
    """Rows of a table: a list of dicts that prints as a table.

    >>> print(Records([{"name": "load", "calls": 2, "mean": 0.25}]))
    name calls mean
    load     2 0.250000
    """

    def __str__(self) -> str:
        if not self:
            return "no rows"
        columns = list(self[0])
        rows = [columns] + [[_cell(row[name]) for name in columns] for row in self]
        widths = [max(len(row[column]) for row in rows) for column in range(len(columns) - 1)] + [0]
        numbers = [not isinstance(self[0][name], str) for name in columns]
        lines = []
        for row in rows:
            cells = zip(row, widths, numbers, strict=True)
            lines.append(" ".join(cell.rjust(n) if number else cell.ljust(n) for cell, n, number in cells).rstrip())
        return "\n".join(lines)

    __repr__ = __str__


def _cell(value: Any) -> str:
    return f"{value:.6f}" if isinstance(value, float) else str(value)


def step_totals(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """For each step the number of calls, and their duration in seconds: sum, mean and maximum.

    >>> rows = [{"batch": n, "step": 0, "name": "load", "seconds": s} for n, s in enumerate([1.0, 3.0])]
    >>> step_totals(rows)
    [{'step': 0, 'name': 'load', 'calls': 2, 'sum': 4.0, 'mean': 2.0, 'max': 3.0}]
    """
    steps: dict[tuple[int, str], list[float]] = {}
    for row in rows:
        steps.setdefault((row["step"], row["name"]), []).append(row["seconds"])
    return [
        {"step": step, "name": name, "calls": len(s), "sum": sum(s), "mean": sum(s) / len(s), "max": max(s)}
        for (step, name), s in sorted(steps.items())
    ]


def as_table(rows: list[dict[str, Any]]) -> Any:
    """A data frame if pandas is installed, else `Records`."""
    try:
        import pandas
    except ImportError:
        return Records(rows)
    return pandas.DataFrame(rows)
