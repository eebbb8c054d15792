"""The loader: one object for a training run, with one loop per epoch."""

from __future__ import annotations

import dataclasses
import weakref
from collections.abc import Callable, Iterator, Mapping
from typing import Any, ClassVar, Literal, Never

import numpy as np

from ..data_source import Batch, BatchIterator
from ..data_source.coerce import as_data_source
from ..data_source.interface import warn_of_own_batches
from ..data_source.signatures import fingerprint
from ..engine.checks import no_keywords, whole
from ..engine.fixed import MAKE_A_NEW_ONE, Fixed
from ..engine.global_rng import drawn_seed, globals_kept
from ..engine.position import Position
from ..engine.rng import rng_at
from ..engine.shuffle import Shuffle, as_rng
from ..engine.stream import seconds
from ..engine.trace import Trace
from ..errors import PoolClosedError
from ..work_pool import AbstractWorkerPool
from . import state as run_state
from .arguments import (
    check_option,
    check_seed,
    check_sequential,
    check_shard,
    check_workers,
    choose_seed,
    found_shard,
    warned_of_other_ranks,
)
from .changes import Changes
from .chunks import ChunkReads
from .conversions import Conversions
from .fetch import FetchResult, at_item
from .in_turn import InTurn
from .loop import Loop, RunState, Wanted, WithoutSamples, none_could_be_fetched
from .plan import Item, Last, Remainder, RunPlan
from .settable import Settable
from .skipping import Skipped
from .stats import Reports
from .workers import LoaderWorkers

__all__ = ["Loader"]

KEYWORDS = [
    *("shuffle", "pool", "depth", "last", "shard", "remainder", "on_error", "max_skipped", "timeout"),
    *("workers", "worker_init", "weights"),
]


class Loader(Fixed, Settable, Conversions, Reports):
    """The batches of a whole training run: reproducible, resumable, and the same with any pool.

    Each ``for`` loop over the loader is one epoch, shuffled anew. If you break out of a loop, its epoch has ended: the
    next loop is the next epoch, unless you loop over `resume`, or load a state.

    Parameters
    ----------
    source : data source
        A source that fetches samples by index. A sequential source works, too, but cannot be resumed, sharded or
        prefetched by a pool.
    batch_size : int or callable, ``batch_size(epoch) -> int``
        Samples per batch. A function of the epoch should depend on nothing else.
    shuffle : None, bool, int, SeedSequence, RandomState or Generator, default None
        With an int or a `SeedSequence` as seed, the order of each epoch depends only on the seed and the number of the
        epoch. A generator draws such a seed once, when the loader is made; with True, NumPy's global generator does.
        None and False keep the order.
    pool : None, "threads", "processes", "auto", int, a pool, or an executor, default None
        What prefetches the batches. "threads" or "processes": one worker per core, or `workers`. "auto" measures the
        first batches, and takes what suits them; `explain` says what and why. An int: that many threads. A pool of your
        own, or an executor (see `WorkerPool.over`), stays open when the loader is closed. None: the loop itself fetches
        each batch when it needs it.
    depth : int, optional
        How many batches may be in flight: being fetched, or ready and not yet taken. By default twice the number of
        workers.
    last : {"keep", "drop", "pad", "wrap"}, default "keep"
        What to do with a batch that has fewer samples than the others. "keep" gives it as it is, "drop" leaves it out.
        "pad" fills it with repeats of its last sample, and adds a field to every batch: the boolean array ``valid``
        (for a composite that does not trim, a tuple with one array per source). "wrap" fills it with the first samples
        of the next epoch.
    shard : (int, int) or "auto", optional
        ``(rank, world_size)``, for training with several ranks. Each rank gets every world_size-th batch of the same
        epoch, starting from batch number `rank`. Random orders need the same seed on all ranks. "auto" asks
        ``torch.distributed`` or ``jax.distributed`` if it is initialised, else the environment that torchrun, SLURM or
        Open MPI set; `repr` says which. If none of them has a rank, there is no shard.
    remainder : {"drop", "pad", "uneven"}, default "drop"
        What to do with the leftover batches at the end of an epoch, if the number of batches is not a multiple of the
        world size. "drop" leaves them out, so by default their samples do not come in this epoch. "pad" gives all of
        them and repeats some, so that all ranks have the same number of batches (with ``last="pad"``, no sample of the
        repeats is ``valid``). "uneven" gives all of them, so some ranks have one batch fewer.
    on_error : {"raise", "skip"}, default "raise"
        What to do with a sample that cannot be fetched: raise its error, or leave the sample out of its batch and list
        it in `skipped`. A batch without any good sample is left out; with a shard, unless `remainder` is "uneven", one
        of the next epoch takes its place (with ``last="pad"`` none of it is ``valid``), so that all ranks have the same
        number of batches.
    max_skipped : int, default 100
        How many different samples may be left out in the whole run, even if it is resumed.
    timeout : float, optional
        How many seconds a loop may wait for one batch. After that it raises a `BatchTimeoutError`.
    workers : int, optional
        The number of workers, if `pool` is "threads", "processes" or "auto".
    worker_init : callable, optional
        With ``pool="processes"``: each worker calls ``worker_init()`` when it starts.
    weights : callable, ``weights(epoch) -> array``, optional
        The weights of each epoch, in place of those of the sampler of the source. It should depend on nothing but the
        epoch; for weights that follow from the training, see `set_weights`.

    Raises
    ------
    TooManySkipped
        While iterating, if more than `max_skipped` samples cannot be fetched.

    Examples
    --------
    >>> from batchup import ArrayDataSource
    >>> loader = Loader(ArrayDataSource([np.arange(5)]), batch_size=2, shuffle=7)
    >>> for epoch in range(2):
    ...     print([x.tolist() for (x,) in loader])
    [[1, 4], [3, 2], [0]]
    [[3, 4], [0, 1], [2]]
    >>> state = loader.state_dict()
    >>> [x.tolist() for (x,) in loader]
    [[4, 3], [2, 0], [1]]
    >>> loader.load_state_dict(state)
    >>> [x.tolist() for (x,) in loader]
    [[4, 3], [2, 0], [1]]
    """

    _fixed: ClassVar[Mapping[str, str]] = {
        **dict.fromkeys(["source", *KEYWORDS], MAKE_A_NEW_ONE),
        "batch_size": "set_batch_size changes it from the next epoch on",
        "weights": "set_weights changes them from the next epoch on",
        **dict.fromkeys(["epoch", "step"], "load_state_dict moves to another position"),
        "skipped": "load_state_dict goes back to what was left out until then",
    }

    def __init__(
        self,
        source: Any,
        batch_size: int | Callable[[int], int],
        *,
        shuffle: Shuffle = None,
        pool: Literal["threads", "processes", "auto"] | int | AbstractWorkerPool | None = None,
        depth: int | None = None,
        last: Last = "keep",
        shard: tuple[int, int] | Literal["auto"] | None = None,
        remainder: Remainder = "drop",
        on_error: Literal["raise", "skip"] = "raise",
        max_skipped: int = 100,
        timeout: float | None = None,
        workers: int | None = None,
        worker_init: Callable[[], Any] | None = None,
        weights: Callable[[int], Any] | None = None,
        **others: Never,
    ) -> None:
        no_keywords("Loader", others, KEYWORDS)
        self.source = as_data_source(source, "source")
        warn_of_own_batches(self.source, "a Loader", stacklevel=3)
        self._changes = Changes.of(self.source, batch_size, weights)
        size = whole("batch_size", batch_size(0) if callable(batch_size) else batch_size)
        finds = isinstance(shard, str) and shard == "auto"
        found = found_shard() if finds else None
        self._shard_is_of = found[2] if found else ""
        self._plan = RunPlan(
            self.source.plan(size).lazy(),
            size,
            as_rng(shuffle) is not None,
            check_option("last", last, Last),
            check_shard(found and found[:2] if finds else shard),
            check_option("remainder", remainder, Remainder),
            self._changes.if_any(),
        )
        self._plan.length()  # raises if the functions of the epoch do not fit the source
        self._seed, self._seed_is_given = choose_seed(shuffle)
        self._warned_of_ranks = False
        check_seed(shuffle, self._plan, self._seed_is_given)
        skips = check_option("on_error", on_error, Literal["raise", "skip"]) == "skip"
        timeout, depth = seconds(timeout), None if depth is None else whole("depth", depth)
        self._chunks = ChunkReads(self.source)
        trace = Trace(self.source._stages, on_chunks=self._chunks.note)
        self._run = RunState(trace, whole("max_skipped", max_skipped, least=0))
        check_sequential(self.source, self._plan, pool, skips)
        self._current_loop: Callable[[], Loop | None] = lambda: None  # a weak reference
        self._fingerprint: str | None = None  # of the plan, computed when it is needed
        workers = check_workers(pool, workers, worker_init)
        self._workers = LoaderWorkers(
            self.source, self._plan.shard, skips, pool, workers, worker_init, depth, timeout
        )  # last, so that wrong arguments start no workers
        if not self._plan.shuffled and (self._plan.plan.draws or self._workers.draws):
            self._seed = drawn_seed()  # so that two loaders differ, and numpy.random.seed determines both
        self._fix()

    @property
    def epoch(self) -> int:
        """The number of the current epoch, or of the next one between two epochs."""
        return self._run.epoch

    @property
    def step(self) -> int:
        """The number of batches of this epoch that were delivered."""
        return self._run.step

    @property
    def skipped(self) -> list[Skipped]:
        """The samples that were left out so far, each once: when it failed first, its index and its error."""
        return self._run.skipped

    def __iter__(self) -> Iterator[Batch]:
        """The batches of the next epoch; after `load_state_dict`, the rest of the epoch of the state."""
        self._should_be_open()
        if self._plan.shard is None and not self._warned_of_ranks:
            self._warned_of_ranks = warned_of_other_ranks()
        self._run.begin()
        epoch, step, n = self._run.epoch, self._run.step, self._plan.length(self._run.epoch)
        left = None if n is None or n == np.inf else max(0, int(n) - step)
        items = self._plan.items(self._seed, epoch, step) if self.source.is_random_access else iter(())
        return self._loop(items, epoch, left, self._filling if self._plan.has_equal_ranks else None)

    def steps(self, n: int) -> Iterator[Batch]:
        """The next `n` batches from the current position, across the ends of epochs.

        Parameters
        ----------
        n : int

        Returns
        -------
        iterator of batches

        Examples
        --------
        >>> loader = Loader([np.arange(3)], batch_size=2)
        >>> [x.tolist() for (x,) in loader.steps(3)]
        [[0, 1], [2], [0, 1]]
        >>> [x.tolist() for (x,) in loader.steps(2)]
        [[2], [0, 1]]
        """
        self._should_be_open()
        self._should_replay("has no steps()")
        n = whole("n", n, least=0)
        wanted = Wanted(self._plan.items_from(self._seed, self._run.epoch, self._run.step), n)
        return self._loop(wanted, None, n, self._filling if self._plan.has_equal_ranks else wanted.one_more)

    def __len__(self) -> int:
        """The number of batches in an epoch; for a rank, of its own."""
        n = self._plan.length(self._epoch_at_hand())
        if n is None or n == np.inf:
            why = "has no end" if n == np.inf else "ends when the source says so"
            raise TypeError(f"the loader has no len(): its epoch {why}; steps(n) gives n batches")
        return int(n)

    def batch(self, epoch: int, step: int) -> Batch:
        """Fetch a single batch of the run. The position of the loader does not change.

        Parameters
        ----------
        epoch, step : int
            The numbers of the epoch, and of the batch in it.

        Raises
        ------
        IndexError
            If the epoch has fewer batches.

        Examples
        --------
        >>> Loader([np.arange(5)], batch_size=2).batch(epoch=3, step=1)
        (array([2, 3]),)
        """
        self._should_replay("fetches no single batches")
        epoch = whole("epoch", epoch, least=0)
        item = next(self._plan.items(self._seed, epoch, whole("step", step, least=0)), None)
        if item is None:
            n = sum(1 for _ in self._plan.items(self._seed, epoch))
            raise IndexError(f"step should be below {n}, the number of batches in epoch {epoch}, not {step}")
        with globals_kept():
            batch, *_, skipped = next(BatchIterator(self._workers.job(self._seed), iter([item]), located=at_item))
        if batch is None and self._plan.has_equal_ranks:
            batch = self._filling(epoch, step)
        if batch is None:
            what = f"batch {step} of epoch {epoch}"
            raise ValueError(f"{what} should have a sample that can be fetched, but it has none: {skipped}")
        return batch

    def state_dict(self) -> dict[str, Any]:
        """The state of the run: a few hundred bytes of plain data for JSON. Batches count when they are delivered.

        Returns
        -------
        dict

        Raises
        ------
        TypeError
            If the source is sequential, so that it cannot be replayed.
        """
        self._should_replay("has no state to resume from")
        return self._state_at(self.epoch, self.step)

    def _state_at(self, epoch: int, step: int) -> dict[str, Any]:
        run, shard = self._run, self._plan.shard
        state = run_state.save(self._parameters(epoch), self._seed, epoch, step, shard, run.failing)
        return {**state, **self._changes.state(epoch)}

    def _state_of_next_epoch(self) -> dict[str, Any]:
        """The state at the beginning of the next epoch: for trainers that stop asking after the last batch of one."""
        return self._state_at(self.epoch + 1, 0)

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Resume a run at the exact next batch after `state` was saved. This replays the shuffle; no data is loaded.

        The pool, its number of workers and `depth` may differ. With several ranks, all can load the state of one of
        them. A state from between two epochs can be loaded with another world size.

        Raises
        ------
        ValueError
            If the state is of another run: other data, batch size, seed, …. The error says which.
        """
        self._should_replay("has no state to resume from")
        seed, epoch = self._seed if self._seed_is_given else None, run_state.epoch_of(state)
        changes = self._changes.restored(state, epoch)
        plan = dataclasses.replace(self._plan, changes=changes.if_any())
        position, self._seed, failing = run_state.restore(state, self._parameters(epoch), seed, plan)
        self._plan, self._changes = plan, changes
        self._run.resume(position, failing)
        self._end_the_loop()

    def resume(self) -> Iterator[Batch]:
        """The rest of the current epoch: use it where a loop was interrupted, by an error or by Ctrl-C.

        Returns
        -------
        iterator of batches
            From the first batch on that was not delivered. Between two epochs, all of the next epoch.

        Examples
        --------
        >>> loader = Loader([np.arange(5)], batch_size=2)
        >>> for (x,) in loader:
        ...     break
        >>> [x.tolist() for (x,) in loader.resume()]
        [[2, 3], [4]]
        """
        self._should_replay("has no resume()")
        self._rewind(self.epoch, self.step)
        self._run.resume(Position(self.epoch, self.step), self._run.failing)
        return iter(self)

    def _rewind(self, epoch: int, step: int) -> None:
        """Move back to `step` of `epoch`, which is as far as the consumer has got; the rest was only prefetched.

        For objects that wrap a loader and take batches ahead of their own consumer. The next loop is over the next
        epoch, as after a `break`; use `load_state_dict` or `resume` to continue within an epoch.
        """
        self._end_the_loop()
        self._run.epoch, self._run.step = whole("epoch", epoch, least=0), whole("step", step, least=0)

    def close(self) -> None:
        """End the workers, unless the pool is your own. A loop that still runs gets a `PoolClosedError`."""
        self._run.closed = True
        self._end_the_loop()
        self._workers.close()

    def __repr__(self) -> str:
        order = f"seed={self._seed}" if self._plan.shuffled else "in order"
        at = f"{order}, epoch={self.epoch}, step={self.step}, {self._workers}"
        at += ", closed" if self._run.closed and not at.endswith(", closed") else ""
        if self._plan.shard:
            at += f", shard={self._plan.shard}" + (f" from {self._shard_is_of}" if self._shard_is_of else "")
        return f"<Loader over {self.source!r}: batch_size={self.batch_size}, {at}>"

    def __reduce__(self) -> Never:
        raise TypeError(
            "a Loader cannot be pickled or copied, since it is one run with its workers: make another one with the "
            "same source and arguments; state_dict() holds its position"
        )

    def _should_be_open(self) -> None:
        if self._run.closed:
            raise PoolClosedError("the loader is closed")

    def _loop(
        self, items: Iterator[Item], epoch: int | None, n: int | None, filling: WithoutSamples | None
    ) -> Iterator[Batch]:
        self._end_the_loop()
        self._run.trace.pause()
        loop = Loop(self._run, self._results(items), epoch, n, filling, self._why_empty)
        self._current_loop = weakref.ref(loop)
        return loop

    def _why_empty(self) -> str | None:
        return self._plan.at(self._run.epoch).why_empty(self.source.num_samples())

    def _filling(self, epoch: int, step: int) -> Batch:
        """A batch in place of one without any sample left, so that all ranks have the same number of batches."""
        for item in self._plan.fillings(self._seed, epoch, step):
            batch, *_ = next(self._results(iter([item])))
            if batch is not None:
                return batch
        raise none_could_be_fetched(epoch + 1, next(reversed(self.skipped), None))

    def _end_the_loop(self) -> None:
        loop = self._current_loop()
        if loop is not None:
            loop.close()

    def _results(self, items: Iterator[Item]) -> Iterator[FetchResult]:
        """The results of the fetch for each item, from the workers if there are any."""
        return self._workers.results(items, self._seed) if self.source.is_random_access else self._sequential_results()

    def _sequential_results(self) -> Iterator[FetchResult]:
        """The same for a sequential source."""
        rng = {"shuffle": rng_at(self._seed, self._run.epoch)} if self._plan.shuffled else {}
        return InTurn(self.source.batch_iterator(self.batch_size, **rng), self._run.epoch)

    def _parameters(self, epoch: int) -> dict[str, Any]:
        self._fingerprint = self._fingerprint or fingerprint(self._plan.plan.signature())
        fixed = run_state.parameters(self.source, self._plan, self._fingerprint)
        return {**fixed, **self._changes.parameters(epoch)}

    def _should_replay(self, what: str) -> None:
        if not self.source.is_random_access:
            raise TypeError(
                f"a loader over {type(self.source).__name__} {what}: its batches come one after the other, and "
                "cannot be replayed; give a source that fetches by index"
            )
