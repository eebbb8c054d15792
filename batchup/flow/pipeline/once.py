"""The steps of a pipeline that run once, before the first batch or after the last."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping
from typing import Any, Self

from ..data.baseset import Baseset
from ..expr.expressions import Expr, Target
from ..expr.named import V
from ..items.seeds import seed_path
from .lookup import find_function, functions_of
from .steps import CallStep, ModelStep, NamedStep, Step, StepContext, UpdateStep, perform, unknown_step_error

__all__ = ["CommonSteps", "OncePipeline"]

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
