"""Modes of writing a value: replace the old value, append to it, extend it or update it."""

from __future__ import annotations

from typing import Any

__all__ = ["mode_letter", "written_value"]

MODES = {"w": "w", "write": "w", "a": "a", "append": "a", "e": "e", "extend": "e", "u": "u", "update": "u"}


def mode_letter(mode: str) -> str:
    """The letter of a mode, from its letter or its name."""
    if mode not in MODES:
        raise ValueError(f"mode should be w (write), a (append), e (extend) or u (update), not {mode!r}")
    return MODES[mode]


def written_value(old: Any, mode: str, value: Any) -> Any:
    """The new value: `value` itself (w), or `old` appended to (a), extended (e) or updated (u).

    A dict or a set is updated where a list is appended to.

    >>> written_value([1], "a", 2), written_value([1], "e", [2, 3]), written_value({"x": 1}, "u", {"y": 2})
    ([1, 2], [1, 2, 3], {'x': 1, 'y': 2})
    """
    if mode == "w":
        return value
    if mode == "a" and not isinstance(old, (dict, set)):
        old = [] if old is None else old
        old.append(value)
    elif mode == "e":
        old = [] if old is None else old
        old.extend(value)
    else:
        old = {} if old is None else old
        (old.add(value) if isinstance(old, set) and not hasattr(value, "__iter__") else old.update(value))
    return old
