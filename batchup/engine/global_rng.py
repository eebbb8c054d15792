"""The global random number generators: of NumPy, of Python, and of PyTorch where it is imported."""

from __future__ import annotations

import contextlib
import random
import sys
from collections.abc import Iterator
from typing import Any, TypeAlias

import numpy as np

Rng: TypeAlias = np.random.RandomState | np.random.Generator

__all__ = ["Rng", "drawn_seed", "global_rng", "globals_kept", "seed_globals"]


def global_rng() -> np.random.RandomState:
    """The generator behind ``numpy.random.permutation`` and its siblings, as ``numpy.random.seed`` seeds it."""
    rng = np.random.mtrand._rand
    assert isinstance(rng, np.random.RandomState)
    return rng


def drawn_seed() -> int:
    """A seed of 128 bits, drawn from NumPy's global generator."""
    return int.from_bytes(global_rng().bytes(16), "little")


def seed_globals(entropy: int, *position: int) -> None:
    """Seed `numpy.random`, `random` and, if it is imported, PyTorch, for one position in a run."""
    sequence = np.random.SeedSequence(entropy, spawn_key=position)
    np.random.seed(sequence.generate_state(4))
    number = int(sequence.generate_state(1, np.uint64)[0])
    random.seed(number)
    if (of_torch := _of_torch()) is not None:
        of_torch.manual_seed(number)


@contextlib.contextmanager
def globals_kept() -> Iterator[None]:
    """A context after which the generators that `seed_globals` seeds are in the state that they were in before."""
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
