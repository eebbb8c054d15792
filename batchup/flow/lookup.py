"""What the name of a step stands for."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from .actions import marked
from .batch import Batch
from .steps import Named, Step, Times, unknown

__all__ = ["check_steps", "find_function", "functions_of", "names_in"]


def find_function(name: str, namespaces: Sequence[Any], dataset: Any) -> Callable[..., Any] | None:
    """The function that a step is called by: of the namespaces, of the main program, of the dataset."""
    for space in [*namespaces, sys.modules.get("__main__"), dataset]:
        found = space.get(name) if isinstance(space, Mapping) else getattr(space, name, None)
        if callable(found):
            return found  # type: ignore[no-any-return]
    return None


def functions_of(spec: Any) -> dict[str, Callable[..., Any]]:
    """The functions that steps of a pipeline may be called by."""
    names = set(names_in((*spec.before, *spec.steps, *spec.after)))
    found = {name: find_function(name, spec.namespaces, spec.dataset) for name in names}
    return {name: fn for name, fn in found.items() if fn is not None}


def names_in(steps: Iterable[Step]) -> Iterator[str]:
    """The names that steps are called by."""
    for step in steps:
        if isinstance(step, Times):
            yield from names_in(step.steps)
        elif isinstance(step, Named):
            yield step.name


def check_steps(steps: Sequence[Step], namespaces: Sequence[Any], dataset: Any) -> None:
    """Refuse steps that a batch of the dataset cannot go through.

    Raises
    ------
    AttributeError, ValueError
    """
    batch_class = getattr(dataset, "batch_class", None)
    for number, step in enumerate(steps):
        if isinstance(step, Times):
            check_steps(step.steps, namespaces, dataset)
        if not isinstance(step, Named) or batch_class is None or marked(getattr(batch_class, step.name, None)):
            continue
        if find_function(step.name, namespaces, dataset) is None:
            elsewhere = number > 0 and not hasattr(batch_class, step.name) and _is_somewhere(step.name, Batch)
            if not elsewhere:  # an action before may return a batch of the class that has it
                raise unknown(step.name, batch_class)


def _is_somewhere(name: str, kind: type) -> bool:
    below: list[type] = kind.__subclasses__()
    return marked(getattr(kind, name, None)) is not None or any(_is_somewhere(name, each) for each in below)
