"""One stream of batches, from its first item until it is closed.

One thread runs the pipe: it draws from the source, calls the functions, and makes the batches, as many ahead as the
buffer holds. Stages with workers of their own get a pool each, in whose stream this thread waits.
"""

from __future__ import annotations

import dataclasses
import itertools
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from ..engine.forks import forked
from ..engine.pools import Pool, ThreadPool
from ..engine.stream import WorkStream
from ..errors import PoolClosedError
from .batching import ShouldAdd, grouped
from .chance import Place, at
from .sources import Draws
from .stages import END, Course, Functions, Stage, raise_located

__all__ = ["Plan", "Run"]


@dataclasses.dataclass(frozen=True)
class Plan:
    """What a pipe is made of.

    Attributes
    ----------
    source : iterable
    stages : sequence of callables and stages
        What is done to items.
    batch_size : int or callable
    combiner : callable or stage
        What is done to the list of items of a batch.
    buffer_size : int
        How many batches are made ahead.
    """

    source: Iterable[Any]
    stages: Sequence[Callable[[Any], Any] | Stage]
    batch_size: int | ShouldAdd
    combiner: Callable[[Any], Any] | Stage
    buffer_size: int


class Run:
    """A stream of batches that are made in the background; it ends with `END`.

    Parameters
    ----------
    plan : Plan
    course : Course
        Where it begins, and what its chance depends on.
    """

    def __init__(self, plan: Plan, course: Course) -> None:
        self.course = course
        self.delivered = 0
        self.ended = False
        self._stop = threading.Event()
        self._turn = threading.Lock()  # one consumer at a time
        self._forked = forked()
        self._pools: list[Pool] = []
        try:
            batches = self._flow(plan)
            self._pools.append(ThreadPool(1))
            tasks = itertools.repeat((next, (batches, END)))
            self._batches = WorkStream(self._pools[-1], tasks, plan.buffer_size, located=_as_it_is)
        except BaseException:
            self.close()
            raise

    def next(self) -> Any:
        """The next batch, or `END`.

        Raises
        ------
        Exception
            What a function, the source, a combiner raised. Then the run is closed.
        """
        if self._forked():
            raise PoolClosedError("the pipe is at work in another process, of which this one is a fork; make one here")
        with self._turn:
            if self.ended:
                return END
            try:
                batch = next(self._batches)
            except Exception as error:
                stopped = self._stop.is_set() and isinstance(error, PoolClosedError)
                self.close()
                if stopped:  # by `close`, in another thread
                    return END
                raise
            if batch is END:
                self.close()
            else:
                self.delivered += 1
            return batch

    def close(self) -> None:
        """End all work in the background. May be called again, by any thread."""
        self.ended = True
        self._stop.set()
        for pool in self._pools:
            pool.close()

    def _flow(self, plan: Plan) -> Iterator[Any]:
        """The batches. The pools are made here and now; the rest happens in the thread that iterates."""
        parts: list[Part] = []
        for stage, number in numbered(plan.stages):
            parts.append((stage, number, self._with_pool(stage)))
        (combiner, number), *_ = numbered([plan.combiner], 1 + len(plan.stages))
        return batches(plan, self.course, parts, (combiner, number, self._with_pool(combiner)), self._stop)

    def _with_pool(self, stage: Stage) -> Pool | None:
        pool = stage.pool()
        if pool is not None:
            self._pools.append(pool)
        return pool


Part = tuple[Stage, int, Pool | None]


def numbered(stages: Sequence[Callable[[Any], Any] | Stage], first: int = 1) -> Iterator[tuple[Stage, int]]:
    """Stages with their numbers in the pipe; functions that are neighbours are one stage, called by one thread."""
    number = first
    for is_stage, group in itertools.groupby(stages, lambda each: isinstance(each, Stage)):
        members: list[Any] = list(group)
        yield from zip(members, itertools.count(number)) if is_stage else [(Functions(members), number)]
        number += len(members)


def batches(plan: Plan, course: Course, parts: list[Part], combiner: Part, stop: threading.Event) -> Iterator[Any]:
    """What the thread that runs the pipe iterates over. It knows nothing of the run, which can thus be collected."""
    items = drawn(plan.source, course, stop)
    for stage, number, pool in parts:
        items = stage.flow(items, number, course, pool)
    size = plan.batch_size
    first = 0 if callable(size) else course.first // size
    stage, number, pool = combiner
    # stopped in the middle of whatever goes on without the source
    lists = itertools.takewhile(lambda _: not stop.is_set(), grouped(items, size))
    yield from stage.flow(lists, number, dataclasses.replace(course, unit="batch", first=first), pool)


def drawn(source: Iterable[Any], course: Course, stop: threading.Event) -> Iterator[Any]:
    """The items of the source, until it ends or the run is stopped."""
    number = course.first
    loads = isinstance(source, Draws) and source.loaders is not None  # which may ask for the chance of their item
    try:
        items = source.begin(course.first, course.entropy) if isinstance(source, Draws) else iter(source)
        for number in itertools.count(course.first):
            if loads:
                with at(Place(course.entropy, 0, number)):
                    found = [next(items, END)]
            else:
                found = [next(items, END)]
            if found[0] is END or stop.is_set():
                return
            yield found.pop()  # what is yielded is not held here
    except GeneratorExit:
        raise
    except BaseException as error:
        raise_located(error, "item", number, 0, source)


def _as_it_is(error: BaseException, number: int, args: tuple[Any, ...]) -> BaseException:
    return error
