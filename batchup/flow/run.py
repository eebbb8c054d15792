"""A run: batches are made, taken through the steps, and given out in order.

The steps up to the first that depends on what was done before (a variable, a model, a function called for its effect)
depend on the batch alone, so they may be done ahead, by several workers. The others are done when it is the turn of the
batch. So a run gives the same whoever does the work, and however far ahead.

An action may ask for a variable or a model where nobody can see it. Then the batch is begun anew in its turn, and from
there on the action is done in order.
"""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import itertools
import warnings
from collections.abc import Iterable, Iterator
from typing import Any

from ..engine.checks import Indices, whole
from ..engine.pools import Pool, cores
from ..engine.stream import WorkStream
from ..errors import noted
from .expressions import evaluate
from .job import Job, Prepared
from .lookup import functions_of, names_in
from .parallel import pool_of, target_named
from .plan import Plan
from .steps import Ahead, Place, Rebatch, SkipBatchException, Step, StopPipeline, how_many_ahead, perform

__all__ = ["EmptyBatchSequence", "Options", "Run"]


class EmptyBatchSequence(UserWarning):
    """A run gave no batch at all."""


@dataclasses.dataclass(frozen=True)
class Options:
    """How a run is done; nothing of it changes what comes out, but for `ignore_exceptions`.

    Parameters
    ----------
    prefetch : int, default 0
        How many batches are prepared ahead.
    target : {'threads', 'mpc'}, default 'threads'
        By whom. What an action does in another process stays there, but for the batch: a list that it appends to, or
        an attribute of the dataset, is not changed here. Keep such things in variables of the pipeline.
    profile : bool, default False
        Whether to note how long each step takes.
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
        if target_named(self.target) not in ("threads", "mpc"):
            raise ValueError(f"target of a run should be 'threads' or 'mpc', not {self.target!r}")

    def pool(self) -> Pool:
        """Those who prepare batches ahead."""
        target = target_named(self.target)
        return pool_of(target, self.prefetch if target == "threads" else min(self.prefetch, cores()))


class Run:
    """The batches of a pipeline, one run of it. Iterate over it once."""

    def __init__(
        self, pipeline: Any, plan: Plan, positions: Iterable[Indices], options: Options, kwargs: dict[str, Any]
    ) -> None:
        spec = pipeline.spec
        cuts = [number for number, step in enumerate(spec.steps) if isinstance(step, Rebatch)]
        self.pipeline = pipeline
        self.positions = positions
        self.options = options
        self.total = plan.total
        self.broken: Exception | None = None  # what the plan failed with: no batch comes after it
        self.cuts = cuts
        steps = spec.steps[: cuts[0]] if cuts else spec.steps
        functions = functions_of(spec)
        n_iters = None if cuts else self.total
        apart = target_named(options.target) == "mpc" and options.prefetch > 0
        self.job = Job(
            spec.dataset, steps, functions, spec.config, plan.root(), n_iters, kwargs, options.profile, apart
        )
        self.upto = how_many_ahead(steps, spec.steps, spec.dataset.batch_class, functions)

    def __iter__(self) -> Iterator[Any]:
        pipeline, given = self.pipeline, 0
        pipeline.state.begin(pipeline, pipeline.spec.variables, new_run=True)
        for step in pipeline.spec.steps:
            step.begin()
        self._alone(pipeline.spec.before)
        batches = self._first()
        for cut, end in itertools.pairwise([*self.cuts, len(pipeline.spec.steps)]):
            batches = self._later(_recut(batches, pipeline.spec.steps[cut], self), cut + 1, end)
        with contextlib.closing(batches):  # type: ignore[type-var]
            for batch in self._counted(batches):
                given += 1
                yield batch
        if not given:
            warnings.warn(EmptyBatchSequence("the run gave no batch: each was left out"), stacklevel=3)
        self._alone(pipeline.spec.after)

    def _alone(self, steps: tuple[Step, ...]) -> None:
        """Steps before the first batch and after the last."""
        if steps:
            perform(None, steps, Place(self.pipeline, self.job.functions, self.job.root, (0,)))

    def _counted(self, batches: Iterator[Any]) -> Iterable[Any]:
        if not self.options.bar:
            return batches
        try:
            import tqdm
        except ImportError as error:
            raise ImportError("bar=True needs tqdm: pip install 'batchup[progress]'") from error
        shown: Iterable[Any] = tqdm.tqdm(batches, total=self.total)
        return shown

    # ---- the batches as the dataset gives them

    def _first(self) -> Iterator[Any]:
        with contextlib.ExitStack() as stack:
            positions: dict[int, Indices] = {}  # of the batches under way
            source = self._prepared(stack, positions)
            while True:
                try:
                    prepared = next(source, None)
                    if prepared is None:
                        return
                    where = positions.pop(prepared.number)
                    batch = None if prepared.skipped else self._finished(prepared, where)
                except SkipBatchException:
                    continue
                except StopPipeline:
                    return
                except Exception as error:
                    self._failed(error)
                    continue
                if batch is not None:
                    yield batch

    def _prepared(self, stack: contextlib.ExitStack, known: dict[int, Indices]) -> Iterator[Prepared]:
        """The batches as far as they are done ahead; an error is raised in the place of its batch."""

        def numbered() -> Iterator[int]:
            try:
                for number, positions in enumerate(self.positions):
                    known[number] = positions
                    yield number
            except Exception as error:
                self.broken = error
                raise

        if not self.options.prefetch or not self.upto:
            return map(Prepared, numbered())
        pool = stack.enter_context(self.options.pool())
        job = pool.share(self._job_ahead())
        tasks = ((job, (number, known[number], self.upto)) for number in numbered())
        return WorkStream(pool, tasks, self.options.prefetch, located=_located)

    def _job_ahead(self) -> Job:
        """The job with no more than is done ahead: what comes behind may not be for processes, such as a model."""
        job = copy.copy(self.job)
        job.steps = job.steps[: self.upto]
        job.functions = {name: job.functions[name] for name in names_in(job.steps) if name in job.functions}
        return job

    def _finished(self, prepared: Prepared, positions: Indices) -> Any:
        """The batch after all steps of the first segment: what was not done ahead is done now."""
        job, number = self.job, prepared.number
        if prepared.in_order:
            self.upto = min(self.upto, prepared.done)  # the batches to come need not try
        here = prepared.batch is None  # nothing was done ahead
        batch = job.batch(number, positions, self.pipeline) if here else self._here(prepared)
        begun = 0 if here else prepared.done
        place = job.place(number, self.pipeline)
        if place.times is not None:
            place.times.extend(prepared.times)
        batch = perform(batch, job.steps[begun:], place, begun)
        self._note(number, place)
        return batch

    def _here(self, prepared: Prepared) -> Any:
        """The batch in this process, as part of this pipeline."""
        batch = prepared.batch
        if self.job.apart:
            kind = prepared.kind or self.job.dataset.batch_class
            batch = kind.__new__(kind)
            batch.__setstate__(prepared.batch)
        if batch.dataset is None:
            batch.dataset = self.job.dataset
        if batch.pipeline is None or isinstance(batch.pipeline, Ahead):
            batch.pipeline = self.pipeline
        return batch

    def _failed(self, error: Exception) -> None:
        if not self.options.ignore_exceptions or error is self.broken:
            raise error
        warnings.warn(f"a batch is left out: {error!r}", RuntimeWarning, stacklevel=2)

    def _note(self, number: int, place: Place, first: int = 0) -> None:
        if place.times is not None:
            rows = [
                {"batch": number, "step": step, "name": name, "seconds": s}
                for step, (name, s) in enumerate(place.times, first)
            ]
            self.pipeline.state.profile.extend(rows)

    # ---- the batches as they were cut anew

    def _later(self, batches: Iterator[Any], first: int, end: int) -> Iterator[Any]:
        steps = self.pipeline.spec.steps[first:end]
        with contextlib.closing(batches):  # type: ignore[type-var]
            for number, batch in enumerate(batches):
                batch.iteration, batch.n_iters, batch.pipeline = number, None, self.pipeline
                place = self.job.place(number, self.pipeline, first)
                try:
                    batch = perform(batch, steps, place, first)
                except SkipBatchException:
                    continue
                except StopPipeline:
                    return
                except Exception as error:
                    self._failed(error)
                    continue
                self._note(number, place, first)
                yield batch


def _located(error: BaseException, number: int, args: tuple[Any, ...]) -> BaseException:
    return noted(error, f"while batch {number} was prepared ahead")


def _recut(batches: Iterator[Any], rebatch: Step, run: Run) -> Iterator[Any]:
    """The same items, in batches of another size."""
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
