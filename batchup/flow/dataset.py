"""A dataset: ids of items, the class of their batches, and perhaps their data."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any, Self

import numpy as np

from ..engine.checks import whole
from ..engine.shuffle import Shuffle
from .batch import Batch
from .index import DatasetIndex, order_of
from .offers import takes
from .parallel import Chance
from .pipeline import Pipeline
from .plan import Next, Plan, check_names

__all__ = ["Dataset"]


class Dataset:
    """Items, and what makes batches of them.

    Parameters
    ----------
    index : int, array-like of ids, or DatasetIndex
    batch_class : type, default Batch
    preloaded : optional
        The data of all items; see `Batch`.
    copy : bool, default False
        Whether batches copy their items deeply. Arrays of numbers are copied in any case.
    **attrs
        More attributes, which the expression `D` finds.

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
        self._next = Next()
        for name, value in attrs.items():
            if hasattr(type(self), name):
                raise ValueError(f"a dataset has a {name} of its own: an attribute needs another name")
            setattr(self, name, value)

    @property
    def indices(self) -> Any:
        """The ids of the items."""
        return self.index.indices

    @property
    def size(self) -> int:
        """How many items there are."""
        return len(self.index)

    def __len__(self) -> int:
        return len(self.index)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {len(self)} items, batches of {self.batch_class.__name__}>"

    # ---- batches

    def create_batch(self, index: Any, pos: bool = False, pipeline: Any = None, **kwargs: Any) -> Any:
        """A batch.

        Parameters
        ----------
        index : ids, or, with ``pos=True``, places of items
        pipeline : Pipeline, optional
        **kwargs
            For the constructor of the batch class.

        Returns
        -------
        Batch
        """
        ids = self.index.create_batch(index, pos)
        belongs = {"dataset": self, "pipeline": pipeline, "preloaded": self.preloaded, "copy": self.copy}
        if self.batch_class.__init__ is not Batch.__init__:  # a constructor of the user's, which may not take them all
            belongs = takes(self.batch_class).of(belongs)
        batch = self.batch_class(ids, **belongs, **kwargs)
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
        """Batches. Without `n_iters` and `n_epochs` there is no end.

        Parameters
        ----------
        batch_size, shuffle, n_iters, n_epochs, drop_last, sampler, seed
            See `Plan`.
        **kwargs
            For the constructor of the batch class.

        Yields
        ------
        Batch
        """
        check_names(kwargs, (), self.batch_class)
        plan = Plan(len(self), batch_size, shuffle, n_iters, n_epochs, drop_last, sampler, seed)
        return self._batches(plan, plan, kwargs)

    def _batches(self, plan: Plan, positions: Any, kwargs: dict[str, Any]) -> Iterator[Any]:
        root, total = plan.root(), plan.total
        for number, pos in enumerate(positions):
            batch = self.create_batch(pos, pos=True, **kwargs)
            batch.iteration, batch.n_iters = number, total
            batch._chance = Chance(root, (1, number))
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
        """The next batch; called with other options than before, it begins anew.

        Raises
        ------
        StopIteration
            After `n_iters` batches or `n_epochs` epochs.
        """
        check_names(kwargs, (), self.batch_class)
        plan = Plan(len(self), batch_size, shuffle, n_iters, n_epochs, drop_last, sampler, seed)
        return self._next(plan, {}, kwargs, lambda stock, latest: self._batches(plan, stock, latest))

    def reset(self, what: str = "iter") -> None:
        """`next_batch` begins anew."""
        self._next.reset()

    # ---- datasets from datasets

    def create_subset(self, index: Any) -> Self:
        """The dataset of some of the items."""
        subset = copy.copy(self)
        for name in ("train", "test", "validation", "cv", *(f"cv{n}" for n in range(len(self.cv)))):
            subset.__dict__.pop(name, None)
        subset.index = index if isinstance(index, DatasetIndex) else self.index.create_subset(index)
        subset._next = Next()
        return subset

    @property
    def is_split(self) -> bool:
        """Whether `split` was called."""
        return self.train is not None

    def split(self, shares: Any = 0.8, shuffle: Shuffle = False) -> None:
        """Divide the items into the datasets `train`, `test` and `validation`, as these attributes.

        Parameters
        ----------
        shares : float, or two or three of them
            For train; for train and test, where validation has the rest; for train, test and validation.
        shuffle : bool, seed or generator, default False
        """
        self.index.split(shares, shuffle)
        for name in ("train", "test", "validation"):
            part = getattr(self.index, name)
            setattr(self, name, None if part is None else self.create_subset(part))

    def cv_split(self, method: str = "kfold", n_splits: int = 5, shuffle: Shuffle = False) -> None:
        """Divide the items for cross-validation: `cv` has a dataset for each fold, with `train` and `test`.

        They are also called ``cv0``, ``cv1`` and so on.

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
            raise ValueError(f"method should be 'kfold', not {method!r}; scikit-learn has others")
        if whole("n_splits", n_splits, least=2) > len(self):
            raise ValueError(f"n_splits should be at most {len(self)}, the number of items, not {n_splits}")
        parts = np.array_split(order_of(len(self), shuffle), n_splits)
        folds = []
        for number, part in enumerate(parts):
            fold = self.create_subset(self.index.create_batch(slice(None)))
            others = [other for place, other in enumerate(parts) if place != number]
            fold.test = self.create_subset(self.index.create_batch(part))
            fold.train = self.create_subset(self.index.create_batch(np.concatenate(others)))
            setattr(self, f"cv{number}", fold)
            folds.append(fold)
        self.cv = tuple(folds)

    # ---- pipelines

    @property
    def p(self) -> Pipeline:
        """A pipeline over this dataset, with no steps yet."""
        return Pipeline(self)

    def pipeline(self, config: Any = None) -> Pipeline:
        """A pipeline over this dataset, with a config."""
        return Pipeline(self, config)

    def __rshift__(self, other: Any) -> Pipeline:
        if not isinstance(other, Pipeline):
            return NotImplemented
        return other << self
