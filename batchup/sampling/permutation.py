"""Keyed permutations: the order of any number of samples as a function of a key, in little memory.

A permutation is not stored. The place of each sample in it is computed, so that a shuffle of 10**9 samples begins at
once, and can be entered anywhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ..engine.checks import Indices
from ..engine.shuffle import Rng

__all__ = ["Feistel", "KeyedPermutation", "key_from"]

Words = npt.NDArray[Any]  # of uint32 where the numbers fit: twice as fast


def key_from(rng: Rng) -> int:
    """A key of 128 bits, drawn from a generator of either kind.

    >>> key_from(np.random.default_rng(7)) == key_from(np.random.default_rng(7))
    True
    """
    return int.from_bytes(rng.bytes(16), "little")


class KeyedPermutation:
    """A permutation of ``range(n)`` that follows from a key. Call it with positions to get what stands there.

    Parameters
    ----------
    n : int
    key : int
    path : sequence of int, default ()
        Permutations of one key with different paths are independent of each other.

    Notes
    -----
    Up to `table_up_to` the permutation is drawn and kept, each one with the same probability. Above, it is a `Feistel`
    network, which needs the same memory for any `n`.

    Examples
    --------
    >>> shuffled = KeyedPermutation(10**12, key=7)
    >>> shuffled(np.arange(3))
    array([598361848850,  18914089562, 894104251696])
    >>> sorted(KeyedPermutation(5, key=7)(np.arange(5)).tolist())
    [0, 1, 2, 3, 4]
    """

    table_up_to = 1 << 16

    def __init__(self, n: int, key: int, path: Sequence[int] = ()) -> None:
        seeds = np.random.SeedSequence(key, spawn_key=tuple(path))
        self._table = np.random.default_rng(seeds).permutation(n) if n <= self.table_up_to else None
        self._network = None if n <= self.table_up_to else Feistel(n, seeds.generate_state(2 * ROUNDS, np.uint64))

    def __call__(self, positions: Indices) -> Indices:
        if self._network is None:
            return self._table[positions]  # type: ignore[index]
        return self._network(positions)

    def between(self, start: int, stop: int) -> Indices:
        """What stands at the positions from `start` up to, not including, `stop`. A new array."""
        if self._network is None:
            return self._table[start:stop].copy()  # type: ignore[index]
        return self._network(np.arange(start, stop))


ROUNDS = 4
# By the bytes of a word: a shift of half a word, an odd constant near the golden ratio, the bits of a word.
MIXING: dict[int, tuple[Any, Any, int]] = {
    4: (np.uint32(16), np.uint32(0x9E3779B1), 32),
    8: (np.uint64(32), np.uint64(0x9E3779B97F4A7C15), 64),
}


class Feistel:
    """A bijection of ``range(n)`` to itself: a Feistel network of four rounds, with cycle walking.

    A number is cut into two halves of bits, which may differ in length by one. Each round changes one half by a hash of
    the other, which can be undone, so that different numbers stay different. Where the result is `n` or more, the
    network is applied again until it is below `n` (Black and Rogaway, "Ciphers with arbitrary finite domains", 2002).

    Parameters
    ----------
    n : int
    keys : ndarray of uint64, 1-D
        Two for each round.

    Examples
    --------
    >>> keys = np.random.SeedSequence(7).generate_state(8, np.uint64)
    >>> sorted(Feistel(6, keys)(np.arange(6)).tolist())
    [0, 1, 2, 3, 4, 5]
    """

    def __init__(self, n: int, keys: Words) -> None:
        self.n = n
        bits = max(n - 1, 0).bit_length()
        low = bits // 2
        self._word: Any = np.uint32 if bits <= 32 else np.uint64
        word = self._word
        self._low, self._mask = word(low), word((1 << low) - 1)
        self._sizes = (bits - low, low)
        added, factors = (keys[each::2].astype(word) for each in (0, 1))  # their low bits, for uint32
        self._rounds = list(zip(added, np.bitwise_or(factors, word(1)), strict=True))

    def __call__(self, positions: Indices) -> Indices:
        if self.n <= 1:
            return positions.copy()
        numbers = self._once(positions.astype(self._word))
        outside = np.flatnonzero(numbers >= self.n)
        while len(outside):
            numbers[outside] = again = self._once(numbers[outside])
            outside = outside[again >= self.n]
        return numbers.astype(np.intp)

    def _once(self, numbers: Words) -> Words:
        """The network, once. Uses up `numbers`."""
        halves = [numbers >> self._low, numbers & self._mask]
        scratch, shifted = np.empty_like(numbers), np.empty_like(numbers)
        for i, keys in enumerate(self._rounds):
            changed, other = halves[i % 2], halves[1 - i % 2]
            size = self._sizes[i % 2]
            if size:
                np.bitwise_xor(changed, _hashed(other, keys, size, scratch, shifted), out=changed)
        high, low = halves
        np.left_shift(high, self._low, out=high)
        np.bitwise_or(high, low, out=high)
        return high


def _hashed(half: Words, keys: tuple[Any, Any], bits: int, out: Words, shifted: Words) -> Words:
    """A hash of each of `half`, of so many bits, in `out`."""
    added, factor = keys
    middle, constant, word_size = MIXING[out.dtype.itemsize]
    np.add(half, added, out=out)
    np.multiply(out, factor, out=out)
    np.right_shift(out, middle, out=shifted)
    np.bitwise_xor(out, shifted, out=out)
    np.multiply(out, constant, out=out)
    np.right_shift(out, out.dtype.type(word_size - bits), out=out)
    return out
