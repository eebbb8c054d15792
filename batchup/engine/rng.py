"""Chance has an address: what a seed stands for, and what `shuffle` may be."""

from __future__ import annotations

import contextlib
import hashlib
import pickle
import random
import sys
from collections.abc import Iterator
from typing import Any, NamedTuple, Self, TypeAlias

import numpy as np

from .checks import INTEGERS

Rng: TypeAlias = np.random.RandomState | np.random.Generator
Shuffle: TypeAlias = bool | int | np.random.SeedSequence | Rng | None

__all__ = ["Chance", "Rng", "Shuffle", "as_rng", "entropy_of", "globals_kept", "numbers", "rng_at", "seed_globals"]


class Chance(NamedTuple):
    """The address of what is drawn at one place of a run: a seed, and the way from there.

    Parameters
    ----------
    seed : int or None
        Without one, NumPy's global generator is asked for it, by whoever needs it.
    way : tuple of int

    Examples
    --------
    >>> here = Chance(7).at(2, "crop")
    >>> here == Chance(7).at(2).at("crop")
    True
    >>> here.rng().random() == Chance(7).at(2, "crop").rng().random()
    True
    """

    seed: int | None
    way: tuple[int, ...] = ()

    @classmethod
    def of(cls, shuffle: Any) -> Self:
        """The chance that goes with an epoch shuffled by `shuffle`: a seed stands for its epoch 0, a generator for what
        it will draw.

        >>> Chance.of(7), Chance.of(None)
        (Chance(seed=7, way=(0,)), Chance(seed=None, way=(0,)))
        """
        if isinstance(shuffle, (type(None), bool, np.bool_)):
            if not shuffle:
                return cls(None, (0,))
            shuffle = global_rng()
        state = entropy_of(shuffle)
        return cls(state, (0,) if isinstance(shuffle, (*INTEGERS, np.random.SeedSequence)) else (state,))

    def seeded(self, seed: int | None = None) -> Self:
        """The same with a seed: this one, or its own, or one that NumPy's global generator draws."""
        known = self.seed if seed is None else seed
        return self._replace(seed=_drawn_seed() if known is None else known)

    def at(self, *places: int | str) -> Self:
        """Further on, by numbers and names."""
        return self._replace(way=(*self.way, *map(_number, places)))

    def rng(self) -> np.random.Generator:
        """The generator at this place; each call gives a fresh one."""
        return rng_at(_drawn_seed() if self.seed is None else self.seed, *self.way)


def _drawn_seed() -> int:
    return int.from_bytes(global_rng().bytes(16), "little")


def _number(place: int | str) -> int:
    if isinstance(place, int):
        return place
    return int.from_bytes(hashlib.blake2b(place.encode(), digest_size=8).digest(), "little")


def rng_at(seed: int | np.random.SeedSequence, *position: int) -> np.random.Generator:
    """The generator that belongs to one place in a run, wherever it is asked for.

    Parameters
    ----------
    seed : int or numpy.random.SeedSequence
        The seed of the run.
    *position : int
        Where: an epoch, an epoch and a step, and so on.

    Returns
    -------
    numpy.random.Generator
        ``default_rng(SeedSequence(seed, spawn_key=position))``.

    Examples
    --------
    >>> rng_at(7, 0).permutation(5)
    array([1, 4, 3, 2, 0])
    >>> rng_at(7, 1).permutation(5)
    array([3, 4, 0, 1, 2])
    """
    if isinstance(seed, np.random.SeedSequence):
        return np.random.default_rng(
            np.random.SeedSequence(seed.entropy, spawn_key=(*seed.spawn_key, *position), pool_size=seed.pool_size)
        )
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=position))


def as_rng(shuffle: Any) -> Rng | None:
    """What draws the shuffled order, or None where the order is to be kept.

    Parameters
    ----------
    shuffle : None, bool, int, SeedSequence, RandomState or Generator
        None and False keep the order. True is NumPy's global generator. A seed is the order of epoch 0 of that seed,
        the same each time. A generator is used as it is, and advances.

    Raises
    ------
    TypeError
        For anything else.
    ValueError
        For a negative seed.
    """
    if shuffle is None or isinstance(shuffle, (bool, np.bool_)):
        return global_rng() if shuffle else None
    if isinstance(shuffle, (np.random.RandomState, np.random.Generator)):
        return shuffle
    if shuffle is np.random:
        return global_rng()
    if isinstance(shuffle, (int, np.integer)):
        if shuffle < 0:
            raise ValueError(f"a seed for shuffle should be 0 or more, not {shuffle}")
        return rng_at(int(shuffle), 0)
    if isinstance(shuffle, np.random.SeedSequence):
        return rng_at(shuffle, 0)
    raise TypeError(
        "shuffle should be None, a bool, a seed (an int or a SeedSequence), a RandomState or a Generator, "
        f"not {shuffle!r}"
    )


def entropy_of(shuffle: Any) -> int:
    """A number that stands for what `shuffle` will draw, without drawing: a seed itself, of a generator its state.

    Without a shuffle it is the state of NumPy's global generator, so that ``numpy.random.seed`` decides.

    >>> entropy_of(7)
    7
    >>> entropy_of(np.random.default_rng(7)) == entropy_of(np.random.default_rng(7))
    True
    """
    if isinstance(shuffle, (int, np.integer)) and not isinstance(shuffle, bool):
        return int(shuffle)
    state: Any
    if isinstance(shuffle, np.random.SeedSequence):
        state = numbers(shuffle.entropy), tuple(numbers(shuffle.spawn_key))
    elif isinstance(shuffle, np.random.Generator):
        state = shuffle.bit_generator.state
    else:
        state = (shuffle if isinstance(shuffle, np.random.RandomState) else global_rng()).get_state(legacy=False)
    return int.from_bytes(hashlib.blake2b(pickle.dumps(state), digest_size=16).digest(), "little")


def numbers(x: Any) -> Any:
    """The entropy of a `SeedSequence`, whatever it was given as, in plain numbers and lists of them.

    >>> numbers(np.int64(5)), numbers((1, np.array([2, 3])))
    (5, [1, [2, 3]])
    """
    if isinstance(x, INTEGERS):
        return int(x)
    return x if x is None or isinstance(x, str) else [numbers(part) for part in x]


def seed_globals(entropy: int, *position: int) -> None:
    """Seed `numpy.random`, `random` and, where it is imported, PyTorch, for one place in a run."""
    sequence = np.random.SeedSequence(entropy, spawn_key=position)
    np.random.seed(sequence.generate_state(4))
    number = int(sequence.generate_state(1, np.uint64)[0])
    random.seed(number)
    if (of_torch := _of_torch()) is not None:
        of_torch.manual_seed(number)


@contextlib.contextmanager
def globals_kept() -> Iterator[None]:
    """Whatever is drawn or seeded meanwhile: afterwards, what `seed_globals` seeds is where it was."""
    states, of_torch = (np.random.get_state(), random.getstate()), _of_torch()
    state = None if of_torch is None else of_torch.get_state()
    try:
        yield
    finally:
        np.random.set_state(states[0])
        random.setstate(states[1])
        if of_torch is not None:
            of_torch.set_state(state)


def _of_torch() -> Any:
    """The generator that torchvision and other transforms for PyTorch draw from; None if PyTorch is not imported."""
    return getattr(sys.modules.get("torch"), "default_generator", None)


def global_rng() -> np.random.RandomState:
    """The generator behind ``numpy.random.permutation`` and its siblings, as ``numpy.random.seed`` seeds it."""
    rng = np.random.mtrand._rand
    assert isinstance(rng, np.random.RandomState)
    return rng
