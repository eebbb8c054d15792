"""Contracts of samplers, accessors, sources and pools: tests that a subclass inherits."""

from .array_likes import ArrayLikeContract
from .comparable import plain
from .pools import PoolContract
from .samplers import AccessorContract, SamplerContract
from .sources import RandomAccessSourceContract, SequentialSourceContract, SourceContract
from .wrappers import WrapperContract

__all__ = [
    "AccessorContract",
    "ArrayLikeContract",
    "PoolContract",
    "RandomAccessSourceContract",
    "SamplerContract",
    "SequentialSourceContract",
    "SourceContract",
    "WrapperContract",
    "plain",
]
