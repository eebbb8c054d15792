"""Samplers decide which samples a batch is made of, and in which order. They know indices, never data.

A sampler gives batches of indices in order, or shuffled by a random number generator. There are samplers over all
samples (`StandardSampler`) and over a subset of them (`SubsetSampler`), and the same two with weights
(`WeightedSampler`, `WeightedSubsetSampler`); for very many samples (`LazyShuffleSampler`) and for data in chunks
(`BlockSampler`); with numbers of samples of each class (`ClassCountSampler`); for
samples of unequal length (`BucketSampler`); and for mixtures of several sources (`MixtureSampler`).
"""

from typing import TYPE_CHECKING

from ..engine.on_use import on_use

if TYPE_CHECKING:
    from .base import AbstractSampler, num_batches
    from .batches import ascending as ascending
    from .batches import cut as cut
    from .batches import repeated as repeated
    from .blocks import BlockSampler
    from .buckets import BucketSampler, Waste
    from .class_counts import ClassCountSampler
    from .inverse import Inverse as Inverse
    from .labels import classes_of as classes_of
    from .lazy_shuffle import LazyShuffleSampler
    from .lazy_shuffle import lazy as lazy
    from .mapped import MappedSampler as MappedSampler
    from .mixtures import MixtureSampler
    from .mixtures import Stop as Stop
    from .standard import StandardSampler, SubsetSampler
    from .weighted import WeightedSampler, WeightedSubsetSampler
    from .weighted import normalised as normalised

__all__ = [
    "AbstractSampler",
    "BlockSampler",
    "BucketSampler",
    "ClassCountSampler",
    "LazyShuffleSampler",
    "MixtureSampler",
    "StandardSampler",
    "SubsetSampler",
    "Waste",
    "WeightedSampler",
    "WeightedSubsetSampler",
    "num_batches",
]

__getattr__, __dir__ = on_use(
    __name__,
    {
        "base": ["AbstractSampler", "num_batches"],
        "batches": ["ascending", "cut", "repeated"],
        "blocks": ["BlockSampler"],
        "buckets": ["BucketSampler", "Waste"],
        "class_counts": ["ClassCountSampler"],
        "inverse": ["Inverse"],
        "labels": ["classes_of"],
        "lazy_shuffle": ["LazyShuffleSampler", "lazy"],
        "mapped": ["MappedSampler"],
        "mixtures": ["MixtureSampler", "Stop"],
        "standard": ["StandardSampler", "SubsetSampler"],
        "weighted": ["WeightedSampler", "WeightedSubsetSampler", "normalised"],
    },
)
