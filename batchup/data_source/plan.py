"""Plans: which samples make which batch. There is one class of plan for each way to combine sources."""

from __future__ import annotations

import abc
import copy
import dataclasses
import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from .. import sampling
from ..engine import tree
from ..engine.rng import SeedPath
from ..engine.shuffle import Rng, Shuffle, as_rng
from ..engine.tree import Pick
from .signatures import signature_of

__all__ = ["ChoiceBatch", "IndexPlan", "JoinedPlan", "Plan", "RandomPick", "SeededPlan", "Traits", "TurnsPlan"]


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


class ChoiceBatch(NamedTuple):
    """The pick of a `ChoiceDataSource`: which samples of which source.

    Attributes
    ----------
    sample_indices : pick
        A pick of the chosen source.
    ds_index : int
        The number of the chosen source.
    """

    sample_indices: Pick
    ds_index: int


@dataclasses.dataclass(frozen=True)
class Traits:
    """What other sources and pools need to know about a source. The defaults are safe for any source, if not fastest.

    Attributes
    ----------
    takes_keywords : bool, default True
        Whether `batch_iterator` passes further keywords on, for instance to a function of the user.
    takes_shuffle : bool, default True
        Whether `shuffle` has an effect.
    may_use_global_rng : bool, default True
        Whether a fetch may run code that draws from `numpy.random`. Only for plain arrays it surely does not.
    has_unequal_parts : bool, default False
        Whether the parts of a batch differ in length, by `batch_sizes`.
    whole_chunks : int, default 0
        In how many chunks the data lies that are read whole, even for one sample, such as compressed ones.
    """

    takes_keywords: bool = True
    takes_shuffle: bool = True
    may_use_global_rng: bool = True
    has_unequal_parts: bool = False
    whole_chunks: int = 0


class Plan(abc.ABC):
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

        The order of very many samples is computed piece by piece: another order, from the same seed.
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
        raise _without_weights(0)

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
        return any(_is_array(leaf) and len(leaf) < n for leaf, n in zip(tree.leaves(pick), wanted, strict=True))

    def are_alike(self, a: Pick, b: Pick) -> bool:
        """Whether samples of pick `b` may fill up pick `a`, that is, whether both are from the same sources."""
        return True

    def should_know(self, what: str) -> None:  # noqa: B027 - most plans know everything
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
            raise _without_weights(0)
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


class JoinedPlan(Plan):
    """The plan of a composite. Its picks are tuples with one pick of each member.

    Parameters
    ----------
    members : sequence of Plan
    kind : str
        The class of the source.
    trim : bool
        Whether to cut picks to the length of their shortest part.
    batch_sizes : tuple of int or None
        The number of samples that each member gives to a batch, if these differ.

    Raises
    ------
    ValueError
        If `trim` is True and a member has parts that differ in length by design.
    """

    def __init__(self, members: Sequence[Plan], kind: str, trim: bool, batch_sizes: tuple[int, ...] | None) -> None:
        self.members, self.kind, self.trim, self.batch_sizes = tuple(members), kind, trim, batch_sizes
        self.draws = any(plan.draws for plan in members)
        self.weighted = any(plan.weighted for plan in members)
        self.takes_turns = any(plan.takes_turns for plan in members)
        self.takes_weights = any(plan.takes_weights for plan in members)
        unequal = any(plan.has_unequal_parts for plan in members)
        if trim and unequal:
            raise ValueError("trim should be False: one of the sources has batch_sizes, so its parts differ in length")
        self.has_unequal_parts = batch_sizes is not None or unequal

    def picks(self, shuffle: Shuffle = None, seed_path: SeedPath | None = None) -> Iterator[Pick]:
        if self.draws and seed_path is None:
            seed_path = SeedPath.of(shuffle)
        plans = _picks_of(self.members, as_rng(shuffle), seed_path)
        return (tree.even(picks) if self.trim else picks for picks in zip(*plans, strict=False))

    def lazy(self) -> Plan:
        return _with_lazy_members(self)

    def with_weights(self, weights: npt.ArrayLike) -> Plan:
        return _with_weights_of_a_member(self, weights)

    def sizes(self, pick: Pick) -> Any:
        each = tuple(plan.sizes(part) for plan, part in zip(self.members, pick, strict=True))
        if not self.trim or not self.takes_turns:
            return each
        least = min(n for leaf, n in zip(tree.leaves(pick), tree.leaves(each), strict=True) if _is_array(leaf))
        return tree.map_leaves(lambda leaf, n: least if _is_array(leaf) else n, pick, each)

    def counts(self, pick: Pick) -> Any:
        if self.trim:
            return tree.length(pick)
        return tuple(plan.counts(part) for plan, part in zip(self.members, pick, strict=True))

    def is_short(self, pick: Pick) -> bool:
        if self.trim and self.takes_turns:  # parts are cut to the smallest
            return super().is_short(pick)
        return any(plan.is_short(part) for plan, part in zip(self.members, pick, strict=True))

    def are_alike(self, a: Pick, b: Pick) -> bool:
        return all(plan.are_alike(*parts) for plan, *parts in zip(self.members, a, b, strict=True))

    def length(self, full: bool = False, shuffled: bool = False) -> int | float | None:
        if full and len(self.members) > 1 and self.takes_turns:
            return None  # short batches of one member meet full ones of the others
        counts = [plan.length(full, shuffled) for plan in self.members]
        return None if None in counts else min(n for n in counts if n is not None)

    def signature(self) -> tuple[Any, ...]:
        return self.kind, self.trim, self.batch_sizes, *(plan.signature() for plan in self.members)

    def should_know(self, what: str) -> None:
        for plan in self.members:
            plan.should_know(what)


class TurnsPlan(Plan):
    """The plan of a choice. Each pick is a pick of one member.

    Parameters
    ----------
    members : sequence of Plan
    kind : str
        The class of the source.
    turns : callable, ``turns(picks, rng, seed_path, weights) -> iterator of ChoiceBatch``
        Takes the picks from the iterators of the members, in turn.
    stratified : bool
        Whether all batches of all members come.
    batches : sequence of int or None
        If so, the number of batches of each member, by its number of samples.
    weights : tuple of float or None
        The probabilities of the members, if the turns are drawn.
    """

    takes_turns = True

    def __init__(
        self,
        members: Sequence[Plan],
        kind: str,
        turns: Callable[[list[Iterator[Pick]], Rng | None, SeedPath | None, tuple[float, ...] | None], Iterator[Pick]],
        stratified: bool,
        batches: Sequence[int] | None,
        weights: tuple[float, ...] | None,
    ) -> None:
        self.members: tuple[Plan, ...] = tuple(members)
        self.kind, self._turns = kind, turns
        self.stratified, self.batches, self.weights = stratified, batches, weights
        self.draws = weights is not None or any(plan.draws for plan in members)
        self.weighted = weights is not None or any(plan.weighted for plan in members)
        self.takes_weights = weights is not None or any(plan.takes_weights for plan in members)
        self.has_unequal_parts = any(plan.has_unequal_parts for plan in members)

    def picks(self, shuffle: Shuffle = None, seed_path: SeedPath | None = None) -> Iterator[Pick]:
        rng = as_rng(shuffle)
        if self.draws and seed_path is None:
            seed_path = SeedPath.of(shuffle)
        return self._turns(_picks_of(self.members, rng, seed_path), rng, seed_path, self.weights)

    def lazy(self) -> Plan:
        return _with_lazy_members(self)

    def with_weights(self, weights: npt.ArrayLike) -> Plan:
        if self.weights is None:
            return _with_weights_of_a_member(self, weights)
        shares = sampling.normalised("weights", weights).tolist()
        if len(shares) != len(self.members):
            raise ValueError(
                f"there should be one weight per source: {len(shares)} weights, {len(self.members)} sources"
            )
        made = copy.copy(self)
        made.weights = tuple(shares)
        return made

    def sizes(self, pick: Pick) -> Any:
        return ChoiceBatch(self.members[pick.ds_index].sizes(pick.sample_indices), pick.ds_index)

    def counts(self, pick: Pick) -> Any:
        return self.members[pick.ds_index].counts(pick.sample_indices)

    def is_short(self, pick: Pick) -> bool:
        member: Plan = self.members[pick.ds_index]
        return member.is_short(pick.sample_indices)

    def are_alike(self, a: Pick, b: Pick) -> bool:
        member: Plan = self.members[a.ds_index]
        return a.ds_index == b.ds_index and member.are_alike(a.sample_indices, b.sample_indices)

    def length(self, full: bool = False, shuffled: bool = False) -> int | float | None:
        counts = [plan.length(full, shuffled) for plan in self.members]
        known = [n for n in counts if n is not None]
        if len(known) < len(counts) or self.weights is not None:
            return None
        if self.batches is not None:
            # a member with fewer batches than its samples make ends the epoch when its turn comes
            given = [plan.length(False, shuffled) for plan in self.members]
            return sum(known) if list(self.batches) == given else None
        if shuffled or full:
            return None if min(known) < np.inf else np.inf
        return min(n * len(known) + i for i, n in enumerate(known))  # the first member without a batch for its turn

    def signature(self) -> tuple[Any, ...]:
        return self.kind, self.stratified, self.weights, *(plan.signature() for plan in self.members)

    def should_know(self, what: str) -> None:
        for plan in self.members:
            plan.should_know(what)


def _with_lazy_members(plan: JoinedPlan | TurnsPlan) -> Plan:
    made = copy.copy(plan)
    made.members = tuple(member.lazy() for member in plan.members)
    return made


def _with_weights_of_a_member(plan: JoinedPlan | TurnsPlan, weights: npt.ArrayLike) -> Plan:
    taking = [i for i, member in enumerate(plan.members) if member.takes_weights]
    if len(taking) != 1:
        raise _without_weights(len(taking))
    made = copy.copy(plan)
    made.members = tuple(member.with_weights(weights) if member.takes_weights else member for member in plan.members)
    return made


def _without_weights(n: int) -> TypeError:
    found = f"{n} of its sources have weights" if n else "it has none"
    return TypeError(
        f"weights can be set where the source has a sampler with weights, but {found}; make it with weights to begin "
        "with, such as ArrayDataSource(data, sampler=WeightedSampler(np.ones(n), num_samples=n))"
    )


def _picks_of(members: Iterable[Plan], rng: Rng | None, seed_path: SeedPath | None) -> list[Iterator[Pick]]:
    """The picks of each member: one generator for all orders, a seed path each for other random numbers."""
    return [
        plan.picks(rng, seed_path.child(i) if seed_path is not None and plan.draws else None)
        for i, plan in enumerate(members)
    ]


def _batches_of(n: int | float | None, batch_size: int, full: bool) -> int | float | None:
    if n is None or n == np.inf:
        return n
    return int(n) // batch_size if full else sampling.num_batches(int(n), batch_size)


def _is_array(leaf: Any) -> bool:
    return hasattr(leaf, "__len__")
