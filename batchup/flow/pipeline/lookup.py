"""Find what the name of a step stands for: an action of the batch class, or a function."""

from __future__ import annotations

import difflib
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from ..data.baseset import Baseset
from ..data.batch import Batch
from ..items.actions import action_info
from .steps import NamedStep, RepeatStep, Step, unknown_step_error

__all__ = ["check_steps", "find_function", "functions_of", "is_step_name", "step_names", "unknown_name_error"]


def find_function(name: str, namespaces: Sequence[Any], dataset: Baseset | None) -> Callable[..., Any] | None:
    """The function of this name: in the namespaces, else in the main program, else in the dataset."""
    for space in [*namespaces, sys.modules.get("__main__"), dataset]:
        found = space.get(name) if isinstance(space, Mapping) else getattr(space, name, None)
        if callable(found):
            return found  # type: ignore[no-any-return]
    return None


def functions_of(pipeline: Any) -> dict[str, Callable[..., Any]]:
    """The functions that the steps of a pipeline name."""
    spec, dataset = pipeline.spec, pipeline.dataset
    names = set(step_names((*spec.before, *spec.steps, *spec.after)))
    found = {name: find_function(name, spec.namespaces, dataset) for name in names}
    return {name: fn for name, fn in found.items() if fn is not None}


def step_names(steps: Iterable[Step]) -> Iterator[str]:
    """The names of actions and functions in the steps."""
    for step in steps:
        if isinstance(step, RepeatStep):
            yield from step_names(step.steps)
        elif isinstance(step, NamedStep):
            yield step.name


def check_steps(steps: Sequence[Step], namespaces: Sequence[Any], dataset: Baseset | None) -> None:
    """Raise an `AttributeError` or a `ValueError` if the batches of a dataset cannot do the steps."""
    batch_class: Any = getattr(dataset, "batch_class", None)
    for number, step in enumerate(() if batch_class is None else steps):
        if isinstance(step, RepeatStep):
            check_steps(step.steps, namespaces, dataset)
        elif isinstance(step, NamedStep) and not _has_action(batch_class, step.name):
            # a step before may return a batch of another class, which has the action
            elsewhere = number > 0 and not hasattr(batch_class, step.name)
            elsewhere = elsewhere and any(_has_action(each, step.name) for each in _classes(Batch))
            if not elsewhere and find_function(step.name, namespaces, dataset) is None:
                raise unknown_step_error(step.name, batch_class)


def is_step_name(name: str, namespaces: Sequence[Any], dataset: Baseset | None) -> bool:
    """Whether a batch of some class may have an action of this name, or there is such a function."""
    if find_function(name, namespaces, dataset) is not None or hasattr(getattr(dataset, "batch_class", None), name):
        return True
    return any(hasattr(kind, name) for kind in _classes(Batch))


def unknown_name_error(name: str, kind: type, namespaces: Sequence[Any]) -> AttributeError:
    """The error for a name that is neither a method of pipelines nor a step; it suggests similar names."""
    known = {each for each in dir(kind) if not each.startswith("_")}
    known |= {each for batches in _classes(Batch) for each in dir(batches) if _has_action(batches, each)}
    for space in namespaces:
        known |= set(space if isinstance(space, Mapping) else dir(space))
    close = difflib.get_close_matches(name, sorted(known), n=3)
    hint = f"; did you mean {' or '.join(close)}?" if close else ""
    return AttributeError(
        f"there is no step {name!r}: a pipeline has no such method, no batch class has such an action, and there is no "
        f"such function in the namespaces, in __main__ or in the dataset{hint}",
        name=name,
    )


def _classes(kind: type) -> Iterator[type]:
    yield kind
    subclasses: list[type] = kind.__subclasses__()
    for below in subclasses:
        yield from _classes(below)


def _has_action(kind: type, name: str) -> bool:
    return action_info(getattr(kind, name, None)) is not None
