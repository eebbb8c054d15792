"""Pipelines: declare steps for batches first, and run them later."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Self

from ...engine.checks import Indices
from ...engine.optional import library
from ...engine.shuffle import Shuffle
from ..data.baseset import Baseset, IndexLike
from ..data.batch import Batch
from ..expr.expressions import Expr, evaluate
from ..items.seeds import seed_path
from .lookup import functions_of
from .order import warn_if_ahead
from .plan import END_OPTIONS, PLAN_OPTIONS, NextBatch, PipelinePlan, PositionBuffer, check_option_names
from .recipe import BatchSize, Recipe
from .run import PipelineRun, RunOptions
from .state import PipelineSpec, PipelineState, nested_config
from .steps import RebatchStep, StepContext, perform

__all__ = ["Pipeline"]

RUN_OPTIONS = tuple(field.name for field in dataclasses.fields(RunOptions))
OPTIONS = frozenset(("batch_size", *PLAN_OPTIONS, *RUN_OPTIONS, "reset"))


class Pipeline(Recipe):
    """Steps for the batches of a dataset. Add a step by calling it as a method: an action of the batch class, or a
    function of the main program or of a namespace.

    Each step returns a new pipeline and leaves the old one as it is. Declarations, such as `init_variable`, `before`
    and `run_later`, change the pipeline itself, so they can be written as statements.

    Parameters
    ----------
    dataset : Dataset, optional
    config : dict, optional
        The values of the expression `C`.

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

    def __init__(self, dataset: Baseset | Expr | None = None, config: Mapping[str, Any] | None = None) -> None:
        self.spec = PipelineSpec(dataset=dataset, config=nested_config(config))
        self._begin()

    def _begin(self) -> None:
        self.state = PipelineState()
        self._next = NextBatch()

    # ---- variables and models

    def _started(self) -> PipelineState:
        self.state.begin(self, self.spec.variables)
        return self.state

    def get_variable(self, name: str, default: object = None, create: bool = False, **kwargs: object) -> Any:
        """The value of a variable.

        Parameters
        ----------
        name : str
        default, **kwargs
            As for `init_variable`, if the variable is created.
        create : bool, default False
            Whether to create the variable if there is none. A `default` also creates it.

        Raises
        ------
        KeyError
            If there is no such variable.
        """
        if (create or default is not None or kwargs) and not self.has_variable(name):
            self.init_variable(name, default, **kwargs)
        return self._started().variable(name)

    v = get_variable

    def set_variable(self, name: str, value: object, mode: str = "w", batch: Batch | None = None) -> None:
        """Set a variable now; or append to it (``mode="a"``), extend it (``"e"``) or update it (``"u"``)."""
        warn_if_ahead(f"the variable {name!r}")
        self._started().write(name, evaluate(value, batch, self), mode)

    assign_variable = set_variable

    def delete_variable(self, name: str) -> Self:
        """Delete a variable and its declaration."""
        self.state.forget_variable(name)
        return self._declare(variables=tuple(each for each in self.spec.variables if each.name != name))

    del_variable = delete_variable

    def delete_all_variables(self) -> Self:
        """Delete all variables and their declarations."""
        self.state.forget("variables")
        return self._declare(variables=())

    def has_variable(self, name: str) -> bool:
        """Whether there is a variable of this name."""
        return name in self._started().variables

    def lock(self, name: str) -> Any:
        """The lock of this name, a context manager."""
        return self.state.lock(name)

    def get_model_by_name(self, name: str, batch: Batch | None = None) -> Any:
        """A model, which is built at first use.

        Raises
        ------
        KeyError
            If there is no such model.
        """
        warn_if_ahead(f"the model {name!r}")
        return self._started().model(name, self.spec.models, batch, self)

    m = get_model_by_name

    @property
    def model(self) -> Any:
        """The model of a pipeline that has only one."""
        names = {each.name for each in self.spec.models}
        if len(names) != 1:
            raise TypeError(f"model needs a pipeline with one model, not {len(names)}; use m(name)")
        return self.get_model_by_name(names.pop())

    # ---- runs

    def gen_batch(
        self, batch_size: BatchSize = None, *, shuffle: Shuffle | Expr = None, **options: object
    ) -> Iterator[Any]:
        """The batches of a run, after all steps: one epoch, unless `n_epochs` or `n_iters` is given.

        All options may be expressions, such as ``C("batch_size")``.

        Parameters
        ----------
        batch_size : int
        shuffle, n_iters, n_epochs, drop_last, sampler, seed
            See `PipelinePlan`. With ``n_epochs=None`` the batches never end.
        prefetch, target, profile, ignore_exceptions, bar, notifier
            See `RunOptions`.
        reset : str or list of str, optional
            What to forget first: ``'variables'``, ``'models'``, ``'iter'`` (the position of `next_batch`) or ``'all'``.
        **kwargs
            Passed to the constructor of batches. A keyword that it does not name is a TypeError.

        Yields
        ------
        Batch
        """
        later = self.spec.later or {}
        if not any(name in options or name in later for name in END_OPTIONS):
            options["n_epochs"] = 1
        return self._batches(*self._prepare(batch_size, shuffle=shuffle, **options))

    def _batches(
        self, plan: PipelinePlan, given: RunOptions, kwargs: dict[str, Any], positions: Iterable[Indices] | None = None
    ) -> Iterator[Any]:
        return iter(PipelineRun(self, plan, plan if positions is None else positions, given, kwargs))

    def _bound_dataset(self) -> Any:
        dataset = self.dataset
        if dataset is None:
            raise ValueError("the pipeline has no dataset: bind it to one with pipeline << dataset")
        return dataset

    def _prepare(self, batch_size: BatchSize, **options: Any) -> tuple[PipelinePlan, RunOptions, dict[str, Any]]:
        dataset = self._bound_dataset()
        options["batch_size"] = batch_size
        passed = {name: value for name, value in options.items() if value is not None or name not in OPTIONS}
        later = dict(self.spec.later or {})
        if not passed.keys().isdisjoint(END_OPTIONS):  # a new end replaces the old one
            later = {name: value for name, value in later.items() if name not in END_OPTIONS}
        options = evaluate({**later, **passed}, None, self)
        size: Any = options.pop("batch_size", None)
        if size is None:
            raise ValueError("batch_size should be given, to the run or to run_later() before")
        for part in _parts_to_reset(options.pop("reset", None)):
            self.reset(part)
        plan = {name: options.pop(name) for name in PLAN_OPTIONS if name in options}
        given = {name: options.pop(name) for name in RUN_OPTIONS if name in options}
        check_option_names(options, OPTIONS, dataset.batch_class)
        return PipelinePlan(len(dataset), size, **plan), RunOptions(**given), options

    def next_batch(self, batch_size: BatchSize = None, *, shuffle: Shuffle | Expr = None, **options: object) -> Any:
        """The next batch, after all steps. With other options than in the last call it starts again.

        Another generator or function does not start again, as it may be made anew for each call: call
        ``reset("iter")`` for that. `batch_size` and the arguments of the constructor of batches may change from call to
        call. With `prefetch`, batches are made in advance: then `batch_size` must not change, and other arguments of
        the constructor start again, but for functions and other objects that cannot be compared.

        Raises
        ------
        ValueError
            If `batch_size` changes with `prefetch`.
        StopIteration
            After `n_iters` batches or `n_epochs` epochs.
        RuntimeError
            After a batch that failed, until `reset`.
        """
        plan, given, kwargs = self._prepare(batch_size, shuffle=shuffle, **options)

        def begin(buffer: PositionBuffer, latest: dict[str, Any]) -> Iterator[Any]:
            return self._batches(plan, given, latest, buffer)

        decisive = {**vars(given), **(kwargs if given.prefetch else {})}  # prefetched batches are made with them
        return self._next(plan, decisive, kwargs, begin)

    def run(
        self, batch_size: BatchSize = None, *, shuffle: Shuffle | Expr = None, lazy: bool = False, **options: object
    ) -> Self:
        """Take all batches of `gen_batch` through all steps.

        Parameters
        ----------
        batch_size, shuffle, **options
            As for `gen_batch`.
        lazy : bool, default False
            Only set the options, as `run_later` does.

        Returns
        -------
        Pipeline
            This pipeline, with its variables and models.
        """
        if lazy:
            return self.run_later(batch_size, shuffle=shuffle, **options)
        for _ in self.gen_batch(batch_size, shuffle=shuffle, **options):
            pass
        return self

    run_now = run

    def create_batch(self, index: IndexLike, *args: object, **kwargs: object) -> Any:
        """Make a batch of the items with these ids, as `Dataset.create_batch` does, and take it through all steps."""
        return self.execute_for(self._bound_dataset().create_batch(index, *args, **kwargs))

    def execute_for(self, batch: Batch) -> Any:
        """Take one batch through all steps and return it."""
        for step in self.spec.steps:
            if isinstance(step, RebatchStep):
                raise ValueError("a pipeline with a rebatch needs more than one batch: run it over a dataset")
        self._started()
        batch.pipeline = self
        return perform(
            batch, self.spec.steps, StepContext(self, functions_of(self), seed_path(batch.random_seed), (1, 0))
        )

    def reset(self, *what: str | Sequence[str] | bool | None) -> Self:
        """Forget ``'variables'``, ``'models'``, ``'iter'`` (the position of `next_batch`) or ``'all'``, the default."""
        for part in _parts_to_reset(what or "all"):
            self.state.forget(part)
            if part == "iter":
                self._next.reset()
        return self

    @property
    def profile_info(self) -> Any:
        """The durations in all profiled runs in seconds, a data frame with a row for each batch and step.

        Its columns: ``iter``, the number of the batch, counted on from run to run; ``outer_iter``, its number in its
        run; ``batch_id``, Python's ``id`` of the batch; ``total_time``, the duration of the step; and ``action_time``,
        the part in which its arguments were evaluated.

        Raises
        ------
        ValueError
            If no run was profiled.
        """
        if self.state.profile is None:
            raise ValueError("no run was profiled: call run(…, profile=True)")
        return library("pandas", "pandas", "a profile").DataFrame(self.state.profile).set_index("action")

    def show_profile_info(
        self, per_iter: bool = False, columns: Sequence[str] | None = None, sortby: str | tuple[str, str] | None = None
    ) -> Any:
        """The durations of the steps in seconds, a data frame: sum, mean and maximum; or the duration for each batch.

        Parameters
        ----------
        per_iter : bool, default False
            Whether to show each batch.
        columns : sequence of str, optional
            Columns of `profile_info` to show; by default ``total_time``, and ``batch_id`` with `per_iter`.
        sortby : optional
            The column to sort by, such as ``("total_time", "max")``; the largest value comes first.
        """
        profile = self.profile_info
        shown = list(columns or (["total_time", "batch_id"] if per_iter else ["total_time"]))
        if per_iter:
            durations = profile.reset_index().set_index(["iter", "action"])[shown]
            return durations.sort_values(["iter", sortby or shown[0]], ascending=[True, False])
        totals = profile.groupby("action")[shown].agg(["sum", "mean", "max"])
        return totals.sort_values(sortby or (shown[0], "sum"), ascending=False)

    def __copy__(self) -> Self:
        return self._with()

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        new = self._with()
        new.state = copy.deepcopy(self.state, memo)
        return new


PARTS: dict[str, tuple[str, ...]] = {
    "iter": ("iter",),
    "vars": ("variables",),
    "variables": ("variables",),
    "models": ("models",),
}
PARTS["all"] = ("iter", "variables", "models")


def _parts_to_reset(what: str | Iterable[Any] | bool | None) -> list[str]:
    """The parts of a pipeline that one name or several stand for."""
    if what is None or what is False:
        return []
    if what is True:
        return ["iter"]
    if not isinstance(what, str):
        return [part for each in what for part in _parts_to_reset(each)]
    if what not in PARTS:
        raise ValueError(f"what to reset should be 'iter', 'variables', 'models' or 'all', not {what!r}")
    return list(PARTS[what])
