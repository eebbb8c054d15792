"""A batch: the ids of some items, their data, and the actions on them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt

from ...engine.global_rng import drawn_seed
from ...engine.rng import SeedPath
from ..expr.expressions import Expr
from ..extras.formats import find_format
from ..items.actions import action
from ..items.actions import apply_parallel as for_each_item
from ..items.apply import apply_to_items, raise_if_failed, store_results
from ..items.seeds import ItemSeed, seed_in_use, seed_path
from .baseset import Baseset, IndexLike
from .batch_data import BatchData, merge_batches, merge_columns
from .columns import Components, ItemsById, put_items, split_by_component

__all__ = ["Batch", "positional"]


class Batch(BatchData):
    """Some items of a dataset, with their data and the actions on them.

    Parameters
    ----------
    index : int, array-like of ids, or DatasetIndex
    dataset : Dataset, optional
        The dataset that the items belong to.
    pipeline : Pipeline, optional
        The pipeline that the batch goes through.
    preloaded : optional
        The data of the whole dataset. The batch takes its own items at first use. Without `components` it is indexed by
        id, and so is each container in a tuple or dict. With components it is indexed by component first (by name for
        a dict, frame or group, by order for a tuple), then by id.
    copy : bool, default False
        Whether to deep-copy the items. Arrays of numbers are always copied.
    **kwargs
        More attributes.

    Attributes
    ----------
    components : tuple of str or None
        The names of the components. Define them in the class: ``components = "images", "labels"``.
    iteration, n_iters : int
        The number of the batch in its run, from 1, and the number of batches of the run (None if it is not known).

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
    _item_seed: ItemSeed | None = None

    add_components = action(BatchData.add_components)

    # ---- in and out

    @action
    def load(
        self,
        *args: Any,
        src: Any = None,
        fmt: str | None = None,
        dst: Components = None,
        components: Components = None,
        **kwargs: Any,
    ) -> Self:
        """Take data from a container by the ids of the items, or read them from a file.

        Parameters
        ----------
        *args
            `src` and `fmt`, in this order, if they are not given by name; the rest goes to the reader.
        src : container, path, or None
            The container has the items of the whole dataset; the batch takes its own by id.
        fmt : str, optional
            The format of a file: csv, hdf5, feather, blosc, image, or one of `register_format`.
        dst : str, or tuple or list of str, optional
            One name gets the whole `src`. Several names get its parts: by name from a frame or a dict, by order from a
            tuple. By default all components. Missing components are created.
        components : optional
            Another name of `dst`.
        **kwargs
            Passed to the reader.

        Raises
        ------
        KeyError, IndexError
            If the container has no such item.
        """
        (src, fmt), rest = positional(args, src, fmt)
        names = components if dst is None else dst
        if fmt is None:
            if rest or kwargs:
                raise TypeError(f"load() from a container takes no {', '.join([*map(repr, rest), *kwargs])}; pass fmt=")
            if src is None:
                raise ValueError("src should be the container to take items from, not None")
            self.take_from(src, names)
        else:
            find_format(fmt).load(self, src, names, *rest, **kwargs)
        return self

    @action
    def dump(
        self,
        *args: Any,
        dst: Any = None,
        fmt: str | None = None,
        components: Components = None,
        **kwargs: Any,
    ) -> Self:
        """Write the data into a container by the ids of the items, or to a file.

        Parameters
        ----------
        *args
            `dst` and `fmt`, in this order, if they are not given by name; the rest goes to the writer.
        dst : container or path
        fmt : str, optional
            csv, hdf5, feather, blosc, image, or one of `register_format`.
        components : str or tuple of str, optional
            Which to write; by default all.
        **kwargs
            Passed to the writer.

        Raises
        ------
        ValueError
            If there are several components for one container.
        """
        (dst, fmt), rest = positional(args, dst, fmt)
        names = (components,) if isinstance(components, str) else components or self.components or (None,)
        if fmt is not None:
            find_format(fmt).dump(self, dst, names, *rest, **kwargs)
            return self
        if rest or kwargs:
            raise TypeError(f"dump() to a container takes no {', '.join([*map(repr, rest), *kwargs])}; pass fmt=")
        if len(names) != 1:
            raise ValueError(
                f"components should name one component to write into the container, not {', '.join(map(str, names))}"
            )
        put_items(dst, self.indices, self.data if names[0] is None else self.column(names[0]), names[0])
        return self

    @action
    def save(self, *args: Any, **kwargs: Any) -> Self:
        """Another name of `dump`."""
        return self.dump(*args, **kwargs)

    @action
    def do_nothing(self, *args: object, **kwargs: object) -> Self:
        """Return the batch unchanged."""
        return self

    # ---- random numbers

    @property
    def random(self) -> np.random.Generator:
        """The generator to draw from, instead of `numpy.random`.

        In a run it depends on the seed, the batch, the step and the item, and not on which worker draws.
        """
        return (seed_in_use.get() or self._own_seed()).rng

    @property
    def random_seed(self) -> np.random.SeedSequence:
        """The seed of all random numbers of this batch. Assign a seed or an int to change it."""
        path = self._own_seed().path
        return np.random.SeedSequence(path.entropy, spawn_key=path.spawn_key)

    @random_seed.setter
    def random_seed(self, seed: int | np.random.SeedSequence | None) -> None:
        self._item_seed = ItemSeed(seed_path(seed))

    def _own_seed(self) -> ItemSeed:
        if self._item_seed is None:
            self._item_seed = ItemSeed(SeedPath(drawn_seed()))
        return self._item_seed

    def new_seed_path(self) -> SeedPath:
        """The seed path of a parallel call; each call gets another one."""
        return (seed_in_use.get() or self._own_seed()).next_path()

    # ---- in parallel

    @action
    def apply_parallel(
        self,
        func: Callable[..., Any],
        init: Any = None,
        post: str | Callable[..., Any] | None = None,
        src: Any = None,
        dst: str | Sequence[Any] | None = None,
        *args: Any,
        p: float | Sequence[Any] | npt.NDArray[Any] | Expr | None = None,
        target: str = "for",
        requires_rng: bool = False,
        rng_seeds: Sequence[Any] | npt.NDArray[Any] | None = None,
        n_workers: int | None = None,
        **kwargs: Any,
    ) -> Any:
        """Apply a function to each item: ``dst[i] = func(src[i], *args, **kwargs)``.

        Parameters
        ----------
        func : callable
            Also gets `src`, `dst` and `rng` if its signature has them.
        init : 'data', str, callable or container, optional
            The items. ``'data'``: those of `src`. A name: those of that attribute. A callable: those that it returns.
        post : str or callable, optional
            Gets the results; its return value is returned. By default the results are stored in `dst`, stacked if their
            shapes agree.
        src : str, tuple or list of str, or container, optional
            A component; a tuple of components: `func` gets tuples of items; a list: one component after the other.
        dst : str, tuple or list of str, optional
            Where the results go; by default to `src`.
        p : float, sequence or expression, optional
            The probability that `func` is applied to an item; or, for each item, whether it is. Other items stay.
        target : {'for', 'threads', 'mpc', 'async'}, default 'for'
        requires_rng : bool, default False
            Pass a generator to `func` as `rng`; each item has its own.
        rng_seeds : sequence, optional
            Seeds for the generators, one for each item.
        n_workers : int, optional
            Number of threads or processes.
        *args, **kwargs
            Passed to `func`.

        Returns
        -------
        Batch
            Or what `post` returns.

        Raises
        ------
        RuntimeError
            If `func` fails for an item. The message names the item; the cause is its exception.

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
        return apply_to_items(self, func, [given, self.apply_defaults], args, kwargs)

    def _assemble(
        self,
        results: Sequence[Any],
        *args: object,
        src: Components = None,
        dst: Components = None,
        src_default: Components = None,
        dst_default: Components = "src",
        **kwargs: object,
    ) -> Self:
        """Store the results in `dst`, else in `src`, in all components, or in those that `dst_default` names."""
        src = src_default if src is None else src
        if dst is None:
            dst = src if dst_default == "src" else self.components if dst_default == "components" else dst_default
        if dst is None and self.components:
            raise_if_failed(self, results)
            raise TypeError(
                "dst or src should name the components for the results, such as "
                f"{self.components[0]!r}: pass one to inbatch_parallel or to the action"
            )
        return store_results(self, results, dst)  # type: ignore[no-any-return]

    def get_errors(self, all_res: Sequence[Any]) -> list[BaseException] | None:
        """The exceptions among the results of a parallel action; None if there are none."""
        return [result for result in all_res if isinstance(result, BaseException)] or None

    def run_once(self, *args: object, **kwargs: object) -> list[list[Any]]:
        """Use it as the `init` of a parallel method to call the method once, for the whole batch."""
        return [[]]

    @for_each_item(src="images", dst="images")
    def to_array(
        self, comp: Any, dtype: npt.DTypeLike | None = np.float32, channels: str | None = "last"
    ) -> npt.NDArray[Any]:
        """Convert images, or other items, to arrays.

        Parameters
        ----------
        src, dst : str, default 'images'
        dtype : dtype or None, default float32
            None keeps the dtype.
        channels : {'last', 'first', None}
            Where to put the axis of channels. An image without one gets one, unless None.
        """
        array = np.asanyarray(comp, dtype=dtype)  # a mask stays
        if channels not in ("first", "last", None):
            raise ValueError(f"channels should be 'first', 'last' or None, not {channels!r}")
        if array.ndim == 2 and channels is not None:
            array = array[..., np.newaxis]
        return np.moveaxis(array, -1, 0) if channels == "first" and array.ndim >= 3 else array

    # ---- batches from batches

    def get_model_by_name(self, name: str) -> Any:
        """A model of the pipeline."""
        if self.pipeline is None:
            raise ValueError(
                f"the batch should be in a pipeline to have models, but is in none; there is no model {name!r}"
            )
        return self.pipeline.get_model_by_name(name, batch=self)

    def as_dataset(self, dataset: Baseset | type[Baseset] | None = None, copy: bool = False) -> Any:
        """A dataset with the items of this batch, their ids and data.

        Parameters
        ----------
        dataset : Dataset or a class of one, optional
            The class of the new dataset, or a dataset to be like; by default the dataset of the batch.
        copy : bool, default False
            Whether to copy the data, so that later changes of the batch do not change the dataset.

        Raises
        ------
        ValueError
            If the batch has no dataset and `dataset` is not given.
        """
        like: Any = self.dataset if dataset is None else dataset
        if like is None:
            raise ValueError(
                "dataset should be the class to make, because the batch has no dataset: as_dataset(Dataset)"
            )
        source = self.deepcopy() if copy else self
        source.fill()
        columns = {
            name: ItemsById(self.index, column) for name, column in source._columns.items() if column is not None
        }
        preloaded = columns if self.components else ItemsById(self.index, source._datum)
        kind, attrs = (like, {}) if isinstance(like, type) else (type(like), like.attrs)
        return kind(self.index, batch_class=type(self), preloaded=preloaded, copy=copy, **attrs)

    @classmethod
    def from_data(cls, index: IndexLike | None = None, data: Any = None) -> Self:
        """A batch of the items with the ids `index`, which it takes from `data`; by default of all items.

        Raises
        ------
        IndexError, KeyError
            If `data` have no such item.
        """
        if index is None:
            parts = list(split_by_component(data, cls.components).values()) if cls.components else [data]
            batch = cls(len(parts[0]))
            batch.put_into_data(data)
            return batch
        batch = cls(index)
        batch.preload(data)
        batch.fill()
        return batch

    @classmethod
    def merge(
        cls,
        batches: Sequence[Batch],
        batch_size: int | None = None,
        components: Components = None,
        batch_class: type[Batch] | None = None,
    ) -> tuple[Any, Any]:
        """Merge several batches into one of `batch_size` items and one with the rest. In both the ids are 0, 1, 2, …

        Parameters
        ----------
        batches : sequence of Batch
        batch_size : int, optional
            By default all items. The rest is None if no item is left.
        components : str or tuple of str, optional
            The components of the new batches, in this order; by default all.
        batch_class : type, optional
            The class of both; by default the class of the first batch.

        Returns
        -------
        batch, rest : Batch, Batch or None

        Raises
        ------
        ValueError
            If a component is None in some of the batches only.
        """
        return merge_batches(batches, batch_size, components, batch_class)

    def follow(self, other: Batch) -> None:
        """Take over the dataset, the pipeline and the position in the run from another batch."""
        for name in ("dataset", "pipeline"):
            if self.__dict__.get(name) is None:
                self.__dict__[name] = other.__dict__.get(name)
        self.iteration, self.n_iters, self._item_seed = other.iteration, other.n_iters, other._item_seed

    @classmethod
    def merge_component(cls, component: str | None = None, data: Any = None) -> Any:
        """Merge the data of one component from several batches: concatenate arrays or lists.

        Raises
        ------
        TypeError
            If they are neither arrays nor lists. Override the method for other data.
        """
        return merge_columns(component, data)


def positional(args: tuple[Any, ...], *named: Any) -> tuple[list[Any], tuple[Any, ...]]:
    """The named arguments, with positional ones in the places of None; and the remaining positional ones."""
    rest = list(args)
    filled = [rest.pop(0) if value is None and rest else value for value in named]
    return filled, tuple(rest)
