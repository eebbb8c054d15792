"""Where the time of a loop goes: the measurements of each batch, and their summary in one sentence."""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

__all__ = ["Span", "StageStats", "Trace", "verdict"]

NOTHING_TO_GAIN = 0.05  # a loop that waits for less than this part of its time has nothing to gain
CHEAP = 3e-4  # seconds of work for one batch: less than it takes to send it


class Span(NamedTuple):
    """The times of one batch, in seconds of `time.perf_counter`, which is the same clock in all processes.

    Attributes
    ----------
    epoch, step : int
        Which batch.
    asked, got : float
        When the loop requested it, and when it got it.
    worker : int
        The native id of the thread that worked on it.
    marks : sequence of float
        When the work began, and when each stage of it ended.
    """

    epoch: int
    step: int
    asked: float
    got: float
    worker: int
    marks: Sequence[float]


@dataclasses.dataclass(frozen=True)
class StageStats:
    """The time that one stage of the work took.

    Attributes
    ----------
    name : str
        For the fetch, the class of its source; for a function in `map` or `random_map`, its name.
    seconds : float
        The total time of all batches and all workers.
    """

    name: str
    seconds: float


class Trace:
    """The measurements of a run so far.

    Parameters
    ----------
    stages : sequence of str
        The names of the stages of the work.
    keep : int, default 512
        For how many of the last batches to keep the times.
    on_chunks : callable, (epoch, hits, misses) -> None, optional
        Called with the numbers of chunks of files that a batch has found in a cache, and has read.

    Examples
    --------
    >>> trace = Trace(["read", "crop"])
    >>> trace.add(0, 0, 1.0, 3.5, 77, [1.0, 3.0, 3.5])
    >>> trace.add(0, 1, 4.5, 7.0, 77, [4.5, 6.5, 7.0])
    >>> trace.seconds, trace.waited, trace.busy, trace.of_stages()[1]
    (6.0, 5.0, 5.0, StageStats(name='crop', seconds=1.0))
    """

    def __init__(
        self, stages: Sequence[str], keep: int = 512, on_chunks: Callable[[int, int, int], None] | None = None
    ) -> None:
        self.stages = tuple(stages)
        self._marks = len(self.stages) + 1  # of a batch: when each stage began, and when the last one ended
        self._on_chunks = on_chunks
        self.batches = 0
        self.seconds = self.waited = self.busy = 0.0
        self.starting = 0.0  # seconds waited for the first batch of each worker, while it may have started
        self.beginning = 0.0  # seconds waited for the first batches of other loops, with nothing prefetched
        self._last: collections.deque[tuple[Any, ...]] = collections.deque(maxlen=keep)  # each the fields of a Span
        self._of_stages = [0.0] * len(self.stages)
        self._each_stage = range(len(self.stages))
        self._since: float | None = None  # when the loop got its last batch
        self._workers: set[int] = set()

    @property
    def workers(self) -> int:
        """The number of workers that have delivered a batch."""
        return len(self._workers)

    @property
    def last(self) -> list[Span]:
        """The times of the last batches."""
        return [Span(*each) for each in self._last]

    def add(self, epoch: int, step: int, asked: float, got: float, worker: int, marks: Sequence[float]) -> None:
        """Add a batch: the fields of a `Span`. Behind the marks there may be two numbers of chunks."""
        if len(marks) > self._marks:
            *marks, hits, misses = marks
            if self._on_chunks is not None:
                self._on_chunks(epoch, int(hits), int(misses))
        if worker not in self._workers:
            self._workers.add(worker)
            self.starting += got - asked
        elif self._since is None:
            self.beginning += got - asked
        self.batches += 1
        self.waited += got - asked
        self.busy += marks[-1] - marks[0]
        self.seconds += got - (asked if self._since is None else self._since)
        self._since = got
        self._last.append((epoch, step, asked, got, worker, marks))
        of_stages = self._of_stages
        for i in self._each_stage:
            of_stages[i] += marks[i + 1] - marks[i]

    def pause(self, now: float | None = None) -> None:
        """The loop has ended: the time from `now` on does not count."""
        if now is not None and self._since is not None:
            self.seconds += now - self._since
        self._since = None

    def of_stages(self) -> tuple[StageStats, ...]:
        """The time that each stage took."""
        return tuple(map(StageStats, self.stages, self._of_stages))


def verdict(trace: Trace, workers: int, kind: str, cores: int) -> str:
    """What limits the loop, and what would help, in one sentence. The time in which workers start does not count.

    Parameters
    ----------
    trace : Trace
    workers : int
        0 if the batches were made in the loop's own thread.
    kind : {"threads", "processes"}
    cores : int

    Examples
    --------
    >>> trace = Trace(["read", "crop"])
    >>> for i in range(9):
    ...     trace.add(0, i, i + 0.4, i + 1.0, 77, [i + 0.0, i + 0.7, i + 1.0])
    >>> print(verdict(trace, 2, "threads", 8))
    the loop waited 60 % of its time for batches; 2 threads were busy 56 %, mostly with read (70 %): a larger depth \
would even out batches of unequal cost
    """
    starting = trace.starting if workers and trace.batches > trace.workers else 0.0
    if not trace.batches or trace.seconds <= starting:
        return "no batch was delivered yet"
    seconds, waited = trace.seconds - starting, trace.waited - starting
    waiting = waited / seconds
    if waiting < NOTHING_TO_GAIN:
        needed = trace.busy / max(1, workers)
        times = (seconds - waited) / needed if needed else float("inf")
        return f"the loader was {_times(times)} times faster than the loop: nothing to gain here"
    said = f"the loop waited {waiting:.0%} of its time for batches; ".replace("%", " %")
    cheap = trace.busy / trace.batches < CHEAP
    if not workers:
        return f"{said}they were made in its own thread{_mostly(trace)}: {_TOO_CHEAP if cheap else _MEANWHILE}"
    use = trace.busy / (workers * seconds)
    said += f"{workers} {kind if workers > 1 else _ONE[kind]} "
    said += f"{'were' if workers > 1 else 'was'} busy {min(use, 1.0):.0%}".replace("%", " %") + _mostly(trace)
    if cheap:
        return f"{said}: {_HANDED_OVER}"
    if use < 0.75:
        return f"{said}: {_advice_to_the_idle(trace, waited, kind)}"
    if kind == "threads":
        return f"{said}: more workers, or processes, would help"
    return f"{said}: " + (
        "more workers would help" if workers < cores else "all cores are at work, so make this cheaper"
    )


def _advice_to_the_idle(trace: Trace, waited: float, kind: str) -> str:
    """What would help if the loop waits, and workers are idle."""
    if trace.beginning > 0.5 * waited:
        return _AT_THE_BEGINNING
    return _LITTLE_USED[kind]


_AT_THE_BEGINNING = (
    "most of it for the first batch of each loop, with nothing made ahead: longer epochs (repeats) would help"
)
_HANDED_OVER = "these batches are so cheap that handing them over takes longer than making them: try pool=None"
_MEANWHILE = "a pool would make them meanwhile"
_TOO_CHEAP = "they are so cheap that a pool would take longer to hand them over; larger batches would help"
_ONE = {"threads": "thread", "processes": "process"}
_LITTLE_USED = {
    "threads": "a larger depth would even out batches of unequal cost",
    "processes": "starting workers and sending batches took the rest; threads, or smaller batches, help a long loop",
}


def _times(ratio: float) -> str:
    return f"{ratio:.1f}" if ratio < 3 else f"{min(ratio, 1e6):,.0f}"


def _mostly(trace: Trace) -> str:
    """The stage that takes the most time, if there are several."""
    stages = trace.of_stages()
    if len(stages) < 2 or not trace.busy:
        return ""
    slowest = max(stages, key=lambda stage: stage.seconds)
    return f", mostly with {slowest.name} ({slowest.seconds / trace.busy:.0%})".replace("%", " %")
