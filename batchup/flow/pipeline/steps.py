"""The steps of a pipeline, as data, and what each does with a batch."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from ...engine.checks import whole
from ...engine.rng import SeedPath
from ...engine.stream import presentable
from ...errors import noted
from ..data.batch import Batch
from ..data.ids import id_list
from ..expr.expressions import Expr, assign, evaluate, evaluate_arguments, has_expression
from ..expr.named import depends_on_order, is_in_batch, uses_dataset
from ..items.actions import action_info
from ..items.seeds import ItemSeed

__all__ = [
    "CallStep", "JoinStep", "MergeStep", "ModelStep", "NamedStep", "PipelineStandIn", "RebatchStep", "RepeatStep",
    "SkipBatchException", "SometimesStep", "Step", "StepContext", "StopPipeline", "UpdateStep", "n_prefetchable",
    "perform", "unknown_step_error",
]  # fmt: skip


class SkipBatchException(Exception):
    """Raise it in an action to leave out the batch."""


class StopPipeline(Exception):
    """Raise it in an action to end the run."""


class PipelineStandIn:
    """Stands in for the pipeline while a batch is prefetched: it has the dataset and the config, nothing else.

    An action that asks for more, for a variable or a model, must run again after the batches before.
    """

    def __init__(self, dataset: Any, config: Any) -> None:
        self.dataset = dataset
        self.config = config
        self.was_asked = False

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        self.was_asked = True
        raise RuntimeError(f"a prefetched batch cannot use {name} of its pipeline until the earlier batches are done")


@dataclasses.dataclass
class StepContext:
    """What the steps need to know about the run, while a batch goes through them."""

    pipeline: Any
    functions: Mapping[str, Callable[..., Any]]  # steps that are not actions of the batch
    root: SeedPath  # the seed of the run
    address: tuple[int, ...]  # of the batch or the step, below the root
    times: list[tuple[str, float]] | None = None  # the duration of each step, if the run is profiled
    stand_in: PipelineStandIn | None = None  # stands in for the pipeline if the batch is prefetched
    joined: tuple[Any, ...] = ()  # batches for the next action

    def within(self, *numbers: int) -> StepContext:
        """The same context for steps inside a step."""
        return dataclasses.replace(self, address=(*self.address, *numbers))

    def value(self, obj: Any, batch: Any) -> Any:
        """The value of `obj` for a batch."""
        return evaluate(obj, batch, self.pipeline)


@dataclasses.dataclass(frozen=True, eq=False)
class Step:
    """One thing to do with each batch."""

    name: str
    args: tuple[Any, ...] = ()
    kwargs: dict[str, Any] = dataclasses.field(default_factory=dict)
    save_to: Any = None
    is_lazy: bool = dataclasses.field(init=False, default=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "is_lazy", has_expression((self.args, self.kwargs)))

    def run(self, batch: Any, context: StepContext) -> Any:
        """Do the step and return the batch to go on with."""
        raise NotImplementedError

    def in_order(self, batch_class: Any, functions: Mapping[str, Any]) -> bool:
        """Whether the step has to wait until the batches before have done it."""
        return True

    def begin(self) -> None:
        """Called at the beginning of a run."""

    def values(
        self, batch: Any, context: StepContext, no_eval: Iterable[str] = ()
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """The arguments, evaluated."""
        args, kwargs = self.args, dict(self.kwargs)
        if self.is_lazy:
            kept = {name: kwargs.pop(name) for name in no_eval if name in kwargs}
            args, kwargs = evaluate_arguments(args, kwargs, batch, context.pipeline)
            kwargs.update(kept)
        if context.joined:
            args, context.joined = (*context.joined, *args), ()
        return args, kwargs

    def save(self, value: Any, batch: Any, context: StepContext) -> None:
        """Write a result to `save_to`."""
        if self.save_to is not None:
            assign(self.save_to, value, batch, context.pipeline)


class NamedStep(Step):
    """An action of the batch, or a function that is found by its name."""

    def run(self, batch: Any, context: StepContext) -> Any:
        method = getattr(type(batch), self.name, None)
        info = action_info(method)
        if info is None:
            if self.name not in context.functions:
                raise unknown_step_error(self.name, type(batch))
            args, kwargs = self.values(batch, context)
            self.save(context.functions[self.name](*args, **kwargs), batch, context)
            return batch
        args, kwargs = self.values(batch, context, info.no_eval)
        result = getattr(batch, self.name)(*args, **kwargs)
        if self.save_to is not None:
            self.save(result, batch, context)
            return batch
        if not isinstance(result, Batch):
            hint = "add `return self`" if result is None else "to keep a value, pass save_to="
            what = "None" if result is None else f"a {type(result).__name__}"
            raise TypeError(
                f"the action {self.name!r} of {type(batch).__name__} should return a batch, not {what}; {hint}"
            )
        if result is not batch:
            result.follow(batch)
        return result

    def in_order(self, batch_class: Any, functions: Mapping[str, Any]) -> bool:
        is_action = action_info(getattr(batch_class, self.name, None)) is not None
        has_side_effects = not is_action and self.name in functions and self.save_to is None
        return has_side_effects or depends_on_order((self.args, self.kwargs)) or not _writes_only_to_batch(self.save_to)


def _writes_only_to_batch(save_to: Any) -> bool:
    """Whether `save_to` changes nothing but the batch."""
    if isinstance(save_to, (list, tuple)):
        return all(map(_writes_only_to_batch, save_to))
    if isinstance(save_to, dict):
        return all(map(_writes_only_to_batch, save_to.values()))
    return save_to is None or (isinstance(save_to, Expr) and is_in_batch(save_to))


class CallStep(Step):
    """A call of a function, which is the first argument."""

    def run(self, batch: Any, context: StepContext) -> Any:
        (fn, *args), kwargs = self.values(batch, context)
        self.save(fn(*args, **kwargs), batch, context)
        return batch


class UpdateStep(Step):
    """A value that is written to `save_to`."""

    def run(self, batch: Any, context: StepContext) -> Any:
        self.save(context.value(self.args[0], batch), batch, context)
        return batch


class ModelStep(Step):
    """Train, predict with or save a model: ``name`` is the method, the first argument is the name of the model."""

    def run(self, batch: Any, context: StepContext) -> Any:
        (model, *args), kwargs = self.values(batch, context)
        method = getattr(context.pipeline.get_model_by_name(model, batch=batch), self.name.removesuffix("_model"))
        self.save(method(*args, **kwargs), batch, context)
        return batch


@dataclasses.dataclass(frozen=True, eq=False)
class RepeatStep(Step):
    """Steps that are repeated."""

    steps: tuple[Step, ...] = ()

    def run(self, batch: Any, context: StepContext) -> Any:
        (n,) = self.values(batch, context)[0]
        for number in range(whole("the number of repetitions", n, least=0)):
            batch = perform(batch, self.steps, context.within(number))
        return batch

    def begin(self) -> None:
        for step in self.steps:
            step.begin()

    def in_order(self, batch_class: Any, functions: Mapping[str, Any]) -> bool:
        inner = any(step.in_order(batch_class, functions) for step in self.steps)
        return inner or depends_on_order(self.args)


class SometimesStep(RepeatStep):
    """Steps that are done with a probability."""

    def run(self, batch: Any, context: StepContext) -> Any:
        (p,) = self.values(batch, context)[0]
        if not 0 <= p <= 1:
            raise ValueError(f"the probability of steps should be from 0 to 1, not {p!r}")
        return perform(batch, self.steps, context.within(0)) if batch.random.random() < p else batch


class JoinStep(Step):
    """Batches of other pipelines, with the same items, for the next action."""

    def run(self, batch: Any, context: StepContext) -> Any:
        others = [each.dataset.create_batch(batch.index) for each in self.args]
        for number, other in enumerate(others):
            other.follow(batch)
            other._item_seed = ItemSeed(context.root, (*context.address, number))
        done = (each.execute_for(other) for each, other in zip(self.args, others, strict=True))
        context.joined = (*context.joined, *done)
        return batch


class MergeStep(Step):
    """The next batches of other pipelines, merged with this one."""

    def run(self, batch: Any, context: StepContext) -> Any:
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


def _merged_seed(pipeline: Any, context: StepContext, number: int) -> dict[str, Any]:
    """The seed of a merged pipeline that has none of its own: it comes from the seed of the run."""
    later = pipeline.spec.later or {}
    if later.get("seed") is not None or later.get("shuffle") not in (None, True, False):
        return {}
    if pipeline._next.seed is not None:  # merged before in this run: it goes on with the same seed
        return {"seed": pipeline._next.seed}
    return {"seed": int(context.root.child(0, *context.address[2:], number).rng().integers(2**63))}


def n_prefetchable(steps: Sequence[Step], every: Sequence[Step], batch_class: Any, functions: Mapping[str, Any]) -> int:
    """How many of the first `steps` a batch may do before the earlier batches are done; `every` has all steps."""
    dataset_changes = any(uses_dataset(step.save_to) for step in _with_nested(every))
    for number, step in enumerate(steps):
        asks = dataset_changes and any(uses_dataset((each.args, each.kwargs)) for each in _with_nested([step]))
        if asks or step.in_order(batch_class, functions):
            return number
    return len(steps)


def _with_nested(steps: Iterable[Step]) -> Iterator[Step]:
    for step in steps:
        yield step
        yield from _with_nested(step.steps) if isinstance(step, RepeatStep) else ()


class RebatchStep(Step):
    """Marks where batches get another size. The run does this: it takes more than one batch."""


def perform(batch: Any, steps: Sequence[Step], context: StepContext, first: int = 0) -> Any:
    """Take a batch through steps; the first of them has the number `first`."""
    outer = context.address
    for number, step in enumerate(steps, first):
        context.address = (*outer, number)
        if batch is not None:
            batch._item_seed = ItemSeed(context.root, context.address)
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
            context.times.append((step.name, time.perf_counter() - begun))
        if context.stand_in is not None and context.stand_in.was_asked:  # the step cannot be prefetched
            return batch
    context.address = outer
    return batch


def _batch_text(batch: Any) -> str:
    if batch is None:
        return ""
    some = ", ".join(map(str, id_list(batch.indices[:8])))
    return f", with batch {batch.iteration} (items {some}{', …' if batch.size > 8 else ''})"


def unknown_step_error(name: str, batch_class: Any) -> Exception:
    """The error for a step that is neither an action nor a function."""
    if batch_class is type(None):
        return AttributeError(f"there is no function {name!r}; before and after a run there is no batch with actions")
    if getattr(batch_class, name, None) is not None:
        return ValueError(f"{batch_class.__name__}.{name} should be an action to be a step: decorate it with @action")
    return AttributeError(
        f"there is no step {name!r}: {batch_class.__name__} has no such action, and there is no such function in the "
        "namespaces, in __main__ or in the dataset"
    )
