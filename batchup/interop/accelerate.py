"""For Accelerate (``pip install accelerate``): `prepare` for a `batchup.interop.torch.DataLoader`."""

from __future__ import annotations

from typing import Any

from ..engine.checks import kind_of

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
    ValueError
        If the sampler of the loader shares the samples out already.
    """
    from .torch import DataLoader

    if not isinstance(loader, DataLoader):
        raise TypeError(f"loader should be a batchup.interop.torch.DataLoader, not {kind_of(loader)}")
    _should_not_be_shared_out(accelerator, loader)
    prepared = accelerator.prepare(loader)
    if type(prepared).__name__ == "DataLoaderDispatcher":
        raise TypeError("dispatch_batches should be False: with batchup, each rank reads its own batches")
    base = prepared.base_dataloader
    given = {name: getattr(loader, name) for name in _KEPT}
    order = {"batch_sampler": base.batch_sampler} if base.batch_sampler is not None else {"batch_size": None}
    prepared.base_dataloader = DataLoader(base.dataset, **order, **given)
    return prepared


def _should_not_be_shared_out(accelerator: Any, loader: Any) -> None:
    samplers = [loader.sampler, getattr(loader.batch_sampler, "sampler", None), loader.batch_sampler]
    sharing = next((each for each in samplers if hasattr(each, "num_replicas")), None)
    if sharing is not None and accelerator.num_processes > 1:
        raise ValueError(
            f"the samples would be shared out twice: by the {type(sharing).__name__} of the loader, and by Accelerate; "
            "leave the sampler out, and pass shuffle=True"
        )


_KEPT = (
    *("num_workers", "collate_fn", "pin_memory", "timeout", "worker_init_fn", "multiprocessing_context"),
    *("generator", "persistent_workers", "prefetch_factor"),
)
