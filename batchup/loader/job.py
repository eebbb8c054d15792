"""The batches of a source that gives them one after the other."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from numbers import Number
from typing import Any

from ..data_source import Batch
from ..engine.checks import kind_of
from ..errors import noted
from .fetch import FetchResult

__all__ = ["InTurn"]

NOT_SAMPLES = (
    "a source gives batches, not samples, which batchup.batch_iter makes batches of: Infinite(samples, batch_size=64, "
    "batches_per_epoch=100)"
)


class InTurn(Iterator[FetchResult]):
    """The batches of a source that gives them one after the other, as a `FetchJob` gives them.

    Parameters
    ----------
    batches : iterator of batches
    epoch : int
    """

    def __init__(self, batches: Iterator[Batch], epoch: int) -> None:
        self._batches, self._epoch, self._step = batches, epoch, 0
        self._held: list[Batch] = []

    def __next__(self) -> FetchResult:
        begun, step = time.perf_counter(), self._step
        if not self._held:
            self._ask()
        if not self._held:
            if self._epoch and not step:
                raise ValueError(
                    f"epoch {self._epoch} has no batches: an iterator is used up by the first epoch; give a function "
                    "that makes one for each, fn(batch_size, shuffle=None)"
                )
            raise StopIteration
        _should_be_a_batch(self._held[0])
        made = self._held[0], self._epoch, step, threading.get_native_id(), (begun, time.perf_counter()), ()
        self._step, self._held = step + 1, []
        return made

    def _ask(self) -> None:
        try:
            for batch in self._batches:  # behind next(), Ctrl-C could lose the batch
                self._held = [batch]
                return
        except Exception as error:
            noted(error, f"while asking for batch {self._step} of epoch {self._epoch}")
            self._step += 1
            raise


def _should_be_a_batch(x: Any) -> None:
    if not isinstance(x, (tuple, list, dict)):
        raise TypeError(f"a batch should be a tuple of arrays, or a dict, not {kind_of(x)}: {NOT_SAMPLES}")
    parts = x.values() if isinstance(x, dict) else x
    single = [part for part in parts if isinstance(part, (Number, str, bytes)) or getattr(part, "shape", None) == ()]
    if single and len(parts) - len(single) < 2:  # such as (image, label)
        kinds = ", ".join(type(part).__name__ for part in parts)
        raise TypeError(f"a batch should be a tuple of arrays, or a dict, not one of ({kinds}): {NOT_SAMPLES}")
