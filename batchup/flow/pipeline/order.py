"""Which steps have to run in the order of the batches while several batches are prefetched, and how they wait.

A step *touches* what it shares with other batches: a variable, the models, a lock, a function that may remember
something. If some step changes such a thing, the steps from the first to the last that touch it are a *section*:
batches go through it one at a time, in order. All other steps run ahead.
"""

from __future__ import annotations

import dataclasses
import threading
import warnings
from collections.abc import Hashable, Sequence
from contextvars import ContextVar

__all__ = [
    "ANYTHING",
    "BatchTurns",
    "OrderPlan",
    "RunIsOverError",
    "Section",
    "Touches",
    "action_ahead",
    "order_plan",
    "warn_if_ahead",
]

ELSEWHERE_TOO = {"dataset", "config"}  # other processes have them, too, unchanged
ANYTHING = "anything"  # what an action with in_order=True may touch: every variable, model, lock and dataset


@dataclasses.dataclass
class Touches:
    """What a step shares with other batches: what it only reads, and what it changes."""

    reads: set[Hashable] = dataclasses.field(default_factory=set)
    changes: set[Hashable] = dataclasses.field(default_factory=set)
    in_body: bool = True  # False: only the arguments of the step touch it, and are evaluated in order

    @property
    def everything(self) -> set[Hashable]:
        """All that it shares."""
        return self.reads | self.changes


@dataclasses.dataclass(frozen=True)
class Section:
    """The steps `first` to `last`, which batches go through one at a time."""

    first: int
    last: int
    arguments_only: bool = False  # of the last step: the next batch need not wait until the step itself is done


@dataclasses.dataclass(frozen=True)
class OrderPlan:
    """How many steps run ahead in threads, how many in processes, and which of them wait for their turn."""

    sections: tuple[Section, ...]
    in_threads: int  # this many steps are prefetched by threads; the others are done in the loop
    in_processes: int


def order_plan(touches: Sequence[Touches], changed_later: set[Hashable]) -> OrderPlan:
    """Find the sections. Steps after a `rebatch` change `changed_later`.

    >>> order_plan([Touches(), Touches(changes={"n"}), Touches()], set())
    OrderPlan(sections=(Section(first=1, last=1, arguments_only=False),), in_threads=3, in_processes=1)
    """
    sections = _sections(touches)
    free = set(range(len(touches)))
    for each in sections:
        free -= set(range(each.first, each.last + (not each.arguments_only)))
    waiting = [number for number, each in enumerate(touches) if _meet(each.everything, changed_later)]
    in_threads = min([max(free, default=-1) + 1, *waiting])
    in_threads = min([in_threads, *(each.first for each in sections if each.first < in_threads <= each.last)])
    here_only = [number for number, each in enumerate(touches) if each.everything - ELSEWHERE_TOO]
    in_processes = min([in_threads, *here_only, *(each.first for each in sections)])
    return OrderPlan(tuple(each for each in sections if each.first < in_threads), in_threads, in_processes)


def _meet(things: set[Hashable], changes: set[Hashable]) -> bool:
    return bool(things) and (
        ANYTHING in changes or ANYTHING in things and bool(changes) or not things.isdisjoint(changes)
    )


def _sections(touches: Sequence[Touches]) -> list[Section]:
    """For each thing that changes, the steps from the first to the last that touch it; overlaps are merged."""
    spans = []
    for thing in set[Hashable]().union(*(each.changes for each in touches)):
        using = [number for number, each in enumerate(touches) if _meet(each.everything, {thing})]
        spans.append((using[0], using[-1]))
    merged: list[tuple[int, int]] = []
    for first, last in sorted(spans):
        if merged and first <= merged[-1][1]:
            merged[-1] = merged[-1][0], max(last, merged[-1][1])
        else:
            merged.append((first, last))
    return [Section(first, last, not touches[last].in_body) for first, last in merged]


action_ahead: ContextVar[str] = ContextVar("action", default="")  # the name of the action that runs ahead


def warn_if_ahead(what: str) -> None:
    """Warn if the action that runs here runs ahead of earlier batches, which may change the same thing."""
    if name := action_ahead.get():
        warnings.warn(
            f"the action {name!r} uses {what} while other batches do the same: mark it with @action(in_order=True) to "
            "do it in the order of the batches, or with in_order=False if the order does not matter",
            RuntimeWarning,
            stacklevel=4,
        )


class RunIsOverError(Exception):
    """Ends the work on a batch that will not be requested."""


class BatchTurns:
    """Lets the batches of a run through each section one at a time, in the order of their numbers."""

    def __init__(self, sections: Sequence[Section]) -> None:
        self._sections = {each.first: each for each in sections}
        self._next = dict.fromkeys(self._sections, 0)
        self._passed: dict[int, set[int]] = {first: set() for first in self._sections}
        self._end = float("inf")
        self._changed = threading.Condition()

    def begin(self, step: int, number: int) -> Section | None:
        """If a section begins at this step, wait until all batches before this one have passed it, or the run is over,
        which raises."""
        if step not in self._sections:
            return None
        with self._changed:
            self._changed.wait_for(lambda: self._next[step] == number or number > self._end)
            if number > self._end:
                raise RunIsOverError
        return self._sections[step]

    def done(self, number: int, *sections: Section) -> None:
        """The batch has passed these sections, by default all, or never will."""
        with self._changed:
            for first in [each.first for each in sections] or self._sections:
                passed = self._passed[first]
                if number >= self._next[first]:
                    passed.add(number)
                while self._next[first] in passed:
                    passed.remove(self._next[first])
                    self._next[first] += 1
            self._changed.notify_all()

    def end(self, number: int = -1) -> None:
        """Let no batch after this one into any section."""
        with self._changed:
            self._end = min(self._end, number)
            self._changed.notify_all()
