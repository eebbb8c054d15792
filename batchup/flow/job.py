"""What is done ahead of a batch's turn: it is made, and taken through its first steps."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

from ..engine.checks import Indices
from .parallel import Chance
from .steps import Ahead, Place, SkipBatchException, Step, perform

__all__ = ["Job", "Prepared"]


@dataclasses.dataclass(frozen=True)
class Prepared:
    """A batch that has done its steps up to one of them; or none, if it is left out or has to wait for its turn."""

    number: int
    done: int = 0  # steps
    batch: Any = None
    kind: Any = None  # the class of a batch that came from another process, if it is not that of the dataset
    times: tuple[tuple[str, float], ...] = ()
    skipped: bool = False
    in_order: bool = False


class Job:
    """Makes a batch and takes it through its first steps: a function of its number and its items alone."""

    def __init__(
        self,
        dataset: Any,
        steps: tuple[Step, ...],
        functions: Mapping[str, Callable[..., Any]],
        config: Any,
        root: Any,
        n_iters: int | None,
        kwargs: dict[str, Any],
        profile: bool = False,
        apart: bool = False,
    ) -> None:
        self.dataset = dataset
        self.steps = steps
        self.functions = functions
        self.config = config
        self.root = root
        self.n_iters = n_iters
        self.kwargs = kwargs
        self.profile = profile
        self.apart = apart  # whether it is done in another process

    def batch(self, number: int, positions: Indices, pipeline: Any) -> Any:
        """The batch, before its first step."""
        batch = self.dataset.create_batch(positions, pos=True, pipeline=pipeline, **self.kwargs)
        batch.iteration, batch.n_iters = number, self.n_iters
        batch._chance = Chance(self.root, (1, number))
        return batch

    def place(self, number: int, pipeline: Any, segment: int = 0) -> Place:
        """Where a batch begins."""
        times: list[tuple[str, float]] | None = [] if self.profile else None
        return Place(pipeline, self.functions, self.root, (1 + segment, number), times)

    def __call__(self, number: int, positions: Indices, upto: int) -> Prepared:
        ahead = Ahead(self.dataset, self.config)
        place = self.place(number, ahead)
        place.ahead = ahead
        try:
            batch = perform(self.batch(number, positions, ahead), self.steps[:upto], place)
        except Exception as error:
            if not ahead.asked:
                if isinstance(error, SkipBatchException):
                    return Prepared(number, skipped=True)
                raise
        if ahead.asked:  # whatever came of it, it is not what will come of it in its turn
            return Prepared(number, done=(*place.address, 0)[2], in_order=True)
        times = tuple(place.times or ())
        if not self.apart:
            return Prepared(number, upto, batch, None, times)
        kind = None if type(batch) is self.dataset.batch_class else type(batch)
        state = batch.__getstate__()
        if batch.dataset is not self.dataset:  # but one of its own
            state["dataset"] = batch.dataset
        return Prepared(number, upto, state, kind, times)
