"""Support for Lightning (``pip install lightning``, or ``pytorch-lightning``)."""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Callable
from typing import Any, Protocol

from ..engine.checks import kind_of

__all__ = ["closing_callback", "resuming_callback"]


class Closable(Protocol):
    """An object with a method `close`."""

    def close(self) -> None: ...


class Stateful(Protocol):
    """A loader with a length, a `state_dict` and a `load_state_dict`."""

    def __len__(self) -> int: ...

    def state_dict(self) -> dict[str, Any]: ...

    def load_state_dict(self, state: Any) -> None: ...


def closing_callback(*closable: Closable) -> Any:
    """A callback for a ``Trainer`` that closes pipes and pools when training ends or fails.

    Parameters
    ----------
    *closable : Infinite, or anything with a method `close`

    Returns
    -------
    lightning.pytorch.Callback

    Raises
    ------
    ImportError
        If Lightning is not installed.

    Examples
    --------
    ::

        from batchup.interop.lightning import closing_callback

        trainer = Trainer(callbacks=[closing_callback(batch_iter)])
    """

    class Closing(_callback("closing_callback")):  # type: ignore[misc]
        def teardown(self, trainer: Any, pl_module: Any, stage: Any) -> None:
            for each in closable:
                each.close()

        def on_exception(self, trainer: Any, pl_module: Any, exception: Any) -> None:
            for each in closable:
                each.close()

    return Closing()


def resuming_callback(*loaders: Stateful | Callable[[], Stateful]) -> Any:
    """A callback for a ``Trainer`` that saves the state of loaders in each checkpoint, and loads it for ``ckpt_path``.

    Lightning itself resumes a loader only from some checkpoints within an epoch. From others, such as those at the end
    of an epoch, it begins with the batches of the first epoch again, or leaves an epoch out. With this callback, each
    goes on at the exact next batch.

    Parameters
    ----------
    *loaders : Loader, DataLoader, Infinite, or what ``Loader.to_torch`` and ``Loader.prefetch_to`` give
        Those that ``fit`` trains on, with a length. For a loader that is made later, such as in ``setup`` of a
        ``LightningDataModule``, a function without arguments that returns it.

    Returns
    -------
    lightning.pytorch.Callback

    Raises
    ------
    ImportError
        If Lightning is not installed.
    TypeError
        If a loader has no state or no length. Without a length, Lightning takes a batch ahead, which would be lost.

    Examples
    --------
    ::

        from batchup.interop.lightning import resuming_callback

        loader = DataLoader(dataset, 64, shuffle=True, generator=torch.Generator().manual_seed(7))
        trainer = Trainer(callbacks=[resuming_callback(loader)])
        trainer.fit(model, loader, ckpt_path="last")
    """
    for loader in loaders:
        if not _is_late(loader):
            _should_resume(loader)

    def found() -> list[Any]:
        return [_should_resume(each() if _is_late(each) else each) for each in loaders]  # type: ignore[operator]

    class Resuming(_callback("resuming_callback")):  # type: ignore[misc]
        def on_train_batch_end(self, trainer: Any, *args: Any) -> None:
            for loader in found():
                _should_be_used(loader)

        def on_save_checkpoint(self, trainer: Any, pl_module: Any, checkpoint: dict[str, Any]) -> None:
            checkpoint[ENTRY] = [_saved(loader, checkpoint) for loader in found()]

        def on_load_checkpoint(self, trainer: Any, pl_module: Any, checkpoint: dict[str, Any]) -> None:
            if trainer.state.fn == "fit":  # not for trainer.test(ckpt_path=...)
                _load(found(), checkpoint.get(ENTRY))

    return Resuming()


ENTRY = "batchup"  # of a checkpoint


def _is_late(loader: Any) -> bool:
    return callable(loader) and not hasattr(loader, "load_state_dict")


def _should_resume(loader: Any) -> Any:
    if not hasattr(loader, "load_state_dict"):
        raise TypeError(
            "the arguments of resuming_callback() should be loaders of batchup, which have a state_dict(), or "
            f"functions that return one, not {kind_of(loader)}"
        )
    len(loader)  # raises an error if there is none
    return loader


def _should_be_used(loader: Any) -> None:
    if not (getattr(loader, "epoch", 1) or loader.step):
        raise RuntimeError(
            f"the Trainer took its batch from a different loader than the {type(loader).__name__} passed to "
            "resuming_callback(): pass the same one to both. On several devices, Lightning replaces a DataLoader by a "
            "copy: give it a DistributedSampler yourself, and pass use_distributed_sampler=False to the Trainer"
        )


def _saved(loader: Any, checkpoint: dict[str, Any]) -> dict[str, Any]:
    """The state of a loader for a checkpoint. It also replaces the one that Lightning has put there.

    After the last batch of an epoch, that is the state at the beginning of the next one: Lightning stops at the last
    batch, so for the loader the epoch has not ended yet, and a loop over the rest of it would be empty.
    """
    state: dict[str, Any] = loader.state_dict()
    ended = hasattr(loader, "_state_of_next_epoch") and loader.step and loader.step == len(loader)
    following = loader._state_of_next_epoch() if ended else state
    fit_loop = checkpoint.get("loops", {}).get("fit_loop", {}).get("state_dict", {})
    for i, other in enumerate(fit_loop.get("combined_loader", [])):
        if other == state:
            fit_loop["combined_loader"][i] = following
    return following


def _load(loaders: list[Any], states: list[Any] | None) -> None:
    if states is None:
        warnings.warn(
            "the checkpoint was saved without resuming_callback(): loaders may begin with their first epoch again",
            stacklevel=2,
        )
        return
    if len(states) != len(loaders):
        raise ValueError(f"resuming_callback() has {len(loaders)} loaders, but the checkpoint has {len(states)}")
    for loader, state in zip(loaders, states, strict=True):
        loader.load_state_dict(state)


def _callback(name: str) -> Any:
    for package in ("lightning.pytorch", "pytorch_lightning"):
        try:
            return importlib.import_module(package).Callback
        except ImportError:
            pass
    raise ImportError(f"{name}() needs Lightning: pip install lightning")
