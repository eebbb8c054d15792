"""How tensors are sent from one process to another: as NumPy arrays, through shared memory."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch

from ...engine.process import pickling

__all__ = ["PackedTensor", "packed", "unpacked"]

# types that NumPy lacks, and those of equal size that stand for them
STAND_INS = {
    name: number
    for names, number in [
        (["bfloat16"], torch.int16),
        (["float8_e4m3fn", "float8_e5m2", "float8_e4m3fnuz", "float8_e5m2fnuz", "float8_e8m0fnu"], torch.uint8),
    ]
    for name in names
    if hasattr(torch, name)
}


class PackedTensor(NamedTuple):
    """A tensor as an array.

    Attributes
    ----------
    array : ndarray
    dtype : str or None
        The type of the tensor, if NumPy has no such type.
    """

    array: Any
    dtype: str | None


def packed(batch: Any) -> Any:
    """The same batch, with arrays in place of tensors.

    Raises
    ------
    TypeError
        If a tensor is on a GPU: the memory of a GPU belongs to one process.
    """
    kind = type(batch)
    if kind is torch.Tensor:
        return _packed_tensor(batch)
    if kind is list or kind is tuple:
        return kind([packed(part) for part in batch])
    if kind is dict:
        return {key: packed(part) for key, part in batch.items()}
    if issubclass(kind, tuple) and hasattr(kind, "_fields"):
        return kind(*[packed(part) for part in batch])
    return batch


def unpacked(batch: Any) -> Any:
    """The inverse of `packed`; the tensors share the memory of the arrays."""
    kind = type(batch)
    if kind is PackedTensor:
        return tensor_of(*batch)
    if kind is list or kind is tuple:
        return kind([unpacked(part) for part in batch])
    if kind is dict:
        return {key: unpacked(part) for key, part in batch.items()}
    if issubclass(kind, tuple) and hasattr(kind, "_fields"):
        return kind(*[unpacked(part) for part in batch])
    return batch


def tensor_of(array: Any, dtype: str | None) -> Any:
    """The tensor of a `PackedTensor`. It is a copy if the array is read-only."""
    tensor = torch.from_numpy(array if array.flags.writeable else array.copy())
    return tensor if dtype is None else tensor.view(getattr(torch, dtype))


def can_be_packed(tensor: Any) -> bool:
    """Whether the tensor has nothing but its values: on the CPU, dense, without a gradient."""
    return (
        type(tensor) is torch.Tensor
        and tensor.device.type == "cpu"
        and tensor.layout is torch.strided
        and not tensor.requires_grad
        and not tensor.is_quantized
        and not tensor.is_conj()
        and not tensor.is_neg()
    )


def _packed_tensor(tensor: Any) -> Any:
    if tensor.device.type != "cpu":
        raise TypeError(
            f"a worker should return tensors on the CPU, not on {tensor.device}: the memory of a device belongs to one "
            "process; return CPU tensors from the dataset and collate_fn, and move batches in the loop, with "
            "pin_memory=True and .to(device, non_blocking=True)"
        )
    return PackedTensor(*_array_of(tensor)) if can_be_packed(tensor) else tensor


def _array_of(tensor: Any) -> tuple[Any, str | None]:
    name = str(tensor.dtype).removeprefix("torch.")
    if name in STAND_INS:
        return tensor.contiguous().view(STAND_INS[name]).numpy(), name
    return np.ascontiguousarray(tensor.numpy()).reshape(tensor.shape), None


def _reduced(tensor: Any) -> Any:
    """A tensor inside other objects, such as a dataset: its data go to shared memory, too."""
    return (tensor_of, _array_of(tensor)) if can_be_packed(tensor) else tensor.__reduce_ex__(2)


pickling.REDUCERS[torch.Tensor] = _reduced
