"""Functions of users that get or give batches: their names, their arguments, and what they should return."""

from __future__ import annotations

import functools
import inspect
import warnings
import weakref
from collections.abc import Callable, Mapping
from typing import Any

from ..engine import tree
from ..engine.checks import kind_of
from ..engine.tree import Batch
from ..errors import noted

__all__ = [
    "batch_arguments",
    "batch_of",
    "fields_of",
    "function_name",
    "giving_batches",
    "note_signature_mismatch",
]


def fields_of(batch: Batch) -> Batch:
    """The batch, with its fields in a tuple if they are in a list, as those of other libraries may be.

    >>> fields_of([1, 2]), fields_of((1, [2])), fields_of({"x": 1})
    ((1, 2), (1, [2]), {'x': 1})
    """
    return tuple(batch) if isinstance(batch, list) else batch


def giving_batches(fetch: Callable[..., Batch]) -> Callable[..., Batch]:
    """The fetch of a class of the user's, as one that gives a tuple or a dict.

    A single array is the batch as it is, as in batchup 0.2, with a warning. Without a result, it raises a `TypeError`.
    """

    @functools.wraps(fetch)
    def checked(self: Any, *args: Any, **kwargs: Any) -> Batch:
        batch = fetch(self, *args, **kwargs)
        if isinstance(batch, tuple) or tree.is_mapping(batch):
            return batch
        if isinstance(batch, list):
            return tuple(batch)
        _warn_of_no_tuple(fetch.__name__, type(self), batch)
        return batch

    return checked


_warned: weakref.WeakSet[type] = weakref.WeakSet()


def _warn_of_no_tuple(name: str, kind: type, batch: Batch) -> None:
    """Say once for a class that its fetch returns no tuple."""
    said = f"{name} of {kind.__name__} should return a batch, a tuple or a dict of arrays, not {kind_of(batch)}"
    if batch is None:
        raise TypeError(f"{said}; does it lack a return?")
    if kind not in _warned:
        _warned.add(kind)
        hint = "return (array,); now it is the whole batch, and for x, y in takes its rows for fields"
        warnings.warn(f"{said}: for a single array, {hint}", stacklevel=4)


def batch_arguments(batch: Batch) -> tuple[tuple[Any, ...], dict[str, Any], str]:
    """The arguments and keywords for a function of a batch, and a description of them."""
    if isinstance(batch, (tuple, list)):
        return tuple(batch), {}, f"the arrays of a batch, here {len(batch)}, as so many arguments"
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


def batch_of(fn: Callable[..., Any], result: Any, batch: Batch = (), method: str = "map") -> Batch:
    """The result of `fn` for `batch`, as a batch: a tuple, or a dict, which any mapping becomes."""
    result = fields_of(result)
    if isinstance(result, (tuple, dict)):
        return result
    if isinstance(result, Mapping):
        return dict(result)
    if result is None:
        hint = "does it lack a return?"
    else:
        hint = f"for a single array, return (array,): {_call_in_tuple(function_name(fn), batch, method)}"
    raise TypeError(
        f"{function_name(fn)} should return a batch, a tuple or a dict of arrays, not {kind_of(result)}; {hint}"
    )


def _call_in_tuple(name: str, batch: Batch, method: str) -> str:
    """The code that maps a function whose result is a single array.

    >>> _call_in_tuple("from_numpy", (1,), "map"), _call_in_tuple("blend", (1, 2), "random_map")
    ('.map(lambda x: (from_numpy(x),))', '.random_map(lambda x, y, rng: (blend(x, y, rng=rng),))')
    """
    gets = ("*batch", "x", "x, y")[len(batch) if len(batch) < 3 else 0] if isinstance(batch, tuple) else "batch"
    takes, passes = (f"{gets}, rng", f"{gets}, rng=rng") if method == "random_map" else (gets, gets)
    return f".{method}(lambda {takes}: ({'fn' if name == '<lambda>' else name}({passes}),))"


def function_name(fn: Callable[..., Any]) -> str:
    """The name of a function.

    >>> import functools
    >>> function_name(functools.partial(sorted)), function_name(lambda: 0)
    ('sorted', '<lambda>')
    """
    fn = getattr(fn, "func", fn)
    return str(getattr(fn, "__name__", type(fn).__name__))
