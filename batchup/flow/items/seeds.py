"""The random numbers of batches and items: each has its own seed path, so they do not depend on the workers."""

from __future__ import annotations

from contextvars import ContextVar
from typing import Any

import numpy as np

from ...engine.checks import INTEGERS
from ...engine.rng import SeedPath

__all__ = ["ItemSeed", "make_rng", "seed_in_use", "seed_path"]


def seed_path(seed: int | np.random.SeedSequence | None) -> SeedPath:
    """The seed path that starts at a seed: an int, a SeedSequence, or None for a new seed of the operating system.

    >>> seed_path(np.random.SeedSequence(7, spawn_key=(2,)))
    SeedPath(entropy=7, spawn_key=(2,))
    """
    if isinstance(seed, INTEGERS):
        return SeedPath(int(seed))
    sequence: Any = seed if isinstance(seed, np.random.SeedSequence) else np.random.SeedSequence(seed)
    return SeedPath(sequence.entropy, tuple(sequence.spawn_key))


def make_rng(seed: int | np.random.SeedSequence | np.random.Generator | None = None) -> np.random.Generator:
    """A generator: `seed` itself if it is one, else a new one with this seed.

    >>> make_rng(7).integers(10) == make_rng(7).integers(10)
    np.True_
    """
    return np.random.default_rng(seed)


class ItemSeed:
    """The random numbers of one item, batch or step: its seed path, and a generator that is made at first use.

    Parameters
    ----------
    root : SeedPath
    keys : tuple of int
        The seed path is ``root.child(*keys)``. It is made when it is needed: most items draw nothing.
    pass_rng : bool, default False
        Whether the function gets the generator as its keyword argument ``rng``.
    """

    __slots__ = ("_rng", "calls", "keys", "pass_rng", "root")

    def __init__(self, root: SeedPath, keys: tuple[int, ...] = (), pass_rng: bool = False) -> None:
        self.root = root
        self.keys = keys
        self.pass_rng = pass_rng
        self.calls = 0
        self._rng: np.random.Generator | None = None

    @property
    def path(self) -> SeedPath:
        """The seed path."""
        return self.root.child(*self.keys)

    @property
    def rng(self) -> np.random.Generator:
        """The generator."""
        if self._rng is None:
            self._rng = self.path.rng()
        return self._rng

    def next_path(self) -> SeedPath:
        """The seed path of the next parallel call that is made from here."""
        self.calls += 1
        return self.root.child(*self.keys, self.calls - 1)


# The random numbers of the item that this code works on; None outside of any item.
seed_in_use: ContextVar[ItemSeed | None] = ContextVar("item", default=None)
