"""The declarations of a pipeline: its steps, variables and models."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, Self

from .lookup import check_steps
from .state import ModelDeclaration, VariableDeclaration
from .steps import (
    CallStep,
    JoinStep,
    MergeStep,
    ModelStep,
    NamedStep,
    RebatchStep,
    RepeatStep,
    SometimesStep,
    Step,
    UpdateStep,
)  # fmt: skip

__all__ = ["PipelineSpec", "Recipe"]


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
    config: Any = dataclasses.field(default_factory=dict)
    later: Any = None  # the options of run_later

    def __add__(self, other: PipelineSpec) -> PipelineSpec:
        if None not in (self.dataset, other.dataset) and self.dataset is not other.dataset:
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
            config={**self.config, **other.config},
            later=self.later or other.later,
        )


class Recipe:
    """The methods that declare things. Each returns a new pipeline and changes nothing. Abstract; see `Pipeline`."""

    spec: PipelineSpec

    def _begin(self) -> None:
        """Called for each new pipeline."""

    def _with(self, **changes: Any) -> Self:
        new = object.__new__(type(self))
        new.spec = dataclasses.replace(self.spec, **changes)
        new._begin()
        if new.spec.dataset is not None and ("steps" in changes or "dataset" in changes or "namespaces" in changes):
            unchecked = new.spec.steps[len(self.spec.steps) - 1 if self.spec.dataset is new.spec.dataset else 0 :]
            check_steps(unchecked, new.spec.namespaces, new.spec.dataset)
        return new

    def _then(self, step: Step) -> Self:
        return self._with(steps=(*self.spec.steps, step))

    # ---- steps

    def __getattr__(self, name: str) -> Callable[..., Self]:
        if name.startswith("_") or "spec" not in self.__dict__:
            raise AttributeError(f"{name!r} is private: steps have public names")

        def add(*args: Any, save_to: Any = None, **kwargs: Any) -> Any:
            return self._then(NamedStep(name, args, kwargs, save_to))

        return add

    def call(self, fn: Callable[..., Any], *args: Any, save_to: Any = None, **kwargs: Any) -> Self:
        """Call a function for each batch, and write the result to `save_to`."""
        return self._then(CallStep("call", (fn, *args), kwargs, save_to))

    def print(self, *args: Any, **kwargs: Any) -> Self:
        """Print values for each batch."""
        return self._then(CallStep("print", (print, *args), kwargs))

    def update(self, where: Any, value: Any) -> Self:
        """Write a value to a component, a variable or another place, for each batch.

        Parameters
        ----------
        where : expression, or list or dict of expressions
            Where to write, such as ``B.images`` or ``V("losses", mode="a")``.
        value : object or expression
        """
        return self._then(UpdateStep("update", (value,), save_to=where))

    save_to = update

    def join(self, *pipelines: Any) -> Self:
        """Pass the batches of other pipelines, with the same items, to the next action, before its own arguments."""
        return self._then(JoinStep("join", pipelines))

    def merge(self, *pipelines: Any, fn: Any = None, components: Any = None, batch_class: Any = None) -> Self:
        """Merge each batch with the next batches of other pipelines, with `fn` of their list or `Batch.merge`."""
        return self._then(
            MergeStep("merge", pipelines, {"fn": fn, "components": components, "batch_class": batch_class})
        )

    def rebatch(self, batch_size: Any, merge: Any = None, components: Any = None, batch_class: Any = None) -> Self:
        """Change the batch size for the steps that follow."""
        options = {"merge": merge, "components": components, "batch_class": batch_class}
        return self._then(RebatchStep("rebatch", (batch_size,), options))

    def add_namespace(self, *namespaces: Any) -> Self:
        """Use the functions of these modules, objects or dicts as steps. They come before those of the main program."""
        return self._with(namespaces=(*self.spec.namespaces, *namespaces))

    @property
    def before(self) -> Any:
        """Add a step that runs once, before the first batch: ``pipeline.before.step(…)``."""
        return _OnceSteps(self, "before")

    @property
    def after(self) -> Any:
        """Add a step that runs once, after the last batch: ``pipeline.after.step(…)``."""
        return _OnceSteps(self, "after")

    # ---- pipelines from pipelines

    def __add__(self, other: Any) -> Self:
        if not isinstance(other, Recipe):
            return NotImplemented
        spec = self.spec + other.spec
        return self._with(**{field.name: getattr(spec, field.name) for field in dataclasses.fields(spec)})

    def __mul__(self, n: Any) -> Self:
        return self._nested(RepeatStep("repeat", (n,), steps=self.spec.steps))

    def __matmul__(self, p: Any) -> Self:
        return self._nested(SometimesStep("sometimes", (p,), steps=self.spec.steps))

    def _nested(self, step: RepeatStep) -> Self:
        if any(isinstance(each, RebatchStep) for each in step.steps):
            raise ValueError(f"{step.name} cannot hold a rebatch: call rebatch() after it")
        return self._with(steps=(step,))

    def __lshift__(self, other: Any) -> Self:
        if isinstance(other, Mapping):
            return self._with(config={**self.spec.config, **other})
        if isinstance(other, Recipe) or not hasattr(other, "create_batch"):
            raise TypeError(f"<< should be followed by a dataset or a config, not by a {type(other).__name__}")
        return self._with(dataset=other)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: Any) -> None:
        pass

    @property
    def dataset(self) -> Any:
        """The dataset, or None."""
        return self.spec.dataset

    @property
    def config(self) -> Any:
        """The config, a dict."""
        return self.spec.config

    def __repr__(self) -> str:
        over = f" << {self.spec.dataset!r}" if self.spec.dataset is not None else ""
        return f"<Pipeline: {', '.join(step.name for step in self.spec.steps) or 'no steps'}>{over}"

    # ---- what steps need

    def init_variable(self, name: str, default: Any = None, init_on_each_run: Any = None, **kwargs: Any) -> Self:
        """Declare a variable.

        Parameters
        ----------
        name : str
        default : optional
            The first value. It is copied, so that pipelines do not share it; an expression is evaluated.
        init_on_each_run : optional
            The first value for each run; a type, such as ``list``, is called.
        lock : bool
            Accepted for compatibility: a variable always has a lock.
        """
        if kwargs.keys() - {"lock"}:
            raise TypeError(f"init_variable() does not take {', '.join(kwargs.keys() - {'lock'})}")
        each_run = init_on_each_run is not None
        variable = VariableDeclaration(name, init_on_each_run if each_run else default, each_run)
        return self._with(variables=(*self.spec.variables, variable))

    def init_variables(self, *variables: Any) -> Self:
        """Declare several variables: names, or a dict from names to first values or to options of `init_variable`."""
        if len(variables) == 1 and not isinstance(variables[0], str):
            (variables,) = variables
        if not isinstance(variables, Mapping):
            variables = dict.fromkeys(variables)  # type: ignore[assignment]
        new = self
        for name, value in variables.items():  # type: ignore[attr-defined]
            options = isinstance(value, dict) and value and value.keys() <= {"default", "init_on_each_run", "lock"}
            new = new.init_variable(name, **value) if options else new.init_variable(name, value)
        return new

    def init_model(
        self, name: str, model_class: Any = None, mode: str = "dynamic", config: Any = None, source: Any = None
    ) -> Self:
        """Declare a model.

        Parameters
        ----------
        name : str
        model_class : type, optional
            Called with `config`: as the argument ``config`` if it has one, else as keyword arguments.
        mode : {'dynamic', 'static'}
            Dynamic: each pipeline builds its own model when the first batch needs it. Static: the model is built now.
        config : dict, optional
            May hold expressions, such as ``B.images.shape``.
        source : object or Pipeline, optional
            Instead of a class. A model, an estimator of scikit-learn or a torch module: copied if the mode is dynamic.
            Or a pipeline that has a model of this name: shared.
        """
        if mode not in ("dynamic", "static"):
            raise ValueError(f"mode should be 'dynamic' or 'static', not {mode!r}")
        model = ModelDeclaration(name, model_class, config, source, shared=mode == "static")
        if mode == "static":
            model = ModelDeclaration(name, source=model.make(None, self), shared=True)
        return self._with(models=(*self.spec.models, model))

    def import_model(self, name: str, source: Any) -> Self:
        """Use a model of another pipeline, or a model object. It is shared, not copied."""
        return self._with(models=(*self.spec.models, ModelDeclaration(name, source=source, shared=True)))

    def load_model(
        self, name: str, model_class: Any = None, path: Any = None, config: Any = None, source: Any = None
    ) -> Self:
        """Declare a model that is read from a file at first use; see `init_model`."""
        model = ModelDeclaration(name, model_class, config, source, path=path)
        return self._with(models=(*self.spec.models, model))

    def train_model(self, name: Any, *args: Any, save_to: Any = None, **kwargs: Any) -> Self:
        """Train a model with each batch, and write what `train` returns to `save_to`."""
        return self._then(ModelStep("train_model", (name, *args), kwargs, save_to))

    def predict_model(self, name: Any, *args: Any, save_to: Any = None, **kwargs: Any) -> Self:
        """Predict with a model for each batch, and write what `predict` returns to `save_to`."""
        return self._then(ModelStep("predict_model", (name, *args), kwargs, save_to))

    def save_model(self, name: Any, *args: Any, **kwargs: Any) -> Self:
        """Save a model to a file for each batch; or once, with ``pipeline.after.save_model(name, path)``."""
        return self._then(ModelStep("save_model", (name, *args), kwargs))

    def run_later(self, batch_size: Any = None, **options: Any) -> Self:
        """Set default options for `run`, `gen_batch` and `next_batch`."""
        return self._with(later={**options, "batch_size": batch_size})


class _OnceSteps:
    """Adds a step that runs once, before or after the batches."""

    def __init__(self, pipeline: Any, when: str) -> None:
        self._pipeline = pipeline
        self._when = when

    def __getattr__(self, name: str) -> Callable[..., Any]:
        if name.startswith("_"):
            raise AttributeError(name)

        def add(*args: Any, **kwargs: Any) -> Any:
            declared = getattr(type(self._pipeline)(), name)(*args, **kwargs).spec
            spec = self._pipeline.spec
            once = {self._when: (*getattr(spec, self._when), *declared.steps)}
            added = {key: getattr(spec, key) + getattr(declared, key) for key in ("variables", "models", "namespaces")}
            return self._pipeline._with(**once, **added)

        return add
