"""Signatures and fingerprints: what a plan depends on, as plain values, and a short hash of them for a state."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np

__all__ = ["fingerprint", "signature_of", "summary_of"]


def fingerprint(*signature: Any) -> str:
    """A short hash of plain values: equal for equal values, different for others.

    >>> fingerprint("a", 1) == fingerprint("a", 1), fingerprint("a", 1) == fingerprint("a", 2)
    (True, False)
    """
    return hashlib.blake2b(repr(signature).encode(), digest_size=8).hexdigest()


def signature_of(sampler: Any) -> tuple[Any, ...]:
    """The class of a sampler and its public attributes, as plain values; arrays are hashed."""
    held = sorted(getattr(sampler, "__dict__", {}).items())
    return type(sampler).__name__, *((name, summary_of(value)) for name, value in held if not name.startswith("_"))


def summary_of(value: Any) -> Any:
    """Plain values that stand for a value: itself if it is plain, a hash if it is an array, or else its class.

    >>> summary_of((1, None)), summary_of(np.zeros(2))[:2]
    (('tuple', 1, None), ('float64', (2,)))
    """
    if isinstance(value, np.ndarray) and value.dtype != object:
        content = hashlib.blake2b(np.ascontiguousarray(value).data, digest_size=8).hexdigest()
        return str(value.dtype), value.shape, content
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, (list, tuple)):
        return type(value).__name__, *map(summary_of, value)
    if isinstance(value, (type(None), bool, int, float, str)):
        return value
    if hasattr(value, "num_indices_generated"):  # a sampler within a sampler
        return signature_of(value)
    return type(value).__name__
