"""One object per training run, iterated once per epoch."""

from __future__ import annotations

import itertools
import os
import sys
import warnings
import weakref
from collections.abc import Callable, Iterator, Mapping
from types import TracebackType
from typing import Any, Literal, Never, Self

import numpy as np

from ..data_source import Batch, BatchIterator
from ..data_source.combined import coerced
from ..data_source.replay import should_agree
from ..data_source.signatures import fingerprint
from ..engine.checks import no_keywords, whole
from ..engine.global_rng import globals_kept
from ..engine.pools import cores
from ..engine.position import Position
from ..engine.rng import entropy_of, rng_at
from ..engine.shuffle import Shuffle, as_rng
from ..engine.stream import WorkStream, seconds
from ..engine.trace import Trace, verdict
from ..errors import PoolClosedError, located
from ..work_pool import AbstractWorkerPool
from .arguments import found_shard, one_of, plain_seed, pool_of, seed_of, seed_of_plain, shard_of, world_of
from .fetch import FetchJob, FetchResult, Item
from .job import InTurn
from .loop import Loop, Run
from .plan import Last, Remainder, RunPlan
from .skipping import Skipped
from .stats import LoaderStats

__all__ = ["Loader"]

VERSION = 1
KEYWORDS = ["shuffle", "pool", "depth", "last", "shard", "remainder", "on_error", "max_skipped", "timeout"]


class Loader:
    """The batches of a whole training run: repeatable, resumable, and the same with any pool.

    Each ``for`` loop over it is one epoch, with an order of its own. A loop that is left early has ended its epoch: the
    next one begins the next epoch, unless a state was loaded.

    Parameters
    ----------
    source : data source
        One that fetches by index. Others can be iterated over, but not resumed, shared out or prepared by a pool.
    batch_size : int
        Samples per batch.
    shuffle : None, bool, int, SeedSequence, RandomState or Generator, default None
        A seed: the order of epoch e depends on the seed and on e, and nothing else. From a generator, or for True from
        NumPy's global one, a seed is drawn once, now. None and False keep the order.
    pool : None, "threads", "processes", int, or a pool, default None
        Who prepares the batches: nobody but the loop itself, as many threads or processes as there are cores, that many
        threads, or a pool of yours, which stays open when the loader is closed.
    depth : int, optional
        How many batches may be in preparation, or ready and not taken; by default twice the number of workers.
    last : {"keep", "drop", "pad", "wrap"}, default "keep"
        What becomes of a batch with fewer samples than the others. "pad" repeats its last sample, and gives every batch
        one more field, the boolean array ``valid`` (a tuple of one for each source, where these stand side by side and
        are not trimmed to one length); "wrap" fills it from the order of the next epoch.
    shard : (int, int) or "auto", optional
        ``(rank, world)``: all of `world` trainers draw one plan, and each takes every world-th batch of it. What is
        drawn takes a seed then, the same for all. "auto" asks ``torch.distributed`` or ``jax.distributed``, where it is
        initialised, and else the environment that torchrun, SLURM or Open MPI made; `repr` says which. Where nobody
        knows of other processes, it is as without a shard.
    remainder : {"drop", "pad", "uneven"}, default "drop"
        Where the number of batches is no multiple of `world`: leave out the last few; repeat some, so that all are
        given (with ``last="pad"`` as batches that are not valid); or let some ranks have one batch fewer.
    on_error : {"raise", "skip"}, default "raise"
        Whether a sample that cannot be fetched is an error, or is left out of its batch and noted in `skipped`.
    max_skipped : int, default 100
        How many samples may be left out.
    timeout : float, optional
        How many seconds a loop waits for one batch.

    Raises
    ------
    TooManySkipped
        While iterating, when more than `max_skipped` samples had to be left out.

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

    def __init__(
        self,
        source: Any,
        batch_size: int,
        *,
        shuffle: Shuffle = None,
        pool: Literal["threads", "processes"] | int | AbstractWorkerPool | None = None,
        depth: int | None = None,
        last: Last = "keep",
        shard: tuple[int, int] | Literal["auto"] | None = None,
        remainder: Remainder = "drop",
        on_error: Literal["raise", "skip"] = "raise",
        max_skipped: int = 100,
        timeout: float | None = None,
        **others: Never,
    ) -> None:
        no_keywords("Loader", others, KEYWORDS)
        self.source = coerced(source, "source")
        self.batch_size = whole("batch_size", batch_size)
        finds = isinstance(shard, str) and shard == "auto"
        found = found_shard() if finds else None
        self._shard_is_of = found[2] if found else ""
        self._plan = RunPlan(
            self.source.plan(self.batch_size),
            self.batch_size,
            as_rng(shuffle) is not None,
            one_of("last", last, Last),
            shard_of(found and found[:2] if finds else shard),
            one_of("remainder", remainder, Remainder),
        )
        self._seed, self._seed_is_given = seed_of(shuffle)
        if world_of(self._plan.shard) > 1 and self._plan.follows_the_seed():
            _should_be_a_seed(shuffle, self._seed_is_given)
        self._warned_of_ranks = False
        self._skips = one_of("on_error", on_error, Literal["raise", "skip"]) == "skip"
        self._timeout = seconds(timeout)
        self._depth = None if depth is None else whole("depth", depth)
        self._run = Run(Trace(self.source._stages), whole("max_skipped", max_skipped, least=0))
        if not self.source.is_random_access:
            self._should_be_plain(pool)
        self._shared: Any = None  # what stands for the job in the pool
        self._under_way: Callable[[], Loop | None] = lambda: None
        self._plan_is: str | None = None  # the fingerprint, once it was asked for
        self._pool, self._owns_pool = pool_of(pool)  # last: what is refused has started no workers

    @property
    def epoch(self) -> int:
        """The epoch that is under way, or comes next."""
        return self._run.epoch

    @property
    def step(self) -> int:
        """How many batches of this epoch were delivered."""
        return self._run.step

    @property
    def skipped(self) -> list[Skipped]:
        """The samples that were left out so far: epoch, step, index and error of each."""
        return self._run.skipped

    def __iter__(self) -> Iterator[Batch]:
        """The batches of one epoch: of the one whose state was loaded, from there on, or else of the next."""
        self._should_be_open()
        self._warn_of_other_ranks()
        self._run.begin()
        replays = self.source.is_random_access
        return self._loop(self._items(self._run.epoch, self._run.step) if replays else iter(()), self._run.epoch)

    def steps(self, n: int) -> Iterator[Batch]:
        """The next `n` batches, from where the loader is, across the borders of epochs.

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
        self._should_replay("has no plan to go on in")
        items = self._items_from(self._run.epoch, self._run.step)
        return self._loop(itertools.islice(items, whole("n", n, least=0)), None)

    def __len__(self) -> int:
        n = self._plan.length()
        if n is None or n == np.inf:
            why = "has no end" if n == np.inf else "ends when the source says so"
            raise TypeError(f"the loader has no len(): its epoch {why}; steps(n) gives so many batches")
        return int(n)

    def batch(self, epoch: int, step: int) -> Batch:
        """One batch of the run, fetched here and now. The loader stays where it is.

        Parameters
        ----------
        epoch, step : int
            Which one.

        Raises
        ------
        IndexError
            If the epoch has no such step.

        Examples
        --------
        >>> Loader([np.arange(5)], batch_size=2).batch(epoch=3, step=1)
        (array([2, 3]),)
        """
        self._should_replay("fetches no single batches")
        epoch = whole("epoch", epoch, least=0)
        item = next(self._items(epoch, whole("step", step, least=0)), None)
        if item is None:
            n = sum(1 for _ in self._items(epoch, 0))
            raise IndexError(f"step should be below {n}, the number of batches in epoch {epoch}, not {step}")
        with globals_kept():
            batch, *_, skipped = next(BatchIterator(self._job(self._noise()), iter([item]), located=_at_item))
        if batch is None:
            what = f"batch {step} of epoch {epoch}"
            raise ValueError(f"{what} should have a sample that can be fetched, but it has none: {skipped}")
        return batch

    def state_dict(self) -> dict[str, Any]:
        """Where the run is, as plain data of a few hundred bytes, for JSON. Batches count when they are delivered.

        Returns
        -------
        dict

        Raises
        ------
        TypeError
            If the source cannot be gone through again.
        """
        self._should_replay("has no state to go on from")
        shard = list(self._plan.shard) if self._plan.shard else None
        here = {"seed": plain_seed(self._seed), "epoch": self.epoch, "step": self.step, "shard": shard}
        return {**here, **self._parameters()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on at the exact next batch of the run that `state` was saved in.

        The pool, its workers and the depth may be others; of several trainers, all may load the state of one. Between
        two epochs, the number of trainers may be another, too.

        Raises
        ------
        ValueError
            If the state is of another run: other data, batch size, seed, …; it says which.
        """
        self._should_replay("has no state to go on from")
        should_agree(state, self._parameters(), ["seed", "epoch", "step", "shard"])
        position, seed, shard = Position.of_state(state), seed_of_plain(state["seed"]), shard_of(state["shard"])
        if self._seed_is_given:
            should_agree(state, {"seed": plain_seed(self._seed)}, [])
        if position.step and world_of(shard) != world_of(self._plan.shard):
            raise ValueError(
                f"the state is from within an epoch of {world_of(shard)} trainers, but here are "
                f"{world_of(self._plan.shard)}; their number can change between two epochs only"
            )
        self._seed = seed
        self._run.resume(position)
        self._end_the_loop()

    def _rewind(self, epoch: int, step: int) -> None:
        """Be at `step` of `epoch`, because whoever loops got no further, and the rest was only prefetched.

        For what wraps a loader and takes batches ahead of its own consumer. The next loop is over the next epoch, as
        after a loop that was left; `load_state_dict` is what goes on within an epoch.
        """
        self._end_the_loop()
        self._run.epoch, self._run.step = whole("epoch", epoch, least=0), whole("step", step, least=0)

    def to_torch(self, device: Any = None, pin_memory: bool | None = None, dtype: Any = None) -> Any:
        """The same batches as PyTorch's tensors, moved to a device ahead of the loop.

        Tensors share the memory of the arrays. Strings, objects, lists and numbers are left as they are.

        Parameters
        ----------
        device : torch.device or str, optional
            Where to move the batches to. Without one they stay on the CPU.
        pin_memory : bool, optional
            Whether to copy batches to pinned memory first. By default, where they are moved to a GPU. Without a GPU
            there is none, and nothing is said.
        dtype : torch.dtype, optional
            The type of floating-point tensors; others keep theirs.

        Returns
        -------
        TensorLoader or Prefetched
            Iterated as the loader is, with its state: that counts what the loop has got, not what was moved ahead.

        Raises
        ------
        ModuleNotFoundError
            If PyTorch is not installed.
        """
        from ..interop.torch import to_torch  # the one way up: what knows about frameworks is imported on use

        return to_torch(self, device, pin_memory, dtype, self._depth or 2)

    def stats(self) -> LoaderStats:
        """What was done so far, and where the time went.

        Returns
        -------
        LoaderStats
        """
        trace = self._run.trace
        pool = {"workers": 0} if self._pool is None else self._pool.engine.stats()
        return LoaderStats(
            trace.batches, trace.seconds, trace.waited, trace.busy, trace.of_stages(), len(self.skipped), **pool
        )

    def explain(self) -> str:
        """What limits the loop, and what would help, in one sentence.

        Examples
        --------
        >>> Loader([np.arange(5)], batch_size=2).explain()
        'no batch was delivered yet'
        """
        workers = 0 if self._pool is None else self._pool.engine.workers
        apart = self._pool is not None and self._pool.engine.isolated
        return verdict(self._run.trace, workers, "processes" if apart else "threads", cores())

    def plot(self, path: str | os.PathLike[str] | None = None) -> Any:
        """A picture of the last batches: when the loop waited, what each worker did, and how full the buffer was.

        Parameters
        ----------
        path : str or path, optional
            Where to save it.

        Returns
        -------
        matplotlib.figure.Figure
        """
        from .picture import timeline

        figure = timeline(self._run.trace)
        if path is not None:
            figure.savefig(path)
        return figure

    def close(self) -> None:
        """End the workers, if they are the loader's own. A loop that is under way ends with an error."""
        self._run.closed = True
        self._end_the_loop()
        if self._pool is not None and self._owns_pool:
            self._pool.close()

    def __repr__(self) -> str:
        at = f"epoch={self.epoch}, step={self.step}"
        if self._plan.shard:
            at += f", shard={self._plan.shard}" + (f" from {self._shard_is_of}" if self._shard_is_of else "")
        return f"<Loader over {type(self.source).__name__}: batch_size={self.batch_size}, {at}>"

    def __reduce__(self) -> Never:
        raise TypeError(
            "a Loader cannot be pickled or copied, as it stands for one run and has its workers: make another from the "
            "same source and arguments; state_dict() says where it is"
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _should_be_open(self) -> None:
        if self._run.closed:
            raise PoolClosedError("the loader is closed")

    def _loop(self, items: Iterator[Item], epoch: int | None) -> Iterator[Batch]:
        self._end_the_loop()
        self._run.trace.pause()
        loop = Loop(self._run, self._made(items), epoch)
        self._under_way = weakref.ref(loop)
        return loop

    def _end_the_loop(self) -> None:
        loop = self._under_way()
        if loop is not None:
            loop.close()

    def _items(self, epoch: int, step: int) -> Iterator[Item]:
        """The plan of one epoch, from `step` on."""
        for i, pick in enumerate(itertools.islice(self._plan.picks(self._seed, epoch), step, None), step):
            yield pick, epoch, i

    def _items_from(self, epoch: int, step: int) -> Iterator[Item]:
        """The plan of all epochs, from a place on."""
        for each in itertools.count(epoch):
            n = step if each == epoch else 0
            empty = n == 0
            for item in self._items(each, n):
                empty = False
                yield item
            if empty:
                raise ValueError(f"steps() should be over a source with batches, but epoch {each} has none")

    def _made(self, items: Iterator[Item]) -> Iterator[FetchResult]:
        if not self.source.is_random_access:
            return self._made_by_the_source()
        if self._pool is None:
            return BatchIterator(self._job(None), items, located=_at_item)
        engine = self._pool.engine
        job = self._shared = engine.share(self._job(self._noise()), self._shared)
        tasks = ((job, (item,)) for item in items)
        return WorkStream(engine, tasks, self._depth or 2 * engine.workers, self._timeout, _at_task)

    def _noise(self) -> int | None:
        """What seeds the global generators of workers, where they have some of their own."""
        seeded = self._pool is not None and self._pool.engine.isolated and self.source.traits.may_use_global_rng
        return entropy_of(self._seed) if seeded else None

    def _job(self, seed: int | None) -> FetchJob:
        return FetchJob(self.source, seed, self._plan.shard or (0, 1), self._skips)

    def _made_by_the_source(self) -> Iterator[FetchResult]:
        """For a source that gives its batches one after the other."""
        rng = {"shuffle": rng_at(self._seed, self._run.epoch)} if self._plan.shuffled else {}
        return InTurn(self.source.batch_iterator(self.batch_size, **rng), self._run.epoch)

    def _parameters(self) -> dict[str, Any]:
        """What a state and the loader that goes on from it have to agree in."""
        n = self.source.num_samples()
        plan = self._plan
        self._plan_is = self._plan_is or fingerprint(self._plan.plan.signature())
        return {
            "version": VERSION,
            "batch_size": self.batch_size,
            "length": None if n is None or n == np.inf else int(n),
            "shuffle": plan.shuffled,
            "last": plan.last,
            "remainder": plan.remainder,
            "plan": self._plan_is,
        }

    def _warn_of_other_ranks(self) -> None:
        """Say once that all ranks of a process group get the same batches, where nothing shares them out."""
        if self._plan.shard is None and not self._warned_of_ranks and "torch" in sys.modules:
            from ..interop.ranks import torch_rank

            ranks = torch_rank()
            if ranks is not None and ranks.world > 1:
                self._warned_of_ranks = True
                warnings.warn(
                    f'{ranks.world} ranks will get the same batches; pass shard="auto" to a Loader that is made after '
                    "init_process_group, or shard=(rank, world)",
                    stacklevel=3,
                )

    def _should_replay(self, what: str) -> None:
        if not self.source.is_random_access:
            raise TypeError(
                f"a loader over {type(self.source).__name__} {what}: its batches come one after the other, and "
                "cannot be gone through again; give a source that fetches by index"
            )

    def _should_be_plain(self, pool: Any) -> None:
        plan = self._plan
        given = {"pool": pool is not None, "last": plan.last != "keep", "shard": plan.shard is not None}
        given["shuffle"] = plan.shuffled and not self.source.traits.takes_shuffle
        for name in [name for name, is_given in {**given, "on_error": self._skips}.items() if is_given]:
            raise TypeError(
                f"{name} should be left out: {type(self.source).__name__} gives its batches one after the other, "
                "and this takes a source that fetches by index"
            )


def _should_be_a_seed(shuffle: Shuffle, is_one: bool) -> None:
    if not is_one:
        raise ValueError(
            f"with a shard, shuffle should be a seed (an int or a SeedSequence), not {shuffle!r}: the same seed for "
            "all trainers, or they may draw unlike orders, and repeat and miss samples"
        )


def _at_item(error: BaseException, number: int, item: Item) -> BaseException:
    pick, epoch, step = item
    return located(error, step, pick, epoch)


def _at_task(error: BaseException, number: int, args: tuple[Any, ...]) -> BaseException:
    return _at_item(error, number, args[0]) if args else error
