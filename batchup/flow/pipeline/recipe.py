"""The declarations of a pipeline: its steps, for each batch or once; its variables and models."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping
from typing import Any, Self, TypeAlias

from ...engine.checks import a_or_an
from ..data.baseset import Baseset
from ..data.batch import Batch
from ..data.columns import Components
from ..expr.expressions import Expr, Target, evaluate
from ..expr.named import V
from ..items.seeds import seed_path
from .lookup import check_steps, find_function, functions_of, is_step_name, unknown_name_error
from .state import ModelDeclaration, PipelineSpec, PipelineState, VariableDeclaration, nested_config
from .steps import (
    CallStep,
    DiscardStep,
    JoinStep,
    LockStep,
    MergeStep,
    ModelStep,
    NamedStep,
    RebatchStep,
    RepeatStep,
    SometimesStep,
    Step,
    StepContext,
    UpdateStep,
    perform,
    unknown_step_error,
)  # fmt: skip

__all__ = ["BatchSize", "OncePipeline", "Recipe"]

BatchSize: TypeAlias = int | Expr | None
MergeFunction: TypeAlias = Callable[..., Any] | None
ModelClass: TypeAlias = Callable[..., Any] | Expr | None
ModelConfig: TypeAlias = Mapping[str, Any] | Expr | None


# What a pipeline declares, and does not do for each batch.
DECLARATIONS = (
    "add_namespace", "import_model", "init_lock", "init_model", "init_variable", "init_variables", "load_model",
)  # fmt: skip


class CommonSteps:
    """The steps that a run has in common with what comes before and after it. Abstract."""

    def _then(self, step: Step) -> Self:
        """Add a step."""
        raise NotImplementedError

    def call(self, fn: Callable[..., Any], *args: object, save_to: Target | None = None, **kwargs: object) -> Self:
        """Call a function, and write the result to `save_to`."""
        return self._then(CallStep("call", (fn, *args), kwargs, save_to))

    def print(self, *args: object, **kwargs: object) -> Self:
        """Print values."""
        return self._then(CallStep("print", (print, *args), kwargs))

    def save_model(self, name: str | Expr, *args: object, **kwargs: object) -> Self:
        """Save a model to a file: for each batch, or once, with ``pipeline.after.save_model(name, path)``."""
        return self._then(ModelStep("save_model", (name, *args), kwargs))

    def update(self, expr: Target, value: object = None) -> Self:
        """Write a value to a variable or another place; in a run, also to a component of the batch.

        Parameters
        ----------
        expr : expression, or list or dict of expressions
            Where to write, such as ``B.images`` or ``V("losses", mode="a")``.
        value : object or expression
        """
        return self._then(UpdateStep("update", (value,), save_to=expr))

    def save_to(self, dst: Target, value: object = None) -> Self:
        """Another name of `update`."""
        return self.update(dst, value)

    def update_variable(self, name: str | Expr, value: object = None, mode: str = "w") -> Self:
        """Write a value to a variable: ``update(V(name, mode), value)``."""
        return self.update(V(name, mode), value)


class Recipe(CommonSteps):
    """The methods that add steps, each of which returns a new pipeline; and those that declare what steps need, which
    change the pipeline itself and return it. Abstract; see `Pipeline`."""

    spec: PipelineSpec
    state: PipelineState

    def _begin(self) -> None:
        """Called for each new pipeline."""

    def _with(self, **changes: Any) -> Self:
        new = object.__new__(type(self))
        new.spec = dataclasses.replace(self.spec, **changes)
        new._begin()
        dataset = new.spec.known_dataset
        if dataset is not None and not changes.keys().isdisjoint(("steps", "dataset", "namespaces")):
            unchecked = new.spec.steps[len(self.spec.steps) - 1 if self.spec.dataset is dataset else 0 :]
            check_steps(unchecked, new.spec.namespaces, dataset)
        return new

    def _declare(self, **changes: Any) -> Self:
        """Change this pipeline itself: a declaration holds where it is written as a statement, too."""
        self.spec = dataclasses.replace(self.spec, **changes)
        return self

    def _then(self, step: Step) -> Self:
        return self._with(steps=(*self.spec.steps, step))

    # ---- steps

    def __getattr__(self, name: str) -> Callable[..., Self]:
        if name.startswith("_") or "spec" not in self.__dict__:
            raise AttributeError(f"{name!r} is private: steps have public names")
        if not is_step_name(name, self.spec.namespaces, self.spec.known_dataset):
            raise unknown_name_error(name, type(self), self.spec.namespaces)

        def add(*args: object, save_to: Target | None = None, **kwargs: object) -> Any:
            return self._then(NamedStep(name, args, kwargs, save_to))

        return add

    def join(self, *pipelines: Recipe) -> Self:
        """Pass the batches of other pipelines, with the same items, to the next action, before its own arguments."""
        return self._then(JoinStep("join", pipelines))

    def merge(
        self,
        *pipelines: Recipe,
        fn: MergeFunction = None,
        components: Components = None,
        batch_class: type[Batch] | None = None,
    ) -> Self:
        """Merge each batch with the next batches of other pipelines, with `fn` of their list or `Batch.merge`."""
        return self._then(
            MergeStep("merge", pipelines, {"fn": fn, "components": components, "batch_class": batch_class})
        )

    def rebatch(
        self,
        batch_size: int | Expr,
        merge: MergeFunction = None,
        components: Components = None,
        batch_class: type[Batch] | None = None,
    ) -> Self:
        """Change the batch size for the steps that follow."""
        options = {"merge": merge, "components": components, "batch_class": batch_class}
        return self._then(RebatchStep("rebatch", (batch_size,), options))

    def add_namespace(self, *namespaces: Any) -> Self:
        """Use the functions of these modules, objects or dicts as steps. They come before those of the main program."""
        return self._declare(namespaces=(*self.spec.namespaces, *namespaces))

    @property
    def before(self) -> OncePipeline:
        """Steps that run once, before the first batch: ``pipeline.before.step(…)`` adds one to this pipeline."""
        return OncePipeline(self, "before")

    @property
    def after(self) -> OncePipeline:
        """Steps that run once, after the last batch: ``pipeline.after.step(…)`` adds one to this pipeline."""
        return OncePipeline(self, "after")

    def acquire_lock(self, name: str = "lock", **kwargs: object) -> Self:
        """Wait for a lock of the pipeline, for each batch."""
        return self._then(LockStep("acquire_lock", (name,), kwargs))

    def release_lock(self, name: str = "lock") -> Self:
        """Release a lock of the pipeline, for each batch."""
        return self._then(LockStep("release_lock", (name,)))

    def discard_batch(self) -> Self:
        """Drop the data of each batch: a run for its variables or models need not keep them or send them back."""
        return self._then(DiscardStep("discard_batch"))

    # ---- pipelines from pipelines

    def __add__(self, other: Recipe) -> Self:
        if not isinstance(other, Recipe):
            return NotImplemented
        spec = self.spec + other.spec
        return self._with(**{field.name: getattr(spec, field.name) for field in dataclasses.fields(spec)})

    def __mul__(self, n: int | Expr) -> Self:
        return self._nested(RepeatStep("repeat", (n,), steps=self.spec.steps))

    def __matmul__(self, p: float | Expr) -> Self:
        return self._nested(SometimesStep("sometimes", (p,), steps=self.spec.steps))

    def _nested(self, step: RepeatStep) -> Self:
        if any(isinstance(each, RebatchStep) for each in step.steps):
            raise ValueError(f"{step.name} cannot hold a rebatch: call rebatch() after it")
        return self._with(steps=(step,))

    def __lshift__(self, other: Baseset | Mapping[str, Any] | Expr) -> Self:
        if isinstance(other, Mapping):
            return self._with(config=nested_config(other, self.spec.config))
        if isinstance(other, Recipe) or not hasattr(other, "create_batch"):
            raise TypeError(f"<< should be followed by a dataset or a config, not by {a_or_an(type(other))}")
        return self._with(dataset=other)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        pass

    @property
    def dataset(self) -> Any:
        """The dataset, or None; an expression, such as ``dataset.CV(C("fold"))``, is evaluated."""
        dataset = self.spec.dataset
        return evaluate(dataset, None, self) if isinstance(dataset, Expr) else dataset

    @property
    def config(self) -> dict[str, Any]:
        """The config, a dict."""
        return self.spec.config

    def __repr__(self) -> str:
        over = f" << {self.spec.dataset!r}" if self.spec.dataset is not None else ""
        return f"<Pipeline: {', '.join(step.name for step in self.spec.steps) or 'no steps'}>{over}"

    # ---- what steps need

    def set_config(self, config: Mapping[str, Any], clear: bool = False) -> Self:
        """Add to the config of this pipeline; or replace it, with ``clear=True``."""
        return self._declare(config=nested_config(config, {} if clear else self.spec.config))

    def update_config(self, config: Mapping[str, Any]) -> Self:
        """Add to the config of this pipeline."""
        return self.set_config(config)

    def set_dataset(self, dataset: Baseset | Expr) -> Self:
        """Bind this pipeline itself to a dataset."""
        check_steps(self.spec.steps, self.spec.namespaces, None if isinstance(dataset, Expr) else dataset)
        return self._declare(dataset=dataset)

    def init_lock(self, name: str = "lock") -> Self:
        """Declare a lock, for `acquire_lock` and `release_lock`. They do not need it: a lock is made at first use."""
        self.state.lock(name)
        return self

    def init_variable(
        self, name: str, default: object = None, init_on_each_run: object = None, **kwargs: object
    ) -> Self:
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
        self.state.forget_variable(name)
        others = (each for each in self.spec.variables if each.name != name)
        return self._declare(variables=(*others, variable))

    def init_variables(self, *variables: Any) -> Self:
        """Declare several variables: names, or a dict from names to first values or to options of `init_variable`."""
        if len(variables) == 1 and not isinstance(variables[0], str):
            (variables,) = variables
        if not isinstance(variables, Mapping):
            variables = dict.fromkeys(variables)  # type: ignore[assignment]
        for name, value in variables.items():  # type: ignore[attr-defined]
            options = isinstance(value, dict) and value and value.keys() <= {"default", "init_on_each_run", "lock"}
            _ = self.init_variable(name, **value) if options else self.init_variable(name, value)
        return self

    def init_model(
        self,
        name: str,
        model_class: ModelClass = None,
        mode: str = "dynamic",
        config: ModelConfig = None,
        source: Any = None,
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
        return self._declare_model(ModelDeclaration(name, model_class, config, source), mode)

    def _declare_model(self, model: ModelDeclaration, mode: str = "dynamic") -> Self:
        if mode not in ("dynamic", "static"):
            raise ValueError(f"mode should be 'dynamic' or 'static', not {mode!r}; a file is given as path=")
        if mode == "static":
            made = dataclasses.replace(model, shared=True).make(None, self)
            model = ModelDeclaration(model.name, source=made, shared=True)
        self.state.models.pop(model.name, None)
        return self._declare(models=(*self.spec.models, model))

    def import_model(self, name: str, source: Any) -> Self:
        """Use a model of another pipeline, or a model object. It is shared, not copied."""
        return self._declare_model(ModelDeclaration(name, source=source, shared=True))

    def load_model(
        self,
        name: str,
        model_class: ModelClass = None,
        mode: str = "dynamic",
        *args: object,
        path: Any = None,
        config: ModelConfig = None,
        source: Any = None,
        **kwargs: object,
    ) -> Self:
        """Declare a model that is read from a file: at first use, or now if the mode is ``'static'``.

        Parameters
        ----------
        name, model_class, mode, config, source
            As for `init_model`.
        path, *args, **kwargs
            Passed to ``load`` of the model.
        """
        given = args if path is None else (path, *args)
        return self._declare_model(ModelDeclaration(name, model_class, config, source, loaded=(given, kwargs)), mode)

    load_model_once = load_model  # it reads the file once

    def load_model_now(
        self, name: str, model_class: ModelClass = None, mode: str = "static", *args: Any, **kwargs: Any
    ) -> Self:
        """Read a model from a file now; see `load_model`."""
        return self.load_model(name, model_class, "static", *args, **kwargs)

    def train_model(self, name: str | Expr, *args: object, save_to: Target | None = None, **kwargs: object) -> Self:
        """Train a model with each batch, and write what `train` returns to `save_to`."""
        return self._then(ModelStep("train_model", (name, *args), kwargs, save_to))

    def predict_model(self, name: str | Expr, *args: object, save_to: Target | None = None, **kwargs: object) -> Self:
        """Predict with a model for each batch, and write what `predict` returns to `save_to`."""
        return self._then(ModelStep("predict_model", (name, *args), kwargs, save_to))

    def save_model_once(self, name: str | Expr, *args: object, **kwargs: object) -> Self:
        """Save a model to a file after the last batch."""
        self.after.save_model(name, *args, **kwargs)
        return self

    def save_model_now(self, name: str, *args: object, **kwargs: object) -> Self:
        """Save a model to a file now."""
        self.state.model(name, self.spec.models, None, self).save(*args, **kwargs)
        return self

    def run_later(self, batch_size: BatchSize = None, **options: object) -> Self:
        """Set default options for `run`, `gen_batch` and `next_batch`."""
        return self._declare(later={**options, "batch_size": batch_size})


class OncePipeline(CommonSteps):
    """`Pipeline.before` or `Pipeline.after`: what is called here is a step of the pipeline that runs once.

    Steps are functions, models and variables; there is no batch. Declarations, such as `init_variable` and
    `load_model`, are those of the pipeline. Each call returns this object, so that calls can be chained; `main` is the
    pipeline.

    Examples
    --------
    >>> from batchup.flow import Dataset, V
    >>> pipeline = Dataset(4).p.init_variable("n", 0)
    >>> pipeline.before.print("begin")  # doctest: +ELLIPSIS
    <before ...>
    >>> pipeline.after.update(V("n"), V("n") + 10).main.run(2).v("n")
    begin
    10
    """

    def __init__(self, pipeline: Any, when: str) -> None:
        self.main = self.pipeline = pipeline
        self._when = when

    def _then(self, step: Step) -> Self:
        spec = self.main.spec
        changed: dict[str, Any] = {self._when: (*getattr(spec, self._when), step)}
        self.main.spec = dataclasses.replace(spec, **changed)
        return self

    def __getattr__(self, name: str) -> Callable[..., OncePipeline]:
        if name.startswith("_") or "main" not in self.__dict__:
            raise AttributeError(name)
        if name in DECLARATIONS:
            return self._declaration(name)
        spec = self.main.spec
        if find_function(name, spec.namespaces, spec.known_dataset) is None:
            raise unknown_step_error(name, type(None))

        def add(*args: object, save_to: Target | None = None, **kwargs: object) -> OncePipeline:
            return self._then(NamedStep(name, args, kwargs, save_to))

        return add

    def _declaration(self, name: str) -> Callable[..., OncePipeline]:
        @functools.wraps(getattr(self.main, name))
        def declare(*args: object, **kwargs: object) -> OncePipeline:
            getattr(self.main, name)(*args, **kwargs)
            return self

        return declare

    def run(self) -> Self:
        """Do the steps now."""
        pipeline = self.main
        pipeline.state.begin(pipeline, pipeline.spec.variables)
        steps = getattr(pipeline.spec, self._when)
        perform(None, steps, StepContext(pipeline, functions_of(pipeline), seed_path(0), (0,)))
        return self

    def __add__(self, other: Any) -> Any:
        return self.main + other

    def __lshift__(self, other: Baseset | Mapping[str, Any] | Expr) -> Any:
        return self.main << other

    def __repr__(self) -> str:
        names = ", ".join(step.name for step in getattr(self.main.spec, self._when)) or "no steps"
        return f"<{self._when} {self.main!r}: {names}>"
