"""Check the arguments of a loader, and bring them into one form."""

from __future__ import annotations

import sys
import types
import warnings
from collections.abc import Callable
from typing import Any, get_args

import numpy as np

from ..data_source import AbstractDataSource
from ..engine.checks import INTEGERS, whole
from ..engine.cores import cores
from ..engine.rng import entropy_of
from ..engine.shuffle import Shuffle, as_rng
from ..work_pool import AbstractWorkerPool, WorkerPool, WorkerProcessPool, WorkerThreadPool
from .plan import RunPlan, Seed

__all__ = [
    "check_option",
    "check_seed",
    "check_sequential",
    "check_shard",
    "check_workers",
    "choose_pool",
    "choose_seed",
    "found_shard",
    "warned_of_other_ranks",
    "world_size",
]


def check_option(name: str, value: Any, allowed: Any) -> Any:
    """The value, which should be one of the strings of the `Literal` type `allowed`."""
    names = get_args(allowed)
    if value not in names:
        raise ValueError(f"{name} should be {', '.join(map(repr, names[:-1]))} or {names[-1]!r}, not {value!r}")
    return value


def check_shard(shard: Any) -> tuple[int, int] | None:
    """The rank and the world size; None without a shard."""
    if shard is None:
        return None
    if not isinstance(shard, (tuple, list)) or len(shard) != 2:
        raise TypeError(
            f"shard should be (rank, world_size), such as (0, 2) for the first of two ranks, or 'auto', not {shard!r}"
        )
    rank, world = whole("the rank of shard", shard[0], least=0), whole("the world size of shard", shard[1])
    if rank >= world:
        raise ValueError(f"the rank of shard should be below its world size, {world}, not {rank}")
    return rank, world


def found_shard() -> tuple[int, int, str] | None:
    """The rank and world size of this process, and where they are from; None if nothing says so."""
    from ..interop.ranks import found_rank  # the one import upwards: frameworks are imported on use

    return found_rank()


def world_size(shard: tuple[int, int] | None) -> int:
    """The number of ranks."""
    return int(shard[1]) if shard else 1


def choose_seed(shuffle: Shuffle) -> tuple[Seed, bool]:
    """The seed of a run, and whether `shuffle` is that seed. Otherwise it is drawn now."""
    if isinstance(shuffle, np.random.SeedSequence):
        return shuffle, True
    if isinstance(shuffle, INTEGERS) and not isinstance(shuffle, bool):
        return int(shuffle), True
    rng = as_rng(shuffle)
    if rng is None:
        return entropy_of(None), False
    return int.from_bytes(rng.bytes(16), "little"), False


def check_seed(shuffle: Shuffle, plan: RunPlan, is_seed: bool) -> None:
    """Refuse a `shuffle` that is no seed, if several ranks need the same random numbers."""
    if world_size(plan.shard) > 1 and plan.depends_on_seed() and not is_seed:
        raise ValueError(
            f"with a shard, shuffle should be a seed (an int or a SeedSequence), not {shuffle!r}: the same seed on all "
            "ranks, or their orders may differ, so that samples are repeated and missed"
        )


def check_sequential(source: AbstractDataSource, plan: RunPlan, pool: Any, skips: bool) -> None:
    """Refuse the options that need a source that fetches by index, if `source` does not."""
    if source.is_random_access:
        return
    given = {"pool": pool is not None, "last": plan.last != "keep", "shard": plan.shard is not None}
    given["shuffle"] = plan.shuffled and not source.traits.takes_shuffle
    for name in [name for name, is_given in {**given, "on_error": skips}.items() if is_given]:
        raise TypeError(
            f"{name} should be left out: {type(source).__name__} gives its batches one after the other, "
            f"and {name} needs a source that fetches by index"
        )


def check_workers(pool: Any, workers: Any, worker_init: Any) -> int | None:
    """The number of workers for the pool; None if it is not given."""
    name = pool if isinstance(pool, str) else None
    if worker_init is not None:
        if not callable(worker_init):
            raise TypeError(f"worker_init should be a function without arguments, not {worker_init!r}")
        if name != "processes":
            raise TypeError(
                f"worker_init should come with pool='processes', not with pool={pool!r}: threads have no start of "
                "their own, so call it before; a WorkerProcessPool has the argument initializer"
            )
    if workers is None:
        return None
    if name is None:
        raise TypeError(
            f"workers should come with pool='threads', 'processes' or 'auto', not with pool={pool!r}, which says how "
            "many there are"
        )
    return whole("workers", workers)


def choose_pool(
    pool: Any, workers: int | None = None, worker_init: Callable[[], Any] | None = None
) -> tuple[AbstractWorkerPool | None, bool]:
    """The pool, and whether the loader made it and has to close it."""
    if pool is None or isinstance(pool, AbstractWorkerPool):
        return pool, False
    if pool == "threads":
        return WorkerThreadPool(workers or cores()), True
    if pool == "processes":
        return WorkerProcessPool(workers or cores(), initializer=worker_init), True
    if isinstance(pool, INTEGERS) and not isinstance(pool, bool):
        return WorkerThreadPool(whole("pool", pool)), True
    if callable(getattr(pool, "submit", None)) or isinstance(pool, types.ModuleType):  # ray
        return WorkerPool.over(pool), True  # closing it leaves the executor as it was
    raise TypeError(
        "pool should be None, 'threads', 'processes', 'auto', a number of threads, an executor, or a "
        f"WorkerThreadPool or WorkerProcessPool, not {pool!r}"
    )


def warned_of_other_ranks() -> bool:
    """Warn that all ranks of a process group get the same batches; whether there are several."""
    if "torch" not in sys.modules:
        return False
    from ..interop.ranks import torch_rank

    ranks = torch_rank()
    if ranks is None or ranks.world < 2:
        return False
    warnings.warn(
        f'{ranks.world} ranks will get the same batches; pass shard="auto" to a Loader that is made after '
        "init_process_group, or shard=(rank, world)",
        stacklevel=3,
    )
    return True
