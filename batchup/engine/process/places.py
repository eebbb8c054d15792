"""Name the part of an object that cannot be sent to workers, in the user's terms: ``data[0].file``."""

from __future__ import annotations

import functools
import types
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from ..checks import kind_of

__all__ = ["Place", "is_ours", "place_of"]

DEEPEST = 16  # steps from the whole to a part
HIDDEN = ("sampler",)  # draws in the parent


class Place(NamedTuple):
    """A part of what is sent.

    Attributes
    ----------
    name : str
        The path from the nearest object that the user can name. Empty for the whole, if that is an object of batchup.
    what : str
        The kind of that object.
    part : object
    parent : object
        The object that it is part of.
    """

    name: str
    what: str
    part: Any
    parent: Any

    def __str__(self) -> str:
        if not self.name:
            return _title(self.part)
        return f"{self.name} ({self.what})" if self.what else self.name


def place_of(whole: Any, holds: Callable[[Any], bool]) -> Place:
    """The smallest part of `whole` for which ``holds(part)`` is true.

    >>> str(place_of({"parts": [1, (2, "text")]}, lambda part: "text" in repr(part)))
    "dict['parts'][1][1]"
    """
    place = Place("", "", whole, None)
    for _ in range(DEEPEST):
        inner = next((each for each in _parts_of(place) if holds(each.part)), None)
        if inner is None:
            break
        place = inner
    return place


def _parts_of(place: Place) -> Iterator[Place]:
    name, what, obj, _ = place

    def part(value: Any, suffix: str) -> Place:
        return Place(f"{name or _short_title(obj)}{suffix}", what, value, obj)

    if isinstance(obj, types.FunctionType):
        yield from (
            Place(each, f"{each} is a variable of {_title(obj)}", value, obj) for each, value in _variables(obj)
        )
    elif isinstance(obj, types.MethodType):
        yield Place(name, what, obj.__self__, None)
        yield Place(name, what, obj.__func__, None)
    elif isinstance(obj, functools.partial):
        yield Place(name, what, obj.func, obj)
        yield from (part(value, f".args[{i}]") for i, value in enumerate(obj.args))
        yield from (part(value, f".keywords[{key!r}]") for key, value in obj.keywords.items())
    elif is_ours(obj):
        for key, value in _attributes(obj).items():
            if key in ("data", "datasets"):
                yield from _members(f"{name}.{key}".lstrip("."), obj, value)
            elif key not in HIDDEN:
                yield Place(name, what, value, obj)
    elif isinstance(obj, dict):
        yield from (part(value, f"[{key!r}]") for key, value in obj.items())
    elif isinstance(obj, (list, tuple)):
        yield from (part(value, f"[{i}]") for i, value in enumerate(obj))
    elif not isinstance(obj, (type, types.ModuleType)):
        yield from (part(value, f".{key}") for key, value in _attributes(obj).items())


def _members(name: str, owner: Any, members: Any) -> Iterator[Place]:
    """The data, or the inner sources, of a data source of batchup."""
    keys = getattr(owner, "names", None)
    if isinstance(members, dict):
        keys, members = list(members), list(members.values())
    if not isinstance(members, (list, tuple)):
        yield Place(name, "", members, owner)
        return
    if keys is None or len(keys) != len(members):
        keys = range(len(members))
    for key, member in zip(keys, members, strict=True):
        yield Place(
            f"{name}[{key!r}]", "" if is_ours(member) else f"{name}[{key!r}] is {kind_of(member)}", member, owner
        )


def _variables(fn: types.FunctionType) -> Iterator[tuple[str, Any]]:
    """The global and closure variables of a function that are sent with it."""
    for name, cell in zip(fn.__code__.co_freevars, fn.__closure__ or (), strict=True):
        try:
            yield name, cell.cell_contents
        except ValueError:  # not set yet
            continue
    if fn.__module__ in ("__main__", "__mp_main__") or "<" in fn.__qualname__:
        yield from ((name, fn.__globals__[name]) for name in fn.__code__.co_names if name in fn.__globals__)


def _attributes(obj: Any) -> dict[str, Any]:
    slots = [name for kind in type(obj).__mro__ for name in _as_names(vars(kind).get("__slots__", ()))]
    found = {name: getattr(obj, name) for name in slots if not name.startswith("__") and hasattr(obj, name)}
    return found | dict(getattr(obj, "__dict__", {}))


def _as_names(slots: Any) -> tuple[str, ...]:
    return (slots,) if isinstance(slots, str) else tuple(slots)


def is_ours(obj: Any) -> bool:
    """Whether its class is one of batchup's."""
    return type(obj).__module__.partition(".")[0] == "batchup"


def _short_title(obj: Any) -> str:
    return getattr(obj, "__qualname__", None) or type(obj).__name__


def _title(obj: Any) -> str:
    if isinstance(obj, types.FunctionType):
        return "a lambda" if "<" in obj.__name__ else f"the function {obj.__name__}"
    if isinstance(obj, types.BuiltinMethodType):
        return f"{getattr(type(obj.__self__), '__name__', '')}.{obj.__name__}"
    return kind_of(obj)
