"""What a pipeline declares; and its state: variables and models, which change in a run, and their locks."""

from __future__ import annotations

import copy
import dataclasses
import threading
from collections.abc import Mapping
from typing import Any

from ..data.batch import Batch
from ..expr.expressions import Expr, evaluate, written_value
from ..extras.models import as_model, build_model
from .steps import Step

__all__ = ["ModelDeclaration", "PipelineSpec", "PipelineState", "VariableDeclaration", "nested_config"]


@dataclasses.dataclass(frozen=True, eq=False)
class VariableDeclaration:
    """The declaration of a variable."""

    name: str
    default: Any = None
    each_run: bool = False  # whether each run starts with a new value

    def begin(self, pipeline: Any) -> Any:
        """A new first value: a copy of the default, or what its function or expression returns."""
        if self.each_run and callable(self.default) and isinstance(self.default, type):
            return self.default()
        return evaluate(copy.deepcopy(self.default), None, pipeline)


@dataclasses.dataclass(frozen=True, eq=False)
class ModelDeclaration:
    """The declaration of a model: a class with a config, an object, or another pipeline that has the model."""

    name: str
    model_class: Any = None
    config: Any = None
    source: Any = None
    shared: bool = False  # whether the model is the source itself, not a copy
    loaded: tuple[tuple[Any, ...], dict[str, Any]] | None = None  # the arguments of its `load`

    def __post_init__(self) -> None:
        if self.source is not None and not (self.model_class is None and self.config is None):
            raise ValueError(
                f"the model {self.name!r} should have a source or a model_class with its config, not both: configure "
                "the source first"
            )

    def make(self, batch: Batch | None, pipeline: Any) -> Any:
        """Make the model; the batch may be needed to evaluate the config."""
        if self.source is None:
            config = evaluate(self.config, batch, pipeline)
            model = build_model(evaluate(self.model_class, batch, pipeline), config)
        else:
            source = evaluate(self.source, batch, pipeline)
            if hasattr(source, "get_model_by_name"):
                return source.get_model_by_name(self.name, batch=batch)
            model = as_model(source if self.shared else copy.deepcopy(source))
        if self.loaded is not None:
            args, kwargs = evaluate(self.loaded, batch, pipeline)
            model.load(*args, **kwargs)
        return model


def nested_config(config: Mapping[str, Any] | None, into: Mapping[str, Any] = {}) -> dict[str, Any]:
    """A config with the values of another one. A key such as ``'model/lr'`` stands for the key in a dict in the dict.

    >>> nested_config({"model/lr": 0.1, "n": 3}, {"model": {"depth": 2}})
    {'model': {'depth': 2, 'lr': 0.1}, 'n': 3}
    """
    new = dict(into)
    for key, value in dict(config or {}).items():
        first, _, rest = key.partition("/") if isinstance(key, str) else (key, "", "")
        inner = new.get(first)
        if rest:
            new[first] = nested_config({rest: value}, inner if isinstance(inner, Mapping) else {})
        elif isinstance(value, dict) and any(isinstance(each, str) and "/" in each for each in value):
            new[first] = nested_config(value)
        else:
            new[first] = value
    return new


@dataclasses.dataclass(frozen=True, eq=False)
class PipelineSpec:
    """All declarations of a pipeline. Never changed."""

    steps: tuple[Step, ...] = ()
    variables: tuple[VariableDeclaration, ...] = ()
    models: tuple[ModelDeclaration, ...] = ()
    before: tuple[Step, ...] = ()
    after: tuple[Step, ...] = ()
    namespaces: tuple[Any, ...] = ()
    dataset: Any = None
    config: dict[str, Any] = dataclasses.field(default_factory=dict)
    later: dict[str, Any] | None = None  # the options of run_later

    @property
    def known_dataset(self) -> Any:
        """The dataset; None if it is an expression, which has a value only when the pipeline runs."""
        return None if isinstance(self.dataset, Expr) else self.dataset

    def __add__(self, other: PipelineSpec) -> PipelineSpec:
        if self.dataset is not None and other.dataset is not None and self.dataset is not other.dataset:
            raise ValueError(
                "pipelines to add should have the same dataset, not different datasets: bind only one of them with <<"
            )
        joined = {
            name: getattr(self, name) + getattr(other, name)
            for name in ("steps", "variables", "models", "before", "after", "namespaces")
        }
        return PipelineSpec(
            **joined,
            dataset=other.dataset if self.dataset is None else self.dataset,
            config=nested_config(other.config, self.config),
            later=self.later or other.later,
        )


class PipelineState:
    """The variables and models of one pipeline. A pipeline made from another has a state of its own."""

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
        """The lock of this name; the same one for each call."""
        with self._lock:
            return self._locks.setdefault(name, threading.RLock())

    def begin(self, pipeline: Any, declared: tuple[VariableDeclaration, ...], new_run: bool = False) -> None:
        """Give first values to the declared variables that have no value yet."""
        with self._lock:
            if self._begun and not new_run:
                return
            self._begun = True
            for variable in declared:
                if variable.name not in self.variables or (new_run and variable.each_run):
                    self.variables[variable.name] = variable.begin(pipeline)

    def begin_profile(self) -> int:
        """Begin to profile a run, if that has not been done; return the number of batches in earlier profiles."""
        self.profile = self.profile or []
        return max((row["iter"] for row in self.profile), default=0)

    def forget(self, what: str) -> None:
        """Forget ``'variables'`` or ``'models'``."""
        if what == "variables":
            self.variables, self._begun = {}, False
        elif what == "models":
            self.models = {}

    def forget_variable(self, name: str) -> None:
        """Forget one variable, which gets its first value again if it is declared."""
        with self._lock:
            self.variables.pop(name, None)
            self._begun = False

    def variable(self, name: str) -> Any:
        """The value of a variable; a `KeyError` lists those that there are."""
        try:
            return self.variables[name]
        except KeyError:
            have = ", ".join(map(repr, self.variables)) or "none"
            raise KeyError(
                f"there is no variable {name!r}; there are {have}: declare it with init_variable()"
            ) from None

    def write(self, name: str, value: object, mode: str = "w") -> None:
        """Set, append to, extend or update a variable, while holding its lock."""
        with self.lock(f"variable {name}"):
            self.variables[name] = written_value(self.variables.get(name), mode, value)

    def model(self, name: str, declared: tuple[ModelDeclaration, ...], batch: Batch | None, pipeline: Any) -> Any:
        """A model, which is built at first use; a `KeyError` lists those that there are."""
        with self.lock(f"model {name}"):
            if name not in self.models:
                for each in reversed(declared):
                    if each.name == name:
                        self.models[name] = each.make(batch, pipeline)
                        break
                else:
                    have = ", ".join(sorted({repr(each.name) for each in declared})) or "none"
                    raise KeyError(f"there is no model {name!r}; there are {have}: declare it with init_model()")
            return self.models[name]
