"""What a task finds around it: NumPy's error handling and the decimal context of the program, sent to workers.

Threads run a task in a copy of the whole context of whoever submits it (`contextvars`). What a context holds cannot be
pickled in general, so processes get these two parts of it, and only where they are not what a new process has.
"""

from __future__ import annotations

import contextlib
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
_plain_decimals: Any = None  # the context of a new process, made when it is first needed

# If NumPy has not set it in a context, its error handling is what it is in a new process: that is quick to see.
_error_handling: ContextVar[Any] | None = getattr(umath, "_extobj_contextvar", None)


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
    decimals = _decimals() if "decimal" in sys.modules else None
    return pickling.inline((errors, decimals)) if errors or decimals else b""


def _errors() -> dict[str, Any] | None:
    handling: dict[str, Any] = dict(np.geterr())
    if handling == ERRORS:
        return None
    return handling | {"call": np.geterrcall()} if {"call", "log"} & set(handling.values()) else handling


def _decimals() -> tuple[Any, ...] | None:
    import decimal

    global _plain_decimals
    now = decimal.getcontext()
    if _plain_decimals is None:
        _plain_decimals = decimal.Context(*DECIMAL, [], [getattr(decimal, name) for name in TRAPS])
    numbers = now.prec, now.rounding, now.Emin, now.Emax, now.capitals, now.clamp
    if numbers == DECIMAL and now.traps == _plain_decimals.traps:
        return None
    return *numbers, [], [kind for kind, is_set in now.traps.items() if is_set]


@contextlib.contextmanager
def applied(sent: bytes) -> Iterator[None]:
    """In a worker: have what `surroundings` returned hold while a ``with`` lasts."""
    import decimal
    import pickle

    errors, decimals = pickle.loads(sent)
    with (
        np.errstate(**errors) if errors else contextlib.nullcontext(),
        decimal.localcontext(decimal.Context(*decimals)) if decimals else contextlib.nullcontext(),
    ):
        yield
