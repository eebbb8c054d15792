"""Convert the batches of a loader for other frameworks. The modules of `batchup.interop` are imported on use."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..data_source import Batch
from ..engine.closing import Closing
from .workers import LoaderWorkers

__all__ = ["Conversions"]


class Conversions(Closing):
    """The methods of a loader that turn its batches into those of a framework. Abstract."""

    _workers: LoaderWorkers

    def prefetch_to(self, fn: Callable[[Batch], Any], depth: int = 2) -> Any:
        """The same batches after ``fn(batch)``, which runs ahead of the loop, in a thread.

        Use it to move the next batches to a device while the loop uses the current one.

        Parameters
        ----------
        fn : callable, ``fn(batch) -> batch``
            Called for one batch at a time. If it raises, the error names the batch, and the next step of the loop tries
            the same batch again. The arrays of a batch are not overwritten while the result of `fn` refers to them. If
            `fn` copies asynchronously, it should wait for the copy, or return the batch together with the copy.
        depth : int, default 2
            The maximum number of batches that `fn` is ahead of the loop.

        Returns
        -------
        Prefetched
            Iterate over it as over the loader. Its state counts the batches that the loop has received, not those that
            `fn` was called for.

        Examples
        --------
        >>> import numpy as np
        >>> from batchup import Loader
        >>> loader = Loader([np.arange(5)], 2).prefetch_to(lambda batch: batch[0] * 10)
        >>> with loader:
        ...     for x in loader:
        ...         print(x, loader.step)
        [ 0 10] 1
        [20 30] 2
        [40] 3
        """
        from ..interop.prefetch import Prefetched

        return Prefetched(self, fn, depth)

    def to_torch(self, device: Any = None, pin_memory: bool | None = None, dtype: Any = None) -> Any:
        """The same batches as PyTorch's tensors, moved to a device ahead of the loop.

        Tensors share the memory of the arrays. Strings, objects, lists and numbers are left as they are.

        Parameters
        ----------
        device : torch.device or str, optional
            Where to move the batches to. Without one they stay on the CPU.
        pin_memory : bool, optional
            Whether to copy batches to pinned memory first. By default, if they are moved to a GPU. Without a GPU, this
            has no effect.
        dtype : torch.dtype, optional
            The type of floating-point tensors; others keep theirs.

        Returns
        -------
        TensorLoader or Prefetched
            Iterate over it as over the loader. Its state counts the batches that the loop has received, not those that
            were moved ahead.

        Raises
        ------
        ModuleNotFoundError
            If PyTorch is not installed.
        """
        from ..interop.torch import to_torch

        return to_torch(self, device, pin_memory, dtype, self._workers.depth or 2)

    def to_keras(self) -> Any:
        """The same batches as a ``keras.utils.PyDataset``, for ``fit``, ``evaluate`` and ``predict`` of Keras 3.

        A batch should be ``(x,)``, ``(x, y)`` or ``(x, y, sample_weight)``; x and y may be nested.

        Returns
        -------
        keras.utils.PyDataset
            Each epoch of Keras is one of the loader, in the order of the loader, and made by its pool.

        Raises
        ------
        ModuleNotFoundError
            If Keras, or the backend that it is set to, is not installed.
        """
        from ..interop.keras import to_keras

        return to_keras(self)

    def to_tf(self) -> Any:
        """The same batches as a ``tf.data.Dataset``. Each pass over it is one epoch of the loader.

        Returns
        -------
        tf.data.Dataset
            The types and shapes are those of the first batches. The state counts what TensorFlow has asked for. If it
            should be exact, leave out TensorFlow's ``prefetch``: the pool of the loader prefetches.

        Raises
        ------
        ModuleNotFoundError
            If TensorFlow is not installed.
        """
        from ..interop.tensorflow import to_tf

        return to_tf(self)
