"""How an epoch can be gone through again up to some batch, without fetching: what a state has to hold for that."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from ..engine.checks import INTEGERS, whole
from ..engine.global_rng import global_rng
from ..engine.rng import numbers
from ..engine.shuffle import Rng, Shuffle, as_rng
from ..engine.tree import Pick
from .plan import Plan
from .signatures import fingerprint

__all__ = ["Epoch", "should_agree"]

VERSION = 1


class Epoch:
    """One go through the picks of a plan, which can be gone through again.

    Parameters
    ----------
    plan : Plan
    batch_size : int
    shuffle : as for `batch_iterator`
    num_samples : callable
        Says how many samples the source has.
    """

    def __init__(
        self, plan: Plan, batch_size: int, shuffle: Shuffle, num_samples: Callable[[], int | float | None]
    ) -> None:
        self.plan, self.batch_size, self.shuffle, self.num_samples = plan, batch_size, shuffle, num_samples
        self._rng = _that_draws(plan, shuffle)
        self._made_at: Any = None  # the state of the generator when the picks were asked for, and at the first of them
        self._drawn_from: Any = None

    def picks(self) -> Iterator[Pick]:
        """The picks, from the first."""
        if self._rng is None:
            return self.plan.picks(self.shuffle)
        self._made_at, self._drawn_from = _state_of(self._rng), None
        return self._noted(self.plan.picks(self.shuffle))

    def _noted(self, picks: Iterator[Pick]) -> Iterator[Pick]:
        """The same picks; when the first is drawn, where from. Others may have used the generator since it was made."""
        self._drawn_from = self._begun_at()
        yield from picks

    def _begun_at(self) -> Any:
        """The state of the generator from which the plan can be drawn again; "moved" if there is none."""
        assert self._rng is not None
        if not self.shuffle:
            return self._made_at  # the order is kept, and all other seeds were drawn when the picks were asked for
        now = _state_of(self._rng)
        # random transforms follow the generator as it was when the picks were asked for, the order as it is now
        return now if not self.plan.draws or _plain(now) == _plain(self._made_at) else "moved"

    def state(self, step: int) -> dict[str, Any]:
        """What it takes to go on behind the first `step` batches, as plain data, for JSON."""
        return {
            "version": VERSION,
            "step": step,
            "rng": None if self._rng is None else self._origin(),
            **self._parameters(),
        }

    def _origin(self) -> Any:
        begun_at = self._drawn_from or self._begun_at()
        if begun_at == "moved":
            raise TypeError(
                "this iterator has no state to go on from: its generator was used elsewhere between the making of the "
                "iterator and its first batch; give it one of its own"
            )
        return _plain(begun_at)

    def picks_from(self, state: Mapping[str, Any]) -> tuple[Iterator[Pick], int]:
        """The picks behind the place that `state` was made at, and how many lie before it.

        The generator that draws the order is set back to where it was when the epoch began.
        """
        should_agree(state, {"version": VERSION, **self._parameters()}, ["step", "rng"])
        step = whole("step", state["step"], least=0)
        if self._rng is not None:
            _set_state(self._rng, state["rng"])
        picks = self.picks()
        next_one = list(itertools.islice(picks, step, step + 1))  # drawn now: others may set the generator after this
        return itertools.chain(next_one, picks), step

    def _parameters(self) -> dict[str, Any]:
        n = self.num_samples()
        return {
            "batch_size": int(self.batch_size),
            "length": None if n is None or n == np.inf else int(n),
            "shuffle": _kind(self.shuffle),
            "plan": fingerprint(self.plan.signature()),
        }


def should_agree(state: Any, now: Mapping[str, Any], others: list[str]) -> None:
    """Refuse a state that is of something else: it says which entry, both values, and what to do.

    Parameters
    ----------
    state : dict
        What was saved.
    now : dict
        What its entries should be.
    others : list of str
        Entries that it should have, whatever they are.

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
                "saved with"
            )


def _that_draws(plan: Plan, shuffle: Shuffle) -> Rng | None:
    """The generator that drawing the plan will advance."""
    if isinstance(shuffle, (*INTEGERS, np.random.SeedSequence)) and not isinstance(shuffle, bool):
        return None
    return as_rng(shuffle) or (global_rng() if plan.draws else None)


def _kind(shuffle: Shuffle) -> Any:
    """What decides the order, in plain values: a seed, or the kind of generator."""
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
    if isinstance(rng, np.random.RandomState):
        rng.set_state(state)
    else:
        rng.bit_generator.state = state


def _plain(x: Any) -> Any:
    """`x` without arrays and scalars of NumPy's."""
    if isinstance(x, dict):
        return {key: _plain(value) for key, value in x.items()}
    return x.tolist() if isinstance(x, (np.ndarray, np.generic)) else x
