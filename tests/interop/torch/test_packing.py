"""How tensors cross from one process to another."""

from __future__ import annotations

import pickle
from typing import NamedTuple

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from batchup.engine.process import pickling  # noqa: E402
from batchup.interop.torch.packing import PackedTensor, can_be_packed, packed, unpacked  # noqa: E402


class Point(NamedTuple):
    x: object
    y: object


@pytest.mark.parametrize(
    "dtype", ["bool", "uint8", "int64", "float16", "float32", "complex64", "bfloat16", "float8_e5m2"]
)
def test_a_tensor_comes_back_as_it_was(dtype):
    """Also of a type that NumPy lacks, and one that does not lie in one piece."""
    tensor = torch.arange(12).reshape(3, 4).to(getattr(torch, dtype)).T
    found = unpacked(packed(tensor))

    assert (tensor.dtype, tensor.shape) == (found.dtype, found.shape)
    assert torch.equal(tensor.to(torch.complex64), found.to(torch.complex64))


def test_the_memory_is_shared():
    """Neither way copies a tensor that lies in one piece."""
    tensor = torch.arange(6)

    assert tensor.data_ptr() == packed(tensor).array.ctypes.data
    assert tensor.data_ptr() == unpacked(packed(tensor)).data_ptr()


def test_a_read_only_array_is_copied():
    """PyTorch has no read-only tensors."""
    array = np.arange(3)
    array.flags.writeable = False
    found = unpacked(PackedTensor(array, None))
    found += 1

    assert ([0, 1, 2], [1, 2, 3]) == (array.tolist(), found.tolist())


def test_a_batch_keeps_its_form():
    """Lists, tuples, named tuples and dicts, one in the other; what is no tensor stays."""
    batch = [Point(torch.ones(2), "a"), {"t": (torch.zeros(1), 3)}]
    inside = packed(batch)
    found = unpacked(inside)

    assert PackedTensor is type(inside[0].x) is type(inside[1]["t"][0])
    assert repr(batch) == repr(found)


@pytest.mark.parametrize(
    "make",
    [
        lambda: torch.ones(2, requires_grad=True),
        lambda: torch.nn.Parameter(torch.ones(2)),
        lambda: torch.eye(2).to_sparse(),
        lambda: torch.ones(2, dtype=torch.complex64).conj(),
    ],
    ids=["a gradient", "a parameter", "sparse", "conjugate"],
)
def test_what_is_more_than_its_values_stays_a_tensor(make):
    """It is pickled as PyTorch does."""
    tensor = make()

    assert not can_be_packed(tensor)
    assert tensor is packed(tensor)


def test_a_tensor_inside_an_object_is_sent_as_an_array():
    """Its data are no part of the pickle, so they go through shared memory."""
    header, buffers = pickling.result_dumps({"held": {"deep": torch.arange(100_000)}})[:2]

    assert len(header) < 2000
    assert torch.equal(torch.arange(100_000), pickle.loads(header, buffers=buffers)["held"]["deep"])
