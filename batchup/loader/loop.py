"""What changes while a run goes on, and the loops that change it."""

from __future__ import annotations

import time
import warnings
from collections.abc import Iterator

from ..engine.position import Position
from ..engine.pulled import NOTHING, PullingIterator
from ..engine.trace import Trace
from ..engine.tree import Batch
from ..errors import PoolClosedError, TooManySkipped
from .fetch import FetchResult
from .skipping import Skipped

__all__ = ["Loop", "RunState"]


class RunState:
    """Where a run is, and what it has noticed so far.

    Parameters
    ----------
    trace : Trace
    max_skipped : int
    """

    def __init__(self, trace: Trace, max_skipped: int) -> None:
        self.epoch = self.step = 0  # of the next batch
        self._resumed_at: tuple[int, int] | None = None  # a loop may begin there, in the midst of an epoch
        self._noted_at: tuple[int, int] | None = None
        self.closed = False
        self.trace = trace
        self.skipped: list[Skipped] = []
        self._max_skipped = max_skipped

    def begin(self) -> None:
        """A loop over an epoch begins: over the next one, if some of this one was delivered."""
        if self.epoch_of_next_loop != self.epoch:
            self.epoch, self.step = self.epoch_of_next_loop, 0

    @property
    def epoch_of_next_loop(self) -> int:
        """The epoch that a loop would be over."""
        return self.epoch + 1 if self.step and (self.epoch, self.step) != self._resumed_at else self.epoch

    def resume(self, position: Position) -> None:
        """Go on from there."""
        self.epoch, self.step = position.epoch, position.step
        self._resumed_at = position.epoch, position.step
        self._noted_at = None

    def note(self, place: tuple[int, int], skipped: tuple[Skipped, ...]) -> None:
        """Samples were left out of the batch at `place`."""
        if place != self._noted_at:  # Ctrl-C may have come since, and the loop have gone on
            first = not self.skipped
            self.skipped += skipped
            self._noted_at = place
            if first:
                said = f"left out a sample that cannot be fetched: {skipped[0]}; all are in loader.skipped"
                warnings.warn(said, stacklevel=4)
        if len(self.skipped) > self._max_skipped:
            raise TooManySkipped(
                f"{len(self.skipped)} samples could not be fetched, more than max_skipped={self._max_skipped}; "
                f"the last: {skipped[-1]}"
            )


class Loop(PullingIterator[Batch]):
    """The batches of one loop over a loader.

    Parameters
    ----------
    run : RunState
    results : iterator of what a `FetchJob` gives
    epoch : int or None
        The epoch that has ended when the loop has.
    """

    def __init__(self, run: RunState, results: Iterator[FetchResult], epoch: int | None) -> None:
        super().__init__(results, if_interrupted=NOTHING)
        self._run = run
        self._epoch = epoch
        self.is_over_epoch, self.ended = epoch is not None, False
        self._delivered = run.step > 0  # whether there was any batch of this epoch

    def _next(self) -> Batch:
        run = self._run
        asked = time.perf_counter()
        while True:
            if self._source is None:
                raise (
                    PoolClosedError("the loader was closed")
                    if run.closed
                    else RuntimeError("this loop has ended: another one has begun since, or a state was loaded")
                )
            try:
                batch, epoch, step, worker, marks, skipped = self._pull()
            except StopIteration:
                if self._source is None:  # `close` was called meanwhile
                    continue
                self._finish(asked)
                raise
            if skipped:
                run.note((epoch, step), skipped)
            if batch is not None:
                run.trace.add(epoch, step, asked, time.perf_counter(), worker, marks)
            # no calls from here on (see engine.pulled)
            if self._source is None:  # `close` was called meanwhile: the position may be another one now
                continue
            run.epoch, run.step = epoch, step + 1
            self._held = NOTHING
            if batch is not None:
                self._delivered = True
                return batch

    def close(self) -> None:
        """Nobody will ask for more."""
        results, self._source, self.ended = self._source, None, True
        if hasattr(results, "close"):
            results.close()

    def _finish(self, now: float) -> None:
        self._run.trace.pause(now)
        self._source, self.ended = iter(()), True
        if self._epoch is not None and self._run.epoch == self._epoch:
            self._run.epoch, self._run.step = self._epoch + 1, 0
        self._epoch = None
        self._should_have_delivered()

    def _should_have_delivered(self) -> None:
        skipped = self._run.skipped
        if not self._delivered and skipped and skipped[-1].epoch == self._run.epoch - 1:
            raise TooManySkipped(
                f"no sample of epoch {skipped[-1].epoch} could be fetched, so it is hardly the fault of a few of them; "
                f"the last: {skipped[-1]}"
            )
