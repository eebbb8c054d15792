"""A source made of several in turn: each batch comes from one of them."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from .. import sampling
from ..engine.checks import INTEGERS, Indices, whole
from ..engine.fixed import MAKE_A_NEW_ONE, read_only
from ..engine.pulled import NOTHING
from ..engine.rng import SeedPath
from ..engine.shuffle import Rng, Shuffle, as_rng
from ..engine.tree import Batch, Pick
from ..errors import BatchUpError
from .base import AbstractDataSource
from .batches import BatchIterator
from .interface import should_be_random_access
from .member_plans import ChoiceBatch, TurnsPlan
from .members import as_members, batches_of, plans_of, traits_of_all
from .plan import Plan, Traits

__all__ = ["ChoiceDataSource"]


class ChoiceDataSource(AbstractDataSource):
    """Batches from several sources in turn. Each batch comes from one source.

    Without a shuffle, the sources take turns in order. With one, each round visits all sources in a new random order.
    The epoch ends when the source whose turn it is has no more batches.

    Parameters
    ----------
    datasets : sequence of data sources
    stratified : bool, default False
        Give all batches of all sources: spread evenly over the epoch without a shuffle, in a random order of the whole
        epoch with one. The sources need a known length; otherwise they take turns.
    weights : sequence of float, optional
        Draw the source of each batch at random, with probabilities in proportion to these. The draws depend on the
        seed and the position of the batch, as for `random_map`.

    Examples
    --------
    >>> from batchup import ArrayDataSource
    >>> long, short = ArrayDataSource([np.arange(8)]), ArrayDataSource([np.arange(100, 104)])
    >>> for (x,) in ChoiceDataSource([long, short], stratified=True).batch_iterator(2):
    ...     print(x)
    [0 1]
    [100 101]
    [2 3]
    [4 5]
    [102 103]
    [6 7]
    """

    _fixed = dict.fromkeys(["datasets", "stratified", "weights"], MAKE_A_NEW_ONE)
    _arrays = ("weights",)

    def __init__(self, datasets: Sequence[Any], stratified: bool = False, weights: npt.ArrayLike | None = None) -> None:
        self.datasets = as_members(datasets)
        self.stratified = stratified
        self.weights = None if weights is None else read_only(sampling.normalised("weights", weights))
        if self.weights is not None and stratified:
            raise ValueError("stratified should be False when there are weights: they say how often each source comes")
        if self.weights is not None and len(self.weights) != len(self.datasets):
            raise ValueError(
                f"there should be one weight per source: {len(self.weights)} weights, {len(self.datasets)} sources"
            )
        self._fix()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({list(self.datasets)!r})"

    @property
    def is_random_access(self) -> bool:
        return all(ds.is_random_access for ds in self.datasets)

    @property
    def traits(self) -> Traits:
        return traits_of_all(self.datasets)

    def num_samples(self, **kwargs: Any) -> int | float | None:
        """The number of samples of all sources together; those that do not know theirs are left out.

        Returns
        -------
        int or `numpy.inf`
        """
        return sum(n for n in (ds.num_samples(**kwargs) for ds in self.datasets) if n is not None)

    def plan(self, batch_size: int, **kwargs: Any) -> Plan:
        def take_turns(
            picks: Sequence[Iterator[Pick]],
            rng: Rng | None,
            seed_path: SeedPath | None,
            weights: tuple[float, ...] | None,
        ) -> Iterator[ChoiceBatch]:
            turns = _drawn_turns(weights, seed_path)
            return self._ds_iterator(batch_size, picks, rng, turns, **kwargs)

        batches = self._batches_each(whole("batch_size", batch_size), kwargs)
        weights = None if self.weights is None else tuple(self.weights.tolist())
        members = plans_of(self.datasets, [batch_size] * len(self.datasets), kwargs)
        return TurnsPlan(members, type(self).__name__, take_turns, self.stratified, batches, weights)

    def batch_indices_iterator(self, batch_size: int, shuffle: Shuffle = None, **kwargs: Any) -> Iterator[Pick]:
        should_be_random_access(self)
        return ChoiceDataSource.plan(self, batch_size, **kwargs).picks(shuffle)

    def batch_iterator(self, batch_size: int, shuffle: Shuffle = None, **kwargs: Any) -> Iterator[Batch]:
        if self.is_random_access:
            return BatchIterator.over(self, batch_size, shuffle, kwargs)
        seed_path = None if self.weights is None else SeedPath.of(shuffle).seeded()
        rng = as_rng(shuffle)
        each = batches_of(self.datasets, [batch_size] * len(self.datasets), rng, kwargs)
        turns = _drawn_turns(self.weights, seed_path)
        return map(operator.itemgetter(0), self._ds_iterator(batch_size, each, rng, turns, **kwargs))

    def samples_by_indices(self, indices: Pick) -> Batch:
        should_be_random_access(self)
        pick = self._chosen(indices)
        return self.datasets[pick.ds_index].samples_by_indices(pick.sample_indices)

    def samples_by_indices_nomapping(self, indices: Pick) -> Batch:
        should_be_random_access(self)
        pick = self._chosen(indices)
        return self.datasets[pick.ds_index].samples_by_indices_nomapping(pick.sample_indices)

    @staticmethod
    def _chosen(pick: Pick) -> ChoiceBatch:
        if isinstance(pick, ChoiceBatch):
            return pick
        raise TypeError(f"the pick of a choice should be a ChoiceBatch(sample_indices, ds_index), not {pick!r}")

    def _ds_iterator(
        self,
        batch_size: int,
        iterators: Sequence[Iterator[Any]],
        shuffle_rng: Rng | None,
        turns: Iterable[int] | None = None,
        **kwargs: Any,
    ) -> Iterator[ChoiceBatch]:
        """The items of the sources' iterators in turn, until the source whose turn it is has no more.

        Parameters
        ----------
        turns : iterable of int, optional
            The number of the source of each batch; by default it follows from `shuffle_rng`.
        """
        return TakingTurns(iterators, lambda: self._turns(batch_size, shuffle_rng, kwargs) if turns is None else turns)

    def _turns(self, batch_size: int, rng: Rng | None, kwargs: dict[str, Any]) -> Iterable[int]:
        batches = self._batches_each(batch_size, kwargs)
        if batches is None:
            return _rounds(len(self.datasets), rng)
        if rng is None:
            return self._ds_indices_stratified_in_order(batches)
        return self._ds_indices_stratified_shuffled(batches, rng)

    def _batches_each(self, batch_size: int, kwargs: dict[str, Any]) -> list[int] | None:
        """The number of batches of each source, if the choice is stratified and all numbers are known."""
        counts = [ds.num_samples(**kwargs) for ds in self.datasets] if self.stratified else [None]
        if not all(isinstance(n, INTEGERS) for n in counts):
            return None
        return [sampling.num_batches(int(n), batch_size) for n in counts if n is not None]

    @staticmethod
    def _ds_indices_stratified_in_order(batches_per_ds: npt.ArrayLike) -> Indices:
        """The source of each batch, so that each source is spread evenly over the epoch.

        There are as many rounds as the longest source has batches. Batch k of n comes in round ceil(k / n * rounds).

        >>> ChoiceDataSource._ds_indices_stratified_in_order([2, 5])
        array([0, 1, 1, 1, 0, 1, 1])
        """
        counts = np.asarray(batches_per_ds)
        rounds = np.concatenate([-(-np.arange(n) * counts.max() // n) for n in counts])
        return np.repeat(np.arange(len(counts)), counts)[rounds.argsort(kind="stable")]

    @staticmethod
    def _ds_indices_stratified_shuffled(batches_per_ds: npt.ArrayLike, shuffle_rng: Rng) -> Indices:
        """The source of each batch, in an order drawn from `shuffle_rng`."""
        counts = np.asarray(batches_per_ds)
        return shuffle_rng.permutation(np.repeat(np.arange(len(counts)), counts))


def _drawn_turns(weights: npt.ArrayLike | None, seed_path: SeedPath | None) -> Iterator[int] | None:
    """The source of each batch, drawn by the weights; None if there are none."""
    if weights is None or seed_path is None:
        return None
    return _drawn_by_weight(np.asarray(weights), seed_path.seeded())


class TakingTurns(Iterator[ChoiceBatch]):
    """The items of several iterators in turn, until the one whose turn it is has no more.

    If one of them raises an error, its turn is lost. If it has ended at its next turn, as generators do after an error,
    that is an error, too: the rest of its items is missing.

    Parameters
    ----------
    iterators : sequence of iterators
    turns : callable
        Returns whose turn it is, one number after the other; called for the first item.

    Examples
    --------
    >>> [each.sample_indices for each in TakingTurns([iter("abc"), iter("de")], lambda: [0, 1, 1, 0, 1, 0])]
    ['a', 'd', 'e', 'b']
    """

    def __init__(self, iterators: Sequence[Iterator[Any]], turns: Callable[[], Iterable[int]]) -> None:
        self._iterators, self._make_turns = iterators, turns
        self._turns: Iterator[int] | None = None
        self._turn: Any = NOTHING  # the turn and the item that were begun with, until the item is delivered
        self._held: Any = NOTHING
        self._failed: dict[int, Exception] = {}
        self._has_ended = False

    def __next__(self) -> ChoiceBatch:
        if self._turns is None:
            self._turns = iter(self._make_turns())
        if self._turn is NOTHING:
            for self._turn in self._turns:  # noqa: B020 - see engine.pulled
                break
            else:
                raise StopIteration
        if self._held is NOTHING:
            self._pull()
        made = ChoiceBatch(self._held, int(self._turn))
        # no calls from here on (see engine.pulled)
        self._turn, self._held = NOTHING, NOTHING
        return made

    def _pull(self) -> None:
        if self._has_ended:
            raise StopIteration
        source = self._iterators[self._turn]
        try:
            for self._held in source:  # see engine.pulled
                self._failed.pop(self._turn, None)
                return
        except Exception as error:
            self._failed[self._turn] = error
            self._turn = NOTHING
            raise
        self._has_ended = True
        if self._turn in self._failed:
            raise BatchUpError(
                f"source {self._turn} of the choice ended after its error, so the rest of its batches is missing; an "
                "error in a function of map costs one batch only"
            ) from self._failed[self._turn]
        raise StopIteration


def _drawn_by_weight(weights: npt.NDArray[np.float64], seed_path: SeedPath) -> Iterator[int]:
    """Numbers of sources, drawn with replacement."""
    draw, rng = sampling.Inverse(weights), seed_path.child("turns").rng()
    while True:
        yield from draw(rng.random(256)).tolist()


def _rounds(n: int, rng: Rng | None) -> Iterator[int]:
    """The numbers 0 to n - 1, round after round. With a generator, each round has a new order."""
    while True:
        yield from range(n) if rng is None else rng.permutation(n)
