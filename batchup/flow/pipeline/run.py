"""A run: make the batches, take them through the steps, and yield them in order.

With `prefetch`, workers take several batches through the steps at once; `order` says what waits for its turn. The last
steps, behind which nothing could run ahead, are done in the loop: so a model that is trained there has seen the batches
that the loop has, and no other. The results do not depend on the workers or on the number of prefetched batches.
"""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from ...engine.checks import Indices, whole
from ...engine.cores import cores
from ...engine.optional import library
from ...engine.pools import Pool
from ...engine.rng import SeedPath
from ...engine.stream import WorkStream
from ...errors import noted
from ..data.batch import Batch
from ..expr.expressions import evaluate
from ..items.parallel import full_target_name, make_pool
from ..items.seeds import ItemSeed
from .lookup import functions_of, step_names
from .order import BatchTurns, order_plan
from .plan import PipelinePlan
from .steps import (
    PipelineStandIn,
    RebatchStep,
    SkipBatchException,
    Step,
    StepContext,
    StepTime,
    StopPipeline,
    perform,
)

__all__ = ["EmptyBatchSequence", "PipelineRun", "PrepareJob", "PreparedBatch", "RunOptions"]


KINDS_OF_BARS = ("n", "t", "a", "notebook", "tqdm", "auto", "text", "telegram")


class EmptyBatchSequence(UserWarning):
    """A run gave no batch at all."""


@dataclasses.dataclass(frozen=True)
class RunOptions:
    """How a run is done. Apart from `ignore_exceptions`, these options do not change the batches.

    Parameters
    ----------
    prefetch : int or True, default 0
        Number of batches to prefetch; True for four times the number of cores.
    target : {'threads', 'mpc'}, default 'threads'
        Who prefetches: threads or processes. From another process only the batch comes back. If an action appends
        to a list or sets an attribute of the dataset there, this process does not see it: use a variable instead.
    profile : bool, default False
        Whether to measure how long each step takes.
    ignore_exceptions : bool, default False
        Leave out a batch that fails, with a warning.
    bar, notifier : bool, str or dict, default False
        Show a progress bar of tqdm. A string is the description of the bar, unless it is a letter or name that
        BatchFlow has for kinds of bars; a dict has keyword arguments of tqdm.
    """

    prefetch: int = 0
    target: str = "threads"
    profile: Any = False
    ignore_exceptions: bool = False
    bar: Any = False
    notifier: Any = False

    def __post_init__(self) -> None:
        if self.prefetch is True:
            object.__setattr__(self, "prefetch", 4 * cores())
        object.__setattr__(self, "prefetch", self.prefetch or 0)
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
        self.profiled_before = 0  # batches, in the profiles of earlier runs
        steps = spec.steps[: cuts[0]] if cuts else spec.steps
        functions, dataset = functions_of(pipeline), pipeline.dataset
        n_iters = None if cuts else self.total
        in_process = full_target_name(options.target) == "mpc" and options.prefetch > 0
        self.job = PrepareJob(
            dataset, steps, functions, spec.config, plan.root(), n_iters, kwargs, options.profile, in_process
        )
        touches = [step.touches(dataset.batch_class, functions) for step in spec.steps]
        self.order = order_plan(touches[: len(steps)], set().union(*(each.changes for each in touches[len(steps) :])))
        self.upto = self.order.in_processes if in_process else self.order.in_threads

    def __iter__(self) -> Iterator[Any]:
        pipeline, given = self.pipeline, 0
        pipeline.state.begin(pipeline, pipeline.spec.variables, new_run=True)
        if self.options.profile:
            self.profiled_before = pipeline.state.begin_profile()
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
        asked = self.options.notifier or self.options.bar
        if not asked:
            return batches
        options = dict(asked) if isinstance(asked, dict) else {"desc": asked} if isinstance(asked, str) else {}
        if options.get("desc") in KINDS_OF_BARS:
            del options["desc"]
        if options.pop("bar", True) in (False, None):
            return batches
        tqdm = library("tqdm", "batchup[progress]", "a progress bar")
        return tqdm.tqdm(batches, **{"total": self.total, **options})  # type: ignore[no-any-return]

    # ---- before the first rebatch

    def _first_segment(self) -> Iterator[Any]:
        with contextlib.ExitStack() as stack:
            in_flight: dict[int, Indices] = {}  # the positions of these batches, by number
            source = self._prepared(stack, in_flight)

            def finished() -> Any:
                prepared = next(source, None)
                if prepared is None:
                    raise StopPipeline
                positions = in_flight.pop(prepared.number)
                return None if prepared.skipped else self._finish(prepared, positions)

            yield from self._until_stopped(finished)

    def _until_stopped(self, finished: Callable[[], Any]) -> Iterator[Any]:
        """The batches that `finished` gives, without those that are left out, until it raises `StopPipeline`."""
        while True:
            try:
                batch = finished()
            except SkipBatchException:
                continue
            except StopPipeline:
                return
            except Exception as error:
                if not self.options.ignore_exceptions or error is self.plan_error:
                    raise
                warnings.warn(f"a batch is left out: {error!r}", RuntimeWarning, stacklevel=2)
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
        prefetch_job = self._prefetch_job()
        if not self.job.in_process:
            turns = BatchTurns(self.order.sections)
            prefetch_job.here = self.pipeline, turns, self.options.ignore_exceptions
            stack.callback(turns.end)  # wakes those that wait, before the pool closes
        job = pool.share(prefetch_job)
        tasks = ((job, (number, in_flight[number], self.upto)) for number in numbered())
        return WorkStream(pool, tasks, self.options.prefetch, located=_note_batch)

    def _prefetch_job(self) -> PrepareJob:
        """The job with the prefetched steps only: what later steps hold, such as a model, may not pickle."""
        steps, functions = self.job.steps[: self.upto], self.job.functions
        named = {name: functions[name] for name in step_names(steps) if name in functions}
        return dataclasses.replace(self.job, steps=steps, functions=named)

    def _finish(self, prepared: PreparedBatch, positions: Indices) -> Any:
        """The batch after all steps of the first segment: do those that were not prefetched."""
        job, number = self.job, prepared.number
        from_start = prepared.batch is None  # nothing was prefetched
        batch = job.batch(number, positions, self.pipeline) if from_start else self._received(prepared)
        begun = 0 if from_start else prepared.done
        context = job.context(number, self.pipeline)
        if context.times is not None:
            context.times.extend(prepared.times)
        batch = perform(batch, job.steps[begun:], context, begun)
        self._record_times(number, context, batch)
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
        if batch.pipeline is None:
            batch.pipeline = self.pipeline
        return batch

    def _record_times(self, number: int, context: StepContext, batch: Batch, first: int = 0) -> None:
        profile = self.pipeline.state.profile
        if context.times is None or profile is None:
            return
        which = {"iter": self.profiled_before + number + 1, "outer_iter": number + 1, "batch_id": id(batch)}
        profile.extend(
            {"action": f"{name} #{step}", **which, "total_time": total, "action_time": evaluating}
            for step, (name, total, evaluating) in enumerate(context.times, first)
        )

    # ---- after a rebatch

    def _later_segment(self, batches: Iterator[Any], first: int, end: int) -> Iterator[Any]:
        steps, numbers = self.pipeline.spec.steps[first:end], itertools.count()

        def finished() -> Any:
            batch = next(batches, None)
            if batch is None:
                raise StopPipeline
            number = next(numbers)
            batch.iteration, batch.n_iters, batch.pipeline = number + 1, None, self.pipeline
            context = self.job.context(number, self.pipeline, first)
            batch = perform(batch, steps, context, first)
            self._record_times(number, context, batch, first)
            return batch

        with contextlib.closing(batches):  # type: ignore[type-var]
            yield from self._until_stopped(finished)


def _note_batch(error: BaseException, number: int, args: tuple[Any, ...]) -> BaseException:
    return noted(error, f"while prefetching batch {number + 1}")


def _rebatched(batches: Iterator[Any], rebatch: Step, run: PipelineRun) -> Iterator[Any]:
    """The same items in batches of another size."""
    options = {name: rebatch.kwargs[name] for name in ("components", "batch_class") if rebatch.kwargs.get(name)}
    waiting: list[Any] = []

    def cut() -> Any:
        merge = rebatch.kwargs.get("merge") or waiting[0].merge
        made, rest = merge(waiting, batch_size=size, **options)
        waiting[:] = [] if rest is None else [rest]
        return made

    try:
        for batch in batches:
            waiting.append(batch)
            size = whole("batch_size", evaluate(rebatch.args[0], batch, run.pipeline))
            while sum(each.size for each in waiting) >= size:
                yield cut()
        if waiting:
            yield cut()
    except Exception as error:
        run.plan_error = error
        raise
    finally:
        batches.close()  # type: ignore[attr-defined]


@dataclasses.dataclass(frozen=True)
class PreparedBatch:
    """A batch after its first steps; or no batch, if it is skipped."""

    number: int
    done: int = 0  # steps
    batch: Any = None
    kind: Any = None  # the class of a batch from another process, if it is not the class of the dataset
    times: tuple[StepTime, ...] = ()
    skipped: bool = False


@dataclasses.dataclass(eq=False)
class PrepareJob:
    """Makes a batch and takes it through its first steps. The result depends on its number and its items alone."""

    dataset: Any
    steps: tuple[Step, ...]
    functions: Mapping[str, Callable[..., Any]]
    config: Any
    root: SeedPath
    n_iters: int | None
    kwargs: dict[str, Any]
    profile: bool = False
    in_process: bool = False  # whether it runs in another process
    here: tuple[Any, BatchTurns, bool] | None = None  # for threads: pipeline, turns, and whether errors are left out

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
                turns.done(number)
        times = tuple(context.times or ())
        if not self.in_process:
            return PreparedBatch(number, upto, batch, None, times)
        kind = None if type(batch) is self.dataset.batch_class else type(batch)
        state = batch.__getstate__()
        if batch.dataset is not self.dataset:  # it has a dataset of its own
            state["dataset"] = batch.dataset
        return PreparedBatch(number, upto, state, kind, times)
