"""Pipelines: what is to be done with batches, written down first and done later."""

from __future__ import annotations

import copy
import dataclasses
import difflib
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Self

from .expressions import evaluate
from .plan import Next, Plan, Stock
from .profile import shown, totals
from .run import Options, Run
from .state import ModelOf, State, Variable, maker
from .steps import (
    Call,
    Join,
    Merge,
    ModelStep,
    Named,
    Place,
    Print,
    Rebatch,
    SaveModel,
    Sometimes,
    Step,
    Times,
    Update,
    check_steps,
    functions_of,
    perform,
)  # fmt: skip

__all__ = ["Pipeline"]

PLAN = tuple(field.name for field in dataclasses.fields(Plan))[2:]
OPTIONS = tuple(field.name for field in dataclasses.fields(Options))


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


class Pipeline:
    """Steps that batches of a dataset go through. A step is added by calling it: an action of the batch class, or a
    function of the main program or of a namespace.

    A pipeline is never changed: each call gives a new one. What does change in a run, variables and models, belongs to
    the very pipeline that is run.

    Parameters
    ----------
    dataset : Dataset, optional
    config : dict, optional
        What the expression `C` finds.

    Examples
    --------
    >>> import numpy as np
    >>> from batchup.flow import B, Batch, C, Dataset, V
    >>> class Rows(Batch):
    ...     components = "x",
    >>> template = (Pipeline().init_variable("sums", [])
    ...             .update(B.x, B.x * C("scale"))
    ...             .save_to(V("sums", mode="a"), B.x.sum()))
    >>> pipeline = template << Dataset(4, Rows, preloaded=(np.arange(4),)) << {"scale": 10}
    >>> [int(x) for x in pipeline.run(2).v("sums")]
    [10, 50]
    """

    def __init__(self, dataset: Any = None, config: Any = None) -> None:
        self.spec = Spec(dataset=dataset, config=dict(config or {}))
        self.state = State()
        self._next = Next()

    def _with(self, **changes: Any) -> Self:
        new = object.__new__(type(self))
        new.spec = dataclasses.replace(self.spec, **changes)
        new.state = State()
        new._next = Next()
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
        return self._then(Print("print", args, kwargs))

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
        if not isinstance(other, Pipeline):
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
        if isinstance(other, Pipeline) or not hasattr(other, "create_batch"):
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

    # ---- variables

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

    def get_variable(self, name: str) -> Any:
        """The value of a variable.

        Raises
        ------
        KeyError
            If there is none.
        """
        self.state.begin(self, self.spec.variables)
        return self.state.variable(name)

    v = get_variable

    def set_variable(self, name: str, value: Any, mode: str = "w", batch: Any = None) -> None:
        """Set a variable now, append to it (``mode="a"``), extend it (``"e"``) or update it (``"u"``)."""
        self.state.begin(self, self.spec.variables)
        self.state.write(name, evaluate(value, batch, self), mode)

    def has_variable(self, name: str) -> bool:
        """Whether there is a variable of that name."""
        self.state.begin(self, self.spec.variables)
        return name in self.state.variables

    def lock(self, name: str) -> Any:
        """The lock of this name, a context manager."""
        return self.state.lock(name)

    # ---- models

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
        make = maker(model_class, config, source, name, shared=mode == "static")
        if mode == "static":
            model = make(None, self)
            make = _Given(model)
        return self._with(models=(*self.spec.models, ModelOf(name, make)))

    def import_model(self, name: str, source: Any) -> Self:
        """Use a model of another pipeline, or an object that is one: it is shared, not copied."""
        return self._with(models=(*self.spec.models, ModelOf(name, maker(None, None, source, name, shared=True))))

    def load_model(
        self, name: str, model_class: Any = None, path: Any = None, config: Any = None, source: Any = None
    ) -> Self:
        """Have a model which is read from a file when it is needed first; see `init_model`."""
        make = maker(model_class, config, source, name)
        return self._with(models=(*self.spec.models, ModelOf(name, _Loaded(make, path))))

    def train_model(self, name: Any, *args: Any, save_to: Any = None, **kwargs: Any) -> Self:
        """Train a model with each batch; what its `train` returns goes to `save_to`."""
        return self._then(ModelStep("train_model", (name, *args), kwargs, save_to))

    def predict_model(self, name: Any, *args: Any, save_to: Any = None, **kwargs: Any) -> Self:
        """Have a model predict for each batch; what its `predict` returns goes to `save_to`."""
        return self._then(ModelStep("predict_model", (name, *args), kwargs, save_to))

    def save_model(self, name: Any, *args: Any, **kwargs: Any) -> Self:
        """Write a model to a file: with each batch, or once, as ``pipeline.after.save_model(name, path)``."""
        return self._then(SaveModel("save_model", (name, *args), kwargs))

    def save_model_now(self, name: str, *args: Any, **kwargs: Any) -> None:
        """Write a model to a file at once."""
        self.get_model_by_name(name).save(*args, **kwargs)

    def get_model_by_name(self, name: str, batch: Any = None) -> Any:
        """A model, built if it was not needed before.

        Raises
        ------
        KeyError
            If there is none.
        """
        self.state.begin(self, self.spec.variables)
        return self.state.model(name, self.spec.models, batch, self)

    m = get_model_by_name

    # ---- runs

    def gen_batch(self, batch_size: Any = None, *, shuffle: Any = None, **options: Any) -> Iterator[Any]:
        """The batches of a run, after all steps. Without `n_iters` and `n_epochs` there is no end.

        Parameters
        ----------
        batch_size : int
        shuffle, n_iters, n_epochs, drop_last, sampler, seed
            See `Plan`.
        prefetch, target, profile, ignore_exceptions, bar
            See `Options`.
        reset : str or list of str, optional
            ``'vars'`` or ``'models'``: forget these first.
        **kwargs
            For the constructor of batches.

        Yields
        ------
        Batch
        """
        return self._batches(*self._prepare(batch_size, shuffle=shuffle, **options))

    def _batches(self, plan: Plan, given: Options, kwargs: dict[str, Any], positions: Any = None) -> Iterator[Any]:
        return iter(Run(self, plan, plan if positions is None else positions, given, kwargs))

    def _prepare(self, batch_size: Any, **options: Any) -> tuple[Plan, Options, dict[str, Any]]:
        if self.spec.dataset is None:
            raise ValueError("the pipeline has no dataset: bind it to one with pipeline << dataset")
        known = {*PLAN, *OPTIONS, "reset"}
        told = {name: value for name, value in options.items() if value is not None or name not in known}
        options = {**(self.spec.later or {}), **told}
        size = options.pop("batch_size", None) if batch_size is None else batch_size
        options.pop("batch_size", None)
        if size is None:
            raise ValueError("batch_size should be given, to the run or to run_later() before")
        for what in _listed(options.pop("reset", None)):
            self.state.forget(what)
        plan = {name: options.pop(name) for name in PLAN if name in options}
        given = {name: options.pop(name) for name in OPTIONS if name in options}
        for name in options:
            close = difflib.get_close_matches(name, (*PLAN, *OPTIONS, "batch_size", "reset"), n=1, cutoff=0.75)
            if close:
                raise TypeError(f"a run does not take {name!r}; did you mean {close[0]!r}?")
        if given.get("profile") and self.state.profile is None:
            self.state.profile = []
        return Plan(len(self.spec.dataset), size, **plan), Options(**given), options

    def next_batch(self, batch_size: Any = None, *, shuffle: Any = None, **options: Any) -> Any:
        """The next batch, after all steps; called with other options than before, it begins anew.

        Raises
        ------
        StopIteration
            After `n_iters` batches or `n_epochs` epochs.
        """
        plan, given, kwargs = self._prepare(batch_size, shuffle=shuffle, **options)

        def begin(stock: Stock) -> Iterator[Any]:
            return self._batches(plan, given, kwargs, stock)

        return self._next(plan, {**kwargs, **vars(given)}, begin)

    def run(self, batch_size: Any = None, *, shuffle: Any = None, **options: Any) -> Self:
        """Take all batches through all steps, for one epoch unless `n_epochs` or `n_iters` says otherwise.

        Parameters
        ----------
        As of `gen_batch`.

        Returns
        -------
        Pipeline
            This one, with its variables and models.
        """
        later = self.spec.later or {}
        if not any(
            name in given and given[name] is not None for name in ("n_iters", "n_epochs") for given in (options, later)
        ):
            options["n_epochs"] = 1
        if self.state.profile is not None and options.get("profile"):
            self.state.profile = None  # of this run
        for _ in self.gen_batch(batch_size, shuffle=shuffle, **options):
            pass
        return self

    run_now = run

    def run_later(self, batch_size: Any = None, **options: Any) -> Self:
        """The pipeline with options for `run`, `gen_batch` and `next_batch`, used where they are not told."""
        return self._with(later={**options, "batch_size": batch_size})

    lazy_run = run_later

    def execute_for(self, batch: Any) -> Any:
        """Take one batch, made by hand, through all steps; the batch after that."""
        for step in self.spec.steps:
            if isinstance(step, Rebatch):
                raise ValueError("a pipeline with a rebatch needs more than one batch: run it over a dataset")
        self.state.begin(self, self.spec.variables)
        batch.pipeline = self
        return perform(batch, self.spec.steps, Place(self, functions_of(self.spec), batch.random_seed, (1, 0)))

    def begin_run(self) -> None:
        """Called at the beginning of a run: variables get their first values."""
        self.state.begin(self, self.spec.variables)
        self.state.begin(self, self.spec.variables, new_run=True)

    def evaluated(self, value: Any, batch: Any) -> Any:
        """The value of an expression, in this pipeline."""
        return evaluate(value, batch, self)

    def reset(self, *what: Any) -> Self:
        """Forget ``'vars'``, ``'models'``, or, ``'iter'``, where `next_batch` is; all of that, if nothing is named."""
        for each in [name for names in what for name in _listed(names)] or ["iter", "vars", "models"]:
            self.state.forget(each)
            if each == "iter":
                self._next.reset()
        return self

    @property
    def profile_info(self) -> Any:
        """How long each step took for each batch of the profiled runs: a data frame, or dicts without pandas."""
        return shown(self._profile())

    def show_profile_info(self, per_iter: bool = False) -> Any:
        """How long steps took: for each step calls, sum, mean and longest, in seconds; or for each batch.

        Raises
        ------
        ValueError
            If no run was profiled.
        """
        return shown(self._profile() if per_iter else totals(self._profile()))

    def _profile(self) -> list[dict[str, Any]]:
        if self.state.profile is None:
            raise ValueError("no run was profiled: give run(…, profile=True)")
        return self.state.profile

    def __getstate__(self) -> dict[str, Any]:
        return dict(self.__dict__)

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)

    def __copy__(self) -> Self:
        return self._with()

    def __deepcopy__(self, memo: Any) -> Self:
        new = self._with()
        new.state = copy.deepcopy(self.state, memo)
        return new


class _Once:
    """The beginning of a step that is done once."""

    def __init__(self, pipeline: Pipeline, when: str) -> None:
        self._pipeline = pipeline
        self._when = when

    def __getattr__(self, name: str) -> Callable[..., Pipeline]:
        if name.startswith("_"):
            raise AttributeError(name)

        def add(*args: Any, **kwargs: Any) -> Pipeline:
            said = getattr(Pipeline(), name)(*args, **kwargs).spec
            spec = self._pipeline.spec
            once = {self._when: (*getattr(spec, self._when), *said.steps)}
            told = {key: getattr(spec, key) + getattr(said, key) for key in ("variables", "models", "namespaces")}
            return self._pipeline._with(**once, **told)

        return add


@dataclasses.dataclass(frozen=True, eq=False)
class _Given:
    """A model that is there already."""

    model: Any

    def __call__(self, batch: Any, pipeline: Any) -> Any:
        return self.model


@dataclasses.dataclass(frozen=True, eq=False)
class _Loaded:
    """A model that is read from a file."""

    make: Callable[[Any, Any], Any]
    path: Any

    def __call__(self, batch: Any, pipeline: Any) -> Any:
        model = self.make(batch, pipeline)
        model.load(evaluate(self.path, batch, pipeline))
        return model


def _listed(what: Any) -> list[Any]:
    return [] if not what else [what] if isinstance(what, str) else list(what)
