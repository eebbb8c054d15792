"""Plans: which samples make which batch. Those of sources with members are in `member_plans`."""

from __future__ import annotations

import abc
import copy
import dataclasses
import itertools
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from .. import sampling
from ..engine import tree
from ..engine.initialised import Initialised
from ..engine.rng import SeedPath
from ..engine.shuffle import Shuffle, as_rng
from ..engine.tree import Pick
from .signatures import signature_of

__all__ = ["IndexPlan", "MadePlan", "Plan", "RandomPick", "SeededPlan", "Traits", "is_array", "without_weights"]


class RandomPick(NamedTuple):
    """The pick of a `RandomMapDataSource`: which samples, and the seed path of their random numbers.

    Attributes
    ----------
    pick : pick
        A pick of the inner source.
    seed_path : SeedPath
        Makes the random generator of this batch.
    """

    pick: Pick
    seed_path: SeedPath


@dataclasses.dataclass(frozen=True)
class Traits:
    """What other sources and pools need to know about a source. The defaults are safe for any source, if not fastest.

    Attributes
    ----------
    takes_keywords : bool, default True
        Whether `batch_iterator` passes on further keywords, for instance to a function of the user.
    takes_shuffle : bool, default True
        Whether `shuffle` has an effect.
    may_use_global_rng : bool, default True
        Whether a fetch may run code that draws from `numpy.random`. False only for plain arrays.
    has_unequal_parts : bool, default False
        Whether the parts of a batch differ in length, by `batch_sizes`.
    whole_chunks : int, default 0
        The number of chunks of the data that have to be read as a whole, even for one sample, such as compressed ones.
    """

    takes_keywords: bool = True
    takes_shuffle: bool = True
    may_use_global_rng: bool = True
    has_unequal_parts: bool = False
    whole_chunks: int = 0


class Plan(Initialised, abc.ABC):
    """Which samples make which batch of an epoch.

    A plan gives the picks of an epoch and answers questions about them: how many there are, and which are short.
    ``source.plan(batch_size)`` returns one. If your own source wraps another one, forward its plan::

        def plan(self, batch_size, **kwargs):
            return self.source.plan(batch_size, **kwargs)

    Derive a class from `Plan` only if you need a new kind of pick.

    Attributes
    ----------
    draws : bool
        Whether picks depend on random numbers other than the order: on a `random_map`, or on a choice with weights.
    weighted : bool
        Whether the order of the batches is random even without a shuffle.
    takes_turns : bool
        Whether a short batch can come before the last one.
    has_unequal_parts : bool
        Whether the parts of a batch differ in length, by `batch_sizes`.
    takes_weights : bool
        Whether `with_weights` gives a plan with other weights.
    transforms : tuple of str
        The names of the random transforms of the batches, in order.
    """

    draws = False
    weighted = False
    takes_weights = False
    takes_turns = False
    has_unequal_parts = False
    transforms: tuple[str, ...] = ()

    @abc.abstractmethod
    def picks(self, shuffle: Shuffle = None, seed_path: SeedPath | None = None) -> Iterator[Pick]:
        """The picks of one epoch, in order.

        Parameters
        ----------
        shuffle : as for `batch_iterator`
        seed_path : SeedPath, optional
            The source of all random numbers other than the order; by default it is derived from `shuffle`.

        Returns
        -------
        iterator of picks
        """

    def picks_from(self, step: int, shuffle: Shuffle = None, seed_path: SeedPath | None = None) -> Iterator[Pick]:
        """The picks of one epoch without the first `step` of them.

        Parameters
        ----------
        step : int
            How many picks to leave out.
        shuffle, seed_path : as for `picks`

        Returns
        -------
        iterator of picks
        """
        return itertools.islice(self.picks(shuffle, seed_path), step, None)

    def lazy(self) -> Plan:
        """The same plan for a loader: it refuses samplers that would give it a wrong length.

        For very many samples, the order is computed piece by piece. It differs from the usual order for the same seed.
        """
        return self

    def with_weights(self, weights: npt.ArrayLike) -> Plan:
        """The same plan with other weights in place of those of its sampler.

        Parameters
        ----------
        weights : array of float, 1-D

        Raises
        ------
        TypeError
            If it has no weights, or if several of its sources have.
        """
        raise without_weights(0)

    @abc.abstractmethod
    def sizes(self, pick: Pick) -> Any:
        """The number of samples in each part of a full pick: a tree of the same structure as `pick`."""

    @abc.abstractmethod
    def counts(self, pick: Pick) -> Any:
        """The number of samples in this pick; a tuple of numbers if its parts may differ in length."""

    @abc.abstractmethod
    def length(self, full: bool = False, shuffled: bool = False) -> int | float | None:
        """The number of batches in an epoch.

        Parameters
        ----------
        full : bool, default False
            Count only the batches that are not short.
        shuffled : bool, default False
            Whether the epoch is shuffled.

        Returns
        -------
        int, `numpy.inf` or None
            None if it depends on random numbers.
        """

    @abc.abstractmethod
    def signature(self) -> tuple[Any, ...]:
        """Plain values that the picks depend on, except the shuffle. Plans with equal signatures give equal picks."""

    def is_short(self, pick: Pick) -> bool:
        """Whether a part of the pick has fewer samples than a full one."""
        wanted = tree.leaves(self.sizes(pick))
        return any(is_array(leaf) and len(leaf) < n for leaf, n in zip(tree.leaves(pick), wanted, strict=True))

    def are_alike(self, a: Pick, b: Pick) -> bool:
        """Whether samples of pick `b` may fill up pick `a`, that is, whether both are from the same sources."""
        return True

    def should_know(self, what: str) -> None:
        """Raise a `TypeError` if this plan cannot answer the questions that `what` needs."""


class IndexPlan(Plan):
    """The plan of a source with a sampler. Its picks are arrays of indices.

    Parameters
    ----------
    sampler : AbstractSampler
    batch_size : int
    *what
        Plain values for `signature` that say what the sampler is for, such as the name of a class.

    Examples
    --------
    >>> from batchup.sampling import StandardSampler
    >>> plan = IndexPlan(StandardSampler(5), 2)
    >>> [pick.tolist() for pick in plan.picks()], plan.length(), plan.length(full=True)
    ([[0, 1], [2, 3], [4]], 3, 2)
    """

    def __init__(self, sampler: Any, batch_size: int, *what: Any) -> None:
        self.sampler, self.batch_size, self.what = sampler, batch_size, what
        self.takes_turns = bool(getattr(sampler, "has_own_sizes", False))
        self.takes_weights = bool(getattr(sampler, "takes_weights", False))
        self._checks = False  # whether batches before the last one should have the batch size

    def picks(self, shuffle: Shuffle = None, seed_path: SeedPath | None = None) -> Iterator[Pick]:
        rng = as_rng(shuffle)
        picks: Iterator[Pick]
        if rng is None:
            picks = self.sampler.in_order_indices_batch_iterator(self.batch_size)
        else:
            picks = self.sampler.shuffled_indices_batch_iterator(self.batch_size, rng)
        return self._of_one_size(picks) if self._checks else picks

    def picks_from(self, step: int, shuffle: Shuffle = None, seed_path: SeedPath | None = None) -> Iterator[Pick]:
        if not hasattr(self.sampler, "batches_from"):  # an object that only looks like a sampler
            return super().picks_from(step, shuffle, seed_path)
        picks: Iterator[Pick] = self.sampler.batches_from(step, self.batch_size, as_rng(shuffle))
        return self._of_one_size(picks) if self._checks else picks

    def _of_one_size(self, picks: Iterator[Pick]) -> Iterator[Pick]:
        """The same picks. Raises if another one follows one that has not the batch size."""
        n = self.batch_size
        for pick in picks:
            if n != self.batch_size:
                kind = type(self.sampler).__name__
                raise ValueError(
                    f"{kind} should give batches of {self.batch_size} indices before the last one, not of {n}; if its "
                    "batches differ in size, add has_own_sizes = True to it, and the methods num_batches(batch_size, "
                    "full) and full_size(indices, batch_size) of AbstractSampler, so that lengths and states are right"
                )
            n = len(pick)
            yield pick

    def lazy(self) -> Plan:
        plan = IndexPlan(sampling.lazy(self.sampler), self.batch_size, *self.what)
        plan._checks = not self.takes_turns and not type(self.sampler).__module__.startswith("batchup.sampling.")
        return plan

    def with_weights(self, weights: npt.ArrayLike) -> Plan:
        if not self.takes_weights:
            raise without_weights(0)
        made = copy.copy(self)
        made.sampler = self.sampler.with_weights(weights)
        return made

    def sizes(self, pick: Pick) -> Any:
        if self.takes_turns:
            return tree.map_leaves(lambda leaf: self.sampler.full_size(leaf, self.batch_size), pick)
        return tree.map_leaves(lambda leaf: self.batch_size, pick)

    def counts(self, pick: Pick) -> Any:
        return tree.length(pick)

    def is_short(self, pick: Pick) -> bool:
        if self.takes_turns or type(pick) is not np.ndarray:
            return super().is_short(pick)
        return len(pick) < self.batch_size

    def length(self, full: bool = False, shuffled: bool = False) -> int | float | None:
        if hasattr(self.sampler, "num_batches"):
            n: int | float | None = self.sampler.num_batches(self.batch_size, full)
            return n
        return _batches_of(self.sampler.num_indices_generated(), self.batch_size, full)

    def signature(self) -> tuple[Any, ...]:
        return *self.what, signature_of(self.sampler)


class MadePlan(Plan):
    """The plan of a source that has only `batch_indices_iterator`.

    It gives the picks, but does not know what they mean.

    Parameters
    ----------
    source : data source
    batch_size : int
    kwargs : dict
        Further keywords of `batch_indices_iterator`.
    draw : callable, optional
        The `batch_indices_iterator` of a class of the source, if it is not to be that of the source itself.
    """

    def __init__(
        self, source: Any, batch_size: int, kwargs: dict[str, Any], draw: Callable[..., Iterator[Pick]] | None = None
    ) -> None:
        self.source, self.batch_size, self.kwargs, self.draw = source, batch_size, kwargs, draw

    def picks(self, shuffle: Shuffle = None, seed_path: SeedPath | None = None) -> Iterator[Pick]:
        given = self.kwargs if shuffle is None else {**self.kwargs, "shuffle": shuffle}
        if self.draw is not None:
            return self.draw(self.source, self.batch_size, **given)
        picks: Iterator[Pick] = self.source.batch_indices_iterator(self.batch_size, **given)
        return picks

    def sizes(self, pick: Pick) -> Any:
        raise self._unknown("how many samples a full batch has")

    def counts(self, pick: Pick) -> Any:
        raise self._unknown("how many samples a batch has")

    def length(self, full: bool = False, shuffled: bool = False) -> int | float | None:
        n = self.source.num_samples(**self.kwargs)
        if self.source.is_random_access:
            return n if n == np.inf else None
        return _batches_of(n, self.batch_size, full)

    def signature(self) -> tuple[Any, ...]:
        raise self._unknown("a state")

    def should_know(self, what: str) -> None:
        if self.source.is_random_access:
            raise self._unknown(what)

    def _unknown(self, what: str) -> TypeError:
        kind = type(self.source).__name__
        return TypeError(
            f"{what} needs a source that says which samples make which batch, but {kind} has no method plan(); where "
            f"{kind} wraps another source, add def plan(self, batch_size, **kwargs): return self.source.plan("
            "batch_size, **kwargs); elsewhere derive it from RandomAccessDataSource, or return a "
            "batchup.data_source.Plan of your own"
        )


class SeededPlan(Plan):
    """The plan of a random transform. It adds to each pick of an inner plan the seed path of its random numbers.

    Parameters
    ----------
    inner : Plan
        The plan of the source that is transformed.
    kind, name : str
        The class of the source, and the name of the transform.
    seed : int or None
        The seed of this transform, if it has its own.
    """

    draws = True

    def __init__(self, inner: Plan, kind: str, name: str, seed: int | None) -> None:
        self.inner, self.kind, self.name, self.seed = inner, kind, name, seed
        self.weighted, self.takes_turns = inner.weighted, inner.takes_turns
        self.has_unequal_parts, self.takes_weights = inner.has_unequal_parts, inner.takes_weights
        self.transforms = (*inner.transforms, name)
        # so transforms with other names, or added later, do not change what this one draws
        self._keys = name, inner.transforms.count(name)

    def picks(self, shuffle: Shuffle = None, seed_path: SeedPath | None = None) -> Iterator[Pick]:
        return self.picks_from(0, shuffle, seed_path)

    def picks_from(self, step: int, shuffle: Shuffle = None, seed_path: SeedPath | None = None) -> Iterator[Pick]:
        seed_path = seed_path or SeedPath.of(shuffle)
        inner = self.inner
        picks = inner.picks_from(step, shuffle, seed_path) if step else inner.picks(shuffle, seed_path)
        here = seed_path.seeded(self.seed).child(*self._keys)
        entropy, key = here.entropy, here.spawn_key
        return (RandomPick(pick, SeedPath(entropy, (*key, i))) for i, pick in enumerate(picks, step))

    def lazy(self) -> Plan:
        return SeededPlan(self.inner.lazy(), self.kind, self.name, self.seed)

    def with_weights(self, weights: npt.ArrayLike) -> Plan:
        return SeededPlan(self.inner.with_weights(weights), self.kind, self.name, self.seed)

    def sizes(self, pick: Pick) -> Any:
        return RandomPick(self.inner.sizes(pick.pick), pick.seed_path)

    def counts(self, pick: Pick) -> Any:
        return self.inner.counts(pick.pick)

    def is_short(self, pick: Pick) -> bool:
        return self.inner.is_short(pick.pick)

    def are_alike(self, a: Pick, b: Pick) -> bool:
        return self.inner.are_alike(a.pick, b.pick)

    def length(self, full: bool = False, shuffled: bool = False) -> int | float | None:
        return self.inner.length(full, shuffled)

    def signature(self) -> tuple[Any, ...]:
        return self.kind, *self._keys, self.seed, self.inner.signature()

    def should_know(self, what: str) -> None:
        self.inner.should_know(what)


def without_weights(n: int) -> TypeError:
    found = f"{n} of its sources have weights" if n else "it has none"
    return TypeError(
        f"weights can be set where the source has a sampler with weights, but {found}; make it with weights to begin "
        "with, such as ArrayDataSource(data, sampler=WeightedSampler(np.ones(n), num_samples=n))"
    )


def _batches_of(n: int | float | None, batch_size: int, full: bool) -> int | float | None:
    if n is None or n == np.inf:
        return n
    return int(n) // batch_size if full else sampling.num_batches(int(n), batch_size)


def is_array(leaf: Any) -> bool:
    """Whether a leaf of a pick is an array of indices."""
    return hasattr(leaf, "__len__")
