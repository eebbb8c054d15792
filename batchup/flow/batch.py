"""A batch: ids of items and their data, and what can be done with them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt

from . import file_formats, formats  # noqa: F401 - the first registers its formats
from .actions import action
from .actions import apply_parallel as for_each_item
from .apply import apply, assemble
from .columns import ById, put, spread
from .items import Items
from .merging import merged, merged_component
from .parallel import Chance, chance_here

__all__ = ["Batch", "positional"]


class Batch(Items):
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

    apply_defaults: ClassVar[dict[str, Any]] = {"dst": None, "post": "_assemble", "src": None, "target": "threads"}
    iteration = 0
    n_iters: int | None = None
    _chance: Chance | None = None

    add_components = action(Items.add_components)

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
        (src, fmt), rest = positional(args, src, fmt)
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
        (dst, fmt), rest = positional(args, dst, fmt)
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
        return self.dump(*args, **kwargs)

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

    @for_each_item(src="images", dst="images")
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
        return merged(batches, batch_size, components, batch_class)

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
        return merged_component(component, data)


def positional(args: tuple[Any, ...], *named: Any) -> tuple[list[Any], tuple[Any, ...]]:
    """The named arguments, where those that are None are taken from the positional ones in order; and what remains."""
    rest = list(args)
    filled = [rest.pop(0) if value is None and rest else value for value in named]
    return filled, tuple(rest)
