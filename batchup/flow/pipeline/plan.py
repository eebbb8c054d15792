"""The order of a run: which items make each batch, decided before any data is loaded."""

from __future__ import annotations

import dataclasses
import difflib
import itertools
from collections.abc import Callable, Collection, Iterable, Iterator
from typing import Any

import numpy as np

from ...data_source.signatures import signature_of
from ...engine.checks import Indices, whole
from ...engine.global_rng import drawn_seed
from ...engine.rng import SeedPath, entropy_of, rng_at
from ...engine.shuffle import Rng, Shuffle, as_rng
from ...sampling import AbstractSampler, StandardSampler, num_batches
from ..items.seeds import seed_path
from ..signatures import accepts

__all__ = ["END_OPTIONS", "PLAN_OPTIONS", "NextBatch", "PipelinePlan", "PositionBuffer", "check_option_names"]


@dataclasses.dataclass(frozen=True)
class PipelinePlan:
    """The batches of a run, as arrays of positions.

    Parameters
    ----------
    n_items : int
        Number of items.
    batch_size : int
        Items per batch; the last batch may have fewer.
    shuffle : bool, int, SeedSequence, RandomState or Generator, default False
        As for a data source. A negative int keeps the order and is the seed of the other random numbers.
    n_iters : int, optional
        Number of batches.
    n_epochs : int, optional
        Number of passes over the items; a batch may hold the last items of one epoch and the first of the next. Without
        `n_epochs` and `n_iters` the batches never end.
    drop_last : bool, default False
        Leave out the short batch at the end of each epoch.
    sampler : AbstractSampler, optional
        Draws the positions.
    seed : int or SeedSequence, optional
        The seed of random numbers in the steps, and of the order if `shuffle` is True.

    Examples
    --------
    >>> [batch.tolist() for batch in PipelinePlan(4, 3, n_epochs=2)]
    [[0, 1, 2], [3, 0, 1], [2, 3]]
    >>> [batch.tolist() for batch in PipelinePlan(4, 3, n_epochs=2, drop_last=True)]
    [[0, 1, 2], [0, 1, 2]]
    """

    n_items: int
    batch_size: int
    shuffle: Shuffle = False
    n_iters: int | None = None
    n_epochs: int | None = None
    drop_last: bool = False
    sampler: AbstractSampler | None = None
    seed: int | np.random.SeedSequence | None = None

    def __post_init__(self) -> None:
        whole("batch_size", self.batch_size)
        for name in ("n_iters", "n_epochs"):
            if getattr(self, name) is not None:
                whole(name, getattr(self, name))
        if self.n_iters is not None and self.n_epochs is not None:
            raise ValueError("either n_iters or n_epochs should be given, not both: each sets the end of the run")
        if self.seed is not None and not isinstance(self.seed, np.random.SeedSequence):
            whole("seed", self.seed, least=0)
        if isinstance(self.sampler, AbstractSampler):
            self.sampler._should_fit(self.n_items)
        if self.n_epochs is not None and self._per_epoch() == np.inf:
            raise ValueError(f"{self.sampler!r} is infinite, so it has no epochs: give n_iters, not n_epochs")
        if self.drop_last and self.sampler is None and self.n_items < self.batch_size:
            raise ValueError(
                f"batch_size should be at most {self.n_items}, the number of items, not {self.batch_size}: "
                "drop_last would leave no batch"
            )

    def __iter__(self) -> Iterator[Indices]:
        return itertools.islice(self._batches(self._order()), self.n_iters)

    @property
    def total(self) -> int | None:
        """The number of batches; None if they never end or the number is not known."""
        if self.n_iters is not None or self.n_epochs is None:
            return self.n_iters
        per_epoch = self._per_epoch()
        if per_epoch is None:
            return None
        if self.drop_last:
            return self.n_epochs * (int(per_epoch) // self.batch_size)
        if self.sampler is not None:
            return self.n_epochs * num_batches(int(per_epoch), self.batch_size)
        return num_batches(self.n_items * self.n_epochs, self.batch_size)

    def root(self) -> SeedPath:
        """The seed path of all random numbers of the run. If nothing is seeded, each call draws another."""
        if self.seed is not None:
            return seed_path(self.seed)
        if isinstance(self.shuffle, np.random.SeedSequence):
            return seed_path(self.shuffle)
        if self.shuffle is None or isinstance(self.shuffle, (bool, np.bool_)):
            return SeedPath(drawn_seed())
        return SeedPath(abs(entropy_of(self.shuffle)))

    def _order(self) -> Rng | None:
        is_bool = isinstance(self.shuffle, (bool, np.bool_))
        if is_bool and self.shuffle:  # independent of later draws from numpy's generator
            return rng_at(drawn_seed() if self.seed is None else self.seed, 0)
        is_negative = not is_bool and isinstance(self.shuffle, (int, np.integer)) and self.shuffle < 0
        return None if is_negative else as_rng(self.shuffle)

    def _per_epoch(self) -> int | float | None:
        length: int | float | None = self.n_items if self.sampler is None else self.sampler.num_indices_generated()
        return length

    def _batches(self, rng: Rng | None) -> Iterator[Indices]:
        repeats = -1 if self.n_epochs is None else self.n_epochs
        if self.sampler is None and not self.drop_last:
            return _sampled(StandardSampler(self.n_items, repeats), self.batch_size, rng)
        return self._epochs(repeats, rng)

    def _epochs(self, repeats: int, rng: Rng | None) -> Iterator[Indices]:
        sampler = StandardSampler(self.n_items) if self.sampler is None else self.sampler
        for _ in itertools.count() if repeats == -1 else range(repeats):
            given = 0
            for positions in _sampled(sampler, self.batch_size, rng):
                if not self.drop_last or len(positions) == self.batch_size:
                    given += 1
                    yield positions
            if not given and repeats == -1:
                raise ValueError(f"{sampler!r} gives no batch of {self.batch_size}, so the run would never end")


PLAN_OPTIONS = tuple(field.name for field in dataclasses.fields(PipelinePlan))[2:]
END_OPTIONS = ("n_iters", "n_epochs")
BY_IDENTITY: Any = object.__eq__  # the comparison of classes that do not say what is equal


def check_option_names(names: Collection[str], known: Iterable[str], batch_class: type[Any]) -> None:
    """Raise a `TypeError` unless the constructor of batches has these keywords, which are not options of a run."""
    if not names:
        return
    taken = set().union(
        *(accepts(vars(each)["__init__"]).names for each in batch_class.__mro__ if "__init__" in vars(each))
    )
    for name in names:
        if name not in taken - {"self"}:
            close = difflib.get_close_matches(name, (*PLAN_OPTIONS, "batch_size", *known, *taken), n=1, cutoff=0.75)
            hint = f"; did you mean {close[0]!r}?" if close else f": the constructor of {batch_class.__name__} has none"
            raise TypeError(f"a run does not take {name!r}{hint}")


def _sampled(sampler: AbstractSampler, batch_size: int, rng: Rng | None) -> Iterator[Indices]:
    if rng is None:
        return sampler.in_order_indices_batch_iterator(batch_size)
    return sampler.shuffled_indices_batch_iterator(batch_size, rng)


class PositionBuffer(Iterator[Any]):
    """The remaining positions of a plan, in batches whose `batch_size` may change from batch to batch."""

    def __init__(self, plan: PipelinePlan) -> None:
        self.batch_size = plan.batch_size
        self._drop_last = plan.drop_last
        self._batches = iter(plan)
        self._rest = np.empty(0, dtype=np.intp)

    def __next__(self) -> Indices:
        while len(self._rest) < self.batch_size:
            more = next(self._batches, None)
            if more is None:
                break
            self._rest = np.concatenate([self._rest, more]) if len(self._rest) else more
        batch, self._rest = self._rest[: self.batch_size], self._rest[self.batch_size :]
        if len(batch) == 0 or (self._drop_last and len(batch) < self.batch_size):
            raise StopIteration
        return batch


class NextBatch:
    """The position of ``next_batch``: it continues after the last batch, and starts again when the options change."""

    def __init__(self) -> None:
        self._options: dict[str, Any] | None = None

    def __call__(
        self,
        plan: PipelinePlan,
        options: dict[str, Any],
        kwargs: dict[str, Any],
        begin: Callable[[PositionBuffer, dict[str, Any]], Iterator[Any]],
    ) -> Any:
        """The next batch of those that `begin` makes from positions and from `kwargs`, which may change."""
        options = {**options, **vars(plan), "batch_size": None}
        if self._options is None or not _are_equal(options, self._options):
            self.reset()
            self._options = options
            self._positions = PositionBuffer(plan)
            self._kwargs: dict[str, Any] = {}
            self._batches = begin(self._positions, self._kwargs)
            self._failed = False
        elif options.get("prefetch") and plan.batch_size != self._positions.batch_size:
            raise ValueError(
                f"batch_size should stay {self._positions.batch_size}, not become {plan.batch_size}, as batches are "
                "prefetched; call reset('iter') to start again"
            )
        self._positions.batch_size = plan.batch_size
        self._kwargs.clear()
        self._kwargs.update(kwargs)
        try:
            return next(self._batches)
        except StopIteration:
            if self._failed:
                raise RuntimeError(
                    "the last batch failed, so there is no next one: call reset('iter') to start again"
                ) from None
            raise
        except BaseException:  # Ctrl-C ends a generator, too
            self._failed = True
            raise

    @property
    def seed(self) -> Any:
        """The seed of the batches; None before the first batch."""
        return None if self._options is None else self._options["seed"]

    def reset(self) -> None:
        """Start again at the next call."""
        if self._options is not None and hasattr(self._batches, "close"):
            self._batches.close()
        self._options = None

    def __reduce__(self) -> Any:
        return NextBatch, ()  # iterators are not sent to other processes


def _are_equal(options: dict[str, Any], others: dict[str, Any]) -> bool:
    return options.keys() == others.keys() and all(_is_equal(options[name], others[name]) for name in options)


def _is_equal(a: Any, b: Any) -> bool:
    """Whether an option is the same. So are two objects of a class that cannot be compared, such as generators."""
    kind = type(a)
    if a is b or kind is not type(b):
        return a is b
    if isinstance(a, AbstractSampler):
        return signature_of(a) == signature_of(b)
    if kind is dict:
        return _are_equal(a, b)
    if kind in (list, tuple):
        return len(a) == len(b) and all(map(_is_equal, a, b))
    if kind.__eq__ is BY_IDENTITY or getattr(a, "shape", None) != getattr(b, "shape", None):
        return kind.__eq__ is BY_IDENTITY
    try:
        return bool(np.all(np.asarray((a == b) | ((a != a) & (b != b)))))  # NaN is like NaN
    except Exception:  # as of arrays in an array
        return True
