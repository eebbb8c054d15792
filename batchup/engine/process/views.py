"""Arrays that share memory with others: views of any strides, and tensors of PyTorch. Their memory is sent once."""

from __future__ import annotations

import pickle
import sys
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ..arena import ALIGNMENT
from .shared_memory import ByteRange, address

__all__ = ["ByteArray", "laid_out_once", "reduced_array", "reduced_tensor"]


class ByteArray:
    """The bytes between two addresses in the memory of an array; `numpy.asarray` makes an array of them.

    Attributes
    ----------
    base : ndarray
        Whose memory it is.
    """

    def __init__(self, base: npt.NDArray[Any], low: int, high: int) -> None:
        self.base = base
        is_read_only = not base.flags.writeable
        self.__array_interface__ = {"data": (low, is_read_only), "shape": (high - low,), "typestr": "|u1", "version": 3}


def reduced_array(array: npt.NDArray[Any]) -> tuple[Any, ...] | None:
    """How to pickle an array that is not contiguous, its data out of band; None for others, which NumPy pickles so.

    Its memory is sent as it is, with the strides, unless a copy is smaller: windows that overlap take no more memory
    than what they are views of.
    """
    if array.flags.forc or array.dtype.hasobject or not array.size:
        return None
    low = high = address_of(array)
    for n, stride in zip(array.shape, array.strides, strict=True):
        low, high = (low, high + (n - 1) * stride) if stride >= 0 else (low + (n - 1) * stride, high)
    high += array.itemsize
    if high - low > array.nbytes:
        copied: tuple[Any, ...] = np.ascontiguousarray(array).__reduce_ex__(5)  # type: ignore[assignment]
        return copied
    between: Any = np.asarray(ByteArray(array, low, high))
    memory = pickle.PickleBuffer(between)
    return strided, (memory, array.dtype, array.shape, address_of(array) - low, array.strides)


def strided(
    memory: Any, dtype: np.dtype[Any], shape: tuple[int, ...], offset: int, strides: tuple[int, ...]
) -> npt.NDArray[Any]:
    """The array of `reduced_array`, in the memory that was sent."""
    return np.ndarray(shape, dtype, memory, offset, strides)


def address_of(array: npt.NDArray[Any]) -> int:
    begin: int = array.__array_interface__["data"][0]
    return begin


def reduced_tensor(obj: Any) -> tuple[Any, ...] | None:
    """How to pickle a tensor of PyTorch whose memory NumPy can view; None for anything else."""
    torch = sys.modules.get("torch")
    if torch is None or type(obj) is not getattr(torch, "Tensor", None) or obj.device.type != "cpu":
        return None
    if obj.layout != torch.strided or obj.requires_grad or obj.is_quantized or obj.is_conj() or obj.is_neg():
        return None
    if obj.__dict__ or getattr(obj, "has_names", bool)():  # older versions have names
        return None
    try:
        return tensor, (obj.numpy(), "")
    except TypeError:  # NumPy has no such numbers
        same_size = {1: torch.uint8, 2: torch.int16}.get(obj.element_size())
        return None if same_size is None else (tensor, (obj.view(same_size).numpy(), str(obj.dtype).rpartition(".")[2]))


def tensor(array: npt.NDArray[Any], dtype: str) -> Any:
    """A tensor over the memory of the array."""
    import torch  # type: ignore[import-not-found, unused-ignore]

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # PyTorch does not know read-only memory
        made = torch.from_numpy(array)
    return made.view(getattr(torch, dtype)) if dtype else made


def laid_out_once(buffers: Sequence[memoryview]) -> tuple[list[ByteRange], list[int]]:
    """Where the buffers go in one segment, and the numbers of those to write, the others being inside of these.

    Buffers that overlap in memory overlap there, too.

    >>> memory = np.zeros(1000, np.uint8)
    >>> ranges, written = laid_out_once([memory[100:200].data, memory[:300].data, memory[250:].data])
    >>> [(offset - ranges[1][0], n) for offset, n in ranges], written
    ([(100, 100), (0, 300), (250, 750)], [1, 2])
    """
    ranges: list[ByteRange] = [(0, buffer.nbytes) for buffer in buffers]
    begins = [address(buffer) for buffer in buffers]
    written: list[int] = []
    end = 0  # of what is laid out
    for together in _overlapping(begins, [n for _, n in ranges]):
        start = begins[together[0]]
        # alone, an array is aligned better than it may be in memory; together, each as it is there
        begin = -(-end // ALIGNMENT) * ALIGNMENT + (start % ALIGNMENT if len(together) > 1 else 0)
        end = begin
        for i in together:
            offset, n = ranges[i] = begin + begins[i] - start, buffers[i].nbytes
            if offset + n > end:
                written.append(i)
                end = offset + n
    return ranges, written


def _overlapping(begins: Sequence[int], sizes: Sequence[int]) -> list[list[int]]:
    """The numbers of the pieces of memory that are not empty, in groups that overlap, by address."""
    groups: list[list[int]] = []
    last = -1  # where the memory of a group ends
    for i in sorted(filter(sizes.__getitem__, range(len(begins))), key=lambda i: (begins[i], -sizes[i])):
        if begins[i] < last:
            groups[-1].append(i)
        else:
            groups.append([i])
        last = max(last, begins[i] + sizes[i])
    return groups
