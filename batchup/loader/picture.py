"""Plot the last batches of a loader over time."""

from __future__ import annotations

from typing import Any

from ..engine.optional import library
from ..engine.trace import Span, Trace

__all__ = ["timeline"]


def timeline(trace: Trace) -> Any:
    """Plot over time when the loop waited, what each worker did, and how many batches were ready.

    Parameters
    ----------
    trace : Trace

    Returns
    -------
    matplotlib.figure.Figure
    """
    library("matplotlib", "matplotlib", "plot()")
    from matplotlib.figure import Figure

    spans = list(trace.last)
    workers = sorted({span.worker for span in spans})
    figure = Figure(figsize=(10, 2.5 + 0.35 * len(workers)), layout="constrained")
    lanes, buffer = figure.subplots(2, 1, sharex=True, height_ratios=[2 + len(workers), 2])
    begin = min((min(span.asked, span.marks[0]) for span in spans), default=0.0)
    _draw_loop(lanes, spans, begin)
    for row, worker in enumerate(workers, start=1):
        _draw_worker(lanes, [span for span in spans if span.worker == worker], row, trace.stages, begin)
    lanes.set_yticks(range(len(workers) + 1), ["loop", *(f"worker {i}" for i in range(len(workers)))])
    lanes.invert_yaxis()
    if spans:
        lanes.legend(loc="upper left", bbox_to_anchor=(1, 1), frameon=False)
    times, ready = _ready(spans)
    buffer.step([time - begin for time in times], ready, where="post", color="0.5")
    buffer.set(ylabel="ready", xlabel="seconds")
    buffer.yaxis.get_major_locator().set_params(integer=True)
    return figure


def _draw_loop(axes: Any, spans: list[Span], begin: float) -> None:
    waits = [(span.asked - begin, span.got - span.asked) for span in spans]
    axes.broken_barh(waits, (-0.4, 0.8), color="tab:red", label="waiting")


def _draw_worker(axes: Any, spans: list[Span], row: int, stages: tuple[str, ...], begin: float) -> None:
    for i, name in enumerate(stages):
        bars = [(span.marks[i] - begin, span.marks[i + 1] - span.marks[i]) for span in spans]
        axes.broken_barh(bars, (row - 0.4, 0.8), color=f"C{i}", label=name if row == 1 else None)


def _ready(spans: list[Span]) -> tuple[list[float], list[int]]:
    """The number of batches that were ready and not yet taken, over time."""
    changes = sorted([(span.marks[-1], 1) for span in spans] + [(span.got, -1) for span in spans])
    ready, counts = 0, []
    for _, change in changes:
        ready += change
        counts.append(ready)
    return [time for time, _ in changes], counts
