"""Pipelines: what is to be done with batches is written down first, and done when it is asked for."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Iterator
from typing import Any, Self

from .expressions import evaluate
from .lookup import functions_of
from .plan import ENDS, PLAN, Next, Plan, Stock, check_names
from .profile import shown, totals
from .recipe import Recipe, Spec
from .run import Options, Run
from .state import State
from .steps import Place, Rebatch, perform

__all__ = ["Pipeline"]

OPTIONS = tuple(field.name for field in dataclasses.fields(Options))


class Pipeline(Recipe):
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
        self._begin()

    def _begin(self) -> None:
        self.state = State()
        self._next = Next()

    # ---- variables and models

    def _begun(self) -> State:
        self.state.begin(self, self.spec.variables)
        return self.state

    def get_variable(self, name: str) -> Any:
        """The value of a variable.

        Raises
        ------
        KeyError
            If there is none.
        """
        return self._begun().variable(name)

    v = get_variable

    def set_variable(self, name: str, value: Any, mode: str = "w", batch: Any = None) -> None:
        """Set a variable now, append to it (``mode="a"``), extend it (``"e"``) or update it (``"u"``)."""
        self._begun().write(name, evaluate(value, batch, self), mode)

    def has_variable(self, name: str) -> bool:
        """Whether there is a variable of that name."""
        return name in self._begun().variables

    def lock(self, name: str) -> Any:
        """The lock of this name, a context manager."""
        return self.state.lock(name)

    def get_model_by_name(self, name: str, batch: Any = None) -> Any:
        """A model, built if it was not needed before.

        Raises
        ------
        KeyError
            If there is none.
        """
        return self._begun().model(name, self.spec.models, batch, self)

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
        later = dict(self.spec.later or {})
        if not told.keys().isdisjoint(ENDS):  # one end takes the place of another
            later = {name: value for name, value in later.items() if name not in ENDS}
        options = {**later, **told}
        size = options.pop("batch_size", None) if batch_size is None else batch_size
        options.pop("batch_size", None)
        if size is None:
            raise ValueError("batch_size should be given, to the run or to run_later() before")
        for what in _listed(options.pop("reset", None)):
            self.state.forget(what)
        plan = {name: options.pop(name) for name in PLAN if name in options}
        given = {name: options.pop(name) for name in OPTIONS if name in options}
        check_names(options, (*OPTIONS, "reset"), self.spec.dataset.batch_class)
        if given.get("profile") and self.state.profile is None:
            self.state.profile = []
        return Plan(len(self.spec.dataset), size, **plan), Options(**given), options

    def next_batch(self, batch_size: Any = None, *, shuffle: Any = None, **options: Any) -> Any:
        """The next batch, after all steps; called with other options than before, it begins anew.

        `batch_size` may change from call to call, and so may what is for the constructor of batches. With `prefetch`,
        which makes batches before they are asked for, the first has to stay, and the latter counts among the options.

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

        def begin(stock: Stock, latest: dict[str, Any]) -> Iterator[Any]:
            return self._batches(plan, given, latest, stock)

        decisive = {**vars(given), **(kwargs if given.prefetch else {})}  # batches ahead are made of what was given
        return self._next(plan, decisive, kwargs, begin)

    def run(self, batch_size: Any = None, *, shuffle: Any = None, lazy: bool = False, **options: Any) -> Self:
        """Take all batches through all steps, for one epoch unless `n_epochs` or `n_iters` says otherwise.

        Parameters
        ----------
        batch_size, shuffle, **options
            As of `gen_batch`.
        lazy : bool, default False
            Only note the options, as `run_later` does.

        Returns
        -------
        Pipeline
            This one, with its variables and models.
        """
        if lazy:
            return self.run_later(batch_size, shuffle=shuffle, **options)
        later = self.spec.later or {}
        if not any(given.get(name) is not None for name in ENDS for given in (options, later)):
            options["n_epochs"] = 1
        if self.state.profile is not None and options.get("profile"):
            self.state.profile = None  # of this run
        for _ in self.gen_batch(batch_size, shuffle=shuffle, **options):
            pass
        return self

    run_now = run

    def execute_for(self, batch: Any) -> Any:
        """Take one batch, made by hand, through all steps; the batch after that."""
        for step in self.spec.steps:
            if isinstance(step, Rebatch):
                raise ValueError("a pipeline with a rebatch needs more than one batch: run it over a dataset")
        self._begun()
        batch.pipeline = self
        return perform(batch, self.spec.steps, Place(self, functions_of(self.spec), batch.random_seed, (1, 0)))

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

    def __copy__(self) -> Self:
        return self._with()

    def __deepcopy__(self, memo: Any) -> Self:
        new = self._with()
        new.state = copy.deepcopy(self.state, memo)
        return new


def _listed(what: Any) -> list[Any]:
    return [] if not what else [what] if isinstance(what, str) else list(what)
