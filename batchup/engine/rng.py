"""Seed paths: a generator for each epoch, batch and function of a run, from the seed of the run and a path."""

from __future__ import annotations

import hashlib
import pickle
from typing import Any, NamedTuple, Self

import numpy as np

from .checks import INTEGERS
from .global_rng import drawn_seed, global_rng

__all__ = ["SEEDS", "SeedPath", "entropy_of", "numbers", "rng_at"]

SEEDS = (*INTEGERS, np.random.SeedSequence)


class SeedPath(NamedTuple):
    """Where a random number generator comes from: the entropy of the run, and a path such as (epoch, step).

    They are the entropy and spawn_key of a `numpy.random.SeedSequence`, so different paths have independent generators.

    Parameters
    ----------
    entropy : int or None
        None if there is no seed. Then one is drawn from NumPy's global generator when it is needed.
    spawn_key : tuple of int

    Examples
    --------
    >>> path = SeedPath(7).child(2, "crop")
    >>> path == SeedPath(7).child(2).child("crop")
    True
    >>> path.rng().random() == SeedPath(7).child(2, "crop").rng().random()
    True
    """

    entropy: int | None
    spawn_key: tuple[int, ...] = ()

    @classmethod
    def of(cls, shuffle: Any) -> Self:
        """The path of an epoch that is shuffled by `shuffle`: for a seed, that of epoch 0; for a generator, one that
        depends on its state.

        >>> SeedPath.of(7), SeedPath.of(None)
        (SeedPath(entropy=7, spawn_key=(0,)), SeedPath(entropy=None, spawn_key=(0,)))
        """
        if isinstance(shuffle, (type(None), bool, np.bool_)) and not shuffle:
            return cls(None, (0,))
        state = entropy_of(None if isinstance(shuffle, (bool, np.bool_)) else shuffle)
        return cls(state, (0,) if isinstance(shuffle, SEEDS) and not isinstance(shuffle, bool) else (state,))

    def seeded(self, seed: int | None = None) -> Self:
        """The same path from `seed`; by default from its own entropy, or else from a seed that is drawn now."""
        known = self.entropy if seed is None else seed
        return self._replace(entropy=drawn_seed() if known is None else known)

    def child(self, *keys: int | str) -> Self:
        """A longer path. For a string, a hash of it is used."""
        return self._replace(spawn_key=(*self.spawn_key, *map(_number, keys)))

    def rng(self) -> np.random.Generator:
        """A new generator, in the same state at every call."""
        return rng_at(drawn_seed() if self.entropy is None else self.entropy, *self.spawn_key)


def _number(key: int | str) -> int:
    if isinstance(key, int):
        return key
    return int.from_bytes(hashlib.blake2b(key.encode(), digest_size=8).digest(), "little")


def rng_at(seed: int | np.random.SeedSequence, *position: int) -> np.random.Generator:
    """The generator of one position in a run, the same in any process.

    Parameters
    ----------
    seed : int or numpy.random.SeedSequence
        The seed of the run.
    *position : int
        An epoch, an epoch and a step, and so on.

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


def entropy_of(shuffle: Any) -> int:
    """A number that identifies what `shuffle` will draw: a seed itself, or a hash of the state of a generator.

    Nothing is drawn. For None it is that of NumPy's global generator, so that ``numpy.random.seed`` decides.

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
    """The entropy of a `SeedSequence` as plain ints, and lists of them.

    >>> numbers(np.int64(5)), numbers((1, np.array([2, 3])))
    (5, [1, [2, 3]])
    """
    if isinstance(x, INTEGERS):
        return int(x)
    return x if x is None or isinstance(x, str) else [numbers(part) for part in x]
