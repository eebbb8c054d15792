"""A batch: ids of items, and their data, in components or in one piece."""

from __future__ import annotations

import copy
import threading
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt

from . import formats
from .actions import action
from .actions import apply_parallel as for_each_item
from .apply import apply, assemble
from .columns import ById, at, items_of, put, spread, take
from .index import DatasetIndex
from .parallel import Chance, chance_here
from .record import Record

__all__ = ["Batch"]


class Batch:
    """Some items of a dataset, with their data, and what can be done with them.

    Parameters
    ----------
    index : int, array-like of ids, or DatasetIndex
    dataset : Dataset, optional
        Where it was taken from.
    pipeline : Pipeline, optional
        Which it goes through.
    preloaded : optional
        The data of the whole dataset, of which the batch takes its own items when they are asked for first. Without
        `components` it is indexed by id; with components, first by component (a dict, frame or group by name, a tuple
        by order), then by id.
    copy : bool, default False
        Whether to copy the items deeply. Arrays of numbers are copied in any case.
    **kwargs
        More attributes.

    Attributes
    ----------
    components : tuple of str or None
        The names of components. A class has them in one line: ``components = "images", "labels"``.
    iteration, n_iters : int
        The number of the batch in its run, and how many there will be (None if that is not known).

    Examples
    --------
    >>> class Images(Batch):
    ...     components = "images", "labels"
    >>> batch = Images([3, 5], preloaded=(np.arange(60).reshape(10, 2, 3), np.arange(10) % 3))
    >>> batch.images.shape, batch.labels, batch[5].labels
    ((2, 2, 3), array([0, 2]), np.int64(2))
    >>> batch.images[0] = 0
    >>> batch[3].images
    array([[0, 0, 0],
           [0, 0, 0]])
    """

    components: Any = None
    apply_defaults: ClassVar[dict[str, Any]] = {"dst": None, "post": "_assemble", "src": None, "target": "threads"}
    iteration = 0
    n_iters: int | None = None
    _pending = False
    _preloaded: Any = None
    _filling: Any = None
    _copy = False
    _chance: Chance | None = None

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        names = cls.__dict__.get("components")
        if names is None:
            return
        if not isinstance(names, tuple) or not all(isinstance(name, str) for name in names):
            raise TypeError(f"components should be a tuple of names, such as ('images',), not {names!r}")
        for name in names:
            if hasattr(cls, name):
                raise ValueError(f"{cls.__name__} has an attribute {name!r}: a component needs another name")

    def __init__(
        self,
        index: Any,
        dataset: Any = None,
        pipeline: Any = None,
        preloaded: Any = None,
        copy: bool = False,
        *args: Any,
        **kwargs: Any,
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
        """Have data taken from `preloaded` when they are asked for first."""
        own = self.__dict__
        own["_preloaded"], own["_copy"], own["_pending"] = preloaded, copy, preloaded is not None
        own["_filling"] = threading.RLock() if preloaded is not None else None

    def fill(self) -> None:
        """Take the preloaded data, unless that was done."""
        if self._pending:
            with self._filling:  # of several threads, one takes them
                if self._pending:
                    for name, column in self._taken(self._preloaded, None):
                        self._store(name, column)
                    self._pending = False

    def column(self, name: str) -> Any:
        """The data of a component.

        Raises
        ------
        AttributeError
            If there is none of that name.
        """
        if self._pending:
            self.fill()
        try:
            return self._columns[name]
        except KeyError:
            known = f"its components are {', '.join(self.components)}" if self.components else "it has no components"
            raise AttributeError(f"a {type(self).__name__} has no component or attribute {name!r}; {known}") from None

    def set_column(self, name: str | None, value: Any) -> None:
        """Put in the data of a component, which is made if there is none; without a name, of the whole batch.

        Raises
        ------
        ValueError
            If it does not have as many items as the batch.
        """
        self.fill()
        self._store(name, value)

    def _store(self, name: str | None, value: Any) -> None:
        if name is None:
            self.__dict__["_datum"] = value
        elif name not in self._columns:
            self.add_components(name, value)
        else:
            self._columns[name] = self._fitting(name, value)

    def _fitting(self, name: str, value: Any) -> Any:
        n = _length(value)
        if value is not None and n != self.size:
            has = f"a {type(value).__name__}" if n is None else n
            raise ValueError(f"{name} should have {self.size} items, as the batch has, not {has}")
        return value

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_") or "_columns" not in self.__dict__:
            raise AttributeError(f"a {type(self).__name__} has no attribute {name!r}")
        return self.column(name)

    def __setattr__(self, name: str, value: Any) -> None:
        if name in (self.__dict__.get("components") or ()):
            self.set_column(name, value)
        else:
            object.__setattr__(self, name, value)

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *(self.components or ())]

    @property
    def data(self) -> Any:
        """The data: of a batch with components, a `Record` that has them as attributes."""
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

    def put_into_data(self, data: Any, components: Any = None) -> None:
        """Store data which are those of the batch, in its order.

        Parameters
        ----------
        data : object
            With several components a tuple, dict or frame; the batch itself is passed over.
        components : str or tuple of str, optional
            Which components they are for; all by default.
        """
        if data is self:
            return
        names = self.components if components is None else components
        if isinstance(data, Record):
            data = data.as_dict()
        if isinstance(names, str):
            self.set_column(names, data)
        elif not names or data is None:
            self.fill()
            for name in names or [None]:
                self.set_column(name, None)
            if not names:
                self.set_column(None, data)
        else:
            for name, part in spread(data, names, exactly=components is not None).items():
                self.set_column(name, part)

    @action
    def add_components(self, components: str | Sequence[str], init: Any = None) -> Self:
        """Give this batch more components.

        Parameters
        ----------
        components : str or list of str
        init : optional
            The data: of one name whole, of a list of names one for each.

        Raises
        ------
        ValueError
            If there is a component or an attribute of that name.
        """
        names = [components] if isinstance(components, str) else list(components)
        columns = [init] if isinstance(components, str) else [None] * len(names) if init is None else list(init)
        if len(columns) != len(names):
            raise ValueError(f"init should be one for each of {len(names)} components, not {len(columns)}")
        self.fill()
        if not self.components and self._datum is not None:
            what = f"the batch had data without a name, which are gone now that it has components ({', '.join(names)})"
            warnings.warn(what, RuntimeWarning, stacklevel=2)
            self.__dict__["_datum"] = None
        for name, column in zip(names, columns, strict=True):
            if name in self._columns or hasattr(self, name):
                raise ValueError(f"the batch has a component or an attribute {name!r} already")
            self._columns[name] = self._fitting(name, column)
            self.components = (*(self.components or ()), name)
        return self

    # ---- the items

    @property
    def indices(self) -> npt.NDArray[Any]:
        """The ids of the items, in the order of the batch."""
        return self.index.indices  # type: ignore[no-any-return]

    @property
    def size(self) -> int:
        """How many items there are."""
        return len(self.index)

    def __len__(self) -> int:
        return len(self.index)

    def __getitem__(self, index: Any) -> Any:
        """The item with this id, or a view of the items with these ids."""
        return self._at(self.index.get_pos(index))

    def _at(self, pos: Any) -> Any:
        self.fill()
        return Record(self, pos) if self.components else at(self._datum, pos)

    def __iter__(self) -> Iterator[Any]:
        return map(self._at, range(self.size))

    @property
    def items(self) -> list[Any]:
        """The items, in the order of the batch."""
        return list(self)

    def get(self, item: Any = None, component: str | None = None) -> Any:
        """An item by its id, a component, a component of an item, or, without either, all data."""
        found = self.data if item is None else self[item]
        return found if component is None else getattr(found, component)

    @property
    def array_of_nones(self) -> npt.NDArray[np.object_]:
        """An array of as many None as there are items."""
        return np.full(self.size, None, dtype=object)

    def create_attrs(self, **kwargs: Any) -> None:
        """Set attributes, which `get_attrs` gives back."""
        self._attrs = tuple(kwargs)
        for name, value in kwargs.items():
            setattr(self, name, value)

    def get_attrs(self) -> dict[str, Any]:
        """The attributes of `create_attrs`, by name."""
        return {name: getattr(self, name) for name in self._attrs}

    def __repr__(self) -> str:
        of = f", components {', '.join(self.components)}" if self.components else ""
        return f"<{type(self).__name__} of {self.size} items{of}>"

    # ---- in and out

    @action
    def load(
        self,
        *args: Any,
        src: Any = None,
        fmt: str | None = None,
        dst: Any = None,
        components: Any = None,
        **kwargs: Any,
    ) -> Self:
        """Take data from a container by the ids of the items, or read them from a file.

        Parameters
        ----------
        *args
            In order, those of `src` and `fmt` that are not named; what remains goes to the reader.
        src : container, path, or None
            It holds items of the whole dataset; those of the batch are taken by id.
        fmt : str, optional
            The format of a file: csv, hdf5, feather, blosc, image, or one of `register_format`.
        dst : str, or tuple or list of str, optional
            A name gets `src` whole; several get its parts, by name from a frame or a dict, by order from a tuple. All
            components by default. Components are made if necessary.
        components : optional
            Another name of `dst`.
        **kwargs
            For the reader.

        Raises
        ------
        KeyError, IndexError
            If the container has no such item.
        """
        (src, fmt), rest = _positional(args, src, fmt)
        names = components if dst is None else dst
        if fmt is None:
            if rest or kwargs:
                raise TypeError(f"load() from a container takes no {', '.join([*map(repr, rest), *kwargs])}; give fmt=")
            if src is None:
                raise ValueError("src should be the container to take items from, not None")
            self.take_from(src, names)
        else:
            formats.named(fmt).load(self, src, names, *rest, **kwargs)
        return self

    def take_from(self, src: Any, dst: Any = None) -> None:
        """Take the batch's items from a container by their ids; what `load` does where it is not overridden."""
        for name, column in self._taken(src, dst):
            self.set_column(name, column)

    def _taken(self, src: Any, dst: Any) -> Iterator[tuple[str | None, Any]]:
        if dst is None and not self.components:
            yield None, self._own(take(src, self.indices))
            return
        parts = {dst: src} if isinstance(dst, str) else spread(src, dst or self.components, exactly=dst is not None)
        for name, container in parts.items():
            yield name, self._own(take(container, self.indices))

    def _own(self, column: Any) -> Any:
        return copy.deepcopy(column) if self._copy else column

    @action
    def dump(self, *args: Any, dst: Any = None, fmt: str | None = None, components: Any = None, **kwargs: Any) -> Self:
        """Put the data into a container by the ids of the items, or write them to a file.

        Parameters
        ----------
        *args
            In order, those of `dst` and `fmt` that are not named; what remains goes to the writer.
        dst : container or path
        fmt : str, optional
            csv, hdf5, feather, blosc, image, or one of `register_format`.
        components : str or tuple of str, optional
            Which; all by default.
        **kwargs
            For the writer.

        Raises
        ------
        ValueError
            If several components should go into one container.
        """
        (dst, fmt), rest = _positional(args, dst, fmt)
        names = (components,) if isinstance(components, str) else components or self.components or (None,)
        if fmt is not None:
            formats.named(fmt).dump(self, dst, names, *rest, **kwargs)
            return self
        if rest or kwargs:
            raise TypeError(f"dump() to a container takes no {', '.join([*map(repr, rest), *kwargs])}; give fmt=")
        if len(names) != 1:
            raise ValueError(
                f"components should name the one to put into the container, not {', '.join(map(str, names))}"
            )
        put(dst, self.indices, self.data if names[0] is None else self.column(names[0]), names[0])
        return self

    @action
    def save(self, *args: Any, **kwargs: Any) -> Self:
        """Another name of `dump`."""
        return self.dump(*args, **kwargs)  # type: ignore[no-any-return]

    @action
    def do_nothing(self, *args: Any, **kwargs: Any) -> Self:
        """The batch, whatever is given."""
        return self

    # ---- chance

    @property
    def random(self) -> np.random.Generator:
        """What to draw from, instead of `numpy.random`.

        In a run it depends on the seed, the batch, the step and the item, not on who does the work.
        """
        return (chance_here() or self._own_chance()).rng

    @property
    def random_seed(self) -> np.random.SeedSequence:
        """The seed of all that is drawn; may be set to another, or to an int."""
        chance = self._own_chance()
        seed = chance.seed if isinstance(chance.seed, np.random.SeedSequence) else np.random.SeedSequence(chance.seed)
        return np.random.SeedSequence(seed.entropy, spawn_key=(*seed.spawn_key, *chance.place))

    @random_seed.setter
    def random_seed(self, seed: Any) -> None:
        self._chance = Chance(seed)

    def _own_chance(self) -> Chance:
        if self._chance is None:
            self._chance = Chance(np.random.SeedSequence())
        return self._chance

    def new_address(self) -> tuple[Any, tuple[int, ...]]:
        """The seed and the place under it of a parallel call; no two have the same."""
        chance = chance_here() or self._own_chance()
        return chance.seed, chance.next_place()

    # ---- in parallel

    @action
    def apply_parallel(
        self,
        func: Callable[..., Any],
        init: Any = None,
        post: Any = None,
        src: Any = None,
        dst: Any = None,
        *args: Any,
        p: Any = None,
        target: str = "for",
        requires_rng: bool = False,
        rng_seeds: Any = None,
        n_workers: int | None = None,
        **kwargs: Any,
    ) -> Any:
        """Apply a function to each item: ``dst[i] = func(src[i], *args, **kwargs)``.

        Parameters
        ----------
        func : callable
            It gets `src`, `dst` and `rng` too, if its signature has them.
        init : 'data', str, callable or container, optional
            What the items are: ``'data'`` those of `src`; a name: those of that attribute; a callable: what it
            returns.
        post : str or callable, optional
            Makes of the results what is returned; by default they are put into `dst`, stacked if their shapes agree.
        src : str, tuple or list of str, or container, optional
            A component; a tuple of components, of which `func` gets tuples of items; a list, to go through one by one.
        dst : str, tuple or list of str, optional
            Where results go; by default to `src`.
        p : float, sequence or expression, optional
            The probability that `func` is applied to an item, or for each item whether it is; others stay as they are.
        target : {'for', 'threads', 'mpc', 'async'}, default 'for'
        requires_rng : bool, default False
            Give `func` a generator as `rng`; each item has its own.
        rng_seeds : sequence, optional
            Seeds for these, one for each item.
        n_workers : int, optional
            How many threads or processes.
        *args, **kwargs
            For `func`.

        Returns
        -------
        Batch
            Or what `post` returns.

        Raises
        ------
        RuntimeError
            If `func` fails for an item: from its exception, with the item's id.

        Examples
        --------
        >>> class Points(Batch):
        ...     components = "x", "y"
        >>> points = Points(3, preloaded=([1, 2, 3], [4, 5, 6]))
        >>> points.apply_parallel(lambda x, n: x + n, None, None, "x", "z", 10).z
        array([11, 12, 13])
        >>> points.apply_parallel(sum, src=("x", "y"), dst="sums").sums
        array([5, 7, 9])
        """
        given = {"init": init, "post": post, "src": src, "dst": dst, "p": p, "target": target, "n_workers": n_workers}
        given.update(requires_rng=requires_rng or None, rng_seeds=rng_seeds)
        return apply(self, func, [given, self.apply_defaults], args, kwargs)

    def _assemble(self, results: Sequence[Any], src: Any = None, dst: Any = None, **kwargs: Any) -> Self:
        return assemble(self, results, dst)  # type: ignore[no-any-return]

    def get_errors(self, all_res: Sequence[Any]) -> list[BaseException] | None:
        """The exceptions among the results of a parallel action; None if there are none."""
        return [result for result in all_res if isinstance(result, BaseException)] or None

    def run_once(self, *args: Any, **kwargs: Any) -> list[list[Any]]:
        """As the `init` of a parallel method: it is called once, for the whole batch."""
        return [[]]

    @for_each_item(src="images", dst="images")  # type: ignore[untyped-decorator]
    def to_array(self, comp: Any, dtype: Any = np.float32, channels: str | None = "last") -> npt.NDArray[Any]:
        """Make arrays of images, or of other items.

        Parameters
        ----------
        src, dst : str, default 'images'
        dtype : dtype or None, default float32
            None keeps what it is.
        channels : {'last', 'first', None}
            Where the axis of channels is to be; an image without one gets it, unless None.
        """
        array = np.asarray(comp, dtype=dtype)
        if channels not in ("first", "last", None):
            raise ValueError(f"channels should be 'first', 'last' or None, not {channels!r}")
        if array.ndim == 2 and channels is not None:
            array = array[..., np.newaxis]
        return np.moveaxis(array, -1, 0) if channels == "first" and array.ndim >= 3 else array

    # ---- batches from batches

    def get_model_by_name(self, name: str) -> Any:
        """A model of the pipeline."""
        if self.pipeline is None:
            raise ValueError(f"the batch is in no pipeline, so there is no model {name!r}")
        return self.pipeline.get_model_by_name(name, batch=self)

    def as_dataset(self, dataset: Any = None, copy: bool = False) -> Any:
        """A dataset of the items of this batch, with their ids and data.

        Parameters
        ----------
        dataset : Dataset or a class of one, optional
            Of which kind; as the batch's own by default.
        copy : bool, default False
            Whether later changes of the batch's data leave the dataset as it is.

        Raises
        ------
        ValueError
            If there is no dataset to be like.
        """
        like = self.dataset if dataset is None else dataset
        if like is None:
            raise ValueError("the batch has no dataset, so say which kind to make: as_dataset(Dataset)")
        source = self.deepcopy() if copy else self
        source.fill()
        columns = {name: ById(self.index, column) for name, column in source._columns.items() if column is not None}
        preloaded = columns if self.components else ById(self.index, source._datum)
        kind, attrs = (like, {}) if isinstance(like, type) else (type(like), like.attrs)
        return kind(self.index, batch_class=type(self), preloaded=preloaded, copy=copy, **attrs)

    def deepcopy(self) -> Self:
        """The batch once more, with its own data; of the same dataset and pipeline."""
        twin = type(self).__new__(type(self))
        shared = {name: self.__dict__[name] for name in ("dataset", "pipeline", "_preloaded", "_filling", "index")}
        own = {name: value for name, value in self.__dict__.items() if name not in shared}
        twin.__dict__.update(copy.deepcopy(own), **shared)
        return twin

    def __deepcopy__(self, memo: Any) -> Self:
        return self.deepcopy()

    def __getstate__(self) -> dict[str, Any]:
        """What is sent to other processes: the batch's own data, without dataset, pipeline and preloaded data."""
        self.fill()
        return {**self.__dict__, "dataset": None, "pipeline": None, "_preloaded": None, "_filling": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)

    @classmethod
    def from_data(cls, index: Any = None, data: Any = None) -> Self:
        """A batch of these data; ids from 0 by default."""
        if index is None:
            parts = list(spread(data, cls.components).values()) if cls.components else [data]
            index = len(parts[0])
        batch = cls(index)
        batch.put_into_data(data)
        return batch

    @classmethod
    def merge(
        cls,
        batches: Sequence[Any],
        batch_size: int | None = None,
        components: str | Sequence[str] | None = None,
        batch_class: Any = None,
    ) -> tuple[Any, Any]:
        """One batch of `batch_size` items from several, and another one of the rest; ids from 0 in each.

        Parameters
        ----------
        batches : sequence of Batch
        batch_size : int, optional
            All by default; then the rest is None, as it is when nothing is left.
        components : str or tuple of str, optional
            Only these.
        batch_class : type, optional
            The class of both; that of the first batch by default.

        Returns
        -------
        batch, rest : Batch, Batch or None

        Raises
        ------
        ValueError
            If a component is None in some of the batches, and not in others.
        """
        if not batches:
            raise ValueError("batches should be at least one")
        first = batches[0]
        kind = batch_class or type(first)
        names = (components,) if isinstance(components, str) else components or first.components or (None,)
        merged: dict[str | None, Any] = {}
        for name in names:
            columns = [each.data if name is None else each.column(name) for each in batches]
            if any(column is None for column in columns) and not all(column is None for column in columns):
                raise ValueError(f"{name or 'the data'} should be there in all batches or in none: it is None in some")
            merged[name] = None if columns[0] is None else first.merge_component(name, columns)
        total = sum(each.size for each in batches)
        size = total if batch_size is None else min(batch_size, total)
        parts = [slice(0, size), slice(size, total)]
        made = [first._made_of(kind, merged, part, part.stop - part.start) for part in parts if part.stop > part.start]
        return made[0], (made[1] if len(made) > 1 else None)

    def _made_of(self, kind: Any, merged: dict[str | None, Any], part: slice, n: int) -> Any:
        batch = kind(DatasetIndex(n), dataset=self.dataset, pipeline=self.pipeline)
        batch.follow(self)
        for name, column in merged.items():
            batch.set_column(name, None if column is None else at(column, part))
        if self._attrs:
            batch.create_attrs(**self.get_attrs())
        return batch

    def follow(self, other: Any) -> None:
        """Belong where another batch belongs: to its dataset, its pipeline, its place in a run."""
        for name in ("dataset", "pipeline"):
            if self.__dict__.get(name) is None:
                self.__dict__[name] = other.__dict__.get(name)
        self.iteration, self.n_iters, self._chance = other.iteration, other.n_iters, other._chance

    @classmethod
    def merge_component(cls, component: str | None = None, data: Any = None) -> Any:
        """The data of one component from several batches, in one; arrays are concatenated.

        Raises
        ------
        TypeError
            If they are not arrays; a class of yours may know what to do.
        """
        if all(isinstance(each, np.ndarray) for each in data):
            return np.concatenate(data)
        if all(isinstance(each, list) for each in data):
            return [item for each in data for item in items_of(each)]
        kinds = ", ".join(sorted({type(each).__name__ for each in data}))
        raise TypeError(f"{component or 'data'} should be arrays to be merged, not {kinds}: override merge_component")


def _positional(args: tuple[Any, ...], *named: Any) -> tuple[list[Any], tuple[Any, ...]]:
    """The named arguments, where those that are None are taken from the positional ones in order; and what remains."""
    rest = list(args)
    filled = [rest.pop(0) if value is None and rest else value for value in named]
    return filled, tuple(rest)


def _length(value: Any) -> int | None:
    """How many items there are in what may be a component; None if it may not."""
    try:
        return None if isinstance(value, (str, bytes)) else len(value)
    except TypeError:
        return None
