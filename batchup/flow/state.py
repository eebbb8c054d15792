"""What changes while a pipeline runs: its variables and models, and the locks for both."""

from __future__ import annotations

import copy
import dataclasses
import threading
from typing import Any

from .expressions import evaluate
from .models import as_model, built
from .modes import changed

__all__ = ["ModelOf", "State", "Variable"]


@dataclasses.dataclass(frozen=True, eq=False)
class Variable:
    """A variable as a pipeline declares it."""

    name: str
    default: Any = None
    each_run: bool = False  # whether it begins anew with each run

    def begin(self, pipeline: Any) -> Any:
        """A first value of its own: a copy, or what a function or an expression gives."""
        if self.each_run and callable(self.default) and isinstance(self.default, type):
            return self.default()
        return evaluate(copy.deepcopy(self.default), None, pipeline)


@dataclasses.dataclass(frozen=True, eq=False)
class ModelOf:
    """A model as a pipeline declares it: a class with a config, an object, or another pipeline that has it."""

    name: str
    model_class: Any = None
    config: Any = None
    source: Any = None
    shared: bool = False  # whether the source itself is the model, not a copy
    path: Any = None  # of the file that it is read from

    def __post_init__(self) -> None:
        if self.source is not None and not (self.model_class is None and self.config is None):
            raise ValueError(
                f"the model {self.name!r} should have a source or a model_class with its config, not both: give the "
                "source what it needs before"
            )

    def make(self, batch: Any, pipeline: Any) -> Any:
        """The model, with the batch at hand."""
        if self.source is None:
            config = evaluate(self.config, batch, pipeline)
            model = built(evaluate(self.model_class, batch, pipeline), config)
        else:
            source = evaluate(self.source, batch, pipeline)
            if hasattr(source, "get_model_by_name"):
                return source.get_model_by_name(self.name, batch=batch)
            model = as_model(source if self.shared else copy.deepcopy(source))
        if self.path is not None:
            model.load(evaluate(self.path, batch, pipeline))
        return model


class State:
    """The variables and models of one pipeline. A pipeline that is made from another has a state of its own."""

    def __init__(self) -> None:
        self.variables: dict[str, Any] = {}
        self.models: dict[str, Any] = {}
        self.profile: list[dict[str, Any]] | None = None
        self._begun = False
        self._make_locks()

    def _make_locks(self) -> None:
        self._lock = threading.RLock()
        self._locks: dict[str, Any] = {}

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name not in ("_lock", "_locks")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._make_locks()

    def lock(self, name: str) -> Any:
        """The lock of this name, always the same."""
        with self._lock:
            return self._locks.setdefault(name, threading.RLock())

    def begin(self, pipeline: Any, declared: tuple[Variable, ...], new_run: bool = False) -> None:
        """Give the declared variables their first values, those that they do not have yet."""
        with self._lock:
            if self._begun and not new_run:
                return
            self._begun = True
            for variable in declared:
                if variable.name not in self.variables or (new_run and variable.each_run):
                    self.variables[variable.name] = variable.begin(pipeline)

    def forget(self, what: str) -> None:
        """Forget ``'vars'`` or ``'models'``; ``'iter'`` is nothing that is kept here."""
        if what == "vars":
            self.variables, self._begun = {}, False
        elif what == "models":
            self.models = {}
        elif what != "iter":
            raise ValueError(f"what to reset should be 'iter', 'vars' or 'models', not {what!r}")

    def variable(self, name: str) -> Any:
        """The value of a variable.

        Raises
        ------
        KeyError
            If there is none of that name.
        """
        try:
            return self.variables[name]
        except KeyError:
            have = ", ".join(map(repr, self.variables)) or "none"
            raise KeyError(f"there is no variable {name!r}; there are {have}: init_variable() makes one") from None

    def write(self, name: str, value: Any, mode: str = "w") -> None:
        """Set, append to, extend or update a variable, with nobody in between."""
        with self.lock(f"variable {name}"):
            self.variables[name] = changed(self.variables.get(name), mode, value)

    def model(self, name: str, declared: tuple[ModelOf, ...], batch: Any, pipeline: Any) -> Any:
        """A model, built at first use.

        Raises
        ------
        KeyError
            If there is none of that name.
        """
        with self.lock(f"model {name}"):
            if name not in self.models:
                for each in reversed(declared):
                    if each.name == name:
                        self.models[name] = each.make(batch, pipeline)
                        break
                else:
                    have = ", ".join(sorted({repr(each.name) for each in declared})) or "none"
                    raise KeyError(f"there is no model {name!r}; there are {have}: init_model() makes one")
            return self.models[name]
