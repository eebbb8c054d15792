"""How an epoch can be gone through again up to some batch, without fetching: what a state has to hold for that."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Iterator, Mapping
from typing import Any, Protocol

import numpy as np

from ..engine.checks import INTEGERS, whole
from ..engine.global_rng import global_rng
from ..engine.rng import numbers
from ..engine.shuffle import Rng, Shuffle, as_rng
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
        self._made_at: Any = None  # the state of the generator when the plan was made, and when it was first drawn
        self._drawn_from: Any = None

    def plan(self) -> Iterator[Pick]:
        """The picks, from the first."""
        given = {} if self.shuffle is None else {"shuffle": self.shuffle}
        if self._rng is None:
            return self.source.batch_indices_iterator(self.batch_size, **given, **self.kwargs)
        self._made_at, self._drawn_from = _state_of(self._rng), None
        return self._noted(self.source.batch_indices_iterator(self.batch_size, **given, **self.kwargs))

    def _noted(self, picks: Iterator[Pick]) -> Iterator[Pick]:
        """The same picks; when the first is drawn, where from. Others may have used the generator since it was made."""
        self._drawn_from = self._begun_at()
        yield from picks

    def _begun_at(self) -> Any:
        """The state of the generator from which the plan can be drawn again; "moved" if there is none."""
        assert self._rng is not None
        if not self.shuffle:
            return self._made_at  # nothing but chance, and that was drawn when the plan was made
        now = _state_of(self._rng)
        # the chance of random transforms goes by where the generator was when the plan was made, the order by now
        return now if not self.source._draws or _plain(now) == _plain(self._made_at) else "moved"

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

    def plan_from(self, state: Mapping[str, Any]) -> tuple[Iterator[Pick], int]:
        """The picks behind the place that `state` was made at, and how many lie before it.

        The generator that draws the order is set back to where it was when the epoch began.
        """
        should_agree(state, {"version": VERSION, **self._parameters()}, ["step", "rng"])
        step = whole("step", state["step"], least=0)
        if self._rng is not None:
            _set_state(self._rng, state["rng"])
        plan = self.plan()
        next_one = list(itertools.islice(plan, step, step + 1))  # drawn now: others may set the generator after this
        return itertools.chain(next_one, plan), step

    def _parameters(self) -> dict[str, Any]:
        n = self.source.num_samples()
        return {
            "batch_size": int(self.batch_size),
            "length": None if n is None or n == np.inf else int(n),
            "shuffle": _kind(self.shuffle),
            "plan": fingerprint(self.source._signature()),
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
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, (list, tuple)):
        return type(value).__name__, *map(_digest, value)
    if isinstance(value, (type(None), bool, int, float, str)):
        return value
    return type(value).__name__


def _that_draws(source: Planned, shuffle: Shuffle) -> Rng | None:
    """The generator that drawing the plan will advance."""
    if isinstance(shuffle, (*INTEGERS, np.random.SeedSequence)) and not isinstance(shuffle, bool):
        return None
    return as_rng(shuffle) or (global_rng() if source._draws else None)


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
