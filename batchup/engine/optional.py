"""Libraries that only some parts of batchup need. They are imported on use."""

from __future__ import annotations

import importlib
from typing import Any

__all__ = ["library"]


def library(name: str, install: str, needed_by: str, title: str | None = None) -> Any:
    """The module of that name.

    Parameters
    ----------
    name : str
    install : str
        What to install with pip, such as an extra of batchup.
    needed_by : str
        The function or class that needs it, for the error message.
    title : str, optional
        The name of the library in the message, if it differs from the module name.

    Raises
    ------
    ModuleNotFoundError
        If it is not installed. The message says how to install it.

    Examples
    --------
    >>> library("math", "math", "this example").sqrt(4.0)
    2.0
    >>> library("no_such_module", "batchup[none]", "this example")
    Traceback (most recent call last):
        ...
    ModuleNotFoundError: this example needs no_such_module, which is not installed: pip install 'batchup[none]'
    """
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if not f"{name}.".startswith(f"{error.name}."):  # something that the library itself needs
            raise
        quoted = f"'{install}'" if "[" in install else install
        raise ModuleNotFoundError(
            f"{needed_by} needs {title or name}, which is not installed: pip install {quoted}", name=error.name
        ) from error
