"""The run of a `DataLoader`: its epochs, its workers and its state."""

from __future__ import annotations

import functools
import itertools
import weakref
from collections import deque
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch.utils.data import IterableDataset

from ...data_source import BatchIterator
from ...data_source.replay import saved_by
from ...engine.checks import whole
from ...engine.pools import Pool, ThreadPool
from ...engine.stream import WorkStream
from ...engine.trace import Trace
from ...errors import located
from ...loader.loop import Loop, RunState
from ...version import __version__
from ..prefetch import Ahead
from .fetch import IterableFetch, MapFetch, TakeFetch, Task, takes
from .order import Order, digest, globals_as
from .packing import unpacked
from .tensors import pinned
from .turns import Turns, counts_of

__all__ = ["Epochs"]

VERSION = 1
LARGE = 1 << 20  # bytes of a batch; larger ones are received in a thread


class Epochs:
    """The run of a loader: its workers and its position.

    Parameters
    ----------
    loader : DataLoader
        It refers to this run, so the run holds a weak reference.
    """

    def __init__(self, loader: Any) -> None:
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
        self._began: dict[str, Any] = {}  # what is needed to begin the epoch again
        self._drawn: deque[tuple[int, Any]] = deque()
        self._turns: Turns | None = None
        self._loaded: dict[str, Any] | None = None  # as long as nothing came after it
        self._shared: Any = None  # what stands for the fetch in the pool, or in each of them
        self._pinning: ThreadPool | None = None

    def begin(self) -> Iterator[Any]:
        """A loop over the next epoch; after a state was loaded, over the rest of its epoch.

        Whoever begins twice before the first batch, as Lightning does, gets the same loop twice.
        """
        loaded, epoch, step = self._still_loaded(), self.run.epoch, self.run.step
        if loaded is None:
            epoch, step = (epoch + 1, 0) if step else (epoch, 0)
        elif self._order is not None:
            self._order.restore(loaded["order"])
        self.run = self._run_at(epoch, step)
        self.trace.pause()
        made = self._made_in_turns(loaded) if self._order is None else self._made(self._order, loaded)
        if not self._loader.pin_memory or not torch.accelerator.is_available():
            return Loop(self.run, made, epoch, self._left(step))
        ahead = self._run_at(epoch, step)  # of what was pinned; `run` says what was delivered
        self._pinning = self._pinning or ThreadPool(1)
        where = functools.partial(_place, ahead)
        return Ahead(
            self._pinning,
            Loop(ahead, made, epoch, self._left(step)),
            where,
            pinned,
            2,
            functools.partial(_move_to, self.run),
        )

    def _left(self, step: int) -> int | None:
        """The number of batches that are left in an epoch; None if it is not known."""
        if self._order is None:
            return None
        try:
            return max(0, len(self._loader) - step)
        except (TypeError, NotImplementedError):  # a sampler without a length
            return None

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
        loaded = self._still_loaded()
        if loaded is not None:
            return {**loaded, "batchup": __version__}
        return self._state(self.run, bool(self._began) and self.run.epoch == self._began["epoch"])

    def state_of_next_epoch(self) -> dict[str, Any]:
        """The state at the beginning of the next epoch, after the last batch of this one."""
        return self._state(self._run_at(self.run.epoch + 1, 0), within=False)

    def _still_loaded(self) -> dict[str, Any] | None:
        """The state that was loaded, as long as nothing came after it."""
        loaded = self._loaded
        if loaded is not None and (self.run.epoch, self.run.step) != (loaded["epoch"], loaded["step"]):
            self._loaded = loaded = None
        return loaded

    def _state(self, run: RunState, within: bool) -> dict[str, Any]:
        state: dict[str, Any] = {"version": VERSION, "epoch": run.epoch, "step": run.step, **self._parameters()}
        state["batchup"] = __version__
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
                raise ValueError(f"the state has {name}={state.get(name)!r}, but here it is {here!r}{saved_by(state)}")
        if self._order is None and state["step"] and state["workers"] != self._workers:
            raise ValueError(
                f"the state is from within an epoch with num_workers={state['workers']}, not {self._workers}: how an "
                "IterableDataset is divided depends on them; their number can change between two epochs"
            )
        self._loaded = dict(state)
        self.run = self._run_at(whole("epoch", state["epoch"], least=0), whole("step", state["step"], least=0))
        if self._order is not None:
            self._order.restore(state["order"])

    @property
    def _workers(self) -> int:
        return int(self._loader.num_workers)

    def _parameters(self) -> dict[str, Any]:
        """The entries that must be equal in a state and in the loader that loads it."""
        loader = self._loader
        n = len(loader.dataset) if self._order is not None and hasattr(loader.dataset, "__len__") else None
        size = getattr(loader.batch_sampler, "batch_size", None) if loader.batch_size is None else loader.batch_size
        kind = "iterable" if self._order is None else "map"
        return {"kind": kind, "batch_size": size, "drop_last": loader.drop_last, "length": n}

    def _made(self, order: Order, loaded: Mapping[str, Any] | None) -> Iterator[Any]:
        """The results for the picks of an epoch."""
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
        known = order.is_of_same_rank(loaded["order"])  # with another rank, only the number of batches is the same
        if self.run.step and (not skipped or (known and digest(skipped[0]) != loaded["last"])):
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
        """The pool of the workers; None if the loop itself makes the batches."""
        if not self._workers:
            return None
        threads = isinstance(fetch, TakeFetch)
        if threads and fetch.sample_bytes * (self._parameters()["batch_size"] or 1) < LARGE:
            return None
        if not self.pools:
            self.pools = [ThreadPool(self._workers) if threads else _processes(self._workers)]
        return self.pools[0]

    def _made_in_turns(self, loaded: Mapping[str, Any] | None) -> Iterator[Any]:
        """The results of the workers of an iterable dataset, which take turns."""
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
    from ...engine.process.pool import ProcessPool  # only on use

    return ProcessPool(n)


def _unpacked(result: Any) -> Any:
    return (unpacked(result[0]), *result[1:]) if result else result


def _rank() -> int:
    """The rank of this process, so that ranks with the same seed draw different random numbers."""
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


def _should_be_ours(state: Mapping[str, Any]) -> None:
    """Refuse states of other loaders, with the reason."""
    if "version" in state and "kind" in state and "order" in {**state, "order": None}:
        if state["version"] != VERSION:
            raise ValueError(
                f"the state is of version {state['version']}, but this batchup knows {VERSION}{saved_by(state)}"
            )
        return
    if any(str(name).startswith(("_snapshot", "_sampler_iter", "_num_yielded", "_index_sampler")) for name in state):
        raise ValueError(
            "the state is one of torchdata's StatefulDataLoader: it says how far the workers of that loader were, not "
            "which batches came; begin the epoch anew, or load it in a StatefulDataLoader"
        )
    raise ValueError(f"the state should be one of this DataLoader's state_dict(); it has the entries {sorted(state)}")
