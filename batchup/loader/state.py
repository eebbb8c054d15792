"""The state of a run: the entries of the dict that a loader saves, and how they are checked when it is loaded."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ..data_source import AbstractDataSource
from ..data_source.replay import should_agree
from ..engine.checks import whole
from ..engine.position import Position
from ..engine.rng import numbers
from .arguments import check_shard, world_size
from .plan import RunPlan, Seed

__all__ = ["parameters", "restore", "save"]

VERSION = 1


def parameters(source: AbstractDataSource, plan: RunPlan, fingerprint: str) -> dict[str, Any]:
    """The entries that are equal in a state and in any loader that may load it."""
    n = source.num_samples()
    return {
        "version": VERSION,
        "batch_size": plan.batch_size,
        "length": None if n is None or n == np.inf else int(n),
        "shuffle": plan.shuffled,
        "last": plan.last,
        "remainder": plan.remainder,
        "plan": fingerprint,
    }


def save(fixed: Mapping[str, Any], seed: Seed, epoch: int, step: int, shard: tuple[int, int] | None) -> dict[str, Any]:
    """A state, as plain data for JSON. `fixed` are the `parameters` of the loader."""
    shard_entry = list(shard) if shard else None
    return {"seed": _seed_to_plain(seed), "epoch": epoch, "step": step, "shard": shard_entry, **fixed}


def restore(
    state: Mapping[str, Any], fixed: Mapping[str, Any], given_seed: Seed | None, shard: tuple[int, int] | None
) -> tuple[Position, Seed]:
    """The position and the seed of a state that was saved by a loader like this one.

    Parameters
    ----------
    state : dict
    fixed : dict
        The `parameters` of this loader.
    given_seed : Seed or None
        The seed that the state should have; None if any will do.
    shard : (int, int) or None
        The shard of this loader.

    Raises
    ------
    ValueError
        If the state is of another run, or from within an epoch with another number of ranks.
    """
    should_agree(state, fixed, ["seed", "epoch", "step", "shard"])
    position, seed, saved = Position.of_state(state), _seed_from_plain(state["seed"]), check_shard(state["shard"])
    if given_seed is not None:
        should_agree(state, {"seed": _seed_to_plain(given_seed)}, [])
    if position.step and world_size(saved) != world_size(shard):
        raise ValueError(
            f"the state is from within an epoch with a world size of {world_size(saved)}, but here it is "
            f"{world_size(shard)}; the number of ranks can change between two epochs only"
        )
    return position, seed


def _seed_to_plain(seed: Seed) -> Any:
    """A seed as plain data.

    >>> _seed_to_plain(np.random.SeedSequence(7, spawn_key=(1,)))
    {'entropy': 7, 'spawn_key': [1], 'pool_size': 4}
    """
    if isinstance(seed, np.random.SeedSequence):
        return {
            "entropy": numbers(seed.entropy),
            "spawn_key": numbers(seed.spawn_key),
            "pool_size": seed.pool_size,
        }
    return seed


def _seed_from_plain(seed: Any) -> Seed:
    return np.random.SeedSequence(**seed) if isinstance(seed, Mapping) else whole("seed", seed, least=0)
