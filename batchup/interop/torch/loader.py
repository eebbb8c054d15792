"""PyTorch's ``DataLoader``, with batchup's workers, states and errors."""

from __future__ import annotations

import functools
import itertools
import weakref
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import torch
import torch.utils.data
from torch.utils.data import IterableDataset

from ...data_source import BatchIterator
from ...engine.checks import whole
from ...engine.closing import Closing
from ...engine.pools import Pool, ThreadPool, cores
from ...engine.stream import WorkStream
from ...engine.trace import Trace, verdict
from ...errors import located
from ...loader.loop import Loop, RunState
from ...loader.stats import LoaderStats
from ..prefetch import Ahead
from .fetch import IterableFetch, MapFetch, TakeFetch, Task, takes
from .order import Order, digest, globals_as
from .packing import unpacked
from .tensors import pinned
from .turns import Turns, counts_of

__all__ = ["DataLoader"]

VERSION = 1
LARGE = 1 << 20  # bytes of a batch from which on it is worth a thread to take it


class DataLoader(Closing, torch.utils.data.DataLoader):  # type: ignore[misc]
    """``torch.utils.data.DataLoader`` with batchup's workers: change the import, and keep the rest.

    The arguments, the order of the samples and the batches are those of PyTorch's. Beside it:

    * Workers start clean and stay until the loader is closed or collected.
    * What a dataset draws from `torch`, `random` and `numpy.random` depends on the batch, not on the number of workers.
    * `state_dict` and `load_state_dict` go on at the exact next batch, with any number of workers.
    * An error says which batch and which sample it was; a worker that dies is replaced.
    * `explain` says what limits the loop.

    Parameters
    ----------
    dataset : Dataset
        With samples by index, or an ``IterableDataset``.
    batch_size : int or None, default 1
        Samples per batch; None gives single samples.
    shuffle : bool, default False
        Whether to draw a new order for each epoch.
    sampler : Sampler or iterable, optional
        Says the order. It is asked in the main process.
    batch_sampler : Sampler or iterable, optional
        Gives lists of indices, one for each batch.
    num_workers : int, default 0
        How many processes make batches; with 0, the loop does.
    collate_fn : callable, optional
        Makes a batch of a list of samples. A lambda will do.
    pin_memory : bool, default False
        Whether to copy batches to pinned memory, ahead of the loop, where there is a GPU.
    drop_last : bool, default False
        Whether to leave out a last batch that is short.
    timeout : float, default 0
        How many seconds to wait for a batch; 0 waits for ever.
    worker_init_fn : callable, optional
        ``fn(worker_id)``, called once in each worker process.
    multiprocessing_context : str or context, optional
        "spawn" or "forkserver" change nothing, as workers start clean; "fork" is refused.
    generator : torch.Generator, optional
        Draws the order, and the seeds of workers.
    prefetch_factor : int, optional
        How many batches each worker makes ahead; 2 by default.
    persistent_workers : bool, default False
        Changes nothing: workers stay.
    pin_memory_device : str, optional
    in_order : bool, default True
        Batches come in order in any case.

    Raises
    ------
    ValueError, TypeError
        As PyTorch raises them; and for what cannot be had here: workers by fork, and data pipes.

    Examples
    --------
    >>> from torch.utils.data import TensorDataset
    >>> dataset = TensorDataset(torch.arange(5))
    >>> loader = DataLoader(dataset, batch_size=2, shuffle=True, generator=torch.Generator().manual_seed(7))
    >>> batches = iter(loader)
    >>> first, state = next(batches), loader.state_dict()
    >>> loader.load_state_dict(state)
    >>> [x for (x,) in loader]
    [tensor([0, 4]), tensor([2])]
    """

    def __init__(
        self,
        dataset: Any,
        batch_size: int | None = 1,
        shuffle: bool | None = None,
        sampler: Iterable[Any] | None = None,
        batch_sampler: Iterable[list[Any]] | None = None,
        num_workers: int = 0,
        collate_fn: Callable[[Any], Any] | None = None,
        pin_memory: bool = False,
        drop_last: bool = False,
        timeout: float = 0,
        worker_init_fn: Callable[[int], Any] | None = None,
        multiprocessing_context: Any = None,
        generator: Any = None,
        *,
        prefetch_factor: int | None = None,
        persistent_workers: bool = False,
        pin_memory_device: str = "",
        in_order: bool = True,
    ) -> None:
        _should_be_possible(dataset, multiprocessing_context)
        super().__init__(
            dataset,
            batch_size,
            shuffle,
            sampler,
            batch_sampler,
            num_workers,
            collate_fn,
            pin_memory,
            drop_last,
            timeout,
            worker_init_fn,
            multiprocessing_context,
            generator,
            prefetch_factor=prefetch_factor,
            persistent_workers=persistent_workers,
            pin_memory_device=pin_memory_device,
            in_order=in_order,
        )
        if timeout and not num_workers:
            raise ValueError(f"timeout should be 0 with num_workers=0, not {timeout}: nobody else makes the batches")
        self._epochs = _Epochs(self)

    @property
    def epoch(self) -> int:
        """The current epoch, or the next one."""
        return self._epochs.run.epoch

    @property
    def step(self) -> int:
        """How many batches of this epoch were delivered."""
        return self._epochs.run.step

    def __iter__(self) -> Iterator[Any]:
        """The batches of one epoch: of the one whose state was loaded, from there on, or else of the next."""
        return self._epochs.begin()

    def state_dict(self) -> dict[str, Any]:
        """Where the run is, as plain data. Batches count when they are delivered.

        Returns
        -------
        dict
        """
        return self._epochs.state_dict()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on at the exact next batch of the run that `state` was saved in, in the next loop.

        Raises
        ------
        ValueError
            If the state is of another run, or of another kind of loader; it says which.
        """
        self._epochs.load_state_dict(state)

    def resume(self) -> Iterator[Any]:
        """The rest of the current epoch, where a loop was interrupted, by an error or by Ctrl-C."""
        self.load_state_dict(self.state_dict())
        return iter(self)

    def stats(self) -> LoaderStats:
        """What was done so far, and where the time went.

        Returns
        -------
        LoaderStats
        """
        trace, pools = self._epochs.trace, self._epochs.pools
        counts = [pool.stats() for pool in pools] or [{"workers": 0}]
        summed = {name: sum(each[name] for each in counts) for name in counts[0]}
        return LoaderStats(trace.batches, trace.seconds, trace.waited, trace.busy, trace.of_stages(), 0, **summed)

    def explain(self) -> str:
        """What limits the loop, and what would help, in one sentence."""
        pools = self._epochs.pools
        kind = "processes" if any(pool.isolated for pool in pools) else "threads"
        said = verdict(self._epochs.trace, sum(pool.workers for pool in pools), kind, cores())
        return said.replace("a pool would", "num_workers would").replace("try pool=None", "try num_workers=0")

    def close(self) -> None:
        """End the workers. The next loop begins new ones."""
        self._epochs.close()

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_epochs": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self.__dict__["_epochs"] = _Epochs(self)


class _Epochs:
    """The run of a loader: its workers, and where it is.

    Parameters
    ----------
    loader : DataLoader
    """

    def __init__(self, loader: DataLoader) -> None:
        self._loader = weakref.proxy(loader)
        iterable = isinstance(loader.dataset, IterableDataset)
        name = getattr(loader.collate_fn, "__name__", type(loader.collate_fn).__name__)
        plain = not iterable and loader._auto_collation and loader.worker_init_fn is None
        self._take = takes(loader.dataset, loader.collate_fn) if plain else None
        stages = ("the take",) if self._take else (f"the samples of {type(loader.dataset).__name__}", name)
        self.trace = Trace(stages)
        self.run = RunState(self.trace, 0)
        self.pools: list[Pool] = []
        self._runs = itertools.count()
        as_tensors = self._take is not None and self._take.subset is None
        self._order = None if iterable else Order(loader._index_sampler, loader.generator, as_tensors)
        self._began: dict[str, Any] = {}  # what it takes to begin the epoch again
        self._drawn: deque[tuple[int, Any]] = deque()
        self._turns: Turns | None = None
        self._loaded: dict[str, Any] | None = None
        self._shared: Any = None  # what stands for the fetch in the pool, or in each of them
        self._pinning: ThreadPool | None = None

    def begin(self) -> Iterator[Any]:
        """A loop over the next epoch, or over the rest of the one whose state was loaded."""
        loaded, self._loaded = self._loaded, None
        epoch, step = self.run.epoch, self.run.step
        if loaded is None:
            epoch, step = (epoch + 1, 0) if step else (epoch, 0)
        self.run = self._run_at(epoch, step)
        self.trace.pause()
        made = self._made_in_turns(loaded) if self._order is None else self._made(self._order, loaded)
        if not self._loader.pin_memory or not torch.accelerator.is_available():
            return Loop(self.run, made, epoch)
        ahead = self._run_at(epoch, step)  # of what was pinned; `run` says what was delivered
        self._pinning = self._pinning or ThreadPool(1)
        where = functools.partial(_place, ahead)
        return Ahead(self._pinning, Loop(ahead, made, epoch), where, pinned, 2, functools.partial(_move_to, self.run))

    def _run_at(self, epoch: int, step: int) -> RunState:
        run = RunState(self.trace, 0)
        run.epoch, run.step = epoch, step
        return run

    def close(self) -> None:
        pools, self.pools, self._shared = self.pools, [], None
        pinning, self._pinning = self._pinning, None
        for pool in [*pools, *([pinning] if pinning else [])]:
            pool.close()

    def state_dict(self) -> dict[str, Any]:
        if self._loaded is not None:
            return dict(self._loaded)
        run, within = self.run, bool(self._began) and self.run.epoch == self._began["epoch"]
        state: dict[str, Any] = {"version": VERSION, "epoch": run.epoch, "step": run.step, **self._parameters()}
        state["seed"] = self._began["seed"] if within else None
        if self._order is None:
            ended = list(self._turns.ended) if within and self._turns else []
            return {**state, "workers": self._workers, "ended": ended}
        state["order"] = self._began["order"] if within else self._order.state(begun=False)
        last = next((pick for step, pick in self._drawn if step == run.step - 1), None) if within else None
        return {**state, "last": None if last is None else digest(last)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        _should_be_ours(state)
        for name, here in self._parameters().items():
            if state.get(name) != here:
                raise ValueError(f"the state has {name}={state.get(name)!r}, but here it is {here!r}")
        if self._order is None and state["step"] and state["workers"] != self._workers:
            raise ValueError(
                f"the state is from within an epoch with num_workers={state['workers']}, not {self._workers}: how an "
                "IterableDataset is shared out depends on them; their number can change between two epochs"
            )
        self._loaded = dict(state)
        self.run = self._run_at(whole("epoch", state["epoch"], least=0), whole("step", state["step"], least=0))
        if self._order is not None:
            self._order.restore(state["order"])

    @property
    def _workers(self) -> int:
        return int(self._loader.num_workers)

    def _parameters(self) -> dict[str, Any]:
        """What a state and the loader that goes on from it have to agree in."""
        loader = self._loader
        n = len(loader.dataset) if self._order is not None and hasattr(loader.dataset, "__len__") else None
        size = getattr(loader.batch_sampler, "batch_size", None) if loader.batch_size is None else loader.batch_size
        kind = "iterable" if self._order is None else "map"
        return {"kind": kind, "batch_size": size, "drop_last": loader.drop_last, "length": n}

    def _made(self, order: Order, loaded: Mapping[str, Any] | None) -> Iterator[Any]:
        """What was made for the picks of an epoch."""
        picks, seed = self._picks(order, loaded)
        depth = max(1, (self._loader.prefetch_factor or 0) * self._workers)
        drawn = self._drawn = deque(maxlen=depth + 8)
        tasks = _tasks(picks, Task(None, self.run.epoch, self.run.step, seed, _rank()), drawn)
        fetch = self._take or self._map_fetch()
        engine = self._engine(fetch)
        if engine is None:
            return BatchIterator(lambda task: fetch(*task), tasks, located=_at)
        job = self._shared = engine.share(fetch, self._shared)
        stream = WorkStream(engine, ((job, tuple(task)) for task in tasks), depth, self._loader.timeout or None, _at)
        return map(_unpacked, stream) if engine.isolated else stream

    def _picks(self, order: Order, loaded: Mapping[str, Any] | None) -> tuple[Iterator[Any], int]:
        epoch = self.run.epoch
        if loaded is None or loaded["seed"] is None:
            before = order.state(begun=True)
            picks, seed = order.begin()
            self._began = {"epoch": epoch, "seed": seed, "order": before}
            return picks, seed
        self._began = {"epoch": epoch, "seed": loaded["seed"], "order": loaded["order"]}
        with globals_as(loaded["order"]["global"]):
            picks, seed = order.begin()
            skipped = deque(itertools.islice(picks, self.run.step), maxlen=1)
            following = list(itertools.islice(picks, 1))  # it may draw from the global generators only now
        if self.run.step and (not skipped or digest(skipped[0]) != loaded["last"]):
            raise ValueError(
                f"the sampler gave other batches than when the state was saved: its order does not follow from the "
                f"generators that PyTorch, NumPy and Python have; give {type(order.samplers[-1]).__name__} methods "
                "state_dict and load_state_dict, or a seed"
            )
        return itertools.chain(following, picks), seed

    def _map_fetch(self) -> MapFetch:
        loader = self._loader
        return MapFetch(loader.dataset, loader.collate_fn, self._workers, loader.worker_init_fn, loader._auto_collation)

    def _engine(self, fetch: Any) -> Pool | None:
        """The pool to work in; None where the loop itself does."""
        if not self._workers:
            return None
        threads = isinstance(fetch, TakeFetch)
        if threads and fetch.sample_bytes * (self._parameters()["batch_size"] or 1) < LARGE:
            return None
        if not self.pools:
            self.pools = [ThreadPool(self._workers) if threads else _processes(self._workers)]
        return self.pools[0]

    def _made_in_turns(self, loaded: Mapping[str, Any] | None) -> Iterator[Any]:
        """What the workers make of an iterable dataset, one after the other."""
        loader, run = self._loader, self.run
        seed = None if loaded is None else loaded["seed"]
        drawn = int(torch.empty((), dtype=torch.int64).random_(generator=loader.generator).item())
        seed = drawn if seed is None else seed
        self._began = {"epoch": run.epoch, "seed": seed}
        ended = [None] * max(1, self._workers) if loaded is None or not loaded["ended"] else list(loaded["ended"])
        fetch = IterableFetch(
            loader.dataset,
            loader.collate_fn,
            self._workers,
            loader.worker_init_fn,
            loader.batch_size if loader._auto_collation else None,
            loader.drop_last,
        )
        begin = Task(None, run.epoch, 0, seed, _rank(), next(self._runs))
        counts = counts_of(run.step, ended)
        streams = [self._stream(fetch, begin._replace(worker=i), n) for i, n in enumerate(counts)]
        self._turns = Turns(streams, run.step, ended)
        return self._turns

    def _stream(self, fetch: IterableFetch, begin: Task, number: int) -> Iterator[Any]:
        tasks = (begin._replace(pick=n, step=n) for n in itertools.count(number))
        if not self._workers:
            return BatchIterator(lambda task: fetch(*task), tasks, located=_at_number)
        while len(self.pools) < self._workers:
            self.pools.append(_processes(1))
        engine = self.pools[begin.worker]
        if begin.worker == 0:
            self._shared = [None] * self._workers if self._shared is None else self._shared
        job = self._shared[begin.worker] = engine.share(fetch, self._shared[begin.worker])
        depth, timeout = max(1, self._loader.prefetch_factor), self._loader.timeout or None
        return map(_unpacked, WorkStream(engine, ((job, tuple(task)) for task in tasks), depth, timeout, _at_number))


def _tasks(picks: Iterator[Any], first: Task, drawn: deque[tuple[int, Any]]) -> Iterator[Task]:
    for step, pick in enumerate(picks, first.step):
        drawn.append((step, pick))
        yield first._replace(pick=pick, step=step)


def _place(run: RunState) -> tuple[int, int]:
    return run.epoch, run.step


def _move_to(run: RunState, epoch: int, step: int) -> None:
    run.epoch, run.step = epoch, step


def _processes(n: int) -> Pool:
    from ...engine.process.pool import ProcessPool  # joblib and the rest are imported where they are used

    return ProcessPool(n)


def _unpacked(result: Any) -> Any:
    return (unpacked(result[0]), *result[1:]) if result else result


def _rank() -> int:
    """So that the ranks of a run draw different random numbers, although they have one seed."""
    distributed = torch.distributed
    return distributed.get_rank() if distributed.is_available() and distributed.is_initialized() else 0


def _at(error: BaseException, number: int, task: Any) -> BaseException:
    of = Task(*task)
    pick = of.pick.tolist() if isinstance(of.pick, torch.Tensor) else of.pick
    return located(error, of.step, pick, of.epoch)


def _at_number(error: BaseException, number: int, task: Any) -> BaseException:
    of = Task(*task)
    error.add_note(f"while making batch {of.pick} of worker {of.worker} in epoch {of.epoch}")
    return error


def _should_be_possible(dataset: Any, context: Any) -> None:
    method = context if isinstance(context, str) else getattr(context, "get_start_method", lambda: None)()
    if method == "fork":
        raise ValueError(
            "multiprocessing_context should be left out: workers start clean here, and are never forked; what they "
            "need is pickled, and sent once"
        )
    pipes = torch.utils.data
    if isinstance(dataset, (pipes.IterDataPipe, pipes.MapDataPipe)):
        raise TypeError(
            f"dataset should be a Dataset or an IterableDataset, not the data pipe {type(dataset).__name__}: for "
            "those, use torch.utils.data.DataLoader"
        )


def _should_be_ours(state: Mapping[str, Any]) -> None:
    """Refuse states of other loaders, with the reason."""
    if "version" in state and "kind" in state and "order" in {**state, "order": None}:
        if state["version"] != VERSION:
            raise ValueError(f"the state is of version {state['version']}, but this batchup knows {VERSION}")
        return
    if any(str(name).startswith(("_snapshot", "_sampler_iter", "_num_yielded", "_index_sampler")) for name in state):
        raise ValueError(
            "the state is one of torchdata's StatefulDataLoader: it says how far the workers of that loader were, not "
            "which batches came; begin the epoch anew, or load it in a StatefulDataLoader"
        )
    raise ValueError(f"the state should be one of this DataLoader's state_dict(); it has the entries {sorted(state)}")
