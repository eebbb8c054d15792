"""The context of a task: NumPy's error handling and the decimal context of the program, sent to workers.

Threads run a task in a copy of the whole context of whoever submits it (`contextvars`). What a context holds cannot be
pickled in general, so processes get these two parts of it, and only where they are not what a new process has.
"""

from __future__ import annotations

import contextlib
import contextvars
import sys
from collections.abc import Iterator
from contextvars import ContextVar
from typing import Any

import numpy as np

from . import pickling

try:
    from numpy._core import umath
except ImportError:  # NumPy 1
    umath = None  # type: ignore[assignment]

__all__ = ["applied", "surroundings"]

ERRORS = {"divide": "warn", "over": "warn", "under": "ignore", "invalid": "warn"}  # of a new process
DECIMAL = 28, "ROUND_HALF_EVEN", -999999, 999999, 1, 0
TRAPS = "InvalidOperation", "DivisionByZero", "Overflow"

# Where NumPy and decimal keep these. What is not set there is as in a new process, which is quick to see; None if it is
# not known where.
_error_handling: ContextVar[Any] | None = getattr(umath, "_extobj_contextvar", None)
_decimal_context: ContextVar[Any] | None = None  # found when decimal has been imported
_plain_decimals: Any = None  # the decimal context of a new process, made then


def surroundings() -> bytes:
    """NumPy's error handling and the decimal context, pickled; nothing if both are those of a new process.

    >>> with np.errstate(**ERRORS):
    ...     surroundings()
    b''
    >>> with np.errstate(over="raise"):
    ...     sent = surroundings()
    >>> with applied(sent):
    ...     np.geterr()["over"]
    'raise'
    """
    errors = _errors() if _error_handling is None or _error_handling.get(None) is not None else None
    decimals = _decimals() if _decimal_context is None or _decimal_context.get(None) is not None else None
    return pickling.inline((errors, decimals)) if errors or decimals else b""


def _errors() -> dict[str, Any] | None:
    handling: dict[str, Any] = dict(np.geterr())
    if handling == ERRORS:
        return None
    return handling | {"call": np.geterrcall()} if {"call", "log"} & set(handling.values()) else handling


def _decimals() -> tuple[Any, ...] | None:
    decimal = sys.modules.get("decimal")
    if decimal is None:  # the program has not imported it, so cannot have changed its context
        return None
    if _plain_decimals is None:
        _look_at(decimal)
        if _decimal_context is not None and _decimal_context.get(None) is None:
            return None
    now = decimal.getcontext()
    numbers = now.prec, now.rounding, now.Emin, now.Emax, now.capitals, now.clamp
    if numbers == DECIMAL and now.traps == _plain_decimals.traps:
        return None
    return *numbers, [], [kind for kind, is_set in now.traps.items() if is_set]


def _look_at(decimal: Any) -> None:
    """Find where it keeps its context. A program may have changed what contexts begin with (`decimal.DefaultContext`),
    which it should do before it starts threads: then what is not set is not as in a new process."""
    global _decimal_context, _plain_decimals
    _plain_decimals = decimal.Context(*DECIMAL, [], [getattr(decimal, name) for name in TRAPS])
    context = contextvars.Context()  # a new one, as `getcontext` sets what is not set
    is_plain = context.run(_decimals) is None
    found = [variable for variable in context if variable.name == "decimal_context"]
    _decimal_context = found[0] if is_plain and found else None


@contextlib.contextmanager
def applied(sent: bytes) -> Iterator[None]:
    """In a worker: a context manager that applies what `surroundings` returned."""
    import decimal
    import pickle

    errors, decimals = pickle.loads(sent)
    with (
        np.errstate(**errors) if errors else contextlib.nullcontext(),
        decimal.localcontext(decimal.Context(*decimals)) if decimals else contextlib.nullcontext(),
    ):
        yield
