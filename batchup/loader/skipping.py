"""Leave out the samples that cannot be fetched. They are found by fetching parts of the pick again."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple, TypeAlias

from ..data_source import Batch, Pick
from ..engine import tree
from ..errors import noted

__all__ = ["Skipped", "SkippedFrom", "without_failing"]

Fetch: TypeAlias = Callable[[Pick], Batch]


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


# The batch (None if no sample is left), the number of valid samples in it, and the samples that were left out.
SkippedFrom: TypeAlias = tuple[Batch | None, int | None, tuple[Skipped, ...]]


def without_failing(
    fetch: Fetch, epoch: int, step: int, pick: Pick, valid: int | tuple[Any, ...] | None, error: Exception
) -> SkippedFrom:
    """Fetch the batch of a pick without the samples that cannot be fetched.

    Parameters
    ----------
    fetch : callable, ``fetch(pick) -> batch``
        Called several times, with parts of the pick.
    epoch, step : int
        The batch, for the list of samples that are left out.
    pick : pick
    valid : int, tuple or None
        The number of valid samples in a padded pick; None if the pick is not padded.
    error : Exception
        The error of the fetch of the whole pick. Raised again if each sample alone can be fetched.
    """
    lengths = {len(leaf) for leaf in tree.leaves(pick) if hasattr(leaf, "__len__")}
    if len(lengths) != 1 or isinstance(valid, tuple):
        noted(error, "no samples could be left out of this batch: its sources give unequal numbers of samples")
        raise error
    n = lengths.pop()
    failing = dict(_failing(fetch, pick, range(n)))
    if not failing:
        raise error
    fetched = [i for i in range(n) if i not in failing]
    own = range(n if valid is None else valid)  # the samples that are not padding
    skipped = tuple(Skipped(epoch, step, _sample(pick, i), _described(failing[i])) for i in own if i in failing)
    if not fetched:
        return None, None, skipped
    good = [i for i in own if i not in failing]
    kept = good if valid is None else good + fetched[-1:] * (n - len(good))
    return fetch(_at(pick, kept)), None if valid is None else len(good), skipped


def _failing(fetch: Fetch, pick: Pick, samples: Sequence[int]) -> Iterator[tuple[int, Exception]]:
    """The samples that cannot be fetched, and their errors, found by bisection."""
    try:
        fetch(_at(pick, samples))
    except Exception as error:
        if len(samples) > 1:
            half = len(samples) // 2
            yield from _failing(fetch, pick, samples[:half])
            yield from _failing(fetch, pick, samples[half:])
        elif samples:
            yield samples[0], error


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
