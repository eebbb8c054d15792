"""Sources of items: endless random draws, and the samples of a data source."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ..data_source import AbstractDataSource, coerce_data_source
from ..engine.checks import INTEGERS, whole
from ..engine.fixed import MAKE_A_NEW_ONE, Fixed, read_only
from ..engine.rng import rng_at
from ..engine.shuffle import Rng, Shuffle
from ..engine.tree import length, map_leaves
from ..sampling import Inverse, WeightedSampler
from .functions import ItemFunction, short_name, should_be_callable

__all__ = ["Draws", "ItemsOf", "items_of", "load_by_random_id", "sample"]

RandomState = int | np.random.RandomState | np.random.Generator | None
PIECE = 64  # the number of samples fetched from a data source at once


def sample(sequence: Sequence[Any], weights: npt.ArrayLike | None = None, random_state: RandomState = None) -> Draws:
    """Draw entries of a sequence with replacement, for ever.

    Parameters
    ----------
    sequence : sequence
        Anything that has a length and is indexed by integers.
    weights : array of float, optional
        One weight per entry, of 0 or more. By default all entries are equally likely.
    random_state : int, numpy.random.RandomState or numpy.random.Generator, optional
        An int is a seed: each iteration gives the same draws. A generator continues from its present state. By default
        the seed of the pipe decides; without one, each iteration gives other draws.

    Returns
    -------
    Draws
        An iterable.

    Raises
    ------
    ValueError
        If the sequence is empty, if a weight is missing, negative or not finite, or if all weights are 0.

    Examples
    --------
    >>> import itertools
    >>> list(itertools.islice(sample("abc", random_state=7), 6))
    ['a', 'c', 'b', 'c', 'c', 'b']
    >>> list(itertools.islice(sample("abc", weights=[0, 1, 1], random_state=7), 6))
    ['b', 'c', 'b', 'c', 'c', 'c']
    """
    if not (hasattr(sequence, "__len__") and hasattr(sequence, "__getitem__")) or isinstance(sequence, Mapping):
        raise TypeError(f"sample() takes a sequence, which has a length and is indexed by integers, not {sequence!r}")
    return Draws(sequence, None, weights, random_state)


def load_by_random_id(
    *loaders: Callable[[Any], Any],
    ids: Sequence[Any],
    weights: npt.ArrayLike | None = None,
    random_state: RandomState = None,
) -> Draws:
    """Draw ids with replacement, for ever, and load an item for each.

    Parameters
    ----------
    *loaders : callable, id -> part of an item
    ids : sequence
    weights, random_state
        As for `sample`.

    Returns
    -------
    Draws
        An iterable of tuples with one part per loader. With a single loader, of the parts themselves.

    Examples
    --------
    >>> pairs = load_by_random_id(str.upper, str.lower, ids=["a", "b", "c"], random_state=7)
    >>> next(iter(pairs))
    ('A', 'a')
    """
    if not loaders:
        raise ValueError("load_by_random_id() should get at least one loader, a function of an id; it got none")
    functions = tuple(ItemFunction(should_be_callable("a loader", loader)) for loader in loaders)
    return Draws(ids, functions, weights, random_state)


class Draws(Fixed):
    """Entries drawn for ever; made by `sample` and `load_by_random_id`. Each iteration starts over.

    Parameters
    ----------
    sequence : sequence
    loaders : tuple of callables, optional
    weights, random_state
        As for `sample`.
    """

    _fixed = dict.fromkeys(["sequence", "loaders", "cumulated", "random_state"], MAKE_A_NEW_ONE)
    _arrays = ("cumulated",)

    def __init__(
        self,
        sequence: Sequence[Any],
        loaders: tuple[ItemFunction, ...] | None = None,
        weights: npt.ArrayLike | None = None,
        random_state: RandomState = None,
    ) -> None:
        if len(sequence) == 0:
            raise ValueError("the sequence to draw from should have at least one entry; it is empty")
        self.sequence = sequence
        self.loaders = loaders
        self.cumulated = None if weights is None else _cumulated(weights, len(sequence))
        self.random_state = _checked(random_state)
        self._fix()

    @property
    def seed(self) -> int | None:
        """The seed of the source; None if it has none of its own."""
        return self.random_state if isinstance(self.random_state, int) else None

    @property
    def may_skip(self) -> bool:
        """Whether a seed, its own or that of the pipe, decides all draws, so that a resumed run can skip ahead."""
        return self.random_state is None or self.seed is not None

    def __iter__(self) -> Iterator[Any]:
        return self.begin()

    def begin(self, first: int = 0, entropy: int | None = None) -> Iterator[Any]:
        """The entries from number `first` on. The random numbers before it are drawn; nothing is loaded for them.

        Parameters
        ----------
        first : int, default 0
        entropy : int, optional
            The seed of the pipe, for a source without a `random_state`.
        """
        uniform = self._uniform(entropy)
        for skipped in range(0, first, 1 << 16):
            uniform(min(1 << 16, first - skipped))
        return self._loaded(uniform)

    def _uniform(self, entropy: int | None) -> Callable[..., Any]:
        rng: Rng
        if isinstance(self.random_state, np.random.Generator):
            return self.random_state.random
        if isinstance(self.random_state, np.random.RandomState):
            rng = self.random_state
        elif self.random_state is None and entropy is not None:
            rng = np.random.RandomState(np.random.MT19937(np.random.SeedSequence(entropy, spawn_key=(0,))))
        else:
            rng = np.random.RandomState(self.random_state)
        return rng.random_sample

    def _loaded(self, uniform: Callable[..., Any]) -> Iterator[Any]:
        n, cumulated = len(self.sequence), self.cumulated
        while (
            True
        ):  # a generator turns a StopIteration of the sequence into an error; otherwise it would end the stream
            index = int(uniform() * n) if cumulated is None else int(cumulated.searchsorted(uniform(), side="right"))
            entry = self.sequence[index]
            if self.loaders is None:
                yield entry
            elif len(self.loaders) == 1:
                yield self.loaders[0](entry)
            else:
                yield tuple([loader(entry) for loader in self.loaders])

    def __repr__(self) -> str:
        what = "" if self.loaders is None else "".join(f"{short_name(loader.func)}, " for loader in self.loaders)
        name = "sample" if self.loaders is None else "load_by_random_id"
        state = "" if self.random_state is None else f", random_state={self.random_state!r}"
        return f"{name}({what}<{len(self.sequence)} {'ids' if what else 'entries'}>{state})"


def items_of(ds: Any, shuffle: Shuffle = None, epochs: int | None = None) -> ItemsOf:
    """The samples of a data source, one at a time, epoch after epoch.

    Parameters
    ----------
    ds : data source or list of arrays
    shuffle : None, bool, int, SeedSequence, RandomState or Generator, optional
        As for ``ds.batch_iterator``, with one difference: an int or a `SeedSequence` is the seed of all epochs, and
        each epoch has an order of its own.
    epochs : int, optional
        The number of epochs. By default they never end.

    Returns
    -------
    ItemsOf
        An iterable of tuples, one part for each array of a batch.

    Examples
    --------
    >>> from batchup import ArrayDataSource
    >>> ds = ArrayDataSource([np.arange(3), np.arange(3) * 10])
    >>> [(int(x), int(y)) for x, y in items_of(ds, epochs=2)]
    [(0, 0), (1, 10), (2, 20), (0, 0), (1, 10), (2, 20)]
    >>> [int(x) for x, y in items_of(ds, shuffle=7, epochs=3)]
    [1, 2, 0, 0, 1, 2, 0, 2, 1]
    """
    return ItemsOf(coerce_data_source(ds), shuffle, epochs)


class ItemsOf:
    """The samples of a data source, one at a time; made by `items_of`. Each iteration starts over.

    Parameters
    ----------
    ds : data source
    shuffle, epochs
        As for `items_of`.
    """

    def __init__(self, ds: AbstractDataSource, shuffle: Shuffle = None, epochs: int | None = None) -> None:
        self.ds = ds
        self.shuffle = shuffle
        self.epochs = None if epochs is None else whole("epochs", epochs)

    def __iter__(self) -> Iterator[Any]:
        for epoch in itertools.count() if self.epochs is None else range(self.epochs):
            n = 0
            for batch in self.ds.batch_iterator(PIECE, **self._order(epoch)):
                for i in range(length(batch)):
                    yield map_leaves(lambda leaf: _item(leaf, i), batch)  # noqa: B023 - called at once
                n += length(batch)
            if n == 0:
                hint = "; an iterator lasts for one epoch only: pass epochs=1" if epoch else ""
                raise ValueError(f"epoch {epoch} of the data source has no samples{hint}")

    def _order(self, epoch: int) -> dict[str, Shuffle]:
        if self.shuffle is None:
            return {}  # the function of a CallableDataSource need not take shuffle
        if isinstance(self.shuffle, (np.random.SeedSequence, *INTEGERS)) and not isinstance(self.shuffle, bool):
            return {"shuffle": rng_at(self.shuffle, epoch)}
        return {"shuffle": self.shuffle}

    def __repr__(self) -> str:
        return f"items_of({type(self.ds).__name__}, shuffle={self.shuffle!r})"


def _cumulated(weights: npt.ArrayLike, n: int) -> npt.NDArray[np.float64]:
    probabilities = WeightedSampler(weights).weights
    if len(probabilities) != n:
        raise ValueError(f"there should be one weight per entry: {len(probabilities)} weights, {n} entries")
    return read_only(Inverse(probabilities).cumulated)


def _checked(random_state: Any) -> RandomState:
    if random_state is None or isinstance(random_state, (np.random.RandomState, np.random.Generator)):
        return random_state
    if isinstance(random_state, INTEGERS) and not isinstance(random_state, bool):
        if not 0 <= random_state < 1 << 32:
            raise ValueError(f"random_state should be a seed from 0 to 2**32 - 1, not {random_state!r}")
        return int(random_state)
    raise TypeError(f"random_state should be None, an int, a RandomState or a Generator, not {random_state!r}")


def _item(leaf: Any, i: int) -> Any:
    return leaf.iloc[i] if hasattr(leaf, "iloc") else leaf[i]  # a column of pandas would look for the label i
