"""The steps of a pipeline, as data; and what is done with a batch at each."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from ..engine.checks import whole
from ..engine.rng import rng_at
from ..engine.stream import presentable
from ..errors import noted
from .actions import marked
from .batch import Batch
from .expressions import Expr, arguments, assign, evaluate, lazy
from .names import depends_on_order, is_in_batch, is_of_dataset
from .parallel import Chance

__all__ = [
    "Ahead", "Call", "Join", "Merge", "ModelStep", "Named", "Place", "Rebatch", "SkipBatchException",
    "Sometimes", "Step", "StopPipeline", "Times", "Update", "how_many_ahead", "perform", "unknown",
]  # fmt: skip


class SkipBatchException(Exception):
    """Raise it in an action to leave out the batch."""


class StopPipeline(Exception):
    """Raise it in an action to end the run."""


class Ahead:
    """What a batch has for its pipeline while it is prepared ahead of its turn: the dataset and the config.

    Whoever asks for more, for a variable or a model, has to wait until the batches before are done with it.
    """

    def __init__(self, dataset: Any, config: Any) -> None:
        self.dataset = dataset
        self.config = config
        self.asked = False

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        self.asked = True
        raise RuntimeError(f"{name} of a pipeline is not known before the turn of the batch")


@dataclasses.dataclass
class Place:
    """Where a batch goes through its steps."""

    pipeline: Any
    functions: Mapping[str, Callable[..., Any]]  # steps that are not actions of the batch
    root: Any  # the seed of the run
    address: tuple[int, ...]  # under it
    times: list[tuple[str, float]] | None = None  # how long each step took, if that is asked for
    ahead: Ahead | None = None  # what stands for the pipeline, if the batch is ahead of its turn
    joined: tuple[Any, ...] = ()  # batches that the next action gets

    def within(self, *numbers: int) -> Place:
        """The same, at steps within a step."""
        return dataclasses.replace(self, address=(*self.address, *numbers))

    def value(self, obj: Any, batch: Any) -> Any:
        """`obj` evaluated here."""
        return evaluate(obj, batch, self.pipeline)


@dataclasses.dataclass(frozen=True, eq=False)
class Step:
    """One thing that is done with each batch."""

    name: str
    args: tuple[Any, ...] = ()
    kwargs: dict[str, Any] = dataclasses.field(default_factory=dict)
    save_to: Any = None
    is_lazy: bool = dataclasses.field(init=False, default=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "is_lazy", lazy((self.args, self.kwargs)))

    def run(self, batch: Any, place: Place) -> Any:
        """Do it; the batch to go on with."""
        raise NotImplementedError

    def in_order(self, batch_class: Any, functions: Mapping[str, Any]) -> bool:
        """Whether it has to wait until the batches before have done it."""
        return True

    def begin(self) -> None:
        """Called at the beginning of a run."""

    def values(self, batch: Any, place: Place, no_eval: Iterable[str] = ()) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """The arguments, evaluated."""
        args, kwargs = self.args, dict(self.kwargs)
        if self.is_lazy:
            kept = {name: kwargs.pop(name) for name in no_eval if name in kwargs}
            args, kwargs = arguments(args, kwargs, batch, place.pipeline)
            kwargs.update(kept)
        if place.joined:
            args, place.joined = (*place.joined, *args), ()
        return args, kwargs

    def keep(self, value: Any, batch: Any, place: Place) -> None:
        """Put a result where the step says."""
        if self.save_to is not None:
            assign(self.save_to, value, batch, place.pipeline)


class Named(Step):
    """An action of the batch, or a function that is found by its name."""

    def run(self, batch: Any, place: Place) -> Any:
        method = getattr(type(batch), self.name, None)
        about = marked(method)
        if about is None:
            if self.name not in place.functions:
                raise unknown(self.name, type(batch))
            args, kwargs = self.values(batch, place)
            self.keep(place.functions[self.name](*args, **kwargs), batch, place)
            return batch
        args, kwargs = self.values(batch, place, about.no_eval)
        result = getattr(batch, self.name)(*args, **kwargs)
        if self.save_to is not None:
            self.keep(result, batch, place)
            return batch
        if not isinstance(result, Batch):
            hint = "does it lack a return?" if result is None else "save_to= would keep a value"
            what = "None" if result is None else f"a {type(result).__name__}"
            raise TypeError(
                f"the action {self.name!r} of {type(batch).__name__} should return a batch, not {what}; {hint}"
            )
        if result is not batch:
            result.follow(batch)
        return result

    def in_order(self, batch_class: Any, functions: Mapping[str, Any]) -> bool:
        is_action = marked(getattr(batch_class, self.name, None)) is not None
        for_its_effect = not is_action and self.name in functions and self.save_to is None
        return for_its_effect or depends_on_order((self.args, self.kwargs)) or not _into_the_batch(self.save_to)


def _into_the_batch(save_to: Any) -> bool:
    """Whether nothing but the batch itself is written to."""
    if isinstance(save_to, (list, tuple)):
        return all(map(_into_the_batch, save_to))
    if isinstance(save_to, dict):
        return all(map(_into_the_batch, save_to.values()))
    return save_to is None or (isinstance(save_to, Expr) and is_in_batch(save_to))


class Call(Step):
    """A function that is given itself."""

    def run(self, batch: Any, place: Place) -> Any:
        (fn, *args), kwargs = self.values(batch, place)
        self.keep(fn(*args, **kwargs), batch, place)
        return batch


class Update(Step):
    """A value that is put somewhere."""

    def run(self, batch: Any, place: Place) -> Any:
        self.keep(place.value(self.args[0], batch), batch, place)
        return batch


class ModelStep(Step):
    """Training, prediction, saving: ``name`` is the method, the first argument the name of the model."""

    def run(self, batch: Any, place: Place) -> Any:
        (model, *args), kwargs = self.values(batch, place)
        method = getattr(place.pipeline.get_model_by_name(model, batch=batch), self.name.removesuffix("_model"))
        self.keep(method(*args, **kwargs), batch, place)
        return batch


@dataclasses.dataclass(frozen=True, eq=False)
class Times(Step):
    """Steps that are repeated."""

    steps: tuple[Step, ...] = ()

    def run(self, batch: Any, place: Place) -> Any:
        (n,) = self.values(batch, place)[0]
        for number in range(whole("how often steps are repeated", n, least=0)):
            batch = perform(batch, self.steps, place.within(number))
        return batch

    def begin(self) -> None:
        for step in self.steps:
            step.begin()

    def in_order(self, batch_class: Any, functions: Mapping[str, Any]) -> bool:
        inner = any(step.in_order(batch_class, functions) for step in self.steps)
        return inner or depends_on_order(self.args)


class Sometimes(Times):
    """Steps that are done with a probability."""

    def run(self, batch: Any, place: Place) -> Any:
        (p,) = self.values(batch, place)[0]
        if not 0 <= p <= 1:
            raise ValueError(f"the probability of steps should be from 0 to 1, not {p!r}")
        return perform(batch, self.steps, place.within(0)) if batch.random.random() < p else batch


class Join(Step):
    """Batches of other pipelines, of the same items, for the next action."""

    def run(self, batch: Any, place: Place) -> Any:
        others = [each.dataset.create_batch(batch.index) for each in self.args]
        for number, other in enumerate(others):
            other.follow(batch)
            other._chance = Chance(place.root, (*place.address, number))
        done = (each.execute_for(other) for each, other in zip(self.args, others, strict=True))
        place.joined = (*place.joined, *done)
        return batch


class Merge(Step):
    """The next batches of other pipelines, merged with this one."""

    def run(self, batch: Any, place: Place) -> Any:
        batches = [batch]
        for number, each in enumerate(self.args):  # none ahead: the last may have fewer items
            try:
                batches.append(each.next_batch(batch.size, prefetch=0, **_seed(each, place, number)))
            except StopIteration as error:
                raise RuntimeError(
                    f"pipeline {number} of this merge has come to the end of its n_epochs or n_iters; without these, "
                    "it goes on for as long as there is something to merge with"
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


def _seed(pipeline: Any, place: Place, number: int) -> dict[str, Any]:
    """The seed of a merged pipeline which has none: that of the run decides about it too."""
    later = pipeline.spec.later or {}
    if later.get("seed") is not None or later.get("shuffle") not in (None, True, False):
        return {}
    if pipeline._next.seed is not None:  # it was merged before in this run, and goes on
        return {"seed": pipeline._next.seed}
    return {"seed": int(rng_at(place.root, 0, *place.address[2:], number).integers(2**63))}


def how_many_ahead(steps: Sequence[Step], every: Sequence[Step], batch_class: Any, functions: Mapping[str, Any]) -> int:
    """How many of the steps a batch may do before its turn, in a pipeline that has `every` one of these."""
    changed = any(is_of_dataset(step.save_to) for step in _flat(every))
    for number, step in enumerate(steps):
        asked = changed and any(is_of_dataset((each.args, each.kwargs)) for each in _flat([step]))
        if asked or step.in_order(batch_class, functions):
            return number
    return len(steps)


def _flat(steps: Iterable[Step]) -> Iterator[Step]:
    for step in steps:
        yield step
        yield from _flat(step.steps) if isinstance(step, Times) else ()


class Rebatch(Step):
    """Where batches are cut anew. The run does it; there is nothing to do with one batch."""


def perform(batch: Any, steps: Sequence[Step], place: Place, first: int = 0) -> Any:
    """Take a batch through steps; the first of them has the number `first`."""
    outer = place.address
    for number, step in enumerate(steps, first):
        place.address = (*outer, number)
        if batch is not None:
            batch._chance = Chance(place.root, place.address)
        begun = time.perf_counter()
        try:
            batch = step.run(batch, place)
        except (SkipBatchException, StopPipeline):
            raise
        except Exception as error:
            shown = presentable(error)
            noted(shown, f"at step {number} of the pipeline, {step.name}{_of(batch)}")
            if shown is error:
                raise
            raise shown from error
        if place.times is not None:
            place.times.append((step.name, time.perf_counter() - begun))
        if place.ahead is not None and place.ahead.asked:  # it should not have been done ahead
            return batch
    place.address = outer
    return batch


def _of(batch: Any) -> str:
    if batch is None:
        return ""
    some = ", ".join(map(str, batch.indices[:8].tolist()))
    return f", with batch {batch.iteration} (items {some}{', …' if batch.size > 8 else ''})"


def unknown(name: str, batch_class: Any) -> Exception:
    """What is wrong with a step that is nowhere to be found."""
    if batch_class is type(None):
        return AttributeError(f"there is no function {name!r}; before and after a run there is no batch with actions")
    if getattr(batch_class, name, None) is not None:
        return ValueError(f"{batch_class.__name__}.{name} should be an action to be a step: decorate it with @action")
    return AttributeError(
        f"there is no step {name!r}: no action of {batch_class.__name__}, and no function in the namespaces, in "
        "__main__ or of the dataset"
    )
