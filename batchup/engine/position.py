"""The position of a run: how many epochs have ended, and how many batches of the current one were delivered."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, Self

from .checks import whole

__all__ = ["MOST", "Position"]

MOST = 1 << 62


@dataclasses.dataclass(frozen=True)
class Position:
    """A position in a run, between two batches. With the seed, it is all that is needed to resume the run.

    Parameters
    ----------
    epoch : int, default 0
        How many epochs have ended.
    step : int, default 0
        How many batches of this epoch were delivered. Prefetched ones do not count.

    Examples
    --------
    >>> Position.of_state({"epoch": 2, "step": 17, "seed": 7})
    Position(epoch=2, step=17)
    """

    epoch: int = 0
    step: int = 0

    def __post_init__(self) -> None:
        for name in ("epoch", "step"):
            number = whole(name, getattr(self, name), least=0)
            if number >= MOST:
                raise ValueError(f"{name} should be below {MOST}, not {number}: no run is that long")
            object.__setattr__(self, name, number)

    @classmethod
    def of_state(cls, state: Mapping[str, Any]) -> Self:
        """The position in a state. Other entries are ignored.

        Raises
        ------
        ValueError
            If an entry is missing or is not a count. The message says which.
        """
        for name in ("epoch", "step"):
            if name not in state:
                raise ValueError(f"the state should have an entry {name!r}, a count from 0; it has {sorted(state)}")
        return cls(state["epoch"], state["step"])
