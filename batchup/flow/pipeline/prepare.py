"""Prefetching: make a batch and take it through its first steps, in a worker."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

from ...engine.checks import Indices
from ...engine.rng import SeedPath
from ..items.seeds import ItemSeed
from .order import BatchTurns
from .steps import PipelineStandIn, SkipBatchException, Step, StepContext, StepTime, perform

__all__ = ["PrepareJob", "PreparedBatch"]


@dataclasses.dataclass(frozen=True)
class PreparedBatch:
    """A batch after its first steps; or no batch, if it is skipped."""

    number: int
    done: int = 0  # steps
    batch: Any = None
    kind: Any = None  # the class of a batch from another process, if it is not the class of the dataset
    times: tuple[StepTime, ...] = ()
    skipped: bool = False


class PrepareJob:
    """Makes a batch and takes it through its first steps. The result depends on its number and its items alone."""

    def __init__(
        self,
        dataset: Any,
        steps: tuple[Step, ...],
        functions: Mapping[str, Callable[..., Any]],
        config: Any,
        root: SeedPath,
        n_iters: int | None,
        kwargs: dict[str, Any],
        profile: bool = False,
        in_process: bool = False,
    ) -> None:
        self.dataset = dataset
        self.steps = steps
        self.functions = functions
        self.config = config
        self.root = root
        self.n_iters = n_iters
        self.kwargs = kwargs
        self.profile = profile
        self.in_process = in_process  # whether it runs in another process
        self.here: tuple[Any, BatchTurns, bool] | None = (
            None  # pipeline and turns, for threads; whether errors are left out
        )

    def batch(self, number: int, positions: Indices, pipeline: Any) -> Any:
        """The batch, before its first step."""
        batch = self.dataset.create_batch(positions, pos=True, pipeline=pipeline, **self.kwargs)
        batch.iteration, batch.n_iters = number + 1, self.n_iters
        batch._item_seed = ItemSeed(self.root, (1, number))
        return batch

    def context(self, number: int, pipeline: Any, segment: int = 0) -> StepContext:
        """The context of a batch before its first step."""
        times: list[StepTime] | None = [] if self.profile else None
        return StepContext(pipeline, self.functions, self.root, (1 + segment, number), times)

    def __call__(self, number: int, positions: Indices, upto: int) -> PreparedBatch:
        pipeline, turns, ignore_exceptions = self.here or (PipelineStandIn(self.dataset, self.config), None, False)
        context = self.context(number, pipeline)
        context.turns = turns
        try:
            batch = perform(self.batch(number, positions, pipeline), self.steps[:upto], context)
        except SkipBatchException:
            return PreparedBatch(number, skipped=True)
        except BaseException as error:
            if turns is not None and not (ignore_exceptions and isinstance(error, Exception)):
                turns.end(number)  # as the run ends here, too
            raise
        finally:
            if turns is not None:
                turns.leave(number)
        times = tuple(context.times or ())
        if not self.in_process:
            return PreparedBatch(number, upto, batch, None, times)
        kind = None if type(batch) is self.dataset.batch_class else type(batch)
        state = batch.__getstate__()
        if batch.dataset is not self.dataset:  # it has a dataset of its own
            state["dataset"] = batch.dataset
        return PreparedBatch(number, upto, state, kind, times)
