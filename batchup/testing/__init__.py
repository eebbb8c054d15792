"""Contract tests for your own samplers, sources and pools, and Hypothesis strategies to try them on.

Subclass a contract in a test module, say how to make the thing, and pytest finds the tests:

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

Needs the extra ``test``: ``pip install 'batchup[test]'``.
"""

try:
    import hypothesis  # noqa: F401
    import psutil  # type: ignore[import-untyped]  # noqa: F401
    import pytest
except ModuleNotFoundError as error:
    raise ModuleNotFoundError(
        f"batchup.testing needs {error.name}, which is not installed: pip install 'batchup[test]'", name=error.name
    ) from error

pytest.register_assert_rewrite("batchup.testing.contracts")  # so that a failing test shows both sides

from .contracts import (  # noqa: E402
    AccessorContract,
    PoolContract,
    RandomAccessSourceContract,
    SamplerContract,
    SequentialSourceContract,
    SourceContract,
    plain,
)
from .strategies import Shuffled, array_sources, batch_sizes, lengths, rngs, samplers, shuffles, sources  # noqa: E402

__all__ = [
    "AccessorContract",
    "PoolContract",
    "RandomAccessSourceContract",
    "SamplerContract",
    "SequentialSourceContract",
    "Shuffled",
    "SourceContract",
    "array_sources",
    "batch_sizes",
    "lengths",
    "plain",
    "rngs",
    "samplers",
    "shuffles",
    "sources",
]
