"""A dataset: the ids of items, the class of their batches, and optionally their data."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from ...engine.checks import Indices, a_or_an, whole
from ...engine.initialised import why_missing
from ...engine.shuffle import Shuffle
from ..expr.expressions import Expr
from ..expr.named import F
from ..items.seeds import ItemSeed
from ..pipeline.pipeline import Pipeline
from ..pipeline.plan import NextBatch, PipelinePlan
from ..signatures import accepts
from .baseset import Baseset, IndexLike
from .batch import Batch
from .columns import split_by_component
from .index import DatasetIndex

__all__ = ["Dataset"]


class Folds(tuple[Any, ...]):
    """The datasets of a cross-validation; a call takes the one with this number."""

    def __call__(self, number: int) -> Any:
        if not 0 <= number < len(self):
            raise ValueError(f"there should be a fold {number}, but there are {len(self)}: call cv_split(n_splits=…)")
        return self[number]


class Dataset(Baseset):
    """Items, and the class of batches that are made of them.

    Parameters
    ----------
    index : int, array-like of ids, or DatasetIndex
    batch_class : type, default Batch
    preloaded : optional
        The data of all items; see `Batch`.
    copy : bool, default False
        Whether batches deep-copy their items. Arrays of numbers are always copied.
    **attrs
        More attributes, for the expression `D`.

    Examples
    --------
    >>> class Rows(Batch):
    ...     components = "x", "y"
    >>> dataset = Dataset(5, Rows, preloaded=(np.arange(5) * 10, np.arange(5) % 2))
    >>> [batch.x.tolist() for batch in dataset.gen_batch(2, n_epochs=1)]
    [[0, 10], [20, 30], [40]]
    >>> dataset.split(0.8)
    >>> dataset.train.indices, dataset.test.indices
    (array([1, 2, 3, 4]), array([0]))
    """

    cv = Folds()

    def __init__(
        self,
        index: IndexLike,
        batch_class: type[Any] = Batch,
        preloaded: Any = None,
        copy: bool = False,
        **attrs: object,
    ) -> None:
        self.index = index if isinstance(index, DatasetIndex) else DatasetIndex(index)
        self.batch_class = batch_class
        self.preloaded = preloaded
        self._copy = copy
        self.attrs = attrs
        self._next = NextBatch()
        for name, value in attrs.items():
            if hasattr(type(self), name):
                raise ValueError(f"a dataset has an attribute {name!r} already: give yours another name")
            setattr(self, name, value)

    @property
    def indices(self) -> npt.NDArray[Any]:
        return self.index.indices

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {len(self)} items, batches of {self.batch_class.__name__}>"

    # ---- batches

    def create_batch(
        self, index: IndexLike, pos: bool = False, pipeline: Pipeline | None = None, **kwargs: object
    ) -> Any:
        """Make a batch.

        Parameters
        ----------
        index : ids, or, with ``pos=True``, positions of items
        pipeline : Pipeline, optional
        **kwargs
            Passed to the constructor of the batch class.

        Returns
        -------
        Batch
        """
        ids = self.index.create_batch(index, pos)
        given = {"dataset": self, "pipeline": pipeline, "preloaded": self.preloaded, "copy": self._copy}
        if self.batch_class.__init__ is not Batch.__init__:  # it may not accept all of them
            given = accepts(self.batch_class).select(given)
        batch = self.batch_class(ids, **given, **kwargs)
        own = batch.__dict__
        for name, value in (("dataset", self), ("pipeline", pipeline)):
            if own.get(name) is None:
                own[name] = value
        if own.get("_preloaded") is None and self.preloaded is not None:
            batch.preload(self.preloaded, self._copy)
        return batch

    def _batches(self, plan: PipelinePlan, positions: Iterable[Indices], kwargs: dict[str, Any]) -> Iterator[Any]:
        root, total = plan.root(), plan.total
        for number, pos in enumerate(positions):
            batch = self.create_batch(pos, pos=True, **kwargs)
            batch.iteration, batch.n_iters = number + 1, total
            batch._item_seed = ItemSeed(root, (1, number))
            yield batch

    # ---- datasets from datasets

    def create_subset(self, index: IndexLike) -> Self:
        """A dataset of some of the items.

        Raises
        ------
        IndexError
            If one of them is not in this dataset.
        """
        return self._with_index(self.index.create_subset(index))

    def _part(self, positions: Indices) -> Self:
        return self._with_index(self.index.create_batch(positions))

    def _with_index(self, index: DatasetIndex) -> Self:
        subset = copy.copy(self)
        subset.index = index
        return subset

    def copy(self) -> Self:
        """A dataset with the same items and data, which is not split."""
        return copy.copy(self)

    def __copy__(self) -> Self:
        new = object.__new__(type(self))
        parts = {"train", "test", "validation", "cv", *(f"cv{number}" for number in range(len(self.cv)))}
        new.__dict__.update({name: value for name, value in self.__dict__.items() if name not in parts})
        new._next = NextBatch()
        return new

    @classmethod
    def from_dataset(
        cls,
        dataset: Dataset,
        index: IndexLike,
        batch_class: type[Any] | None = None,
        copy: bool | None = None,
        **attrs: object,
    ) -> Self:
        """A dataset of this class with some of the items of another one, its data, its attributes, and more `attrs`."""
        kind = dataset.batch_class if batch_class is None else batch_class
        copied = dataset._copy if copy is None else copy
        return cls(dataset.index.create_subset(index), kind, dataset.preloaded, copied, **{**dataset.attrs, **attrs})

    @property
    def data(self) -> Any:
        """The preloaded data."""
        return self.preloaded

    def __getattr__(self, name: str) -> Any:
        why = "" if "index" in self.__dict__ else why_missing(type(self), "index")
        if why:
            raise AttributeError(why)
        if not name.startswith("_") and name in (self.batch_class.components or ()) and self.preloaded is not None:
            return split_by_component(self.preloaded, self.batch_class.components).get(name)
        hint = ": call cv_split() first" if name[:2] == "cv" and name[2:].isdigit() else ""
        raise AttributeError(f"{a_or_an(type(self))} has no attribute {name!r}{hint}")

    def cv_split(self, method: str = "kfold", n_splits: int = 5, shuffle: Shuffle = False) -> None:
        """Split the items for cross-validation: `cv` has a dataset for each fold, with `train` and `test`.

        The folds are also called ``cv0``, ``cv1`` and so on, and their parts ``train.cv0`` and ``test.cv0``. Old folds
        and parts are removed.

        Parameters
        ----------
        method : 'kfold'
        n_splits : int, default 5
        shuffle : bool, seed or generator, default False

        Examples
        --------
        >>> dataset = Dataset(7)
        >>> dataset.cv_split(n_splits=3)
        >>> [fold.test.indices.tolist() for fold in dataset.cv]
        [[0, 1, 2], [3, 4], [5, 6]]
        """
        if method != "kfold":
            raise ValueError(f"method should be 'kfold', not {method!r}; for other methods use scikit-learn")
        if whole("n_splits", n_splits, least=2) > len(self):
            raise ValueError(f"n_splits should be at most {len(self)}, the number of items, not {n_splits}")
        for number in range(len(self.cv)):
            delattr(self, f"cv{number}")
        parts = np.array_split(self.shuffle(shuffle), n_splits)
        self.cv = Folds(self.copy() for _ in parts)
        self.train, self.test, self.validation = self.copy(), self.copy(), None
        for number, fold in enumerate(self.cv):
            others = [other for fold_number, other in enumerate(parts) if fold_number != number]
            fold.train, fold.test = self._part(np.concatenate(others)), self._part(parts[number])
            for whole_set, part in ((self, fold), (self.train, fold.train), (self.test, fold.test)):
                setattr(whole_set, f"cv{number}", part)
        self.train.cv = Folds(fold.train for fold in self.cv)
        self.test.cv = Folds(fold.test for fold in self.cv)

    def CV(self, expr: int | Expr) -> Any:
        """The fold with the number that an expression has when a pipeline runs."""
        return F(self.cv)(expr)

    # ---- pipelines

    @property
    def p(self) -> Pipeline:
        """A new pipeline over this dataset, without steps."""
        return Pipeline(self)

    def pipeline(self, config: Mapping[str, Any] | None = None) -> Pipeline:
        """A new pipeline over this dataset, with a config."""
        return Pipeline(self, config)

    def __rshift__(self, other: Pipeline) -> Pipeline:
        if not isinstance(other, Pipeline):
            return NotImplemented
        return other << self
