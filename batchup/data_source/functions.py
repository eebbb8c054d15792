"""Functions that users map over batches: their names, their arguments, and what they should return."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from ..engine.checks import kind_of
from ..engine.tree import Batch
from ..errors import noted

__all__ = ["batch_arguments", "batch_of", "function_name", "note_signature_mismatch"]


def batch_arguments(batch: Batch) -> tuple[tuple[Any, ...], dict[str, Any], str]:
    """The arguments and keywords for a function of a batch, and a description of them."""
    if isinstance(batch, tuple):
        return batch, {}, f"the arrays of a batch, here {len(batch)}, as so many arguments"
    return (batch,), {}, f"a batch, here {kind_of(batch)}, as one argument"


def note_signature_mismatch(
    error: TypeError, fn: Callable[..., Any], args: tuple[Any, ...], keywords: Mapping[str, Any], what: str
) -> None:
    """Add a note about what `fn` gets to its error, if `fn` does not accept these arguments."""
    try:
        inspect.signature(fn).bind(*args, **keywords)
    except TypeError:
        noted(error, f"{function_name(fn)} gets {what}")
    except ValueError:  # some functions in C have no signature
        pass


def batch_of(fn: Callable[..., Any], result: Any) -> Batch:
    """The result of `fn` as a batch; anything else is refused."""
    if isinstance(result, (tuple, dict)):
        return result
    if isinstance(result, list):  # [X, y] is taken for (X, y)
        return tuple(result)
    hint = "does it lack a return?" if result is None else "for a single array, return (array,)"
    raise TypeError(
        f"{function_name(fn)} should return a batch, a tuple or a dict of arrays, not {kind_of(result)}; {hint}"
    )


def function_name(fn: Callable[..., Any]) -> str:
    """The name of a function.

    >>> import functools
    >>> function_name(functools.partial(sorted)), function_name(lambda: 0)
    ('sorted', '<lambda>')
    """
    fn = getattr(fn, "func", fn)
    return str(getattr(fn, "__name__", type(fn).__name__))
