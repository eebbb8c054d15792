"""The batches of a source that gives them one after the other."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from numbers import Number
from typing import Any

from ..data_source import Batch
from ..data_source.functions import fields_of
from ..engine.checks import kind_of
from ..engine.pulled import DOUBTED, NOTHING, PullingIterator
from ..errors import noted
from .fetch import FetchResult

__all__ = ["InTurn"]

NOT_SAMPLES = (
    "an iterator or a function gives batches, not samples; to make batches of samples, use batchup.batch_iter: "
    "Infinite(samples, batch_size=64, batches_per_epoch=100)"
)


class InTurn(PullingIterator[FetchResult]):
    """The batches of a source that gives them one after the other, as results of a `FetchJob`.

    Parameters
    ----------
    batches : iterator of batches
    epoch : int
    """

    def __init__(self, batches: Iterator[Batch], epoch: int) -> None:
        super().__init__(batches, if_interrupted=DOUBTED)
        self._epoch, self._step = epoch, 0

    def __next__(self) -> FetchResult:  # without a guard against other threads: the loop has one
        begun, step = time.perf_counter(), self._step
        try:
            batch = self._pull()
        except StopIteration:
            if self._epoch and not step:
                raise ValueError(
                    f"epoch {self._epoch} has no batches: an iterator is used up by the first epoch; give a function "
                    "that makes one for each, fn(batch_size, shuffle=None)"
                ) from None
            raise
        except Exception as error:
            noted(error, f"while asking for batch {step} of epoch {self._epoch}")
            self._step = step + 1
            raise
        _should_be_a_batch(batch)
        made = fields_of(batch), self._epoch, step, threading.get_native_id(), (begun, time.perf_counter()), ()
        # no calls from here on (see engine.pulled)
        self._step, self._held = step + 1, NOTHING
        return made


def _should_be_a_batch(x: Any) -> None:
    if not isinstance(x, (tuple, list, dict)):
        raise TypeError(f"a batch should be a tuple of arrays, or a dict, not {kind_of(x)}: {NOT_SAMPLES}")
    parts = x.values() if isinstance(x, dict) else x
    single = [part for part in parts if isinstance(part, (Number, str, bytes)) or getattr(part, "shape", None) == ()]
    if single and len(parts) - len(single) < 2:  # such as (image, label)
        kinds = ", ".join(type(part).__name__ for part in parts)
        raise TypeError(f"a batch should be a tuple of arrays, or a dict, not one of ({kinds}): {NOT_SAMPLES}")
