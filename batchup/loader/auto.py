"""``pool="auto"``: measure the first batches, then choose threads, processes, or no workers."""

from __future__ import annotations

import dataclasses
import math
import random
import statistics
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Literal, TypeAlias, TypeVar

import numpy as np

from ..engine.global_rng import global_rng, globals_kept
from ..engine.pulled import interrupted_error
from ..engine.trace import CHEAP, NOTHING_TO_GAIN
from ..errors import DataSourcePicklingError
from ..work_pool import AbstractWorkerPool, WorkerThreadPool
from .fetch import FetchJob, FetchResult
from .plan import Item

__all__ = ["AutoPool", "Choice", "Measured", "choice_of"]

T = TypeVar("T")

ALONE, TOGETHER = 4, 6  # batches that are measured in the loop, then in two threads; the first of each warms up
WORTH_A_PROCESS = 1e-3  # seconds of work for one batch
SCALES = 1.4  # threads help if batches in two threads take less than this times as long as alone
HARDLY = 1.8  # below this, threads help a little: they are used if processes are no option


@dataclasses.dataclass(frozen=True)
class Choice:
    """What ``pool="auto"`` chose.

    Attributes
    ----------
    pool : {None, "threads", "processes"}
    workers : int or None
    why : str
    """

    pool: Literal["threads", "processes"] | None
    workers: int | None
    why: str

    def __str__(self) -> str:
        one = {"threads": "thread", "processes": "process"}
        if self.pool is None:
            return f'pool="auto" took no workers: {self.why}'
        return f'pool="auto" took {self.workers} {self.pool if self.workers != 1 else one[self.pool]}: {self.why}'


def choice_of(
    alone: Sequence[float], together: Sequence[float], loop: float, draws: bool, cores: int, workers: int | None = None
) -> Choice:
    """Choose threads, processes or no workers, from these times.

    Parameters
    ----------
    alone : sequence of float
        The seconds that each batch took in the loop.
    together : sequence of float
        The same for batches in two threads at once; may be empty.
    loop : float
        The seconds that the loop needs for one batch.
    draws : bool
        Whether the batches need random numbers from global generators, which threads share.
    cores : int
    workers : int, optional
        The number of workers, if there are to be any.

    Examples
    --------
    >>> choice_of([0.02, 0.02], [0.021, 0.022], loop=0.01, draws=False, cores=8).pool
    'threads'
    >>> print(choice_of([0.0001], [], loop=0.01, draws=False, cores=8))
    pool="auto" took no workers: a batch takes 0.1 ms of work, about as long as handing it over
    """
    work = statistics.median(alone)
    times = f"a batch takes {_ms(work)} of work, and the loop {_ms(loop)}"
    if work < CHEAP:
        return Choice(None, None, f"a batch takes {_ms(work)} of work, about as long as handing it over")
    if work < NOTHING_TO_GAIN * loop:
        return Choice(None, None, f"{times}: there is nothing to gain")
    n = workers or min(cores, math.ceil(work / max(loop, 1e-9)) + 1)
    if draws:
        why = f"{times}; it draws from global generators, which threads would share"
        return Choice("processes", n, why) if work >= WORTH_A_PROCESS and cores > 1 else Choice(None, None, why)
    slower = statistics.median(together) / work if together else 1.0
    why = f"{times}; two at once take {slower:.1f} times as long as one"
    if slower < SCALES:
        return Choice("threads", n, why)
    if work >= WORTH_A_PROCESS and cores > 1:
        return Choice("processes", n, f"{why}, so threads wait for each other")
    return Choice("threads", n, why) if slower < HARDLY else Choice(None, None, f"{why}, so threads are no help")


class AutoPool:
    """What was measured so far, and what was chosen.

    Parameters
    ----------
    cores : int
    workers : int, optional
    """

    def __init__(self, cores: int, workers: int | None = None) -> None:
        self.choice: Choice | None = None
        self.draws = True  # assumed until it is measured
        self.has_drawn = False
        self._cores, self._workers = cores, workers
        self._alone: list[float] = []
        self._together: list[float] = []
        self._loop: list[float] = []
        self._trial: WorkerThreadPool | None = None

    def __str__(self) -> str:
        return 'pool="auto" measures the first batches' if self.choice is None else str(self.choice)

    def lacking(self) -> tuple[int, bool]:
        """The number of batches that are still to be measured, and whether in threads."""
        alone = ALONE - len(self._alone)
        if alone > 0:
            return alone, False
        needless = self.draws or self._choice().pool is None
        return (0 if needless else TOGETHER - len(self._together)), True

    def add(self, seconds: float, loop: float, in_threads: bool) -> None:
        """Note how long a batch took, and how long the loop worked after it."""
        if in_threads:
            self._together.append(seconds)
            return
        self._alone.append(seconds)
        self._loop.append(loop)
        self.draws = self.has_drawn or len(self._alone) < ALONE

    def decide(self) -> Choice:
        """Make the choice, which holds from now on."""
        self.close()
        self.choice = self._choice()
        return self.choice

    def decide_without_processes(self, error: Exception) -> Choice:
        """Choose no workers, as the source cannot be sent to processes."""
        self.choice = Choice(None, None, f"it cannot be sent to processes ({error})")
        return self.choice

    def trial(self) -> WorkerThreadPool:
        """A pool of two threads to measure with."""
        self._trial = self._trial or WorkerThreadPool(2)
        return self._trial

    def close(self) -> None:
        """End the threads of the trial."""
        trial, self._trial = self._trial, None
        if trial is not None:
            trial.close()

    def _choice(self) -> Choice:
        loop = statistics.median(self._loop[1:])
        return choice_of(self._alone[1:], self._together[1:], loop, self.draws, self._cores, self._workers)

    def reconsider(self) -> None:
        """Choose anew: a batch has drawn from global generators, although none of the measured ones did."""
        self.draws = self.has_drawn = True
        self.choice = None

    def noticing(self, job: FetchJob) -> Callable[[Item], FetchResult]:
        """The same job, for the thread of the loop. The global generators of the program stay as they were."""

        def fetched(item: Item) -> FetchResult:
            with globals_kept():
                if self.choice is None:
                    job.seed_globals_for(*item[1:])
                    before = _states()
                    result = job(item)
                    self.has_drawn = self.has_drawn or before != _states()
                    return result
                return job(item)

        return fetched


In: TypeAlias = Callable[[AbstractWorkerPool | None, Iterator[Item]], Iterator[FetchResult]]


class Measured(Iterator[FetchResult]):
    """The results of a loop. The first ones are made in different ways, to measure them; the rest in the best way.

    Parameters
    ----------
    auto : AutoPool
    items : iterator of items
    results : callable, ``results(pool, items)``
        The results of some items from a pool.
    chosen : callable, ``chosen(choice)``
        Makes the pool of a choice, and returns it.
    stages : int
        How many stages a fetch has. Behind the time that ends the last one, a result may have numbers of chunks.
    """

    def __init__(
        self,
        auto: AutoPool,
        items: Iterator[Item],
        results: In,
        chosen: Callable[[Choice], AbstractWorkerPool | None],
        stages: int,
    ) -> None:
        self._auto, self._items, self._in, self._chosen, self._stages = auto, items, results, chosen, stages
        self._held: FetchResult | None = None
        self._is_switching = False
        self._begin()

    def __next__(self) -> FetchResult:
        if self._is_switching:
            raise interrupted_error()
        self._learn()
        while True:
            for self._held in self._results:  # noqa: B020 - no call between the two: see engine.pulled
                return self._held
            if self._some is None or self._some.left:
                raise StopIteration
            self._is_switching = True  # _begin takes items from the plan; if interrupted, it is not known how many
            self._begin()
            self._is_switching = False

    def close(self) -> None:
        """End the loop; no more results will be requested."""
        if hasattr(self._results, "close"):
            self._results.close()

    def _begin(self) -> None:
        """Continue in the way that is to be measured next, or in the best one."""
        n, self._in_threads = self._auto.lacking()
        if n > 0:
            self._some: _Some[Item] | None = _Some(self._items, n)
            self._results = self._in(self._auto.trial() if self._in_threads else None, self._some)
            return
        choice = self._auto.choice or self._auto.decide()
        try:
            self._results = self._in(self._chosen(choice), self._items)
        except DataSourcePicklingError as error:
            self._results = self._in(self._chosen(self._auto.decide_without_processes(error)), self._items)
        self._some = None

    def _learn(self) -> None:
        """Note how long the last batch took, and how long the loop worked on it."""
        result = self._held
        if result is not None and self._some is not None:
            begun, ended = result[4][0], result[4][self._stages]
            self._auto.add(ended - begun, time.perf_counter() - ended, self._in_threads)
        self._held = None


class _Some(Iterator[T]):
    """The first `n` items, and how many of them are left."""

    def __init__(self, items: Iterable[T], n: int) -> None:
        self._items, self.left = iter(items), n

    def __next__(self) -> T:
        if not self.left:
            raise StopIteration
        item = next(self._items)
        self.left -= 1
        return item


def _states() -> tuple[Any, ...]:
    """The states of the global generators."""
    _, keys, *rest = global_rng().get_state(legacy=True)
    of_torch = getattr(sys.modules.get("torch"), "default_generator", None)
    state = None if of_torch is None else of_torch.get_state().numpy().tobytes()
    return np.asarray(keys).tobytes(), rest, random.getstate(), state


def _ms(seconds: float) -> str:
    return f"{1e3 * seconds:.2g} ms"
