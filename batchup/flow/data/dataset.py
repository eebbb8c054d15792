"""A dataset: the ids of items, the class of their batches, and optionally their data."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any, Self

import numpy as np

from ...engine.checks import whole
from ...engine.shuffle import Shuffle
from ..items.seeds import ItemSeed
from ..pipeline.pipeline import Pipeline
from ..pipeline.plan import NextBatch, PipelinePlan, check_option_names
from ..signatures import accepts
from .batch import Batch
from .index import DatasetIndex, item_order

__all__ = ["Dataset"]


class Dataset:
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

    train: Any = None
    test: Any = None
    validation: Any = None
    cv: tuple[Any, ...] = ()

    def __init__(
        self, index: Any, batch_class: Any = Batch, preloaded: Any = None, copy: bool = False, **attrs: Any
    ) -> None:
        self.index = index if isinstance(index, DatasetIndex) else DatasetIndex(index)
        self.batch_class = batch_class
        self.preloaded = preloaded
        self.copy = copy
        self.attrs = attrs
        self._next = NextBatch()
        for name, value in attrs.items():
            if hasattr(type(self), name):
                raise ValueError(f"a dataset has an attribute {name!r} already: give yours another name")
            setattr(self, name, value)

    @property
    def indices(self) -> Any:
        """The ids of the items."""
        return self.index.indices

    @property
    def size(self) -> int:
        """The number of items."""
        return len(self.index)

    def __len__(self) -> int:
        return len(self.index)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {len(self)} items, batches of {self.batch_class.__name__}>"

    # ---- batches

    def create_batch(self, index: Any, pos: bool = False, pipeline: Any = None, **kwargs: Any) -> Any:
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
        given = {"dataset": self, "pipeline": pipeline, "preloaded": self.preloaded, "copy": self.copy}
        if self.batch_class.__init__ is not Batch.__init__:  # it may not accept all of them
            given = accepts(self.batch_class).select(given)
        batch = self.batch_class(ids, **given, **kwargs)
        own = batch.__dict__
        for name, value in (("dataset", self), ("pipeline", pipeline)):
            if own.get(name) is None:
                own[name] = value
        if own.get("_preloaded") is None and self.preloaded is not None:
            batch.preload(self.preloaded, self.copy)
        return batch

    def gen_batch(
        self,
        batch_size: int,
        shuffle: Shuffle = False,
        n_iters: int | None = None,
        n_epochs: int | None = None,
        drop_last: bool = False,
        sampler: Any = None,
        seed: Any = None,
        **kwargs: Any,
    ) -> Iterator[Any]:
        """The batches. Without `n_iters` and `n_epochs` they never end.

        Parameters
        ----------
        batch_size, shuffle, n_iters, n_epochs, drop_last, sampler, seed
            See `PipelinePlan`.
        **kwargs
            Passed to the constructor of the batch class.

        Yields
        ------
        Batch
        """
        check_option_names(kwargs, (), self.batch_class)
        plan = PipelinePlan(len(self), batch_size, shuffle, n_iters, n_epochs, drop_last, sampler, seed)
        return self._batches(plan, plan, kwargs)

    def _batches(self, plan: PipelinePlan, positions: Any, kwargs: dict[str, Any]) -> Iterator[Any]:
        root, total = plan.root(), plan.total
        for number, pos in enumerate(positions):
            batch = self.create_batch(pos, pos=True, **kwargs)
            batch.iteration, batch.n_iters = number, total
            batch._item_seed = ItemSeed(root, (1, number))
            yield batch

    def next_batch(
        self,
        batch_size: int,
        shuffle: Shuffle = False,
        n_iters: int | None = None,
        n_epochs: int | None = None,
        drop_last: bool = False,
        sampler: Any = None,
        seed: Any = None,
        **kwargs: Any,
    ) -> Any:
        """The next batch. With other options than in the last call it starts again.

        Raises
        ------
        StopIteration
            After `n_iters` batches or `n_epochs` epochs.
        """
        check_option_names(kwargs, (), self.batch_class)
        plan = PipelinePlan(len(self), batch_size, shuffle, n_iters, n_epochs, drop_last, sampler, seed)
        return self._next(plan, {}, kwargs, lambda buffer, latest: self._batches(plan, buffer, latest))

    def reset(self, what: str = "iter") -> None:
        """Let `next_batch` start again."""
        self._next.reset()

    # ---- datasets from datasets

    def create_subset(self, index: Any) -> Self:
        """A dataset of some of the items."""
        subset = copy.copy(self)
        for name in ("train", "test", "validation", "cv", *(f"cv{n}" for n in range(len(self.cv)))):
            subset.__dict__.pop(name, None)
        subset.index = index if isinstance(index, DatasetIndex) else self.index.create_subset(index)
        subset._next = NextBatch()
        return subset

    @property
    def is_split(self) -> bool:
        """Whether `split` was called."""
        return self.train is not None

    def split(self, shares: Any = 0.8, shuffle: Shuffle = False) -> None:
        """Split the items into the datasets `train`, `test` and `validation`, which become attributes.

        Parameters
        ----------
        shares : float, or two or three of them
            One is the share of train. Two are those of train and test; validation gets the rest. Three are those of
            train, test and validation.
        shuffle : bool, seed or generator, default False
        """
        self.index.split(shares, shuffle)
        for name in ("train", "test", "validation"):
            part = getattr(self.index, name)
            setattr(self, name, None if part is None else self.create_subset(part))

    def cv_split(self, method: str = "kfold", n_splits: int = 5, shuffle: Shuffle = False) -> None:
        """Split the items for cross-validation: `cv` has a dataset for each fold, with `train` and `test`.

        The folds are also called ``cv0``, ``cv1`` and so on.

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
        parts = np.array_split(item_order(len(self), shuffle), n_splits)
        folds = []
        for number, part in enumerate(parts):
            fold = self.create_subset(self.index.create_batch(slice(None)))
            others = [other for fold_number, other in enumerate(parts) if fold_number != number]
            fold.test = self.create_subset(self.index.create_batch(part))
            fold.train = self.create_subset(self.index.create_batch(np.concatenate(others)))
            setattr(self, f"cv{number}", fold)
            folds.append(fold)
        self.cv = tuple(folds)

    # ---- pipelines

    @property
    def p(self) -> Pipeline:
        """A new pipeline over this dataset, without steps."""
        return Pipeline(self)

    def pipeline(self, config: Any = None) -> Pipeline:
        """A new pipeline over this dataset, with a config."""
        return Pipeline(self, config)

    def __rshift__(self, other: Any) -> Pipeline:
        if not isinstance(other, Pipeline):
            return NotImplemented
        return other << self
