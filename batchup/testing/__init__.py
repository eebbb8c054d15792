"""Tests for your own samplers, sources and pools; Hypothesis strategies; and a check that transforms are deterministic.

Subclass a contract in a test module and define how to make the object. pytest finds the tests:

>>> import numpy as np
>>> from batchup.sampling import SubsetSampler
>>> from batchup.testing import SamplerContract
>>> class TestEverySecond(SamplerContract):
...     n_samples = 10
...
...     def make(self):
...         return SubsetSampler(np.arange(0, 10, 2))
...
...     def one_go(self):
...         return [0, 2, 4, 6, 8]

These need the extra ``test``: ``pip install 'batchup[test]'``. `check_determinism` needs no extra: it runs your
transforms on all pools.
"""

import sys
from typing import TYPE_CHECKING, Any

from .determinism import check_determinism

if TYPE_CHECKING:
    from .contracts import (
        AccessorContract,
        ArrayLikeContract,
        PoolContract,
        RandomAccessSourceContract,
        SamplerContract,
        SequentialSourceContract,
        SourceContract,
        WrapperContract,
        plain,
    )
    from .strategies import (
        Shuffled,
        array_sources,
        batch_sizes,
        lengths,
        named_sources,
        rngs,
        samplers,
        shuffles,
        sources,
    )

__all__ = [
    "AccessorContract",
    "ArrayLikeContract",
    "PoolContract",
    "RandomAccessSourceContract",
    "SamplerContract",
    "SequentialSourceContract",
    "Shuffled",
    "SourceContract",
    "WrapperContract",
    "array_sources",
    "batch_sizes",
    "check_determinism",
    "lengths",
    "named_sources",
    "plain",
    "rngs",
    "samplers",
    "shuffles",
    "sources",
]


def __getattr__(name: str) -> Any:
    """The contracts and strategies, imported when they are asked for: `check_determinism` needs no pytest."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        import hypothesis  # noqa: F401
        import psutil  # type: ignore[import-untyped]  # noqa: F401
        import pytest
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            f"{__name__}.{name} needs {error.name}, which is not installed: pip install 'batchup[test]'",
            name=error.name,
        ) from error
    if "batchup.testing.contracts" not in sys.modules:
        pytest.register_assert_rewrite("batchup.testing.contracts")  # so that a failing test shows both sides
    from . import contracts, strategies

    return getattr(contracts if name in contracts.__all__ else strategies, name)
