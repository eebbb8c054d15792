"""For TensorFlow (``pip install tensorflow``): the batches of a loader as a ``tf.data.Dataset``."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..engine.optional import library

__all__ = ["to_tf"]


def to_tf(loader: Any) -> Any:
    """The batches of a loader as a ``tf.data.Dataset``; what ``loader.to_tf`` calls.

    Parameters
    ----------
    loader : Loader
        Over a source that fetches by index.

    Returns
    -------
    tf.data.Dataset
        Each pass over it is one epoch of the loader.

    Raises
    ------
    ModuleNotFoundError
        If TensorFlow is not installed.
    """
    tf = library("tensorflow", "tensorflow", "to_tf", "TensorFlow")
    if not loader.source.is_random_access:
        raise TypeError(
            f"to_tf takes a loader over a source that fetches by index, and {type(loader.source).__name__} gives its "
            "batches one after the other; write tf.data.Dataset.from_generator with the signature of its batches"
        )
    plan, epoch = loader._plan, loader._epoch_at_hand()
    firsts = [loader.batch(epoch, step) for step in range(min(2, len(loader) if plan.length(epoch) != np.inf else 2))]
    if not firsts:
        raise ValueError("to_tf takes a loader with at least one batch, which shows the types; this one has none")
    signature = _signature(tf, firsts, fixed=plan.last != "keep" and plan.changes is None)
    return tf.data.Dataset.from_generator(lambda: iter(loader), output_signature=signature)


def _signature(tf: Any, batches: list[Any], fixed: bool) -> Any:
    """The types and shapes of all batches. Sizes that differ among the given ones are None."""
    batch = batches[0]
    if isinstance(batch, dict):
        return {key: _signature(tf, [each[key] for each in batches], fixed) for key in batch}
    if isinstance(batch, tuple):
        parts = [_signature(tf, list(parts), fixed) for parts in zip(*batches, strict=True)]
        return type(batch)(*parts) if hasattr(batch, "_fields") else tuple(parts)
    arrays = [np.asarray(each) for each in batches]
    shape = [sizes[0] if len({*sizes}) == 1 else None for sizes in zip(*(each.shape for each in arrays), strict=True)]
    if shape and not fixed:
        shape[0] = None
    is_text = arrays[0].dtype.kind in "OSU"
    return tf.TensorSpec(shape, tf.string if is_text else tf.as_dtype(arrays[0].dtype))
