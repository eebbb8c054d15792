"""Batches that are handed over without a copy stay as they are after the loop has gone on."""

import gc
import importlib

import numpy as np
import pytest

from batchup import Loader

pytestmark = pytest.mark.timeout(120)

X = np.arange(60 * 5000, dtype=np.float32).reshape(60, 5000)  # batches of 200 kB, which go through shared memory


def from_dlpack(framework):
    module = pytest.importorskip(framework)
    return importlib.import_module("jax.numpy").from_dlpack if framework == "jax" else module.from_dlpack


@pytest.fixture(params=["no pool", "threads", "processes"])
def pool(request):
    if request.param == "processes":
        return request.getfixturevalue("two_processes")
    return 2 if request.param == "threads" else None


@pytest.mark.parametrize("framework", ["numpy", "torch", "jax"])
def test_a_batch_that_is_handed_over(pool, framework):
    """Through DLPack, the arrays of a batch are those of the framework; their memory is not used again meanwhile."""
    convert = from_dlpack(framework)
    loader = Loader([X], 10, shuffle=7, pool=pool, depth=2)
    held = [convert(x) for (x,) in loader.steps(12)]
    gc.collect()
    for _ in loader.steps(12):
        pass

    expected = [x for (x,) in Loader([X], 10, shuffle=7).steps(12)]
    assert all(np.array_equal(one, np.asarray(other)) for one, other in zip(expected, held, strict=True))
    loader.close()


def test_memory_is_shared():
    """A tensor and its array are one piece of memory."""
    torch = pytest.importorskip("torch")
    ((x,),) = Loader([X[:4]], 4)
    tensor = torch.from_dlpack(x)
    tensor[0, 0] = 7

    assert 7 == x[0, 0]
