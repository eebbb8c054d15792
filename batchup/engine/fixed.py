"""Attributes that cannot be set again, since a later change would have no effect, or only part of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from .checks import a_or_an
from .initialised import Initialised

__all__ = ["MAKE_A_NEW_ONE", "Fixed", "read_only"]

MAKE_A_NEW_ONE = "make a new {kind}"


class Fixed(Initialised):
    """An object with public attributes that can be read, but not set after it was made.

    A class lists them in `_fixed`, each with what to do instead, and calls `_fix` at the end of its ``__init__``. A
    subclass may set them before that. All other attributes can be set at any time. Arrays that are
    `read_only` are named in `_arrays`, so that those of a copy are read-only, too.

    Examples
    --------
    >>> class Sampler(Fixed):
    ...     _fixed = {"length": MAKE_A_NEW_ONE}
    ...     def __init__(self, length):
    ...         self.length = length
    ...         self._fix()
    >>> sampler = Sampler(5)
    >>> sampler.length
    5
    >>> sampler.length = 6
    Traceback (most recent call last):
        ...
    AttributeError: length of a Sampler cannot be set, since it would have no effect on what was made from it: make a
    new Sampler
    """

    _fixed: ClassVar[Mapping[str, str]] = {}
    _arrays: ClassVar[Sequence[str]] = ()
    _is_fixed = False

    def _fix(self, **attributes: Any) -> None:
        """Set the attributes that are given. From now on, setting an attribute of `_fixed` raises an error."""
        vars(self).update(attributes, _is_fixed=True)

    def __setattr__(self, name: str, value: Any) -> None:
        if name in self._fixed and self._is_fixed:
            kind = type(self).__name__
            instead = self._fixed[name].format(kind=kind)
            raise AttributeError(
                f"{name} of {a_or_an(type(self))} cannot be set, since it would have no effect on what was made from "
                f"it: {instead}",
                name=name,
                obj=self,
            )
        super().__setattr__(name, value)

    def __setstate__(self, state: dict[str, Any]) -> None:
        arrays = {name: state[name] for name in self._arrays if isinstance(state.get(name), np.ndarray)}
        vars(self).update(state, **{name: read_only(array) for name, array in arrays.items()})


def read_only(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """A view of an array that cannot be written to.

    >>> import numpy as np
    >>> read_only(np.arange(3))[0] = 5
    Traceback (most recent call last):
        ...
    ValueError: assignment destination is read-only
    """
    view = array.view()
    view.setflags(write=False)
    return view
