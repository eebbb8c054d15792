"""Packages whose names are imported when they are asked for, so that each worker process imports only what it uses."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

__all__ = ["on_use"]


def on_use(
    package: str, homes: Mapping[str, Sequence[str]], modules: Sequence[str] = ()
) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """``__getattr__`` and ``__dir__`` of a package (see PEP 562).

    Parameters
    ----------
    package : str
    homes : mapping of str to sequence of str
        The names, by the module of the package that has them.
    modules : sequence of str
        Modules of the package that are attributes as well, without an import of theirs.

    Examples
    --------
    >>> getattr_, dir_ = on_use("json", {"decoder": ["scanstring"]}, ["tool"])
    >>> getattr_("scanstring")('spam"', 0)
    ('spam', 5)
    >>> "tool" in dir_()
    True
    """
    home_of = {name: home for home, names in homes.items() for name in names}

    def __getattr__(name: str) -> Any:
        if name in modules:
            return importlib.import_module(f"{package}.{name}")
        if name not in home_of:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        found = getattr(importlib.import_module(f"{package}.{home_of[name]}"), name)
        setattr(sys.modules[package], name, found)  # asked for once
        return found

    return __getattr__, lambda: sorted({*home_of, *modules, *vars(sys.modules[package])})
