"""The data of a batch: the ids of its items and its components, without actions; and the data of several, merged."""

from __future__ import annotations

import copy
import threading
import warnings
from collections.abc import Iterator, Sequence
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from ...engine.checks import a_or_an, whole
from ...engine.stacking import UnlikeKindsError, concatenate
from ...engine.tree import leaf_length
from ...errors import noted
from .baseset import Baseset, IndexLike
from .columns import Components, items_at, split_by_component, take_items
from .ids import id_list
from .index import DatasetIndex
from .record import Record

__all__ = ["BatchData", "merge_batches", "merge_columns"]


class BatchData:
    """The ids and the data of some items, and views of them. Abstract; see `Batch`."""

    components: Any = None
    _pending = False
    _preloaded: Any = None
    _filling: Any = None
    _copy = False

    def __init_subclass__(cls, **kwargs: object) -> None:
        super().__init_subclass__(**kwargs)
        names = cls.__dict__.get("components")
        if names is None:
            return
        if not isinstance(names, tuple) or not all(isinstance(name, str) for name in names):
            raise TypeError(f"components should be a tuple of names, such as ('images',), not {names!r}")
        for name in names:
            if hasattr(cls, name):
                raise ValueError(f"{cls.__name__} has an attribute {name!r}: give the component another name")

    def __init__(
        self,
        index: IndexLike,
        dataset: Baseset | None = None,
        pipeline: Any = None,
        preloaded: Any = None,
        copy: bool = False,
        *args: object,
        **kwargs: object,
    ) -> None:
        own = self.__dict__
        own["index"] = index if isinstance(index, DatasetIndex) else DatasetIndex(index)
        own["dataset"] = dataset
        own["pipeline"] = pipeline
        own["components"] = type(self).components
        own["_columns"] = dict.fromkeys(self.components or ())
        own["_datum"] = None
        own["_attrs"] = ()
        self.preload(preloaded, copy)
        if kwargs:
            self.create_attrs(**kwargs)

    # ---- the data

    def preload(self, preloaded: Any, copy: bool = False) -> None:
        """Set the container to take the data from at first use."""
        own = self.__dict__
        own["_preloaded"], own["_copy"], own["_pending"] = preloaded, copy, preloaded is not None
        own["_filling"] = threading.RLock() if preloaded is not None else None

    def fill(self) -> None:
        """Take the preloaded data now, if that has not been done."""
        if self._pending:
            with self._filling:  # one of several threads takes them
                if self._pending:
                    for name, column in self._taken(self._preloaded, None):
                        self._store(name, column)
                    self._pending = False

    def column(self, name: str) -> Any:
        """The data of a component.

        Raises
        ------
        AttributeError
            If there is no such component.
        """
        if self._pending:
            self.fill()
        try:
            return self._columns[name]
        except KeyError:
            known = f"its components are {', '.join(self.components)}" if self.components else "it has no components"
            raise AttributeError(f"{a_or_an(type(self))} has no component or attribute {name!r}; {known}") from None

    def set_column(self, name: str | None, value: object) -> None:
        """Set the data of a component, which is created if necessary; if the name is None, of the whole batch.

        Raises
        ------
        ValueError
            If the number of items is not that of the batch.
        """
        self.fill()
        self._store(name, value)

    def _store(self, name: str | None, value: object) -> None:
        if name is None:
            self.__dict__["_datum"] = value
        elif name not in self._columns:
            self.add_components(name, value)
        else:
            self._columns[name] = self._checked_column(name, value)

    def _checked_column(self, name: str, value: object) -> object:
        n = _item_count(value)
        if value is not None and n != self.size:
            has = a_or_an(type(value)) if n is None else n
            raise ValueError(f"{name} should have {self.size} items, as the batch has, not {has}")
        return value

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_") or "_columns" not in self.__dict__:
            kind, made = type(self).__name__, "_columns" in self.__dict__ or name.startswith("__")
            hint = "" if made else f": {kind}.__init__ should call super().__init__(index)"
            raise AttributeError(f"{a_or_an(type(self))} has no attribute {name!r}{hint}")
        return self.column(name)

    def __setattr__(self, name: str, value: object) -> None:
        if name in (self.__dict__.get("components") or ()):
            self.set_column(name, value)
        else:
            object.__setattr__(self, name, value)

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *(self.components or ())]

    @property
    def data(self) -> Any:
        """The data; for a batch with components, a `Record` with a component in each attribute."""
        self.fill()
        return Record(self) if self.components else self._datum

    @data.setter
    def data(self, value: Any) -> None:
        self.put_into_data(value)

    data_setter = data

    @property
    def _data(self) -> Any:
        return self.data

    @_data.setter
    def _data(self, value: Any) -> None:
        self._pending = False
        self.put_into_data(value)

    def put_into_data(self, data: Any, components: Components = None) -> None:
        """Store data for the items of the batch, in its order.

        Parameters
        ----------
        data : object
            The data; for several components, a tuple, a dict or a data frame. The batch itself is ignored.
        components : str or tuple of str, optional
            The components; by default all.
        """
        if data is self:
            return
        names = self.components if components is None else components
        if isinstance(data, Record):
            data = data.as_dict()
        if isinstance(names, str):
            self.set_column(names, data)
        elif not names:
            self.set_column(None, data)
        elif data is None:
            for name in names:
                self.set_column(name, None)
        else:
            for name, part in split_by_component(data, names, exactly=components is not None).items():
                self.set_column(name, part)

    def add_components(self, components: str | Sequence[str], init: Any = None) -> Self:
        """Add components to this batch.

        Parameters
        ----------
        components : str or list of str
        init : optional
            The data: for one name the whole, for a list of names one for each.

        Raises
        ------
        ValueError
            If there is a component or an attribute of this name.
        """
        names = [components] if isinstance(components, str) else list(components)
        columns = [init] if isinstance(components, str) else [None] * len(names) if init is None else list(init)
        if len(columns) != len(names):
            raise ValueError(f"init should be one for each of {len(names)} components, not {len(columns)}")
        self.fill()
        if not self.components and self._datum is not None:
            what = f"data without a component are dropped, as the batch has components now ({', '.join(names)})"
            warnings.warn(what, RuntimeWarning, stacklevel=2)
            self.__dict__["_datum"] = None
        for name, column in zip(names, columns, strict=True):
            if name in self._columns or hasattr(self, name):
                raise ValueError(f"the batch has a component or an attribute {name!r} already")
            self._columns[name] = self._checked_column(name, column)
            self.components = (*(self.components or ()), name)
        return self

    # ---- the items

    @property
    def indices(self) -> npt.NDArray[Any]:
        """The ids of the items, in the order of the batch."""
        return self.index.indices  # type: ignore[no-any-return]

    @property
    def size(self) -> int:
        """The number of items."""
        return len(self.index)

    def __len__(self) -> int:
        return len(self.index)

    def __getitem__(self, index: Any) -> Any:
        """The item with this id, or a view of the items with several ids."""
        return self._at(self.index.get_pos(index))

    def _at(self, pos: Any) -> Any:
        self.fill()
        return Record(self, pos) if self.components else items_at(self._datum, pos)

    def __iter__(self) -> Iterator[Any]:
        return map(self._at, range(self.size))

    @property
    def items(self) -> list[Any]:
        """The items, in the order of the batch."""
        return list(self)

    def get(self, item: object = None, component: str | None = None) -> Any:
        """An item by its id, a component, a component of an item, or, without arguments, all data."""
        found = self.data if item is None else self[item]
        return found if component is None else getattr(found, component)

    @property
    def array_of_nones(self) -> npt.NDArray[np.object_]:
        """An array with None for each item."""
        return np.full(self.size, None, dtype=object)

    def create_attrs(self, **kwargs: object) -> None:
        """Set attributes, which `get_attrs` returns."""
        self._attrs = tuple(kwargs)
        for name, value in kwargs.items():
            setattr(self, name, value)

    def get_attrs(self) -> dict[str, Any]:
        """The attributes that were set by `create_attrs`, by name."""
        return {name: getattr(self, name) for name in self._attrs}

    def __repr__(self) -> str:
        of = f", components {', '.join(self.components)}" if self.components else ""
        return f"<{type(self).__name__} of {self.size} items{of}>"

    # ---- by the ids of the dataset

    def take_from(self, src: Any, dst: Components = None) -> None:
        """Take the items of the batch from a container by their ids."""
        for name, column in self._taken(src, dst):
            self.set_column(name, column)

    def _taken(self, src: Any, dst: Components) -> Iterator[tuple[str | None, Any]]:
        if dst is None and not self.components:
            yield None, self._copied(self._taken_parts(src))
            return
        parts = (
            {dst: src}
            if isinstance(dst, str)
            else split_by_component(src, dst or self.components, exactly=dst is not None)
        )
        for name, container in parts.items():
            yield name, None if container is None else self._copied(take_items(container, self.indices))

    def _taken_parts(self, src: Any) -> Any:
        """The items from each container in a tuple or dict, if these are not the items themselves."""
        if isinstance(src, tuple):
            return tuple(take_items(part, self.indices) for part in src)
        has_names = isinstance(src, dict) and all(isinstance(key, str) for key in src)
        if has_names and not any(isinstance(each, str) for each in id_list(self.indices[:1])):
            return {name: take_items(part, self.indices) for name, part in src.items()}
        return take_items(src, self.indices)

    def _copied(self, column: Any) -> Any:
        return copy.deepcopy(column) if self._copy else column

    # ---- copies

    def deepcopy(self) -> Self:
        """A copy of the batch with its own data, in the same dataset and pipeline."""
        return copy.deepcopy(self)

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        memo[id(self)] = twin = type(self).__new__(type(self))  # the batch may be among its own attributes
        shared = {name: self.__dict__[name] for name in ("dataset", "pipeline", "_preloaded", "_filling", "index")}
        own = {name: value for name, value in self.__dict__.items() if name not in shared}
        twin.__dict__.update(copy.deepcopy(own, memo), **shared)
        return twin

    def __getstate__(self) -> dict[str, Any]:
        """The state for other processes: the data of the batch, without dataset, pipeline and preloaded data."""
        self.fill()
        return {**self.__dict__, "dataset": None, "pipeline": None, "_preloaded": None, "_filling": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)


def _item_count(value: object) -> int | None:
    """The number of items of a component; None if the value cannot be a component."""
    try:
        return None if isinstance(value, (str, bytes)) else leaf_length(value)
    except TypeError:
        return None


Columns = dict[str | None, Any]


def merge_batches(
    batches: Sequence[BatchData],
    batch_size: int | None,
    components: Components,
    batch_class: type[BatchData] | None,
) -> tuple[Any, Any]:
    """A batch of the first items, and one of the rest or None; see `Batch.merge`."""
    if not batches:
        raise ValueError("batches should be at least one")
    first = batches[0]
    names = (components,) if isinstance(components, str) else components or first.components or (None,)
    columns = {name: _merged_column(batches, name) for name in names}
    total = sum(each.size for each in batches)
    size = total if batch_size is None else min(whole("batch_size", batch_size), total)
    kind = batch_class or type(first)
    rest = _slice_batch(first, kind, columns, slice(size, total)) if size < total else None
    return _slice_batch(first, kind, columns, slice(0, size)), rest


def _merged_column(batches: Sequence[BatchData], name: str | None) -> Any:
    columns = [each.data if name is None else each.column(name) for each in batches]
    missing = [column is None for column in columns]
    if any(missing) and not all(missing):
        raise ValueError(f"{name or 'the data'} should have data in all batches or in none, not None in some")
    return None if all(missing) else batches[0].merge_component(name, columns)


def _slice_batch(first: BatchData, kind: type[BatchData], columns: Columns, part: slice) -> Any:
    batch = kind(DatasetIndex(part.stop - part.start))
    batch.follow(first)
    if None not in columns:
        batch.__dict__["components"], batch.__dict__["_columns"] = tuple(columns), dict.fromkeys(columns)
    for name, column in columns.items():
        batch.set_column(name, None if column is None else items_at(column, part))
    if first.get_attrs():
        batch.create_attrs(**first.get_attrs())
    return batch


def merge_columns(name: str | None, columns: Sequence[Any]) -> Any:
    """Concatenate arrays, or lists."""
    if all(isinstance(each, np.ndarray) for each in columns):
        try:
            return concatenate(columns)
        except UnlikeKindsError as error:
            raise noted(error, f"while merging {name or 'the data'}") from None
    if all(isinstance(each, list) for each in columns):
        return [item for each in columns for item in each]
    kinds = ", ".join(sorted({type(each).__name__ for each in columns}))
    raise TypeError(f"{name or 'data'} should be arrays or lists to be merged, not {kinds}: override merge_component")
