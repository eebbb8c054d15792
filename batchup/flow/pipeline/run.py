"""A run: make the batches, take them through the steps, and yield them in order.

A step that uses a variable or a model, or calls a function for its side effects, depends on the batches before. The
steps in front of the first such step depend on the batch alone, so workers may prefetch them. The other steps are done
in order. So the results do not depend on the workers or on the number of prefetched batches.

An action may ask for a variable or a model inside its code, where the pipeline cannot see it. Such a batch starts again
when the batches before are done, and from then on this action runs in order.
"""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import itertools
import warnings
from collections.abc import Iterable, Iterator
from typing import Any

from ...engine.checks import Indices, whole
from ...engine.pools import Pool, cores
from ...engine.stream import WorkStream
from ...errors import noted
from ..expr.expressions import evaluate
from ..items.parallel import full_target_name, make_pool
from .lookup import functions_of, step_names
from .plan import PipelinePlan
from .prepare import PreparedBatch, PrepareJob
from .steps import (
    PipelineStandIn,
    RebatchStep,
    SkipBatchException,
    Step,
    StepContext,
    StopPipeline,
    n_prefetchable,
    perform,
)

__all__ = ["EmptyBatchSequence", "PipelineRun", "RunOptions"]


class EmptyBatchSequence(UserWarning):
    """A run gave no batch at all."""


@dataclasses.dataclass(frozen=True)
class RunOptions:
    """How a run is done. Apart from `ignore_exceptions`, these options do not change the batches.

    Parameters
    ----------
    prefetch : int, default 0
        Number of batches to prefetch.
    target : {'threads', 'mpc'}, default 'threads'
        Who prefetches: threads or processes. From another process only the batch comes back. If an action appends
        to a list or sets an attribute of the dataset there, this process does not see it: use a variable instead.
    profile : bool, default False
        Whether to measure how long each step takes.
    ignore_exceptions : bool, default False
        Leave out a batch that fails, with a warning.
    bar : bool, default False
        Show a progress bar of tqdm.
    """

    prefetch: int = 0
    target: str = "threads"
    profile: bool = False
    ignore_exceptions: bool = False
    bar: bool = False

    def __post_init__(self) -> None:
        whole("prefetch", self.prefetch, least=0)
        if full_target_name(self.target) not in ("threads", "mpc"):
            raise ValueError(f"target of a run should be 'threads' or 'mpc', not {self.target!r}")

    def pool(self) -> Pool:
        """A new pool, which prefetches batches."""
        target = full_target_name(self.target)
        return make_pool(target, self.prefetch if target == "threads" else min(self.prefetch, cores()))


class PipelineRun:
    """The batches of one run of a pipeline. Iterate over it once."""

    def __init__(
        self,
        pipeline: Any,
        plan: PipelinePlan,
        positions: Iterable[Indices],
        options: RunOptions,
        kwargs: dict[str, Any],
    ) -> None:
        spec = pipeline.spec
        cuts = [number for number, step in enumerate(spec.steps) if isinstance(step, RebatchStep)]
        self.pipeline = pipeline
        self.positions = positions
        self.options = options
        self.total = plan.total
        self.plan_error: Exception | None = None  # no batch comes after it
        self.cuts = cuts
        steps = spec.steps[: cuts[0]] if cuts else spec.steps
        functions = functions_of(spec)
        n_iters = None if cuts else self.total
        in_process = full_target_name(options.target) == "mpc" and options.prefetch > 0
        self.job = PrepareJob(
            spec.dataset, steps, functions, spec.config, plan.root(), n_iters, kwargs, options.profile, in_process
        )
        self.upto = n_prefetchable(steps, spec.steps, spec.dataset.batch_class, functions)

    def __iter__(self) -> Iterator[Any]:
        pipeline, given = self.pipeline, 0
        pipeline.state.begin(pipeline, pipeline.spec.variables, new_run=True)
        for step in pipeline.spec.steps:
            step.begin()
        self._do_once(pipeline.spec.before)
        batches = self._first_segment()
        for cut, end in itertools.pairwise([*self.cuts, len(pipeline.spec.steps)]):
            batches = self._later_segment(_rebatched(batches, pipeline.spec.steps[cut], self), cut + 1, end)
        with contextlib.closing(batches):  # type: ignore[type-var]
            for batch in self._with_bar(batches):
                given += 1
                yield batch
        if not given:
            warnings.warn(EmptyBatchSequence("the run gave no batch: all batches were left out"), stacklevel=3)
        self._do_once(pipeline.spec.after)

    def _do_once(self, steps: tuple[Step, ...]) -> None:
        """Do the steps before the first batch or after the last."""
        if steps:
            perform(None, steps, StepContext(self.pipeline, self.job.functions, self.job.root, (0,)))

    def _with_bar(self, batches: Iterator[Any]) -> Iterable[Any]:
        if not self.options.bar:
            return batches
        try:
            import tqdm
        except ImportError as error:
            raise ImportError("bar=True needs tqdm: pip install 'batchup[progress]'") from error
        shown: Iterable[Any] = tqdm.tqdm(batches, total=self.total)
        return shown

    # ---- before the first rebatch

    def _first_segment(self) -> Iterator[Any]:
        with contextlib.ExitStack() as stack:
            in_flight: dict[int, Indices] = {}  # the positions of these batches, by number
            source = self._prepared(stack, in_flight)
            while True:
                try:
                    prepared = next(source, None)
                    if prepared is None:
                        return
                    positions = in_flight.pop(prepared.number)
                    batch = None if prepared.skipped else self._finish(prepared, positions)
                except SkipBatchException:
                    continue
                except StopPipeline:
                    return
                except Exception as error:
                    self._raise_or_warn(error)
                    continue
                if batch is not None:
                    yield batch

    def _prepared(self, stack: contextlib.ExitStack, in_flight: dict[int, Indices]) -> Iterator[PreparedBatch]:
        """The batches after the prefetched steps; an error is raised in the place of its batch."""

        def numbered() -> Iterator[int]:
            try:
                for number, positions in enumerate(self.positions):
                    in_flight[number] = positions
                    yield number
            except Exception as error:
                self.plan_error = error
                raise

        if not self.options.prefetch or not self.upto:
            return map(PreparedBatch, numbered())
        pool = stack.enter_context(self.options.pool())
        job = pool.share(self._prefetch_job())
        tasks = ((job, (number, in_flight[number], self.upto)) for number in numbered())
        return WorkStream(pool, tasks, self.options.prefetch, located=_note_batch)

    def _prefetch_job(self) -> PrepareJob:
        """The job with the prefetched steps only: what later steps hold, such as a model, may not pickle."""
        job = copy.copy(self.job)
        job.steps = job.steps[: self.upto]
        job.functions = {name: job.functions[name] for name in step_names(job.steps) if name in job.functions}
        return job

    def _finish(self, prepared: PreparedBatch, positions: Indices) -> Any:
        """The batch after all steps of the first segment: do those that were not prefetched."""
        job, number = self.job, prepared.number
        if prepared.in_order:
            self.upto = min(self.upto, prepared.done)  # later batches do not prefetch this step
        from_start = prepared.batch is None  # nothing was prefetched
        batch = job.batch(number, positions, self.pipeline) if from_start else self._received(prepared)
        begun = 0 if from_start else prepared.done
        context = job.context(number, self.pipeline)
        if context.times is not None:
            context.times.extend(prepared.times)
        batch = perform(batch, job.steps[begun:], context, begun)
        self._record_times(number, context)
        return batch

    def _received(self, prepared: PreparedBatch) -> Any:
        """The prefetched batch in this process, as part of this pipeline."""
        batch = prepared.batch
        if self.job.in_process:
            kind = prepared.kind or self.job.dataset.batch_class
            batch = kind.__new__(kind)
            batch.__setstate__(prepared.batch)
        if batch.dataset is None:
            batch.dataset = self.job.dataset
        if batch.pipeline is None or isinstance(batch.pipeline, PipelineStandIn):
            batch.pipeline = self.pipeline
        return batch

    def _raise_or_warn(self, error: Exception) -> None:
        if not self.options.ignore_exceptions or error is self.plan_error:
            raise error
        warnings.warn(f"a batch is left out: {error!r}", RuntimeWarning, stacklevel=2)

    def _record_times(self, number: int, context: StepContext, first: int = 0) -> None:
        if context.times is not None:
            rows = [
                {"batch": number, "step": step, "name": name, "seconds": s}
                for step, (name, s) in enumerate(context.times, first)
            ]
            self.pipeline.state.profile.extend(rows)

    # ---- after a rebatch

    def _later_segment(self, batches: Iterator[Any], first: int, end: int) -> Iterator[Any]:
        steps = self.pipeline.spec.steps[first:end]
        with contextlib.closing(batches):  # type: ignore[type-var]
            for number, batch in enumerate(batches):
                batch.iteration, batch.n_iters, batch.pipeline = number, None, self.pipeline
                context = self.job.context(number, self.pipeline, first)
                try:
                    batch = perform(batch, steps, context, first)
                except SkipBatchException:
                    continue
                except StopPipeline:
                    return
                except Exception as error:
                    self._raise_or_warn(error)
                    continue
                self._record_times(number, context, first)
                yield batch


def _note_batch(error: BaseException, number: int, args: tuple[Any, ...]) -> BaseException:
    return noted(error, f"while prefetching batch {number}")


def _rebatched(batches: Iterator[Any], rebatch: Step, run: PipelineRun) -> Iterator[Any]:
    """The same items in batches of another size."""
    options = {name: rebatch.kwargs[name] for name in ("components", "batch_class") if rebatch.kwargs.get(name)}
    waiting: list[Any] = []

    def cut() -> Any:
        merge = rebatch.kwargs.get("merge") or waiting[0].merge
        made, rest = merge(waiting, batch_size=size, **options)
        waiting[:] = [] if rest is None else [rest]
        return made

    with contextlib.closing(batches):  # type: ignore[type-var]
        for batch in batches:
            waiting.append(batch)
            size = whole("batch_size", evaluate(rebatch.args[0], batch, run.pipeline))
            while sum(each.size for each in waiting) >= size:
                yield cut()
        if waiting:
            yield cut()
