"""Leave out the samples that cannot be fetched. They are found by fetching parts of the pick again."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Self, TypeAlias

from ..data_source import Batch, Pick
from ..engine import tree
from ..errors import noted

__all__ = ["Retried", "Skipped", "SkippedFrom", "without_failing"]

Fetch: TypeAlias = Callable[[Pick], Batch]

CONTEXT = 2  # good samples that a suspect is fetched with: a transform may need more than one sample


class Skipped(NamedTuple):
    """A sample that was left out because it could not be fetched.

    Attributes
    ----------
    epoch, step : int
        The batch that it belongs to.
    sample : int or tuple
        Its index; with several sources, one index per source.
    error : str
        The type and message of the error.
    """

    epoch: int
    step: int
    sample: Any
    error: str


class Retried(NamedTuple):
    """A batch that could be fetched at the second attempt, and the error of the first one."""

    epoch: int
    step: int
    error: str


# The batch (None if no sample is left), the number of valid samples in it, and the samples that were left out; or, if
# none was, that the second attempt worked.
SkippedFrom: TypeAlias = tuple[Batch | None, int | tuple[Any, ...] | None, tuple[Skipped | Retried, ...]]


def without_failing(
    fetch: Fetch, epoch: int, step: int, pick: Pick, valid: int | tuple[Any, ...] | None, error: Exception
) -> SkippedFrom:
    """Fetch the batch of a pick again, without the samples that cannot be fetched.

    Parameters
    ----------
    fetch : callable, ``fetch(pick) -> batch``
        Called several times: with the pick, and with parts of it.
    epoch, step : int
        The batch, for the list of samples that are left out.
    pick : pick
    valid : int, tuple or None
        The number of valid samples in a padded pick; None if the pick is not padded.
    error : Exception
        The error of the first fetch of the whole pick. Raised again if it is not the fault of a few samples.
    """
    with contextlib.suppress(Exception):
        return fetch(pick), valid, (Retried(epoch, step, _described(error)),)
    lengths = {len(leaf) for leaf in tree.leaves(pick) if hasattr(leaf, "__len__")}
    if len(lengths) != 1 or isinstance(valid, tuple):
        noted(error, "no samples could be left out of this batch: its sources give unequal numbers of samples")
        raise error
    n = lengths.pop()
    own = range(valid or n)  # the samples that are not padding
    found = _Search(fetch, pick).through(own)
    if not found.failing:  # the errors have passed, or all samples fit each other but for the whole
        with contextlib.suppress(Exception):
            return fetch(pick), valid, (Retried(epoch, step, _described(error)),)
    if not found.failing or found.is_undecided():
        noted(error, "no samples were left out of this batch: it is not clear which of them do not fit the others")
        raise error
    good = sorted(found.good)
    blamed = sorted(found.failing) if valid != 0 else []  # of a batch that is all padding, another rank says it
    skipped = tuple(Skipped(epoch, step, _sample(pick, i), _described(found.failing[i])) for i in blamed)
    if not good:
        return None, None, skipped
    own_good = good if valid != 0 else []
    kept = good if valid is None else own_good + good[-1:] * (n - len(own_good))
    try:
        return fetch(_at(pick, kept)), None if valid is None else len(own_good), skipped
    except Exception:
        raise error from None


class _Search:
    """Which samples of a pick can be fetched together, found by bisection.

    As soon as some good samples are known, each suspect is fetched together with them. A transform may fail with any
    single sample, and a sample of another shape fails only beside others.
    """

    def __init__(self, fetch: Fetch, pick: Pick) -> None:
        self._fetch, self._pick = fetch, pick
        self.good: list[int] = []
        self.failing: dict[int, Exception] = {}

    def through(self, samples: Sequence[int]) -> Self:
        """Sort these samples into good and failing ones. All of them together have failed already."""
        middle = len(samples) // 2
        for part in (samples[:middle], samples[middle:]):
            self._add(part)
        self._try_pairs(samples)
        if self.good:
            self._add_each(list(self.failing))  # they may have been fetched alone before
        return self

    def is_undecided(self) -> bool:
        """Whether as many other samples fit together as there are good ones. If more do, they become the good ones."""
        if not self.good or len(self.failing) < len(self.good):
            return False
        other = _Search(self._fetch, self._pick)
        other._add_each(list(self.failing))
        other._add_each(self.good)
        if len(other.good) > len(self.good):
            self.good, self.failing = other.good, other.failing
            return False
        return len(other.good) == len(self.good) and set(other.good) != set(self.good)

    def _add(self, samples: Sequence[int]) -> None:
        error = self._error_of(samples) if len(samples) else None
        if error is None:
            self.good += samples
            for i in samples:
                self.failing.pop(i, None)
        elif len(samples) == 1:
            self.failing[samples[0]] = error
        else:
            middle = len(samples) // 2
            self._add(samples[:middle])
            self._add(samples[middle:])

    def _add_each(self, samples: Sequence[int]) -> None:
        for i in samples:
            self._add([i])

    def _try_pairs(self, samples: Sequence[int]) -> None:
        """If each sample fails alone, try pairs of near ones, since a transform may need two samples."""
        for apart, i in itertools.product(range(1, min(4, len(samples) - 1)), range(len(samples))):
            if not self.good:
                self._add_if_good([samples[i - apart], samples[i]])

    def _add_if_good(self, samples: Sequence[int]) -> None:
        if self._error_of(samples) is None:
            self._add(samples)

    def _error_of(self, samples: Sequence[int]) -> Exception | None:
        try:
            self._fetch(_at(self._pick, sorted([*self.good[:CONTEXT], *samples])))
        except Exception as error:
            return error
        return None


def _at(pick: Pick, samples: Sequence[int]) -> Pick:
    """The part of a pick with some of its samples."""
    chosen = list(samples)
    return tree.map_leaves(lambda leaf: leaf[chosen] if hasattr(leaf, "__len__") else leaf, pick)


def _sample(pick: Pick, i: int) -> Any:
    """The index of one sample of a pick."""
    while hasattr(pick, "pick"):
        pick = pick.pick
    if hasattr(pick, "sample_indices"):
        return pick._replace(sample_indices=_sample(pick.sample_indices, i))
    return tuple(_sample(part, i) for part in pick) if isinstance(pick, tuple) else int(pick[i])


def _described(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"
