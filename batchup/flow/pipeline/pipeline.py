"""Pipelines: declare steps for batches first, and run them later."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Iterator
from typing import Any, Self

from ..expr.expressions import evaluate
from ..extras.profile import as_table, step_totals
from ..items.seeds import seed_path
from .lookup import functions_of
from .plan import END_OPTIONS, PLAN_OPTIONS, NextBatch, PipelinePlan, PositionBuffer, check_option_names
from .recipe import PipelineSpec, Recipe
from .run import PipelineRun, RunOptions
from .state import PipelineState
from .steps import RebatchStep, StepContext, perform

__all__ = ["Pipeline"]

RUN_OPTIONS = tuple(field.name for field in dataclasses.fields(RunOptions))


class Pipeline(Recipe):
    """Steps for the batches of a dataset. Add a step by calling it as a method: an action of the batch class, or a
    function of the main program or of a namespace.

    Each call returns a new pipeline and leaves the old one as it is. Only a run changes a pipeline: its variables and
    its models.

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

    def __init__(self, dataset: Any = None, config: Any = None) -> None:
        self.spec = PipelineSpec(dataset=dataset, config=dict(config or {}))
        self._begin()

    def _begin(self) -> None:
        self.state = PipelineState()
        self._next = NextBatch()

    # ---- variables and models

    def _started(self) -> PipelineState:
        self.state.begin(self, self.spec.variables)
        return self.state

    def get_variable(self, name: str) -> Any:
        """The value of a variable.

        Raises
        ------
        KeyError
            If there is no such variable.
        """
        return self._started().variable(name)

    v = get_variable

    def set_variable(self, name: str, value: Any, mode: str = "w", batch: Any = None) -> None:
        """Set a variable now; or append to it (``mode="a"``), extend it (``"e"``) or update it (``"u"``)."""
        self._started().write(name, evaluate(value, batch, self), mode)

    def has_variable(self, name: str) -> bool:
        """Whether there is a variable of this name."""
        return name in self._started().variables

    def lock(self, name: str) -> Any:
        """The lock of this name, a context manager."""
        return self.state.lock(name)

    def get_model_by_name(self, name: str, batch: Any = None) -> Any:
        """A model, which is built at first use.

        Raises
        ------
        KeyError
            If there is no such model.
        """
        return self._started().model(name, self.spec.models, batch, self)

    m = get_model_by_name

    # ---- runs

    def gen_batch(self, batch_size: Any = None, *, shuffle: Any = None, **options: Any) -> Iterator[Any]:
        """The batches of a run, after all steps. Without `n_iters` and `n_epochs` they never end.

        Parameters
        ----------
        batch_size : int
        shuffle, n_iters, n_epochs, drop_last, sampler, seed
            See `PipelinePlan`.
        prefetch, target, profile, ignore_exceptions, bar
            See `RunOptions`.
        reset : str or list of str, optional
            What to forget first: ``'vars'`` or ``'models'``.
        **kwargs
            Passed to the constructor of batches.

        Yields
        ------
        Batch
        """
        return self._batches(*self._prepare(batch_size, shuffle=shuffle, **options))

    def _batches(
        self, plan: PipelinePlan, given: RunOptions, kwargs: dict[str, Any], positions: Any = None
    ) -> Iterator[Any]:
        return iter(PipelineRun(self, plan, plan if positions is None else positions, given, kwargs))

    def _prepare(self, batch_size: Any, **options: Any) -> tuple[PipelinePlan, RunOptions, dict[str, Any]]:
        if self.spec.dataset is None:
            raise ValueError("the pipeline has no dataset: bind it to one with pipeline << dataset")
        known = {*PLAN_OPTIONS, *RUN_OPTIONS, "reset"}
        passed = {name: value for name, value in options.items() if value is not None or name not in known}
        later = dict(self.spec.later or {})
        if not passed.keys().isdisjoint(END_OPTIONS):  # a new end replaces the old one
            later = {name: value for name, value in later.items() if name not in END_OPTIONS}
        options = {**later, **passed}
        size = options.pop("batch_size", None) if batch_size is None else batch_size
        options.pop("batch_size", None)
        if size is None:
            raise ValueError("batch_size should be given, to the run or to run_later() before")
        for what in _listed(options.pop("reset", None)):
            self.state.forget(what)
        plan = {name: options.pop(name) for name in PLAN_OPTIONS if name in options}
        given = {name: options.pop(name) for name in RUN_OPTIONS if name in options}
        check_option_names(options, (*RUN_OPTIONS, "reset"), self.spec.dataset.batch_class)
        if given.get("profile") and self.state.profile is None:
            self.state.profile = []
        return PipelinePlan(len(self.spec.dataset), size, **plan), RunOptions(**given), options

    def next_batch(self, batch_size: Any = None, *, shuffle: Any = None, **options: Any) -> Any:
        """The next batch, after all steps. With other options than in the last call it starts again.

        `batch_size` and the arguments of the constructor of batches may change from call to call. With `prefetch`,
        batches are made early: then `batch_size` has to stay, and other arguments of the constructor start again.

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

    def run(self, batch_size: Any = None, *, shuffle: Any = None, lazy: bool = False, **options: Any) -> Self:
        """Take all batches through all steps: one epoch, unless `n_epochs` or `n_iters` is given.

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
        later = self.spec.later or {}
        if not any(given.get(name) is not None for name in END_OPTIONS for given in (options, later)):
            options["n_epochs"] = 1
        if self.state.profile is not None and options.get("profile"):
            self.state.profile = None  # start the profile of this run
        for _ in self.gen_batch(batch_size, shuffle=shuffle, **options):
            pass
        return self

    run_now = run

    def execute_for(self, batch: Any) -> Any:
        """Take one batch through all steps and return it."""
        for step in self.spec.steps:
            if isinstance(step, RebatchStep):
                raise ValueError("a pipeline with a rebatch needs more than one batch: run it over a dataset")
        self._started()
        batch.pipeline = self
        return perform(
            batch, self.spec.steps, StepContext(self, functions_of(self.spec), seed_path(batch.random_seed), (1, 0))
        )

    def reset(self, *what: Any) -> Self:
        """Forget ``'vars'``, ``'models'`` or ``'iter'`` (the position of `next_batch`); by default all of them."""
        for each in [name for names in what for name in _listed(names)] or ["iter", "vars", "models"]:
            self.state.forget(each)
            if each == "iter":
                self._next.reset()
        return self

    @property
    def profile_info(self) -> Any:
        """The duration of each step for each batch of the profiled runs: a data frame, or dicts without pandas."""
        return as_table(self._profile())

    def show_profile_info(self, per_iter: bool = False) -> Any:
        """The durations of the steps in seconds: calls, sum, mean and maximum; or the duration for each batch.

        Raises
        ------
        ValueError
            If no run was profiled.
        """
        return as_table(self._profile() if per_iter else step_totals(self._profile()))

    def _profile(self) -> list[dict[str, Any]]:
        if self.state.profile is None:
            raise ValueError("no run was profiled: call run(…, profile=True)")
        return self.state.profile

    def __copy__(self) -> Self:
        return self._with()

    def __deepcopy__(self, memo: Any) -> Self:
        new = self._with()
        new.state = copy.deepcopy(self.state, memo)
        return new


def _listed(what: Any) -> list[Any]:
    return [] if not what else [what] if isinstance(what, str) else list(what)
