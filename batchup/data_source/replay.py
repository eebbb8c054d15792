"""Replay the plan of an epoch up to some batch without loading data, and the state that this needs."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from ..engine.checks import INTEGERS, a_or_an, whole
from ..engine.global_rng import global_rng
from ..engine.position import MOST
from ..engine.rng import numbers
from ..engine.shuffle import Rng, Shuffle, as_rng
from ..engine.tree import Pick
from ..version import __version__
from .plan import Plan
from .signatures import fingerprint

__all__ = ["Epoch", "saved_by", "should_agree"]

VERSION = 1


class Epoch:
    """The picks of one epoch of a plan, which can be replayed.

    Parameters
    ----------
    plan : Plan
    batch_size : int
    shuffle : as for `batch_iterator`
    num_samples : callable
        Returns the number of samples in the source.
    """

    def __init__(
        self, plan: Plan, batch_size: int, shuffle: Shuffle, num_samples: Callable[[], int | float | None]
    ) -> None:
        self.plan, self.batch_size, self.shuffle, self.num_samples = plan, batch_size, shuffle, num_samples
        self._rng = _advanced_by(plan, shuffle)
        self._state_when_made: Any = None  # the generator's state when `picks` was called
        self._state_at_first: Any = None  # and the state to replay from, known at the first pick

    def picks(self) -> Iterator[Pick]:
        """The picks from the first one on."""
        if self._rng is None:
            return self.plan.picks(self.shuffle)
        self._state_when_made, self._state_at_first = _state_of(self._rng), None
        return self._noting_state(self.plan.picks(self.shuffle))

    def _noting_state(self, picks: Iterator[Pick]) -> Iterator[Pick]:
        """The same picks. Note the state of the generator at the first one: it may have been used elsewhere before."""
        self._state_at_first = self._replay_state()
        yield from picks

    def _replay_state(self) -> Any:
        """The state of the generator from which the plan can be replayed; "moved" if there is none."""
        assert self._rng is not None
        if not self.shuffle:
            return self._state_when_made  # not shuffled, and all other seeds were drawn when `picks` was called
        now = _state_of(self._rng)
        # random transforms use the generator's state when `picks` was called, the order its state now
        return now if not self.plan.draws or _plain(now) == _plain(self._state_when_made) else "moved"

    def state(self, step: int) -> dict[str, Any]:
        """What is needed to resume after the first `step` batches, as plain data for JSON."""
        return {
            "version": VERSION,
            "step": step,
            "rng": None if self._rng is None else self._saved_rng(),
            **self._parameters(),
            "batchup": __version__,
        }

    def _saved_rng(self) -> Any:
        state = self._state_at_first or self._replay_state()
        if state == "moved":
            raise TypeError(
                "this iterator has no state to resume from: its generator was used elsewhere between the making of the "
                "iterator and its first batch; give it a generator of its own"
            )
        return _plain(state)

    def picks_from(self, state: Mapping[str, Any]) -> tuple[Iterator[Pick], int]:
        """The picks that remained when `state` was saved, and how many came before them.

        The generator of the shuffle is reset to its state at the beginning of the epoch.
        """
        should_agree(state, {"version": VERSION, **self._parameters()}, ["step", "rng"])
        step = whole("step of the state", state["step"], least=0)
        n = self._length()
        if step > min(MOST, MOST if n is None else n):
            raise ValueError(f"step of the state should be at most {n}, the number of batches, not {step}")
        if self._rng is not None:
            _set_state(self._rng, state["rng"])
        picks = self.picks()
        next_one = list(itertools.islice(picks, step, step + 1))  # now, since others may set the generator later
        return itertools.chain(next_one, picks), step

    def left_after(self, step: int) -> int:
        """The number of batches after the first `step` ones."""
        n = self._length()
        if n is None or n == np.inf:
            why = "has no end" if n == np.inf else "does not know how many there are"
            raise TypeError(f"these batches have no len(): the source {why}")
        return max(0, int(n) - step)

    def _length(self) -> int | float | None:
        return self.plan.length(shuffled=as_rng(self.shuffle) is not None)

    def _parameters(self) -> dict[str, Any]:
        n = self.num_samples()
        return {
            "batch_size": int(self.batch_size),
            "length": None if n is None or n == np.inf else int(n),
            "shuffle": _plain_shuffle(self.shuffle),
            "plan": fingerprint(self.plan.signature()),
        }


def saved_by(state: Mapping[str, Any]) -> str:
    """The version of batchup that saved a state, if it is another one: the end of an error message."""
    saved = state.get("batchup", __version__)
    return "" if saved == __version__ else f" (saved by batchup {saved}; this is {__version__})"


def should_agree(state: Any, now: Mapping[str, Any], others: list[str]) -> None:
    """Refuse a state that does not fit. The error names the entry, both values, and what to do.

    Parameters
    ----------
    state : dict
        The saved state.
    now : dict
        Entries that it should have, with these values.
    others : list of str
        Entries that it should have, with any value.

    >>> should_agree({"batch_size": 32}, {"batch_size": 64}, [])
    Traceback (most recent call last):
        ...
    ValueError: the state has batch_size 32, but here it is 64; make it with what the state was saved with
    """
    if not isinstance(state, Mapping):
        raise TypeError(f"a state should be the dict that state_dict() gave, not {state!r}")
    missing = [name for name in (*now, *others) if name not in state]
    if missing:
        raise ValueError(f"the state should have an entry {missing[0]!r}, as state_dict() gives it; it has {[*state]}")
    for name, value in now.items():
        if state[name] != value:
            what = "a plan (sources, subset, repeats, sampler, random transforms)" if name == "plan" else name
            raise ValueError(
                f"the state has {what} {state[name]!r}, but here it is {value!r}; make it with what the state was "
                f"saved with{saved_by(state)}"
            )


def _advanced_by(plan: Plan, shuffle: Shuffle) -> Rng | None:
    """The generator of the caller that the plan will draw from; None if there is none."""
    if isinstance(shuffle, (*INTEGERS, np.random.SeedSequence)) and not isinstance(shuffle, bool):
        return None
    return as_rng(shuffle) or (global_rng() if plan.draws else None)


def _plain_shuffle(shuffle: Shuffle) -> Any:
    """What decides the order, as plain values: a seed, or the kind of generator."""
    if isinstance(shuffle, np.random.SeedSequence):
        return {"entropy": numbers(shuffle.entropy), "spawn_key": numbers(shuffle.spawn_key)}
    if isinstance(shuffle, (type(None), bool, np.bool_)):
        return bool(shuffle)
    if isinstance(shuffle, np.random.Generator):
        return f"Generator({type(shuffle.bit_generator).__name__})"
    return int(shuffle) if isinstance(shuffle, INTEGERS) else "RandomState"


def _state_of(rng: Rng) -> Any:
    return rng.get_state(legacy=False) if isinstance(rng, np.random.RandomState) else rng.bit_generator.state


def _set_state(rng: Rng, state: Any) -> None:
    try:
        if isinstance(rng, np.random.RandomState):
            rng.set_state(state)
        else:
            rng.bit_generator.state = state
    except (TypeError, ValueError, KeyError) as error:
        raise ValueError(
            f"rng of the state should be the state of {a_or_an(type(rng))}, as state_dict() gave it"
        ) from error


def _plain(x: Any) -> Any:
    """`x` with plain Python values instead of NumPy arrays and scalars."""
    if isinstance(x, dict):
        return {key: _plain(value) for key, value in x.items()}
    return x.tolist() if isinstance(x, (np.ndarray, np.generic)) else x
