"""Support for Lightning (``pip install lightning``, or ``pytorch-lightning``)."""

from __future__ import annotations

import importlib
from typing import Any, Protocol

__all__ = ["closing_callback"]


class Closable(Protocol):
    """An object with a method `close`."""

    def close(self) -> None: ...


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

    class Closing(_callback()):  # type: ignore[misc]
        def teardown(self, trainer: Any, pl_module: Any, stage: Any) -> None:
            for each in closable:
                each.close()

        def on_exception(self, trainer: Any, pl_module: Any, exception: Any) -> None:
            for each in closable:
                each.close()

    return Closing()


def _callback() -> Any:
    for package in ("lightning.pytorch", "pytorch_lightning"):
        try:
            return importlib.import_module(package).Callback
        except ImportError:
            pass
    raise ImportError("closing_callback() needs Lightning: pip install lightning")
