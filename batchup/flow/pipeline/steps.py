"""The steps of a pipeline, as data, and what each does with a batch."""

from __future__ import annotations

import dataclasses
import time
import types
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np

from ...engine.checks import a_or_an, whole
from ...engine.rng import SeedPath
from ...engine.stream import presentable
from ...errors import noted
from ..data.baseset import Baseset
from ..data.batch import Batch
from ..data.ids import id_list
from ..expr.expressions import Expr, Target, assign, evaluate, evaluate_arguments, has_expression
from ..expr.named import function_key, things_read, things_written
from ..items.actions import action_info
from ..items.seeds import ItemSeed
from .order import ANYTHING, BatchTurns, Section, Touches, action_ahead

__all__ = [
    "CallStep", "DiscardStep", "JoinStep", "LockStep", "MergeStep", "ModelStep", "NamedStep", "PipelineStandIn",
    "RebatchStep", "RepeatStep", "SkipBatchException", "SometimesStep", "Step", "StepContext", "StepTime",
    "StopPipeline", "UpdateStep", "perform", "unknown_step_error",
]  # fmt: skip


class SkipBatchException(Exception):
    """Raise it in an action to leave out the batch."""


class StopPipeline(Exception):
    """Raise it in an action to end the run."""


class PipelineStandIn:
    """Stands in for the pipeline in other processes: it has the dataset and the config, nothing else."""

    def __init__(self, dataset: Baseset, config: Mapping[str, Any]) -> None:
        self.dataset = dataset
        self.config = config

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        raise RuntimeError(
            f"an action that uses {name} of its pipeline cannot run in another process, which has no variables and "
            "models of the pipeline: mark it with @action(in_order=True), or prefetch with target='threads'"
        )


StepTime: TypeAlias = tuple[str, float, float]  # name, duration, and the part in which arguments were evaluated


@dataclasses.dataclass
class StepContext:
    """What the steps need to know about the run, while a batch goes through them."""

    pipeline: Any
    functions: Mapping[str, Callable[..., Any]]  # steps that are not actions of the batch
    root: SeedPath  # the seed of the run
    address: tuple[int, ...]  # of the batch or the step, below the root
    times: list[StepTime] | None = None  # if the run is profiled
    evaluating: float = 0.0  # seconds, in this step
    turns: BatchTurns | None = None  # of the sections, if several batches are in flight
    section: Section | None = None  # which the batch is in
    joined: tuple[Any, ...] = ()  # batches for the next action

    def within(self, *numbers: int) -> StepContext:
        """The same context for steps inside a step."""
        return dataclasses.replace(self, address=(*self.address, *numbers), times=None, turns=None, section=None)

    def begin(self, number: int, turns: BatchTurns) -> None:
        """Wait for the turn of the batch, if a step needs it."""
        self.section = turns.begin(number, self.address[1]) or self.section

    def end(self, number: int, arguments_only: bool = False) -> None:
        """Let the next batch do the step, if it has to wait for this one."""
        section = self.section
        if section is None or self.turns is None or number < section.last or arguments_only > section.arguments_only:
            return
        self.turns.done(self.address[1], section)
        self.section = None

    def value(self, obj: object, batch: Batch) -> Any:
        """The value of `obj` for a batch."""
        begun = time.perf_counter()
        value = evaluate(obj, batch, self.pipeline)
        self.evaluating += time.perf_counter() - begun
        return value


@dataclasses.dataclass(frozen=True, eq=False)
class Step:
    """One thing to do with each batch."""

    name: str
    args: tuple[Any, ...] = ()
    kwargs: dict[str, Any] = dataclasses.field(default_factory=dict)
    save_to: Target | None = None
    is_lazy: bool = dataclasses.field(init=False, default=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "is_lazy", has_expression((self.args, self.kwargs)))

    def run(self, batch: Batch, context: StepContext) -> Any:
        """Do the step and return the batch to go on with."""
        raise NotImplementedError

    def touches(self, batch_class: type, functions: Mapping[str, Any]) -> Touches:
        """What the step shares with other batches."""
        reads, changes = things_read((self.args, self.kwargs))
        written = things_written(self.save_to)
        return Touches(reads | things_read(self.save_to)[0], changes | written, in_body=bool(written))

    def begin(self) -> None:
        """Called at the beginning of a run."""

    def values(
        self, batch: Batch, context: StepContext, no_eval: Iterable[str] = ()
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """The arguments, evaluated."""
        args, kwargs = self.args, dict(self.kwargs)
        if self.is_lazy:
            kept = {name: kwargs.pop(name) for name in no_eval if name in kwargs}
            begun = time.perf_counter()
            args, kwargs = evaluate_arguments(args, kwargs, batch, context.pipeline)
            context.evaluating += time.perf_counter() - begun
            kwargs.update(kept)
        if context.joined:
            args, context.joined = (*context.joined, *args), ()
        return args, kwargs

    def save(self, value: object, batch: Batch, context: StepContext) -> None:
        """Write a result to `save_to`."""
        if self.save_to is not None:
            assign(self.save_to, value, batch, context.pipeline)


class NamedStep(Step):
    """An action of the batch, or a function that is found by its name."""

    def run(self, batch: Batch, context: StepContext) -> Any:
        method = getattr(type(batch), self.name, None)
        info = action_info(method)
        if info is None:
            if self.name not in context.functions:
                raise unknown_step_error(self.name, type(batch))
            args, kwargs = self.values(batch, context)
            self.save(context.functions[self.name](*args, **kwargs), batch, context)
            return batch
        args, kwargs = self.values(batch, context, info.no_eval)
        if context.turns is None:
            result = getattr(batch, self.name)(*args, **kwargs)
        else:
            context.end(context.address[-1], arguments_only=True)
            is_ahead = context.section is None and info.in_order is None
            token = action_ahead.set(self.name if is_ahead else "")
            try:
                result = getattr(batch, self.name)(*args, **kwargs)
            finally:
                action_ahead.reset(token)
        if self.save_to is not None:
            self.save(result, batch, context)
            return batch
        if not isinstance(result, Batch):
            hint = "add `return self`" if result is None else "to keep a value, pass save_to="
            what = "None" if result is None else a_or_an(type(result))
            raise TypeError(
                f"the action {self.name!r} of {type(batch).__name__} should return a batch, not {what}; {hint}"
            )
        if result is not batch:
            result.follow(batch)
        return result

    def touches(self, batch_class: type, functions: Mapping[str, Any]) -> Touches:
        touches = super().touches(batch_class, functions)
        info = action_info(getattr(batch_class, self.name, None))
        if info is not None and info.in_order:
            touches.changes.add(ANYTHING)
        elif info is not None and info.use_lock is not None:
            touches.changes.add(("lock", info.use_lock))
        elif info is not None or self.name not in functions:
            return touches
        else:
            touches.changes |= _changed_by(functions[self.name], self.save_to)
        touches.in_body = True
        return touches


def _changed_by(fn: object, save_to: Target | None) -> set[Any]:
    """What a call of a function may change: without a result it is called for its effects; an object may remember."""
    remembers = not isinstance(fn, (type, types.FunctionType, np.ufunc, Expr))
    remembers = remembers and not isinstance(getattr(fn, "__self__", None), (types.ModuleType, type))
    return {function_key(fn)} if save_to is None or remembers else set()


class CallStep(Step):
    """A call of a function, which is the first argument."""

    def run(self, batch: Batch, context: StepContext) -> Any:
        (fn, *args), kwargs = self.values(batch, context)
        self.save(fn(*args, **kwargs), batch, context)
        return batch

    def touches(self, batch_class: type, functions: Mapping[str, Any]) -> Touches:
        touches = super().touches(batch_class, functions)
        touches.changes |= _changed_by(self.args[0], self.save_to)
        return dataclasses.replace(touches, in_body=True)


class UpdateStep(Step):
    """A value that is written to `save_to`."""

    def run(self, batch: Batch, context: StepContext) -> Any:
        self.save(context.value(self.args[0], batch), batch, context)
        return batch


class ModelStep(Step):
    """Train, predict with or save a model: ``name`` is the method, the first argument is the name of the model."""

    def run(self, batch: Batch, context: StepContext) -> Any:
        (model, *args), kwargs = self.values(batch, context)
        method = getattr(context.pipeline.get_model_by_name(model, batch=batch), self.name.removesuffix("_model"))
        self.save(method(*args, **kwargs), batch, context)
        return batch

    def touches(self, batch_class: type, functions: Mapping[str, Any]) -> Touches:
        touches = super().touches(batch_class, functions)
        return Touches(touches.reads, touches.changes | {"models"})


@dataclasses.dataclass(frozen=True, eq=False)
class RepeatStep(Step):
    """Steps that are repeated."""

    steps: tuple[Step, ...] = ()

    def run(self, batch: Batch, context: StepContext) -> Any:
        (n,) = self.values(batch, context)[0]
        for number in range(whole("the number of repetitions", n, least=0)):
            batch = perform(batch, self.steps, context.within(number))
        return batch

    def begin(self) -> None:
        for step in self.steps:
            step.begin()

    def touches(self, batch_class: type, functions: Mapping[str, Any]) -> Touches:
        every = [
            super().touches(batch_class, functions),
            *(step.touches(batch_class, functions) for step in self.steps),
        ]
        reads, changes = (set().union(*(getattr(each, name) for each in every)) for name in ("reads", "changes"))
        return Touches(reads, changes)


class SometimesStep(RepeatStep):
    """Steps that are done with a probability."""

    def run(self, batch: Batch, context: StepContext) -> Any:
        (p,) = self.values(batch, context)[0]
        if not 0 <= p <= 1:
            raise ValueError(f"the probability of steps should be from 0 to 1, not {p!r}")
        return perform(batch, self.steps, context.within(0)) if batch.random.random() < p else batch


class JoinStep(Step):
    """Batches of other pipelines, with the same items, for the next action."""

    def run(self, batch: Batch, context: StepContext) -> Any:
        others = [each.dataset.create_batch(batch.index) for each in self.args]
        for number, other in enumerate(others):
            other.follow(batch)
            other._item_seed = ItemSeed(context.root, (*context.address, number))
        done = (each.execute_for(other) for each, other in zip(self.args, others, strict=True))
        context.joined = (*context.joined, *done)
        return batch

    def touches(self, batch_class: type, functions: Mapping[str, Any]) -> Touches:
        return Touches(changes={("object", id(each)) for each in self.args})


class MergeStep(Step):
    """The next batches of other pipelines, merged with this one."""

    def run(self, batch: Batch, context: StepContext) -> Any:
        batches = [batch]
        for number, each in enumerate(self.args):  # without prefetch: the last batch may have fewer items
            try:
                batches.append(each.next_batch(batch.size, prefetch=0, **_merged_seed(each, context, number)))
            except StopIteration as error:
                raise RuntimeError(
                    f"pipeline {number} of this merge has reached its n_epochs or n_iters; leave out both to get "
                    "as many batches as this pipeline needs"
                ) from error
        merge = self.kwargs.get("fn") or batch.merge
        options = {name: self.kwargs[name] for name in ("components", "batch_class") if self.kwargs.get(name)}
        merged = merge(batches, **options)
        merged = merged[0] if isinstance(merged, tuple) else merged
        merged.follow(batch)
        return merged

    def begin(self) -> None:
        for each in self.args:
            each.reset("iter")

    def touches(self, batch_class: type, functions: Mapping[str, Any]) -> Touches:
        return Touches(changes={("object", id(each)) for each in self.args})


def _merged_seed(pipeline: Any, context: StepContext, number: int) -> dict[str, Any]:
    """The seed of a merged pipeline that has none of its own: it comes from the seed of the run."""
    later = pipeline.spec.later or {}
    if later.get("seed") is not None or later.get("shuffle") not in (None, True, False):
        return {}
    if pipeline._next.seed is not None:  # merged before in this run: it goes on with the same seed
        return {"seed": pipeline._next.seed}
    return {"seed": int(context.root.child(0, *context.address[2:], number).rng().integers(2**63))}


class LockStep(Step):
    """Take or release a lock of the pipeline: ``name`` is the method, the first argument is the name of the lock."""

    def run(self, batch: Batch, context: StepContext) -> Any:
        (name,), kwargs = self.values(batch, context)
        getattr(context.pipeline.lock(name), self.name.removesuffix("_lock"))(**kwargs)
        return batch

    def touches(self, batch_class: type, functions: Mapping[str, Any]) -> Touches:
        return Touches(changes={("lock", self.args[0])})


class DiscardStep(Step):
    """Drop the data of the batch."""

    def run(self, batch: Batch, context: StepContext) -> Any:
        bare = Batch(batch.index)
        bare.follow(batch)
        return bare


class RebatchStep(Step):
    """Marks where batches get another size. The run does this: it takes more than one batch."""


def perform(batch: Any, steps: Sequence[Step], context: StepContext, first: int = 0) -> Any:
    """Take a batch through steps; the first of them has the number `first`."""
    outer = context.address
    for number, step in enumerate(steps, first):
        context.address = (*outer, number)
        if batch is not None:
            batch._item_seed = ItemSeed(context.root, context.address)
        if context.turns is not None:
            context.begin(number, context.turns)
        begun = time.perf_counter()
        try:
            batch = step.run(batch, context)
        except (SkipBatchException, StopPipeline):
            raise
        except Exception as error:
            shown = presentable(error)
            noted(shown, f"at step {number} of the pipeline, {step.name}{_batch_text(batch)}")
            if shown is error:
                raise
            raise shown from error
        if context.times is not None:
            context.times.append((step.name, time.perf_counter() - begun, context.evaluating))
            context.evaluating = 0.0
        if context.section is not None:
            context.end(number)
    context.address = outer
    return batch


def _batch_text(batch: Batch | None) -> str:
    if batch is None:
        return ""
    some = ", ".join(map(str, id_list(batch.indices[:8])))
    return f", with batch {batch.iteration} (items {some}{', …' if batch.size > 8 else ''})"


def unknown_step_error(name: str, batch_class: type) -> Exception:
    """The error for a step that is neither an action nor a function."""
    if batch_class is type(None):
        return AttributeError(f"there is no function {name!r}; before and after a run there is no batch with actions")
    if getattr(batch_class, name, None) is not None:
        return ValueError(f"{batch_class.__name__}.{name} should be an action to be a step: decorate it with @action")
    return AttributeError(
        f"there is no step {name!r}: {batch_class.__name__} has no such action, and there is no such function in the "
        "namespaces, in __main__ or in the dataset"
    )
