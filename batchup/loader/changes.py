"""Batch sizes and weights that change from epoch to epoch of a run."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from ..data_source import AbstractDataSource, Plan
from ..data_source.signatures import fingerprint, summary_of
from ..engine.checks import whole

__all__ = ["Changes", "Setting"]


class Entry(NamedTuple):
    """A value, the first epoch in which it holds, and its mark: what a state stores for it.

    A value of None stands for the one that the loader was made with.
    """

    epoch: int
    value: Any = None
    mark: Any = None


@dataclasses.dataclass(frozen=True)
class Setting:
    """A value that may change from epoch to epoch.

    Parameters
    ----------
    name : str
        What the user calls it.
    checked : callable, ``checked(value) -> (value, mark)``
    fn : callable, ``fn(epoch) -> value``, optional
    entries : tuple of Entry
        What was set, in the order of the epochs. Values of epochs before the first entry are no longer known.
    given : tuple of Entry
        The values that were set last, even if they have been replaced since: two, or all that were set at one place.
    place : (int, int), optional
        The epoch and the step at which they were set.
    value_of : callable, ``value_of(mark) -> value``, optional
        The value that a mark in a state stands for, where the mark says it.

    Examples
    --------
    >>> sizes = Setting("batch_size", size_and_mark).set(32, 3)
    >>> sizes.at(2).value, sizes.at(3).value, sizes.state(2)
    (None, 32, [None, 32])
    """

    name: str
    checked: Callable[[Any], tuple[Any, Any]]
    fn: Callable[[int], Any] | None = None
    entries: tuple[Entry, ...] = (Entry(0),)
    given: tuple[Entry, ...] = ()
    place: tuple[int, int] | None = None
    value_of: Callable[[Any], Any] | None = None
    _made: dict[int, Entry] = dataclasses.field(default_factory=dict, compare=False)

    @property
    def is_as_made(self) -> bool:
        """Whether no epoch has a value of its own."""
        first = self.entries[0]
        return self.fn is None and len(self.entries) == 1 and first.epoch == 0 and first.value is None

    def at(self, epoch: int) -> Entry:
        """The entry that holds in an epoch."""
        if self.fn is not None:
            return self._of_fn(self.fn, epoch)
        if epoch < self.entries[0].epoch:
            raise ValueError(
                f"the {self.name} of epoch {epoch} is not known, as others were set since; it is known from epoch "
                f"{self.entries[0].epoch} on"
            )
        return [entry for entry in self.entries if entry.epoch <= epoch][-1]

    def _of_fn(self, fn: Callable[[int], Any], epoch: int) -> Entry:
        if epoch not in self._made:
            while len(self._made) > 2:
                del self._made[next(iter(self._made))]
            self._made[epoch] = Entry(epoch, *self.checked(fn(epoch)))
        return self._made[epoch]

    def as_of(self, epoch: int, now: int) -> Entry:
        """The entry that holds in an epoch, as far as it is known in epoch `now`: values may still be set."""
        return self.at(now if self.fn is None else epoch)

    def set(self, value: Any, epoch: int, place: tuple[int, int] | None = None) -> Setting:
        """A copy with another value from an epoch on. `place` is the epoch and the step at which it is set."""
        if self.fn is not None:
            raise TypeError(f"{self.name} should not be set, as the loader was made with {self.name} as a function")
        entry = Entry(epoch) if value is None else Entry(epoch, *self.checked(value))
        entries = (*(each for each in self.entries if each.epoch < epoch), entry)
        others = tuple(each for each in self.given if each.mark != entry.mark)
        given = others if place is not None and place == self.place else others[-1:]  # a run may set any number
        return dataclasses.replace(self, entries=entries[-2:], given=(*given, entry), place=place)

    def state(self, epoch: int) -> list[Any] | None:
        """The marks that a state stores for an epoch and for later ones; None if nothing was set."""
        marks = None if self.fn is not None else [self.at(epoch).mark, self.entries[-1].mark]
        return None if marks == [None, None] else marks

    def restored(self, marks: Any, epoch: int) -> Setting:
        """A copy with the values of a state that was saved in `epoch`.

        Raises
        ------
        ValueError
            If a value of the state was never set here.
        """
        now, later = (None, None) if marks is None else marks
        known = {entry.mark: entry.value for entry in (Entry(0), *self.entries, *self.given)}
        if self.value_of is not None:
            known |= {mark: self.value_of(mark) for mark in (now, later) if mark is not None}
        for mark in (later, now):
            if mark not in known:
                raise ValueError(self._unknown(mark))
        if marks is None and self.is_as_made:
            return self
        entries = (Entry(epoch, known[now], now), Entry(epoch + 1, known[later], later))
        return dataclasses.replace(self, entries=entries[:1] if now == later else entries)

    def _unknown(self, mark: Any) -> str:
        return (
            f"the state has {self.name} {mark!r} from set_{self.name}, but they were not set here; call "
            f"set_{self.name} with the same value before load_state_dict (if it was set within an epoch, also with "
            "the one that holds in this epoch)"
        )


class Changes:
    """The batch size and the weights of each epoch.

    Parameters
    ----------
    source : data source
        Makes the plans.
    sizes, weights : Setting
    """

    def __init__(self, source: AbstractDataSource, sizes: Setting, weights: Setting) -> None:
        self.source, self.sizes, self.weights = source, sizes, weights
        self._plans: dict[Any, Plan] = {}

    @classmethod
    def of(cls, source: AbstractDataSource, batch_size: Any, weights: Any) -> Changes:
        """The changes of a loader that is made with these arguments."""
        if weights is not None and not callable(weights):
            raise TypeError(
                f"weights should be a function of the epoch, not {type(weights).__name__}; weights that stay belong "
                "to the sampler of the source, as in ArrayDataSource(data, sampler=WeightedSampler(weights))"
            )
        size = batch_size if callable(batch_size) else None
        sizes = Setting("batch_size", size_and_mark, size, value_of=size_of_a_state)
        return cls(source, sizes, Setting("weights", weights_and_mark, weights))

    def if_any(self) -> Changes | None:
        """These changes; None if all epochs are as the loader was made."""
        return None if all(each.is_as_made for each in self._settings) else self

    @property
    def _settings(self) -> tuple[Setting, Setting]:
        return self.sizes, self.weights

    def plan(self, epoch: int, plan: Plan, now: int | None = None) -> tuple[Plan, int | None]:
        """The plan of an epoch and its batch size, made from `plan`; the size is None if it is that of `plan`.

        With `now`, as far as it is known in that epoch.
        """
        size, weights = (each.as_of(epoch, epoch if now is None else now) for each in self._settings)
        key = size.mark, weights.mark
        if key not in self._plans:
            made = plan if size.value is None else self.source.plan(size.value).lazy()
            if weights.value is not None:
                made = made.with_weights(weights.value)
            self._plans = {key: made, **dict(list(self._plans.items())[:1])}
        return self._plans[key], size.value

    def set(self, name: str, value: Any, epoch: int, place: tuple[int, int]) -> Changes:
        """A copy with another batch size, or other weights, from an epoch on."""
        if name == "batch_size":
            return Changes(self.source, self.sizes.set(value, epoch, place), self.weights)
        return Changes(self.source, self.sizes, self.weights.set(value, epoch, place))

    def parameters(self, epoch: int) -> dict[str, Any]:
        """The entries of a state that follow from functions of the epoch."""
        return {each.name: each.at(epoch).mark for each in self._settings if each.fn is not None}

    def state(self, epoch: int) -> dict[str, Any]:
        """The entry of a state that says what was set, if anything was."""
        found = {each.name: each.state(epoch) for each in self._settings}
        changes = {name: marks for name, marks in found.items() if marks is not None}
        return {"changes": changes} if changes else {}

    def restored(self, state: Mapping[str, Any], epoch: int) -> Changes:
        """A copy with what was set when `state` was saved."""
        if not isinstance(state, Mapping):
            return self  # it raises an error later
        if self.weights.fn is None and "weights" in state:
            raise ValueError("the state is of a loader with weights as a function of the epoch; make this one with it")
        changes = state.get("changes", {})
        if not isinstance(changes, Mapping) or not all(isinstance(x, list) and len(x) == 2 for x in changes.values()):
            raise ValueError(f"changes of the state should be as state_dict() gave them, not {changes!r}")
        settings = []
        for each in self._settings:
            marks = changes.get(each.name)
            if each.fn is not None and marks is not None:
                raise ValueError(
                    f"the state is of a run with set_{each.name}, but this loader was made with {each.name} as a "
                    "function of the epoch; make it without"
                )
            settings.append(each if each.fn is not None else each.restored(marks, epoch))
        return Changes(self.source, *settings)


def size_and_mark(value: Any) -> tuple[int, int]:
    """A batch size, checked, and its mark in a state."""
    size = whole("batch_size", value)
    return size, size


def size_of_a_state(mark: Any) -> int:
    """The batch size that a mark in a state says."""
    return whole("batch_size of the state", mark)


def weights_and_mark(value: Any) -> tuple[Any, str]:
    """A copy of weights, and their mark in a state."""
    weights = np.array(value)
    return weights, fingerprint(summary_of(weights))
