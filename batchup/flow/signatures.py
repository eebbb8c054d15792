"""Pass only the keywords that a function accepts."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

__all__ = ["Accepts", "accepts", "call_with_accepted"]


POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
NAMED = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)


class Accepts(NamedTuple):
    """What a function accepts.

    Attributes
    ----------
    names : frozenset of str
        Its keywords.
    any_name : bool
        Whether it accepts other keywords, too.
    n_positional : float
        How many positional arguments; may be infinite.
    filled : frozenset of str
        Parameters that positional arguments have filled.
    """

    names: frozenset[str]
    any_name: bool
    n_positional: float
    filled: frozenset[str] = frozenset()

    def select(self, keywords: Mapping[str, Any]) -> dict[str, Any]:
        """Those of the keywords that the function accepts.

        >>> accepts(lambda x, src: 0).select({"src": "images", "dst": "masks"})
        {'src': 'images'}
        """
        known = keywords.keys() - self.filled if self.any_name else self.names
        return {name: value for name, value in keywords.items() if name in known}


def accepts(fn: Callable[..., Any], filled: int = 0) -> Accepts:
    """What `fn` accepts, by its signature. A function without a signature accepts positional arguments only.

    The first parameters, `filled` by position, are not among its keywords.
    """
    try:
        parameters = {each.name: each.kind for each in inspect.signature(fn).parameters.values()}
    except (TypeError, ValueError):  # written in C
        return Accepts(frozenset(), False, float("inf"))
    kinds = parameters.values()
    positional = [name for name, kind in parameters.items() if kind in POSITIONAL]
    named = frozenset(name for name, kind in parameters.items() if kind in NAMED)
    filled_names = named.intersection(positional[:filled])
    n_positional = float("inf") if inspect.Parameter.VAR_POSITIONAL in kinds else len(positional)
    return Accepts(named - filled_names, inspect.Parameter.VAR_KEYWORD in kinds, n_positional, filled_names)


def call_with_accepted(fn: Callable[..., Any], args: tuple[Any, ...], keywords: Mapping[str, Any]) -> Any:
    """Call ``fn`` with as many of the positional arguments as it accepts, and with the keywords that it accepts.

    >>> call_with_accepted(lambda results: results, ([1, 2], "more"), {"src": "images"})
    [1, 2]
    """
    accepted = accepts(fn, len(args))
    given = args if accepted.n_positional >= len(args) else args[: int(accepted.n_positional)]
    return fn(*given, **accepted.select(keywords))
