"""Views of a batch: its components, for all items, for one item or for some."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from .columns import items_at

__all__ = ["Record"]


class Record:
    """The components of a batch, of one item or of some items, as attributes. Assignments write into the batch.

    Examples
    --------
    >>> from batchup.flow import Batch
    >>> class Images(Batch):
    ...     components = "images", "labels"
    >>> batch = Images([7, 8], preloaded=dict(images={7: "cat.png", 8: "dog.png"}, labels={7: 0, 8: 1}))
    >>> batch[8].labels
    np.int64(1)
    >>> batch[8].labels = 5
    >>> batch.labels
    array([0, 5])
    >>> batch[8].as_dict()
    {'images': np.str_('dog.png'), 'labels': np.int64(5)}
    """

    __slots__ = ("_batch", "_pos")

    def __init__(self, batch: Any, pos: int | slice | npt.NDArray[np.intp] | None = None) -> None:
        object.__setattr__(self, "_batch", batch)
        object.__setattr__(self, "_pos", pos)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        column = self._batch.column(name)
        return column if self._pos is None or column is None else items_at(column, self._pos)

    def __setattr__(self, name: str, value: object) -> None:
        batch = self._batch
        if self._pos is None:
            batch.set_column(name, value)
            return
        if batch.column(name) is None:
            batch.set_column(name, batch.array_of_nones)
        column = batch.column(name)
        if hasattr(column, "iloc"):
            column.iloc[self._pos] = value
        else:
            column[self._pos] = value

    def __getitem__(self, index: object) -> Any:
        """The item with this id, or a view of several. Only a view of the whole batch has them."""
        if self._pos is not None:
            raise TypeError("items should be taken by id from the batch, not from a view of one item or of some")
        return self._batch[index]

    def __iter__(self) -> Iterator[Any]:
        return iter(self.as_tuple())

    def __dir__(self) -> list[str]:
        return ["as_dict", "as_tuple", *(self._batch.components or ())]

    def __repr__(self) -> str:
        return f"Record({', '.join(f'{name}={value!r}' for name, value in self.as_dict().items())})"

    def as_dict(self) -> dict[str, Any]:
        """The components by name."""
        return {name: getattr(self, name) for name in self._batch.components or ()}

    def as_tuple(self) -> tuple[Any, ...]:
        """The components in order."""
        return tuple(self.as_dict().values())
