"""The position of a pipe as plain data, to resume it later."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, Self

from ..data_source.replay import saved_by
from ..engine.checks import whole
from ..engine.position import MOST
from .run import PipePlan
from .sources import Draws
from .stages import Stage

__all__ = ["PipeState", "check_resumable"]


@dataclasses.dataclass(frozen=True)
class PipeState:
    """The number of items that were delivered in batches, and the seeds of the run.

    Attributes
    ----------
    items : int
    entropy : int or None
        The seed of the pipe. Without a seed, the number drawn for this run; None before it is drawn.
    source_seed : int or None
        The seed of the source, if it has one.

    Examples
    --------
    >>> PipeState.from_dict({"items": 60, "entropy": 7, "source_seed": None})
    PipeState(items=60, entropy=7, source_seed=None)
    """

    items: int = 0
    entropy: int | None = None
    source_seed: int | None = None

    def as_dict(self) -> dict[str, int | None]:
        """The state as a dict of integers and None, for JSON."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, state: Mapping[str, Any]) -> Self:
        """The inverse of `as_dict`.

        Raises
        ------
        TypeError, ValueError
            If an entry is missing, or is not an integer of 0 or more.
        """
        if not isinstance(state, Mapping):
            raise TypeError(f"a state should be the dict that state_dict() gave, not {state!r}")
        for field in dataclasses.fields(cls):
            if field.name not in state:
                raise ValueError(
                    f"the state should have an entry {field.name!r}; it has {sorted(state)}{saved_by(state)}"
                )
        seeds = (
            None if state[key] is None else whole(f"{key} of the state", state[key], least=0)
            for key in ("entropy", "source_seed")
        )
        made = cls(whole("items of the state", state["items"], least=0), *seeds)
        if made.items >= MOST:
            raise ValueError(f"items of the state should be below {MOST}, not {made.items}: no run is that long")
        if made.items and made.entropy is None:
            raise ValueError(
                f"entropy of the state should be the seed of the run, not None: {made.items} items were made with one"
            )
        return made


def check_resumable(plan: PipePlan, seed: int | None) -> None:
    """Raise unless the number of delivered items and a seed are enough to resume the pipe.

    Raises
    ------
    TypeError, ValueError
        With the reason.
    """
    source = plan.source
    if not isinstance(source, Draws):
        raise TypeError(
            f"a pipe with a state needs sample() or load_by_random_id() as its source, not {type(source).__name__}"
        )
    if callable(plan.batch_size):
        raise TypeError("a pipe with a state needs a batch_size that is an int, not a function")
    for stage in plan.stages:
        if isinstance(stage, Stage) and not stage.one_to_one:
            raise TypeError(f"a pipe with a state needs stages that give one item for each item, not {stage!r}")
    if not source.may_skip or (source.seed is None and seed is None):
        raise ValueError("a pipe with a state needs a seed: pass random_state=7 to the source, or seed=7 to the pipe")
