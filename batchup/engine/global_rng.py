"""The global random number generators: of NumPy, of Python, and of PyTorch where it is imported."""

from __future__ import annotations

import contextlib
import ctypes
import random
import sys
from collections.abc import Iterator
from typing import Any, TypeAlias

import numpy as np

Rng: TypeAlias = np.random.RandomState | np.random.Generator

__all__ = [
    "Rng",
    "drawn_seed",
    "global_rng",
    "globals_kept",
    "marks_of_globals",
    "restore_globals",
    "seed_globals",
    "states_of_globals",
]

_Words = ctypes.c_uint32 * 625


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
    states = states_of_globals()
    try:
        yield
    finally:
        restore_globals(states)


def states_of_globals() -> tuple[Any, Any, Any]:
    """The states of the generators that `seed_globals` seeds."""
    of_torch = _of_torch()
    return np.random.get_state(), random.getstate(), None if of_torch is None else of_torch.get_state()


def restore_globals(states: tuple[Any, Any, Any]) -> None:
    """Put the generators that `seed_globals` seeds into these states."""
    of_numpy, of_python, state = states
    np.random.set_state(of_numpy)
    random.setstate(of_python)
    of_torch = _of_torch()
    if of_torch is not None and state is not None:
        of_torch.set_state(state)


def marks_of_globals() -> tuple[Any, ...]:
    """What changes whenever a number is drawn from the generators that `seed_globals` seeds.

    It is read in a quarter of the time that their states take.

    >>> with globals_kept():
    ...     before = marks_of_globals()
    ...     _ = np.random.random(), np.random.random()
    ...     before == marks_of_globals(), marks_of_globals() == marks_of_globals()
    (False, True)
    """
    of_torch = _of_torch()
    state = None if of_torch is None else np.asarray(of_torch.get_state()).tobytes()
    _, words, gauss = random.getstate()  # 624 words, and how many of them were used
    return _mark_of_numpy(), words[0], words[-1], gauss, state


def _mark_of_numpy() -> Any:
    bits = global_rng()._bit_generator
    if type(bits) is not np.random.MT19937:  # the program has set another one
        return str(bits.state)
    words = _Words.from_address(bits.ctypes.state_address)  # the same
    return words[0], words[624]


def _of_torch() -> Any:
    """The generator that torchvision and other transforms for PyTorch draw from; None if PyTorch is not imported."""
    return getattr(sys.modules.get("torch"), "default_generator", None)
