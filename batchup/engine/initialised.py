"""Objects that say what is wrong when a subclass did not call ``super().__init__``."""

from __future__ import annotations

import functools
import inspect
import itertools
import types
from typing import Any

__all__ = ["Initialised", "is_of_batchup", "why_missing"]


class Initialised:
    """An object whose subclasses in programs explain a missing attribute, if an ``__init__`` should have set it.

    ``Squares has no attribute 'sampler': Squares.__init__ should call super().__init__(length), which sets it``
    """

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        # in classes of the program only, since it makes each attribute of an object take longer to read
        if not is_of_batchup(cls) and not hasattr(cls, "__getattr__"):
            cls.__getattr__ = _missing  # type: ignore[attr-defined]


def _missing(self: Any, name: str) -> Any:
    """What becomes of an attribute that is not there: an error."""
    why = why_missing(type(self), name)
    if why:
        raise AttributeError(why)
    return object.__getattribute__(self, name)  # raises the same error as without this method, also that of a property


def why_missing(kind: type, name: str) -> str:
    """The error message for an attribute that an ``__init__`` of batchup sets, but did not, as that of a subclass in
    the program did not call it; the empty string for any other one."""
    kinds = [base for base in kind.__mro__ if isinstance(vars(base).get("__init__"), types.FunctionType)]
    theirs = list(itertools.takewhile(lambda base: not is_of_batchup(base), kinds))
    ours = filter(is_of_batchup, kinds)
    if not theirs or name.startswith("__") or not any(name in _set_by_init(base) for base in ours):
        return ""
    i = next((i for i, base in enumerate(theirs) if "__init__" not in _init(base).__code__.co_names), 0)
    call = f"super().__init__({', '.join(_required(kinds[i + 1]))})"
    where = "__post_init__" if "__dataclass_fields__" in vars(kinds[i]) else "__init__"
    return f"{kind.__name__} has no attribute {name!r}: {kinds[i].__name__}.{where} should call {call}, which sets it"


def is_of_batchup(kind: type) -> bool:
    """Whether a class is one of batchup, not of the program."""
    return kind.__module__.startswith("batchup.")


@functools.cache
def _set_by_init(kind: type) -> frozenset[str]:
    """The attributes that the ``__init__`` of a class sets, itself or in other methods of the class."""
    import dis

    own, init = vars(kind), _init(kind).__code__
    codes = [init, *(own[name].__code__ for name in init.co_names if isinstance(own.get(name), types.FunctionType))]
    steps = (step for code in codes for step in dis.get_instructions(code))
    return frozenset(step.argval for step in steps if step.opname == "STORE_ATTR")


def _init(kind: type) -> types.FunctionType:
    init: types.FunctionType = vars(kind)["__init__"]
    return init


def _required(kind: type) -> list[str]:
    """The parameters of ``__init__`` that have no default; if it takes any number of them, three dots for these."""
    _, *parameters = inspect.signature(_init(kind)).parameters.values()
    needed = [each for each in parameters if each.default is each.empty and each.kind is not each.VAR_KEYWORD]
    return [
        "…" if each.kind is each.VAR_POSITIONAL else f"{each.name}=…" if each.kind is each.KEYWORD_ONLY else each.name
        for each in needed
    ]
