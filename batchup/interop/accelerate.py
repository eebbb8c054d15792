"""For Accelerate (``pip install accelerate``): `prepare` for a `batchup.interop.torch.DataLoader`."""

from __future__ import annotations

from typing import Any

from ..engine.checks import kind_of

__all__ = ["prepare"]


def prepare(accelerator: Any, loader: Any) -> Any:
    """The loader that ``accelerator.prepare(loader)`` returns, with batchup's workers inside.

    Accelerate itself would make a new loader, with PyTorch's workers. With this function, it divides the samples among
    the ranks and moves the batches to the device as usual, but batchup's workers make the batches.

    Parameters
    ----------
    accelerator : accelerate.Accelerator
    loader : batchup.interop.torch.DataLoader

    Returns
    -------
    The loader that ``accelerator.prepare`` makes. It also has `state_dict` and `load_state_dict`, so that
    ``accelerator.register_for_checkpointing(loader)`` saves its position.

    Raises
    ------
    TypeError
        If `loader` is not a `DataLoader` of batchup, or if the main process would read for all ranks
        (``dispatch_batches``).
    ValueError
        If the sampler of the loader already divides the samples among the ranks.
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
            f"the samples would be divided among the ranks twice: by the {type(sharing).__name__} of the loader, and "
            "by Accelerate; leave the sampler out, and pass shuffle=True"
        )


_KEPT = (
    *("num_workers", "collate_fn", "pin_memory", "timeout", "worker_init_fn", "multiprocessing_context"),
    *("generator", "persistent_workers", "prefetch_factor"),
)
