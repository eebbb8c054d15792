"""How an epoch can be gone through again up to some batch, without fetching: what a state has to hold for that."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Iterator, Mapping
from typing import Any, Protocol

import numpy as np

from ..engine.checks import INTEGERS, whole
from ..engine.rng import Rng, Shuffle, as_rng, global_rng
from ..engine.tree import Batch, Pick

__all__ = ["Epoch", "Planned", "fingerprint", "should_agree", "signature_of"]

VERSION = 1


class Planned(Protocol):
    """What a random-access source has."""

    @property
    def _draws(self) -> bool: ...
    def _signature(self) -> tuple[Any, ...]: ...
    def num_samples(self) -> int | float | None: ...
    def batch_indices_iterator(self, batch_size: int, *args: Any, **kwargs: Any) -> Iterator[Pick]: ...
    def samples_by_indices_nomapping(self, indices: Pick) -> Batch: ...


class Epoch:
    """The plan of one go through a source, which can be drawn again.

    Parameters
    ----------
    source : random-access data source
    batch_size : int
    shuffle : as for `batch_iterator`
    kwargs : dict
        Further keywords of `batch_indices_iterator`.
    """

    def __init__(self, source: Planned, batch_size: int, shuffle: Shuffle, kwargs: Mapping[str, Any]) -> None:
        self.source, self.batch_size, self.shuffle, self.kwargs = source, batch_size, shuffle, kwargs
        self._rng = _that_draws(source, shuffle)
        self._drawn_from = None if self._rng is None else _state_of(self._rng)

    def plan(self) -> Iterator[Pick]:
        """The picks, from the first."""
        given = {} if self.shuffle is None else {"shuffle": self.shuffle}
        return self.source.batch_indices_iterator(self.batch_size, **given, **self.kwargs)

    def state(self, step: int) -> dict[str, Any]:
        """What it takes to go on behind the first `step` batches, as plain data, for JSON."""
        return {
            "version": VERSION,
            "step": step,
            "rng": None if self._drawn_from is None else _plain(self._drawn_from),
            **self._parameters(),
        }

    def plan_from(self, state: Mapping[str, Any]) -> tuple[Iterator[Pick], int]:
        """The picks behind the place that `state` was made at, and how many lie before it.

        The generator that draws the order is set back to where it was when the epoch began.
        """
        should_agree(state, {"version": VERSION, **self._parameters()}, ["step", "rng"])
        if (state["rng"] is None) != (self._rng is None):
            raise ValueError("the state is of another kind of shuffle: give the shuffle that it was made with")
        if self._rng is not None:
            _set_state(self._rng, state["rng"])
            self._drawn_from = _state_of(self._rng)
        step = whole("step", state["step"], least=0)
        return itertools.islice(self.plan(), step, None), step

    def _parameters(self) -> dict[str, Any]:
        n = self.source.num_samples()
        return {
            "batch_size": int(self.batch_size),
            "length": None if n is None or n == np.inf else int(n),
            "plan": fingerprint(self.source._signature(), _kind(self.shuffle)),
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
            what = "a plan (sources, subset, repeats, sampler)" if name == "plan" else name
            raise ValueError(
                f"the state has {what} {state[name]!r}, but here it is {value!r}; make it with what the state was "
                "saved with"
            )


def fingerprint(*signature: Any) -> str:
    """A short text that differs where `signature`, of plain values, does.

    >>> fingerprint("a", 1) == fingerprint("a", 1), fingerprint("a", 1) == fingerprint("a", 2)
    (True, False)
    """
    return hashlib.blake2b(repr(signature).encode(), digest_size=8).hexdigest()


def signature_of(sampler: Any) -> tuple[Any, ...]:
    """What a sampler is and holds, in plain values; arrays by a digest of their bytes."""
    held = sorted(getattr(sampler, "__dict__", {}).items())
    return type(sampler).__name__, *((name, _digest(value)) for name, value in held if not name.startswith("_"))


def _digest(value: Any) -> Any:
    if isinstance(value, np.ndarray) and value.dtype != object:
        content = hashlib.blake2b(np.ascontiguousarray(value).data, digest_size=8).hexdigest()
        return str(value.dtype), value.shape, content
    if isinstance(value, (type(None), bool, int, float, str)):
        return value
    return type(value).__name__


def _that_draws(source: Planned, shuffle: Shuffle) -> Rng | None:
    """The generator that drawing the plan will advance."""
    if isinstance(shuffle, (*INTEGERS, np.random.SeedSequence)) and not isinstance(shuffle, bool):
        return None
    return as_rng(shuffle) or (global_rng() if source._draws else None)


def _kind(shuffle: Shuffle) -> Any:
    if isinstance(shuffle, np.random.SeedSequence):
        return "SeedSequence", repr(shuffle.entropy), shuffle.spawn_key
    if isinstance(shuffle, (type(None), bool, np.bool_)):
        return bool(shuffle)
    return int(shuffle) if isinstance(shuffle, (int, np.integer)) else type(shuffle).__name__


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
