"""For JAX (``pip install jax``): batches on its devices, ahead of the loop."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..engine.optional import library
from ..errors import noted
from .prefetch import Prefetched

__all__ = ["device_put"]

LEFT_ALONE = "OSUT"  # kinds of arrays: objects, and strings


def device_put(loader: Any, sharding: Any = None, depth: int = 2) -> Prefetched:
    """The batches of a loader as JAX arrays, put on their devices ahead of the loop.

    Strings, objects, lists and numbers are left as they are.

    Parameters
    ----------
    loader : Loader
    sharding : jax.sharding.Sharding or jax.Device, optional
        Where to put the arrays of a batch; by default, on the default device. If a sharding has devices of several
        processes, the batch of each process is its part of the global arrays. Then pass ``shard="auto"`` to the loader.
    depth : int, default 2
        The number of batches to put ahead of the loop.

    Returns
    -------
    Prefetched
        Iterate over it as over the loader. Its state counts the batches that the loop has received, not those that were
        put ahead.

    Raises
    ------
    ModuleNotFoundError
        If JAX is not installed.

    Examples
    --------
    ::

        mesh = jax.make_mesh((8,), ("batch",))
        sharding = NamedSharding(mesh, PartitionSpec("batch"))
        loader = Loader([X, y], 64, shuffle=7, last="drop", shard="auto")
        for X, y in device_put(loader, sharding):
            state = train_step(state, X, y)
    """
    return Prefetched(loader, _Put(sharding), depth)


class _Put:
    """Puts the arrays of a batch on their devices."""

    def __init__(self, sharding: Any) -> None:
        self.jax = _jax()
        self.sharding = sharding
        self.spread = isinstance(sharding, self.jax.sharding.Sharding)

    def __call__(self, batch: Any, path: tuple[Any, ...] = ()) -> Any:
        if isinstance(batch, dict):
            return {key: self(part, (*path, key)) for key, part in batch.items()}
        if isinstance(batch, tuple):
            parts = [self(part, (*path, i)) for i, part in enumerate(batch)]
            return type(batch)(*parts) if hasattr(batch, "_fields") else tuple(parts)
        if not isinstance(batch, np.ndarray) or batch.dtype.kind in LEFT_ALONE:
            return batch
        try:
            return self._put(batch)
        except Exception as error:
            fields = " of ".join(f"field {key!r}" for key in reversed(path))
            noted(error, f"in {fields or 'the array'} of the batch, of shape {batch.shape} and type {batch.dtype}")
            raise

    def _put(self, array: Any) -> Any:
        if self.spread:  # also over several processes, each of which passes its own part
            return self.jax.make_array_from_process_local_data(self.sharding, array)
        return self.jax.device_put(array, self.sharding)


def _jax() -> Any:
    return library("jax", "jax", "batchup.interop.jax", "JAX")
