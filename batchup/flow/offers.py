"""Offer, don't push: a function of the user's is given those service arguments that its signature takes."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

__all__ = ["Takes", "offered", "takes"]


class Takes(NamedTuple):
    """What a function takes: keywords of these names, or any but those filled by position; so many by position."""

    names: frozenset[str]
    any_name: bool
    room: float
    filled: frozenset[str] = frozenset()

    def of(self, services: Mapping[str, Any]) -> dict[str, Any]:
        """Those of the services that are taken.

        >>> takes(lambda x, src: 0).of({"src": "images", "dst": "masks"})
        {'src': 'images'}
        """
        known = services.keys() - self.filled if self.any_name else self.names
        return {name: value for name, value in services.items() if name in known}


def takes(fn: Callable[..., Any], filled: int = 0) -> Takes:
    """What `fn` takes, by its signature; nothing but positional arguments if it has none.

    The names of the first parameters, which are `filled` by position, are not among it.
    """
    try:
        parameters = inspect.signature(fn).parameters.values()
    except (TypeError, ValueError):  # written in C
        return Takes(frozenset(), False, float("inf"))
    named = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    positional = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.POSITIONAL_ONLY)
    kinds = [each.kind for each in parameters]
    room = float("inf") if inspect.Parameter.VAR_POSITIONAL in kinds else sum(kind in positional for kind in kinds)
    by_position = [each for each in parameters if each.kind in positional][:filled]
    gone = frozenset(each.name for each in by_position if each.kind in named)
    names = frozenset(each.name for each in parameters if each.kind in named) - gone
    return Takes(names, inspect.Parameter.VAR_KEYWORD in kinds, room, gone)


def offered(fn: Callable[..., Any], args: tuple[Any, ...], services: Mapping[str, Any]) -> Any:
    """``fn`` of as many of the arguments as it has room for, and of the services that it names.

    >>> offered(lambda results: results, ([1, 2], "more"), {"src": "images"})
    [1, 2]
    """
    taken = takes(fn, len(args))
    given = args if taken.room >= len(args) else args[: int(taken.room)]
    return fn(*given, **taken.of(services))
