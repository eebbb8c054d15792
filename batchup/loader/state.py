"""The state of a run: the entries of the dict that a loader saves, and how they are checked when it is loaded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..data_source import AbstractDataSource
from ..data_source.replay import should_agree
from ..engine.checks import INTEGERS, whole
from ..engine.position import Position
from ..engine.rng import numbers
from ..version import __version__
from .arguments import check_shard, world_size
from .plan import RunPlan, Seed

__all__ = ["epoch_of", "parameters", "restore", "save"]

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


def epoch_of(state: Any) -> int:
    """The epoch of a state; 0 if it has none, which is refused later."""
    epoch = state.get("epoch") if isinstance(state, Mapping) else None
    return epoch if isinstance(epoch, int) and epoch > 0 else 0


def save(
    fixed: Mapping[str, Any],
    seed: Seed,
    epoch: int,
    step: int,
    shard: tuple[int, int] | None,
    failing: Sequence[Any] = (),
) -> dict[str, Any]:
    """A state, as plain data for JSON.

    Parameters
    ----------
    fixed : dict
        The `parameters` of the loader.
    seed, epoch, step, shard
    failing : sequence
        The indices of the samples that were left out so far. Without any, there is no such entry.
    """
    shard_entry = list(shard) if shard else None
    state = {"seed": _seed_to_plain(seed), "epoch": epoch, "step": step, "shard": shard_entry, **fixed}
    state["batchup"] = __version__
    return {**state, "skipped": _lists(failing)} if failing else state


def restore(
    state: Mapping[str, Any], fixed: Mapping[str, Any], given_seed: Seed | None, plan: RunPlan
) -> tuple[Position, Seed, list[Any]]:
    """The position, the seed and the samples that were left out of a state that was saved by a loader like this one.

    Parameters
    ----------
    state : dict
    fixed : dict
        The `parameters` of this loader.
    given_seed : Seed or None
        The seed that the state should have; None if any will do.
    plan : RunPlan
        The plan of this loader.

    Raises
    ------
    ValueError
        If the state is of another run, or from within an epoch with another number of ranks.
    """
    should_agree(state, fixed, ["seed", "epoch", "step", "shard"])
    position, seed, saved = Position.of_state(state), _seed_from_plain(state["seed"]), check_shard(state["shard"])
    n = plan.length(position.epoch)
    if n is not None and position.step > n:
        raise ValueError(
            f"step of the state should be at most {n}, the number of batches in an epoch, not {position.step}"
        )
    if given_seed is not None:
        should_agree(state, {"seed": _seed_to_plain(given_seed)}, [])
    if position.step and world_size(saved) != world_size(plan.shard):
        raise ValueError(
            f"the state is from within an epoch with a world size of {world_size(saved)}, but here it is "
            f"{world_size(plan.shard)}; the number of ranks can change between two epochs only"
        )
    return position, seed, _samples("skipped of the state", state.get("skipped", []))


def _lists(sample: Any) -> Any:
    """Indices of samples for JSON; with several sources, a list of one index per source."""
    return int(sample) if isinstance(sample, INTEGERS) else [_lists(each) for each in sample]


def _samples(name: str, plain: Any) -> list[Any]:
    """The inverse of `_lists` for a list of samples.

    >>> _samples("skipped of the state", [[3, 1], 5])
    [(3, 1), 5]
    """
    if not isinstance(plain, (list, tuple)):
        raise TypeError(f"{name} should be a list of indices of samples, not {plain!r}")
    return [
        tuple(_samples(name, each)) if isinstance(each, (list, tuple)) else whole(name, each, least=0) for each in plain
    ]


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
    """The seed of a state.

    >>> _seed_from_plain({"entropy": [1, -2], "spawn_key": [], "pool_size": 4})
    Traceback (most recent call last):
        ...
    ValueError: seed['entropy'] of the state should be an integer of at least 0, not -2
    """
    if not isinstance(seed, Mapping):
        return whole("seed of the state", seed, least=0)
    entries = ("entropy", "spawn_key", "pool_size")
    if set(seed) != set(entries):
        raise ValueError(f"seed of the state should be an int, or have the entries {', '.join(entries)}, not {seed!r}")
    for name in entries:
        for number in seed[name] if isinstance(seed[name], (list, tuple)) else [seed[name]]:
            whole(f"seed[{name!r}] of the state", number, least=0)
    return np.random.SeedSequence(**seed)
