"""What is to be done with batches, written down: steps, variables, models."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, Self

from .lookup import check_steps
from .state import ModelOf, Variable
from .steps import (
    Call,
    Join,
    Merge,
    ModelStep,
    Named,
    Rebatch,
    Sometimes,
    Step,
    Times,
    Update,
)  # fmt: skip

__all__ = ["Recipe", "Spec"]


@dataclasses.dataclass(frozen=True, eq=False)
class Spec:
    """All that a pipeline was told; never changed."""

    steps: tuple[Step, ...] = ()
    variables: tuple[Variable, ...] = ()
    models: tuple[ModelOf, ...] = ()
    before: tuple[Step, ...] = ()
    after: tuple[Step, ...] = ()
    namespaces: tuple[Any, ...] = ()
    dataset: Any = None
    config: Any = dataclasses.field(default_factory=dict)
    later: Any = None  # the options of run_later

    def __add__(self, other: Spec) -> Spec:
        if None not in (self.dataset, other.dataset) and self.dataset is not other.dataset:
            raise ValueError("two pipelines over different datasets cannot be added: bind the sum to one with <<")
        joined = {
            name: getattr(self, name) + getattr(other, name)
            for name in ("steps", "variables", "models", "before", "after", "namespaces")
        }
        return Spec(
            **joined,
            dataset=other.dataset if self.dataset is None else self.dataset,
            config={**self.config, **other.config},
            later=self.later or other.later,
        )


class Recipe:
    """Steps, and what they need. It is never changed: each call gives a new one. Abstract; see `Pipeline`."""

    spec: Spec

    def _begin(self) -> None:
        """Called for each new one."""

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
            raise AttributeError(f"{name!r} is private, and no step of a pipeline")

        def add(*args: Any, save_to: Any = None, **kwargs: Any) -> Any:
            return self._then(Named(name, args, kwargs, save_to))

        return add

    def call(self, fn: Callable[..., Any], *args: Any, save_to: Any = None, **kwargs: Any) -> Self:
        """Call a function for each batch; what it returns goes to `save_to`."""
        return self._then(Call("call", (fn, *args), kwargs, save_to))

    def print(self, *args: Any, **kwargs: Any) -> Self:
        """Print values for each batch."""
        return self._then(Call("print", (print, *args), kwargs))

    def update(self, where: Any, value: Any) -> Self:
        """Put a value somewhere for each batch.

        Parameters
        ----------
        where : expression, or list or dict of expressions
            Such as ``B.images`` or ``V("losses", mode="a")``.
        value : object or expression
        """
        return self._then(Update("update", (value,), save_to=where))

    save_to = update

    def join(self, *pipelines: Any) -> Self:
        """Give the next action the batches of other pipelines over the same items, before its own arguments."""
        return self._then(Join("join", pipelines))

    def merge(self, *pipelines: Any, fn: Any = None, components: Any = None, batch_class: Any = None) -> Self:
        """Merge each batch with the next ones of other pipelines, by `fn` of the list of them or by `Batch.merge`."""
        return self._then(Merge("merge", pipelines, {"fn": fn, "components": components, "batch_class": batch_class}))

    def rebatch(self, batch_size: Any, merge: Any = None, components: Any = None, batch_class: Any = None) -> Self:
        """Go on with batches of another size."""
        options = {"merge": merge, "components": components, "batch_class": batch_class}
        return self._then(Rebatch("rebatch", (batch_size,), options))

    def add_namespace(self, *namespaces: Any) -> Self:
        """Let functions of these modules, objects or dicts be steps, before those of the main program."""
        return self._with(namespaces=(*self.spec.namespaces, *namespaces))

    @property
    def before(self) -> Any:
        """``pipeline.before.step(…)``: the pipeline with a step that is done once, before the first batch."""
        return _Once(self, "before")

    @property
    def after(self) -> Any:
        """``pipeline.after.step(…)``: the pipeline with a step that is done once, when all batches are through."""
        return _Once(self, "after")

    # ---- pipelines from pipelines

    def __add__(self, other: Any) -> Self:
        if not isinstance(other, Recipe):
            return NotImplemented
        spec = self.spec + other.spec
        return self._with(**{field.name: getattr(spec, field.name) for field in dataclasses.fields(spec)})

    def __mul__(self, n: Any) -> Self:
        return self._nested(Times("repeat", (n,), steps=self.spec.steps))

    def __matmul__(self, p: Any) -> Self:
        return self._nested(Sometimes("sometimes", (p,), steps=self.spec.steps))

    def _nested(self, step: Times) -> Self:
        if any(isinstance(each, Rebatch) for each in step.steps):
            raise ValueError(f"{step.name} cannot hold a rebatch: rebatch the whole")
        return self._with(steps=(step,))

    def __lshift__(self, other: Any) -> Self:
        if isinstance(other, Mapping):
            return self._with(config={**self.spec.config, **other})
        if isinstance(other, Recipe) or not hasattr(other, "create_batch"):
            raise TypeError(f"a pipeline is bound to a dataset or a config, not to a {type(other).__name__}")
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
        """Have a variable.

        Parameters
        ----------
        name : str
        default : optional
            Its first value: copied, so that no two pipelines share it; an expression is evaluated.
        init_on_each_run : optional
            The same, at the beginning of each run; a type, such as ``list``, is called.
        lock : bool
            Taken and not needed: a variable always has a lock.
        """
        if kwargs.keys() - {"lock"}:
            raise TypeError(f"init_variable() does not take {', '.join(kwargs.keys() - {'lock'})}")
        each_run = init_on_each_run is not None
        variable = Variable(name, init_on_each_run if each_run else default, each_run)
        return self._with(variables=(*self.spec.variables, variable))

    def init_variables(self, *variables: Any) -> Self:
        """Have several variables: names, or a dict from names to first values or to options of `init_variable`."""
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
        """Have a model.

        Parameters
        ----------
        name : str
        model_class : type, optional
            Made with `config`: as its argument ``config``, if it takes one, else as keyword arguments.
        mode : {'dynamic', 'static'}
            Dynamic: built when the first batch needs it, by each pipeline for itself. Static: built at once.
        config : dict, optional
            May hold expressions, such as ``B.images.shape``.
        source : object or Pipeline, optional
            In place of a class: a model, an estimator of scikit-learn, a torch module, of which a dynamic model is a
            copy; or a pipeline, whose model of that name is used.
        """
        if mode not in ("dynamic", "static"):
            raise ValueError(f"mode should be 'dynamic' or 'static', not {mode!r}")
        model = ModelOf(name, model_class, config, source, shared=mode == "static")
        if mode == "static":
            model = ModelOf(name, source=model.make(None, self), shared=True)
        return self._with(models=(*self.spec.models, model))

    def import_model(self, name: str, source: Any) -> Self:
        """Use a model of another pipeline, or an object that is one: it is shared, not copied."""
        return self._with(models=(*self.spec.models, ModelOf(name, source=source, shared=True)))

    def load_model(
        self, name: str, model_class: Any = None, path: Any = None, config: Any = None, source: Any = None
    ) -> Self:
        """Have a model which is read from a file when it is needed first; see `init_model`."""
        model = ModelOf(name, model_class, config, source, path=path)
        return self._with(models=(*self.spec.models, model))

    def train_model(self, name: Any, *args: Any, save_to: Any = None, **kwargs: Any) -> Self:
        """Train a model with each batch; what its `train` returns goes to `save_to`."""
        return self._then(ModelStep("train_model", (name, *args), kwargs, save_to))

    def predict_model(self, name: Any, *args: Any, save_to: Any = None, **kwargs: Any) -> Self:
        """Have a model predict for each batch; what its `predict` returns goes to `save_to`."""
        return self._then(ModelStep("predict_model", (name, *args), kwargs, save_to))

    def save_model(self, name: Any, *args: Any, **kwargs: Any) -> Self:
        """Write a model to a file: with each batch, or once, as ``pipeline.after.save_model(name, path)``."""
        return self._then(ModelStep("save_model", (name, *args), kwargs))

    def run_later(self, batch_size: Any = None, **options: Any) -> Self:
        """The pipeline with options for `run`, `gen_batch` and `next_batch`, used where they are not told."""
        return self._with(later={**options, "batch_size": batch_size})


class _Once:
    """The beginning of a step that is done once."""

    def __init__(self, pipeline: Any, when: str) -> None:
        self._pipeline = pipeline
        self._when = when

    def __getattr__(self, name: str) -> Callable[..., Any]:
        if name.startswith("_"):
            raise AttributeError(name)

        def add(*args: Any, **kwargs: Any) -> Any:
            said = getattr(type(self._pipeline)(), name)(*args, **kwargs).spec
            spec = self._pipeline.spec
            once = {self._when: (*getattr(spec, self._when), *said.steps)}
            told = {key: getattr(spec, key) + getattr(said, key) for key in ("variables", "models", "namespaces")}
            return self._pipeline._with(**once, **told)

        return add
