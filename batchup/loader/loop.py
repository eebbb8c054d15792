"""The position of a run, and the loops that advance it."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeAlias, TypeVar

from ..engine.position import Position
from ..engine.pulled import NOTHING, PullingIterator
from ..engine.trace import Trace
from ..engine.tree import Batch
from ..errors import PoolClosedError, TooManySkipped
from .fetch import FetchResult
from .skipping import Retried, Skipped

__all__ = ["Loop", "RunState", "Wanted", "WithoutSamples", "none_could_be_fetched"]

T = TypeVar("T")
WithoutSamples: TypeAlias = Callable[[int, int], Batch | None]  # of an epoch and a step


class RunState:
    """The position of a run, and what it has recorded so far.

    Parameters
    ----------
    trace : Trace
    max_skipped : int
    """

    def __init__(self, trace: Trace, max_skipped: int) -> None:
        self.epoch = self.step = 0  # of the next batch
        self._resumed_at: tuple[int, int] | None = None  # the next loop begins here, within an epoch
        self._noted_at: tuple[int, int] | None = None
        self.closed = False
        self.trace = trace
        self.retried = 0  # batches that could be fetched at the second attempt
        self._failing: dict[Any, Skipped | None] = {}  # each sample once; None: known from a state
        self._max_skipped = max_skipped
        self._warned: set[type] = set()

    @property
    def skipped(self) -> list[Skipped]:
        """The samples that were left out, each once."""
        return [each for each in self._failing.values() if each is not None]

    @property
    def failing(self) -> list[Any]:
        """The indices of all samples that were left out in this run, those before it was resumed included."""
        return list(self._failing)

    def begin(self) -> None:
        """Begin a loop over an epoch: over the next one, if batches of this one were delivered."""
        self.epoch, self.step = self.upcoming()

    def upcoming(self) -> tuple[int, int]:
        """The position at which the next loop over an epoch begins."""
        here = self.epoch, self.step
        return (self.epoch + 1, 0) if self.step and here != self._resumed_at else here

    def resume(self, position: Position, failing: Iterable[Any] | None = None) -> None:
        """Continue from a position. `failing` are the samples that were left out before it; None: all so far."""
        self.epoch, self.step = position.epoch, position.step
        self._resumed_at = position.epoch, position.step
        self._noted_at = None
        if failing is not None:
            self._failing = {sample: self._failing.get(sample) for sample in failing}

    def note(self, place: tuple[int, int], notes: tuple[Skipped | Retried, ...]) -> None:
        """Note samples that were left out of the batch at `place`, or that it took a second attempt."""
        if place != self._noted_at:  # after Ctrl-C, the loop may note the same batch again
            for each in notes:
                if isinstance(each, Retried):
                    self.retried += 1
                elif self._failing.get(each.sample) is None:
                    self._failing[each.sample] = each
            self._noted_at = place
            self._warn_once(notes[0])
        if len(self._failing) > self._max_skipped:
            raise TooManySkipped(
                f"{len(self._failing)} samples could not be fetched, more than max_skipped={self._max_skipped}; "
                f"the last: {notes[-1]}"
            )

    def _warn_once(self, note: Skipped | Retried) -> None:
        if type(note) in self._warned:
            return
        self._warned.add(type(note))
        if isinstance(note, Skipped):
            said = f"left out a sample that cannot be fetched: {note}; all are in loader.skipped"
        else:
            said = (
                f"batch {note.step} of epoch {note.epoch} could be fetched at the second attempt only, after "
                f"{note.error}; stats().retried counts such batches"
            )
        warnings.warn(said, stacklevel=5)


class Wanted(Iterator[T]):
    """The first `n` of some items, and one more in place of each that gave no batch, even after the end.

    >>> wanted = Wanted("abc", 1)
    >>> list(wanted), wanted.one_more(epoch=0, step=0), list(wanted)
    (['a'], None, ['b'])
    """

    def __init__(self, items: Iterable[T], n: int) -> None:
        self._items, self._left = iter(items), n
        self._replaced: tuple[int, int] | None = None

    def one_more(self, epoch: int, step: int) -> None:
        """Give one more, in place of the item at this epoch and step. After Ctrl-C, it may be called again for it."""
        if (epoch, step) != self._replaced:
            self._replaced = epoch, step
            self._left += 1

    def __next__(self) -> T:
        if self._left <= 0:
            raise StopIteration
        self._left -= 1
        return next(self._items)


class Loop(PullingIterator[Batch]):
    """The batches of one loop over a loader.

    Parameters
    ----------
    run : RunState
    results : iterator of what a `FetchJob` gives
    epoch : int or None
        The epoch that ends with the loop; None for a loop over steps.
    n : int, optional
        The number of batches, if it is known.
    without_samples : callable, ``without_samples(epoch, step) -> batch or None``, optional
        Called if no sample of a batch could be fetched. Returns the batch to give in its place, if any.
    if_empty : callable, optional
        Called if an epoch gave no batch. Returns the reason, to warn of it; None if no warning is needed.
    """

    def __init__(
        self,
        run: RunState,
        results: Iterator[FetchResult],
        epoch: int | None,
        n: int | None = None,
        without_samples: WithoutSamples | None = None,
        if_empty: Callable[[], str | None] | None = None,
    ) -> None:
        super().__init__(results, if_interrupted=NOTHING)
        self._run = run
        self._epoch = epoch
        self.is_over_epoch, self.ended = epoch is not None, False
        self._delivered = run.step > 0  # whether there was any batch of this epoch
        self._n, self._passed = n, 0
        self._notes: tuple[Skipped | Retried, ...] = ()  # the last ones
        self._barren: list[int] = []  # epochs with batches that could not be fetched, since the last delivered one
        self._without_samples, self._if_empty = without_samples, if_empty

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {self._passed} batches delivered{', closed' if self._source is None else ''}>"

    def __len__(self) -> int:
        """The number of batches that are left in this loop."""
        if self._n is None:
            raise TypeError("this loop has no len(): it is not known where its epoch ends")
        return 0 if self._source is None else max(0, self._n - self._passed)

    def __bool__(self) -> bool:
        return True

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
                batch, epoch, step, worker, marks, notes = self._pull()
            except StopIteration:
                if self._source is None:  # `close` was called meanwhile
                    continue
                self._finish(asked)
                raise
            if notes:
                self._notes = notes
                run.note((epoch, step), notes)
            own = batch is not None
            if not own:
                self._should_be_few(epoch)
                batch = self._without_samples and self._without_samples(epoch, step)
            if batch is not None:
                run.trace.add(epoch, step, asked, time.perf_counter(), worker, marks)
            # no calls from here on (see engine.pulled)
            if self._source is None:  # `close` was called meanwhile: the position may be another one now
                continue
            run.epoch, run.step = epoch, step + 1
            self._held = NOTHING
            if own:
                self._passed += 1
                self._delivered, self._barren = True, []
                return batch
            if self._epoch is not None:
                self._passed += 1
            if batch is not None:  # in place of one without good samples
                self._delivered = True
                return batch

    def close(self) -> None:
        """End the loop; no more batches will be requested."""
        results, self._source, self.ended = self._source, None, True
        if hasattr(results, "close"):
            results.close()

    def _finish(self, now: float) -> None:
        self._run.trace.pause(now)
        self._source, self.ended = iter(()), True
        self._passed = self._passed if self._n is None else self._n
        ended, self._epoch = self._epoch, None
        if ended is not None and self._run.epoch == ended:
            self._run.epoch, self._run.step = ended + 1, 0
        if ended is not None and not self._delivered:
            self._should_have_delivered(ended)

    def _should_have_delivered(self, epoch: int) -> None:
        if self._notes:
            raise none_could_be_fetched(epoch, self._notes[-1])
        why = self._if_empty and self._if_empty()
        if why:
            warnings.warn(f"epoch {epoch} gave no batch: {why}", stacklevel=5)

    def _should_be_few(self, epoch: int) -> None:
        """Raise if a whole epoch gave nothing: across the ends of epochs, this would never end."""
        if epoch not in self._barren:
            self._barren = [*self._barren, epoch]
        if len(self._barren) > 2:  # of the first one, some may have been delivered
            raise none_could_be_fetched(self._barren[1], self._notes[-1] if self._notes else None)


def none_could_be_fetched(epoch: int, last: Skipped | Retried | None) -> TooManySkipped:
    which = "" if last is None else f"; the last: {last}"
    return TooManySkipped(
        f"no sample of epoch {epoch} could be fetched, so it is hardly the fault of a few of them{which}"
    )
