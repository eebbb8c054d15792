"""Where a pipe is, as plain data, and when that says all."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, Self

from ..engine.checks import whole
from .run import Plan
from .sources import Draws
from .stages import Stage

__all__ = ["State", "should_be_resumable"]


@dataclasses.dataclass(frozen=True)
class State:
    """How many items were delivered in batches, and what the chance of the run depends on.

    Attributes
    ----------
    items : int
    entropy : int or None
        The seed of the pipe, or what the run without one drew; None if that is still to be drawn.
    source_seed : int or None
        The seed of the source, if it has one of its own.

    Examples
    --------
    >>> State.of_dict({"items": 60, "entropy": 7, "source_seed": None})
    State(items=60, entropy=7, source_seed=None)
    """

    items: int = 0
    entropy: int | None = None
    source_seed: int | None = None

    def as_dict(self) -> dict[str, int | None]:
        """Plain data, for JSON."""
        return dataclasses.asdict(self)

    @classmethod
    def of_dict(cls, state: Mapping[str, Any]) -> Self:
        """What `as_dict` gave.

        Raises
        ------
        ValueError
            If an entry is missing; it says which.
        """
        for field in dataclasses.fields(cls):
            if field.name not in state:
                raise ValueError(f"the state should have an entry {field.name!r}; it has {sorted(state)}")
        seeds = (None if state[key] is None else whole(key, state[key], least=0) for key in ("entropy", "source_seed"))
        return cls(whole("items", state["items"], least=0), *seeds)


def should_be_resumable(plan: Plan, seed: int | None) -> None:
    """Refuse a pipe unless all that comes later follows from a number of items and a seed.

    Raises
    ------
    TypeError, ValueError
        It says what is in the way.
    """
    source = plan.source
    if not isinstance(source, Draws):
        raise TypeError(f"a state is that of sample() or load_by_random_id(), not of {type(source).__name__} as source")
    if callable(plan.batch_size):
        raise TypeError("a state needs a batch_size that is an int: the items in a batch are counted, not remembered")
    for stage in plan.stages:
        if isinstance(stage, Stage) and not stage.one_to_one:
            raise TypeError(f"a state needs stages that give an item for each item, which {stage!r} does not")
    if not source.may_skip or (source.seed is None and seed is None):
        raise ValueError("a state needs a seed: random_state=7 for the source, or seed=7 for the pipe")
