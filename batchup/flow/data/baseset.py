"""The methods that indices and datasets have in common: batches, and splits for training and tests."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Self, TypeAlias

import numpy as np
import numpy.typing as npt

from ...engine.checks import Indices
from ...engine.initialised import Initialised
from ...engine.shuffle import Shuffle, as_rng
from ...sampling import AbstractSampler
from ..pipeline.plan import NextBatch, PipelinePlan, check_option_names

__all__ = ["Baseset", "IndexLike", "split_sizes"]

IndexLike: TypeAlias = "npt.ArrayLike | Baseset"  # ids, or how many there are


class Baseset(Initialised):
    """A set of items that can be split, and taken batch by batch. Abstract; see `Dataset` and `DatasetIndex`.

    Attributes
    ----------
    train, test, validation
        The parts, once `split` has made them.
    """

    train: Any = None
    test: Any = None
    validation: Any = None
    batch_class: type[Any] = object  # whose constructor gets further keyword arguments
    _next: NextBatch

    @property
    def indices(self) -> npt.NDArray[Any]:
        """The ids of the items, in order."""
        raise NotImplementedError

    def __len__(self) -> int:
        return len(self.indices)

    @property
    def size(self) -> int:
        """The number of items."""
        return len(self)

    def create_batch(self, index: IndexLike, pos: bool = False, **kwargs: Any) -> Any:
        """Make a batch of the items with these ids; or, with ``pos=True``, at these positions."""
        raise NotImplementedError

    def _part(self, positions: Indices) -> Self:
        """The items at some positions, as a set of the same class."""
        raise NotImplementedError

    # ---- batches

    def gen_batch(
        self,
        batch_size: int,
        shuffle: Shuffle = False,
        n_iters: int | None = None,
        n_epochs: int | None = None,
        drop_last: bool = False,
        sampler: AbstractSampler | None = None,
        seed: int | np.random.SeedSequence | None = None,
        **kwargs: object,
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
        Batch; or, from an index, an index of the same class
        """
        check_option_names(kwargs, (), self.batch_class)
        plan = PipelinePlan(len(self), batch_size, shuffle, n_iters, n_epochs, drop_last, sampler, seed)
        return self._batches(plan, plan, kwargs)

    def _batches(self, plan: PipelinePlan, positions: Iterable[Indices], kwargs: dict[str, Any]) -> Iterator[Any]:
        return (self.create_batch(each, pos=True) for each in positions)

    def next_batch(
        self,
        batch_size: int,
        shuffle: Shuffle = False,
        n_iters: int | None = None,
        n_epochs: int | None = None,
        drop_last: bool = False,
        sampler: AbstractSampler | None = None,
        seed: int | np.random.SeedSequence | None = None,
        **kwargs: object,
    ) -> Any:
        """The next batch. With other options than in the last call it starts again.

        Another generator does not start again, as it may be made anew for each call: call `reset` for that.

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

    # ---- parts

    def shuffle(self, shuffle: Shuffle = True) -> Indices:
        """The positions of all items in random order; in order if `shuffle` is False."""
        rng = as_rng(shuffle)
        return np.arange(len(self)) if rng is None else rng.permutation(len(self))

    @property
    def is_split(self) -> bool:
        """Whether `split` was called."""
        return self.train is not None

    def calc_split(self, shares: float | Sequence[float] = 0.8) -> tuple[int, int, int]:
        """How many items `split` puts into train, test and validation."""
        return split_sizes(shares, len(self))

    def split(self, shares: float | Sequence[float] = 0.8, shuffle: Shuffle = False) -> None:
        """Split the items into `train`, `test` and `validation`, which become attributes. Old parts are removed.

        Parameters
        ----------
        shares : float, or two or three of them
            One number is the share of train; test gets the rest. Two numbers are the shares of train and test;
            validation gets the rest. Three numbers are the shares of train, test and validation; validation also gets
            what they leave.
        shuffle : bool, seed or generator, default False

        Examples
        --------
        >>> from batchup.flow import DatasetIndex
        >>> index = DatasetIndex(10)
        >>> index.split([0.5, 0.3])
        >>> index.validation.indices, index.test.indices, index.train.indices
        (array([0, 1]), array([2, 3, 4]), array([5, 6, 7, 8, 9]))
        """
        order = self.shuffle(shuffle)
        _, n_test, n_validation = self.calc_split(shares)
        last = n_validation + n_test
        parts = {"validation": order[:n_validation], "test": order[n_validation:last], "train": order[last:]}
        for name, positions in parts.items():
            setattr(self, name, self._part(positions) if len(positions) else None)


def split_sizes(shares: float | Sequence[float], n: int) -> tuple[int, int, int]:
    """How many of n items are for train, test and validation.

    >>> split_sizes(0.8, 10), split_sizes((0.5, 0.3), 10), split_sizes((0.6, 0.2, 0.2), 10)
    ((8, 2, 0), (5, 3, 2), (6, 2, 2))
    """
    given = np.atleast_1d(np.asarray(shares, dtype=float))
    if given.ndim != 1 or not 1 <= len(given) <= 3 or (given < 0).any() or given.sum() > 1 + 1e-9:
        raise ValueError(
            f"shares should be one, two or three numbers of 0 or more that sum to at most 1, not {shares!r}"
        )
    test = 1 - given[0] if len(given) == 1 else given[1]
    validation = 0.0 if len(given) == 1 else 1 - given[0] - given[1]
    n_test, n_validation = round(test * n), round(validation * n)
    return n - n_test - n_validation, n_test, n_validation
