"""One run of a pipe: a stream of batches, from the first item until it is closed.

A background thread runs the pipe. It draws items from the source, calls the functions and makes batches, until the
buffer is full. Each stage with workers has a pool of its own; the background thread waits for its results.
"""

from __future__ import annotations

import contextvars
import dataclasses
import itertools
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from ..engine.forks import forked
from ..engine.pools import Pool, ThreadPool
from ..engine.rng import SeedPath
from ..engine.stream import WorkStream
from ..errors import PoolClosedError
from .batching import ShouldAdd, grouped
from .item_rng import ItemRng, use_item_rng
from .sources import Draws
from .stages import END, ConsecutiveFunctions, PipeContext, Stage, raise_with_note

__all__ = ["PipePlan", "PipeRun"]


@dataclasses.dataclass(frozen=True)
class PipePlan:
    """The parts of a pipe, as its user gave them.

    Attributes
    ----------
    source : iterable
    stages : sequence of callables and stages
        Applied to the items, in this order.
    batch_size : int or callable
    combiner : callable or stage
        Makes a batch from a list of items.
    buffer_size : int
        The number of batches to prefetch.
    """

    source: Iterable[Any]
    stages: Sequence[Callable[[Any], Any] | Stage]
    batch_size: int | ShouldAdd
    combiner: Callable[[Any], Any] | Stage
    buffer_size: int


class PipeRun:
    """A stream of batches that are made in the background; it ends with `END`.

    Parameters
    ----------
    plan : PipePlan
    context : PipeContext
        The first item and the seed.
    """

    def __init__(self, plan: PipePlan, context: PipeContext) -> None:
        self.context = context
        self.delivered = 0
        self.ended = False
        self._stop = threading.Event()
        self._one_at_a_time = threading.Lock()  # several threads may share a pipe
        self._forked = forked()
        self._pools: list[Pool] = []
        try:
            batches = self._make_pools(plan)
            self._pools.append(ThreadPool(1))
            in_one_context = contextvars.copy_context().run  # as all tasks run one generator
            tasks = itertools.repeat((in_one_context, (next, batches, END)))
            self._batches = WorkStream(self._pools[-1], tasks, plan.buffer_size, located=_unchanged)
        except BaseException:
            self.close()
            raise

    def next(self) -> Any:
        """The next batch, or `END`.

        Raises
        ------
        Exception
            The error of the source, of a function or of the combiner. Then the run is closed.
        """
        if self._forked():
            raise PoolClosedError(
                "the pipe was started in another process, and this one is a fork of it; make a new pipe in this process"
            )
        with self._one_at_a_time:
            if self.ended:
                return END
            try:
                batch = next(self._batches)
            except Exception as error:
                closed_elsewhere = self._stop.is_set() and isinstance(error, PoolClosedError)
                self.close()
                if closed_elsewhere:  # another thread called `close` meanwhile
                    return END
                raise
            if batch is END:
                self.close()
            else:
                self.delivered += 1
            return batch

    def close(self) -> None:
        """Stop all background work. Any thread may call it, any number of times."""
        self.ended = True
        self._stop.set()
        for pool in self._pools:
            pool.close()

    def _make_pools(self, plan: PipePlan) -> Iterator[Any]:
        """Make the pools of all stages. Return the batches; they are made in the thread that iterates over them."""
        stages = [(stage, number, self._pool_of(stage)) for stage, number in numbered(plan.stages)]
        (combiner, number), *_ = numbered([plan.combiner], 1 + len(plan.stages))
        return batches(plan, self.context, stages, (combiner, number, self._pool_of(combiner)), self._stop)

    def _pool_of(self, stage: Stage) -> Pool | None:
        pool = stage.pool()
        if pool is not None:
            self._pools.append(pool)
        return pool


NumberedStage = tuple[Stage, int, Pool | None]  # with its number in the pipe, and its workers


def numbered(stages: Sequence[Callable[[Any], Any] | Stage], first: int = 1) -> Iterator[tuple[Stage, int]]:
    """Stages with their numbers in the pipe. Consecutive functions are one stage, and share the background thread."""
    number = first
    for is_stage, group in itertools.groupby(stages, lambda each: isinstance(each, Stage)):
        members: list[Any] = list(group)
        yield from zip(members, itertools.count(number)) if is_stage else [(ConsecutiveFunctions(members), number)]
        number += len(members)


def batches(
    plan: PipePlan,
    context: PipeContext,
    stages: list[NumberedStage],
    combiner: NumberedStage,
    stop: threading.Event,
) -> Iterator[Any]:
    """What the background thread iterates over. It does not refer to the run, so that the run can be collected."""
    items = drawn(plan.source, context, stop)
    for stage, number, pool in stages:
        items = stage.outputs(items, number, context, pool)
    size = plan.batch_size
    first = 0 if callable(size) else context.first // size
    stage, number, pool = combiner
    # checked here too: a stage may give items for a long time without asking the source for more
    lists = itertools.takewhile(lambda _: not stop.is_set(), grouped(items, size))
    yield from stage.outputs(lists, number, dataclasses.replace(context, unit="batch", first=first), pool)


def drawn(source: Iterable[Any], context: PipeContext, stop: threading.Event) -> Iterator[Any]:
    """The items of the source, until it ends or the run is stopped."""
    number = context.first
    loads = isinstance(source, Draws) and source.loaders is not None  # loaders may use the generator of their item
    seed_path = SeedPath(context.entropy, (0,))
    try:
        items = source.begin(context.first, context.entropy) if isinstance(source, Draws) else iter(source)
        for number in itertools.count(context.first):
            if loads:
                with use_item_rng(ItemRng(seed_path, number)):
                    found = [next(items, END)]
            else:
                found = [next(items, END)]
            if found[0] is END or stop.is_set():
                return
            yield found.pop()  # so that this frame does not keep the item alive
    except GeneratorExit:
        raise
    except BaseException as error:
        raise_with_note(error, "item", number, 0, source)


def _unchanged(error: BaseException, number: int, args: tuple[Any, ...]) -> BaseException:
    return error
