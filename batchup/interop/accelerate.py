"""For Accelerate (``pip install accelerate``): `prepare` for a `batchup.interop.torch.DataLoader`."""

from __future__ import annotations

from typing import Any

__all__ = ["prepare"]


def prepare(accelerator: Any, loader: Any) -> Any:
    """What ``accelerator.prepare(loader)`` gives, with batchup's workers inside.

    Accelerate builds a loader of its own from the dataset and the sampler of the one it is given, and PyTorch's workers
    fill it. Here it shares out the samples and moves the batches as always, but batchup makes them.

    Parameters
    ----------
    accelerator : accelerate.Accelerator
    loader : batchup.interop.torch.DataLoader

    Returns
    -------
    The loader that ``accelerator.prepare`` makes. It has `state_dict` and `load_state_dict`, too, so that
    ``accelerator.register_for_checkpointing(loader)`` saves where it is.

    Raises
    ------
    TypeError
        If `loader` is no `DataLoader` of batchup's, or if Accelerate would have the main process read for all.
    """
    from .torch import DataLoader

    if not isinstance(loader, DataLoader):
        raise TypeError(f"loader should be a batchup.interop.torch.DataLoader, not a {type(loader).__name__}")
    prepared = accelerator.prepare(loader)
    if type(prepared).__name__ == "DataLoaderDispatcher":
        raise TypeError("dispatch_batches should be False: with batchup, each rank reads its own batches")
    base = prepared.base_dataloader
    given = {name: getattr(loader, name) for name in _KEPT}
    order = {"batch_sampler": base.batch_sampler} if base.batch_sampler is not None else {"batch_size": None}
    prepared.base_dataloader = DataLoader(base.dataset, **order, **given)
    return prepared


_KEPT = (
    *("num_workers", "collate_fn", "pin_memory", "timeout", "worker_init_fn", "multiprocessing_context"),
    *("generator", "persistent_workers", "prefetch_factor"),
)
