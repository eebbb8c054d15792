"""The arguments of a loader, checked and in one form."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, get_args

import numpy as np

from ..engine.checks import INTEGERS, whole
from ..engine.pools import cores
from ..engine.rng import entropy_of, numbers
from ..engine.shuffle import Shuffle, as_rng
from ..work_pool import AbstractWorkerPool, WorkerProcessPool, WorkerThreadPool
from .plan import Seed

__all__ = ["found_shard", "one_of", "plain_seed", "pool_of", "seed_of", "seed_of_plain", "shard_of", "world_of"]


def one_of(name: str, value: Any, allowed: Any) -> Any:
    names = get_args(allowed)
    if value not in names:
        raise ValueError(f"{name} should be {', '.join(map(repr, names[:-1]))} or {names[-1]!r}, not {value!r}")
    return value


def shard_of(shard: Any) -> tuple[int, int] | None:
    if shard is None:
        return None
    if not isinstance(shard, (tuple, list)) or len(shard) != 2:
        raise TypeError(
            f"shard should be (rank, world), such as (0, 2) for the first of two ranks, or 'auto', not {shard!r}"
        )
    rank, world = whole("the rank of shard", shard[0], least=0), whole("the world of shard", shard[1])
    if rank >= world:
        raise ValueError(f"the rank of shard should be below its world, {world}, not {rank}")
    return rank, world


def found_shard() -> tuple[int, int, str] | None:
    """The rank and world size of this process, and who says so; None if nobody does."""
    from ..interop.ranks import found_rank  # the one way up: what knows about frameworks is imported on use

    return found_rank()


def world_of(shard: Any) -> int:
    return int(shard[1]) if shard else 1


def seed_of(shuffle: Shuffle) -> tuple[Seed, bool]:
    """The seed of a run, and whether it was given as one."""
    if isinstance(shuffle, np.random.SeedSequence):
        return shuffle, True
    if isinstance(shuffle, INTEGERS) and not isinstance(shuffle, bool):
        return int(shuffle), True
    rng = as_rng(shuffle)
    if rng is None:
        return entropy_of(None), False
    return int.from_bytes(rng.bytes(16), "little"), False


def plain_seed(seed: Seed) -> Any:
    if isinstance(seed, np.random.SeedSequence):
        return {
            "entropy": numbers(seed.entropy),
            "spawn_key": numbers(seed.spawn_key),
            "pool_size": seed.pool_size,
        }
    return seed


def seed_of_plain(seed: Any) -> Seed:
    return np.random.SeedSequence(**seed) if isinstance(seed, Mapping) else whole("seed", seed, least=0)


def pool_of(pool: Any) -> tuple[AbstractWorkerPool | None, bool]:
    """The pool, and whether the loader is to close it."""
    if pool is None or isinstance(pool, AbstractWorkerPool):
        return pool, False
    if pool == "threads":
        return WorkerThreadPool(cores()), True
    if pool == "processes":
        return WorkerProcessPool(cores()), True
    if isinstance(pool, INTEGERS) and not isinstance(pool, bool):
        return WorkerThreadPool(whole("pool", pool)), True
    raise TypeError(
        "pool should be None, 'threads', 'processes', a number of threads, or a WorkerThreadPool or "
        f"WorkerProcessPool, not {pool!r}"
    )
