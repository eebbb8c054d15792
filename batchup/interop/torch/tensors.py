"""Batches as tensors, on the CPU or on a device."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import torch

from ...engine.checks import kind_of
from ..converted import Converted
from ..prefetch import LoaderWrapper, Prefetched

__all__ = ["TensorLoader", "as_tensors", "pinned", "to_torch"]

LEFT_ALONE = "OSUT"  # kinds of arrays: objects, and strings


def as_tensors(*batch: Any) -> Any:
    """The arrays of a batch as tensors that share their memory, for `map`.

    Strings, objects, lists and numbers are left as they are. Read-only arrays are copied.

    Parameters
    ----------
    *batch : arrays, or one dict of them
        May be nested.

    Returns
    -------
    tuple or dict

    Raises
    ------
    TypeError
        If PyTorch has no type for an array, for example for dates. The error names the array.

    Examples
    --------
    >>> from batchup import ArrayDataSource
    >>> ds = ArrayDataSource([np.arange(3), np.array(["a", "b", "c"])]).map(as_tensors)
    >>> next(ds.batch_iterator(2))
    (tensor([0, 1]), array(['a', 'b'], dtype='<U1'))
    """
    whole = batch[0] if len(batch) == 1 and isinstance(batch[0], dict) else batch
    return tensors_of(whole)


def tensors_of(batch: Any, dtype: Any = None) -> Any:
    """A tree of tensors, from a tree of arrays. Floating-point tensors get the type `dtype`."""
    try:
        return _tensors_of(batch, dtype)
    except _Lacking as error:
        array = error.args[0]
        fields = "".join(f"field {key!r} of " for key in reversed(_path_to(array, batch) or ()))
        raise TypeError(
            f"{fields}the batch is of type {array.dtype}, which PyTorch lacks; map it to numbers first, or leave it out"
        ) from error.__cause__


class _Lacking(Exception):
    """PyTorch has no type for this array."""


def _tensors_of(batch: Any, dtype: Any) -> Any:
    kind = type(batch)  # compared first, as every microsecond counts for small batches
    if kind is tuple:
        return tuple([_tensors_of(part, dtype) for part in batch])
    if kind is np.ndarray or isinstance(batch, np.ndarray):
        batch = batch if batch.dtype.kind in LEFT_ALONE else _tensor_of(batch)
    elif isinstance(batch, dict):
        return {key: _tensors_of(part, dtype) for key, part in batch.items()}
    elif isinstance(batch, tuple):
        parts = [_tensors_of(part, dtype) for part in batch]
        return kind(*parts) if hasattr(batch, "_fields") else tuple(parts)
    if dtype is not None and isinstance(batch, torch.Tensor) and batch.is_floating_point():
        return batch.to(dtype)
    return batch


def _tensor_of(array: Any) -> Any:
    try:
        return torch.from_numpy(array if array.flags.writeable else array.copy())
    except (TypeError, ValueError):  # bytes in the other order, or strides below zero
        pass
    try:
        return torch.from_numpy(array.astype(array.dtype.newbyteorder("="), order="C"))
    except TypeError as error:
        raise _Lacking(array) from error


def _path_to(array: Any, batch: Any) -> tuple[Any, ...] | None:
    """The keys and numbers of the fields that lead to an array; None if it is not in the batch."""
    if batch is array:
        return ()
    items = batch.items() if isinstance(batch, dict) else enumerate(batch) if isinstance(batch, tuple) else ()
    inner = ((key, _path_to(array, part)) for key, part in items)
    return next(((key, *path) for key, path in inner if path is not None), None)


def to_torch(loader: Any, device: Any = None, pin_memory: bool | None = None, dtype: Any = None, depth: int = 2) -> Any:
    """The batches of a loader as tensors, moved to a device ahead of the loop; what ``loader.to_torch`` calls.

    Parameters
    ----------
    loader : Loader
    device : torch.device or str, optional
        Where to move the batches to. Without one they stay on the CPU.
    pin_memory : bool, optional
        Whether to copy batches to pinned memory first. By default, if they are moved to a GPU. Without a GPU, this has
        no effect.
    dtype : torch.dtype, optional
        The type of floating-point tensors; others keep theirs.
    depth : int, default 2
        The number of batches to move ahead of the loop.

    Returns
    -------
    TensorLoader or Prefetched
        With the methods of the loader that a training loop needs. The state counts the batches that the loop has
        received, not those that were moved ahead.

    Examples
    --------
    >>> from batchup import Loader
    >>> for X, y in to_torch(Loader([np.zeros((5, 2)), np.arange(5)], 4), dtype=torch.float32):
    ...     print(X.shape, X.dtype, y)
    torch.Size([4, 2]) torch.float32 tensor([0, 1, 2, 3])
    torch.Size([1, 2]) torch.float32 tensor([4])
    """
    target = None if device is None else _with_index(torch.device(device))
    moves = target is not None and target.type != "cpu"
    pins = (moves if pin_memory is None else bool(pin_memory)) and torch.cuda.is_available()
    if not moves and not pins:
        return TensorLoader(loader, dtype)
    if target is not None and target.type == "cuda":
        return _OnGpu(loader, _ToGpu(target, dtype, pins), depth)
    return Prefetched(loader, _Move(target, dtype, pins), depth)


def _with_index(device: Any) -> Any:
    """The same device; "cuda" is the current GPU of this thread, as each thread has one of its own."""
    if device.type == "cuda" and device.index is None and torch.cuda.is_available():
        return torch.device("cuda", torch.cuda.current_device())
    return device


class TensorLoader(LoaderWrapper):
    """A loader whose batches are tensors; made by `to_torch`.

    Parameters
    ----------
    loader : Loader
    dtype : torch.dtype or None
    """

    def __init__(self, loader: Any, dtype: Any = None) -> None:
        super().__init__(loader)
        self.dtype = dtype

    def __iter__(self) -> Iterator[Any]:
        """The batches of the next epoch; after `load_state_dict`, the rest of the epoch of the state."""
        return Converted(self._converted, iter(self.loader))

    def steps(self, n: int) -> Iterator[Any]:
        """The next `n` batches from the current position, across the ends of epochs."""
        return Converted(self._converted, self.loader.steps(n))

    def resume(self) -> Iterator[Any]:
        """The rest of the current epoch: use it where a loop was interrupted."""
        return Converted(self._converted, self.loader.resume())

    def batch(self, epoch: int, step: int) -> Any:
        """Fetch a single batch of the run. The position of the loader does not change."""
        return self._converted(self.loader.batch(epoch, step))

    def __len__(self) -> int:
        return len(self.loader)

    def __repr__(self) -> str:
        return f"<TensorLoader of {self.loader!r}>"

    def state_dict(self) -> dict[str, Any]:
        """The state of the loader."""
        state: dict[str, Any] = self.loader.state_dict()
        return state

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Resume a run at the exact next batch after `state` was saved."""
        self.loader.load_state_dict(state)

    def set_weights(self, weights: Any) -> None:
        """Draw samples by other weights from the next epoch on, as `Loader.set_weights`."""
        self.loader.set_weights(weights)

    def set_batch_size(self, batch_size: int | None) -> None:
        """Make batches of another size from the next epoch on, as `Loader.set_batch_size`."""
        self.loader.set_batch_size(batch_size)

    def _rewind(self, epoch: int, step: int) -> None:
        """Move back to `step` of `epoch`, as `Loader._rewind`."""
        self.loader._rewind(epoch, step)

    def _converted(self, batch: Any) -> Any:
        return tensors_of(batch, self.dtype)


def pinned(batch: Any) -> Any:
    """The tensors of a batch, copied to pinned memory, from which a GPU can copy asynchronously."""
    from torch.utils.data._utils.pin_memory import pin_memory

    return pin_memory(batch)


class _Move:
    """The tensors of a batch on a device."""

    def __init__(self, device: Any, dtype: Any, pins: bool) -> None:
        self.device, self.dtype, self.pins = device, dtype, pins

    def __call__(self, batch: Any) -> Any:
        tensors = tensors_of(batch, self.dtype)
        tensors = pinned(tensors) if self.pins else tensors
        return tensors if self.device is None else moved(tensors, self.device)


class _ToGpu(_Move):
    """The tensors of a batch on a GPU, copied on a CUDA stream of its own, and the event of the copy."""

    stream: Any = None

    def __call__(self, batch: Any) -> Any:
        if self.stream is None:
            self.stream = torch.cuda.Stream(self.device)
        with torch.cuda.stream(self.stream):
            tensors = super().__call__(batch)
            return tensors, self.stream.record_event(), self.device


class _Computed:
    """What a function makes of the tensors of a batch on a GPU; and when it will be there."""

    def __init__(self, fn: Callable[[Any], Any], device: Any) -> None:
        if not callable(fn):
            raise TypeError(f"fn should be a function of a batch, not {kind_of(fn)}")
        self.fn, self.device = fn, device

    def __call__(self, batch: Any) -> Any:
        with torch.cuda.device(self.device):  # each thread has a current one of its own
            made = self.fn(batch)
            return made, torch.cuda.current_stream().record_event(), self.device


class _OnGpu(Prefetched):
    """Batches that `_ToGpu` has copied, or `_Computed` has made. The stream of the loop waits for them."""

    def prefetch_to(self, fn: Callable[[Any], Any], depth: int = 2) -> Prefetched:
        put: Any = self._put
        return _OnGpu(self, _Computed(fn, put.device), depth)

    def batch(self, epoch: int, step: int) -> Any:
        return _arrived_on_gpu(super().batch(epoch, step))

    def _over(self, loop: Iterator[Any]) -> Iterator[Any]:
        return Converted(_arrived_on_gpu, super()._over(loop))


def _arrived_on_gpu(batch: Any) -> Any:
    tensors, event, device = batch
    current = torch.cuda.current_stream(device)
    current.wait_event(event)
    for tensor in filter(operator.attrgetter("is_cuda"), _tensors_in(tensors)):
        tensor.record_stream(current)  # so its memory is not reused before the loop's work on it is done
    return tensors


def moved(batch: Any, device: Any) -> Any:
    """The tensors of a tree, on a device; the rest as it is."""
    if isinstance(batch, dict):
        return {key: moved(part, device) for key, part in batch.items()}
    if isinstance(batch, tuple):
        parts = [moved(part, device) for part in batch]
        return type(batch)(*parts) if hasattr(batch, "_fields") else tuple(parts)
    return batch.to(device, non_blocking=True) if isinstance(batch, torch.Tensor) else batch


def _tensors_in(batch: Any) -> Iterator[Any]:
    if isinstance(batch, (dict, tuple)):
        for part in batch.values() if isinstance(batch, dict) else batch:
            yield from _tensors_in(part)
    elif isinstance(batch, torch.Tensor):
        yield batch
