"""Apply a function to batches ahead of the loop, for example to move them to a device."""

from __future__ import annotations

import itertools
import operator
import threading
import weakref
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from ..engine.checks import kind_of, whole
from ..engine.closing import Closing
from ..engine.pools import ThreadPool
from ..engine.stream import WorkStream
from ..errors import PoolClosedError, noted
from ..loader.settable import in_a_loop_over_steps

__all__ = ["Ahead", "LoaderWrapper", "Prefetched"]

END, UNKNOWN = object(), -1
Place = tuple[int, int]  # an epoch, and how many of its batches were delivered


class Ahead(Iterator[Any]):
    """The batches of a loop after `put`, which runs ahead of the consumer in one thread.

    Parameters
    ----------
    pool : ThreadPool
        With one thread.
    loop : iterator of batches
    place : callable, ``place() -> (epoch, step)``
        The position of the loop.
    put : callable, ``put(batch)``
        If it raises, the batch is not lost: the next call tries it again.
    depth : int
        The number of batches to put ahead.
    arrived : callable, ``arrived(epoch, step)``
        Called for each batch that is delivered, and at the end.
    """

    def __init__(
        self,
        pool: ThreadPool,
        loop: Iterator[Any],
        place: Callable[[], Place],
        put: Callable[[Any], Any],
        depth: int,
        arrived: Callable[[int, int], None],
    ) -> None:
        self.steps = _Steps(loop, place, put)
        self.is_over_epoch, self.ended = getattr(loop, "is_over_epoch", True), False
        self._n = operator.length_hint(loop, UNKNOWN)
        self._first = place()[1] if self._n else 0  # of the batches of an epoch
        self._passed = 0
        self._why: Exception | None = None
        self._arrived = arrived
        self._stream = WorkStream(pool, itertools.repeat((self.steps, ())), depth, None, _as_it_is)

    def __len__(self) -> int:
        """The number of batches that are left in this loop."""
        if self._n == UNKNOWN:
            raise TypeError("this loop has no len(): it is not known where its epoch ends")
        return 0 if self.ended else max(0, self._n - self._passed)

    def __bool__(self) -> bool:
        return True

    def __next__(self) -> Any:
        batch, place = next(self._stream, (END, None))
        if place is not None:
            self._arrived(*place)
            self._passed = place[1] - self._first if self.is_over_epoch else self._passed + 1
        if batch is END:
            self._stream.close()
            self.ended = self.ended or place is not None
            if not self.ended:
                self._should_go_on()
            raise StopIteration
        return batch

    def close(self, why: Exception | None = None) -> None:
        """Wait for the batch that is being made, and make no more. If the loop continues, it gets the error `why`."""
        self._why = self._why or why
        self._stream.close()
        self.steps.stop()

    def _should_go_on(self) -> None:
        if self._why is not None:
            raise type(self._why)(*self._why.args)


class _Steps:
    """The task that the thread repeats: take the next batch, and put it."""

    def __init__(self, loop: Iterator[Any], place: Callable[[], Place], put: Callable[[Any], Any]) -> None:
        self._loop, self._place, self._put = loop, place, put
        self._lock = threading.Lock()
        self._stopped = False
        self._held: tuple[Any, Place] | None = None

    def __call__(self) -> tuple[Any, Place | None]:
        with self._lock:
            if self._stopped:
                return END, None
            if self._held is None:
                batch = next(self._loop, END)
                if batch is END:
                    return END, self._place()
                self._held = batch, self._place()
            batch, (epoch, step) = self._held
            try:
                put = self._put(batch)
            except Exception as error:
                noted(error, f"while moving batch {step - 1} of epoch {epoch}; the next call tries it again")
                raise
            self._held = None
            return put, (epoch, step)

    def stop(self) -> None:
        with self._lock:
            self._stopped, self._held = True, None


class LoaderWrapper(Closing):
    """What the wrappers of a loader have in common.

    Parameters
    ----------
    loader : Loader or LoaderWrapper
    """

    def __init__(self, loader: Any) -> None:
        self.loader = loader

    @property
    def epoch(self) -> int:
        """The number of the current epoch, or of the next one between two epochs."""
        return int(self.loader.epoch)

    @property
    def step(self) -> int:
        """The number of batches of this epoch that were delivered."""
        return int(self.loader.step)

    def stats(self) -> Any:
        """What was delivered so far, and where the time went."""
        return self.loader.stats()

    def explain(self) -> str:
        """What limits the loop, in one sentence."""
        return str(self.loader.explain())

    def prefetch_to(self, fn: Callable[[Any], Any], depth: int = 2) -> Prefetched:
        """The same batches after ``fn(batch)``, which runs ahead in a thread of its own, as `Loader.prefetch_to`."""
        return Prefetched(self, fn, depth)

    def close(self) -> None:
        """Close the loader."""
        self.loader.close()

    @property
    def _plan(self) -> Any:
        return self.loader._plan

    def _state_at(self, epoch: int, step: int) -> dict[str, Any]:
        state: dict[str, Any] = self.loader._state_at(epoch, step)
        return state

    def _state_of_next_epoch(self) -> dict[str, Any]:
        """As `Loader._state_of_next_epoch`."""
        return self._state_at(self.epoch + 1, 0)


class Prefetched(LoaderWrapper):
    """A loader that applies a function to its batches ahead of the loop. Its state counts what the loop has received.

    Parameters
    ----------
    loader : Loader, or what its methods `to_torch` and `prefetch_to` give
    put : callable, ``put(batch) -> batch``
        Called in one thread, for one batch at a time.
    depth : int, default 2
        The number of batches to put ahead.

    Examples
    --------
    >>> import numpy as np
    >>> from batchup import Loader
    >>> loader = Prefetched(Loader([np.arange(5)], batch_size=2), put=lambda batch: batch[0] * 10)
    >>> batches = iter(loader)
    >>> next(batches), loader.step
    (array([ 0, 10]), 1)
    >>> state = loader.state_dict()
    >>> loader.load_state_dict(state)
    >>> list(loader)
    [array([20, 30]), array([40])]
    >>> loader.close()
    """

    def __init__(self, loader: Any, put: Callable[[Any], Any], depth: int = 2) -> None:
        if not callable(put):
            raise TypeError(f"put should be a function of a batch, not {kind_of(put)}")
        if not hasattr(loader, "_rewind"):
            raise TypeError(
                f"loader should be a Loader of batchup, or what its to_torch() gives, not {kind_of(loader)}"
            )
        super().__init__(loader)
        self._put = put
        self._depth = whole("depth", depth)
        self._pool: ThreadPool | None = None
        self._steps: _Steps | None = None  # of the last loop
        self._current: Callable[[], Ahead | None] = _none  # the last loop, while the program has it
        self._spans_epochs = False
        self._delivered = _Delivered(loader.epoch, loader.step)

    @property
    def epoch(self) -> int:
        """The number of the current epoch, or of the next one between two epochs."""
        return self._delivered.place[0]

    @property
    def step(self) -> int:
        """The number of batches of this epoch that the loop has received."""
        return self._delivered.place[1]

    def __iter__(self) -> Iterator[Any]:
        """The batches of the next epoch; after a state was loaded, the rest of its epoch."""
        return self._over(iter(self._at_rest()))

    def steps(self, n: int) -> Iterator[Any]:
        """The next `n` batches from the current position, across the ends of epochs."""
        return self._over(self._at_rest().steps(n))

    def resume(self) -> Iterator[Any]:
        """The rest of the current epoch, from the first batch that the loop has not received."""
        return self._over(self._at_rest().resume())

    def batch(self, epoch: int, step: int) -> Any:
        """Fetch a single batch of the run, and apply the function to it. The position of the loader does not change."""
        return self._put(self.loader.batch(epoch, step))

    def __len__(self) -> int:
        if not self._is_in_loop():
            return len(self._at_rest())
        n = self.loader._plan.length(self.epoch)
        return len(self.loader) if n is None or n == np.inf else int(n)

    def __repr__(self) -> str:
        return f"<Prefetched: {self._depth} batches of {self.loader!r} ahead>"

    def state_dict(self) -> dict[str, Any]:
        """The position of the run. Batches count when the loop has received them.

        Returns
        -------
        dict
        """
        return self._state_at(self.epoch, self.step)

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Resume a run at the exact next batch. The state may be one of a loader without `Prefetched`."""
        self._at_rest().load_state_dict(state)
        self._delivered(self.loader.epoch, self.loader.step)

    def set_weights(self, weights: Any) -> None:
        """Draw samples by other weights from the next epoch on, as `Loader.set_weights`."""
        self._settable("weights").set_weights(weights)

    def set_batch_size(self, batch_size: int | None) -> None:
        """Make batches of another size from the next epoch on, as `Loader.set_batch_size`."""
        self._settable("batch_size").set_batch_size(batch_size)

    def close(self) -> None:
        """End the thread, and close the loader."""
        self._stop(PoolClosedError("the loader was closed"))
        if self._pool is not None:
            self._pool.close()
            self._pool = None
        self.loader.close()

    def _over(self, loop: Iterator[Any]) -> Iterator[Any]:
        loader = self.loader
        self._delivered = _Delivered(loader.epoch, loader.step)
        self._pool = self._pool or ThreadPool(1)

        def place() -> Place:
            return loader.epoch, loader.step

        ahead = Ahead(self._pool, loop, place, self._put, self._depth, self._delivered)
        self._steps, self._current = ahead.steps, weakref.ref(ahead)
        self._spans_epochs = not ahead.is_over_epoch
        return ahead

    def _is_in_loop(self) -> bool:
        ahead = self._current()
        return ahead is not None and not ahead.ended

    def _rewind(self, epoch: int, step: int) -> None:
        """Move back to `step` of `epoch`, as `Loader._rewind`."""
        self._at_rest()._rewind(epoch, step)
        self._delivered(epoch, step)

    def _settable(self, name: str) -> Any:
        """The loader, where its next epoch is that of the consumer."""
        if not self._is_in_loop():
            return self._at_rest()
        if self._spans_epochs:
            raise in_a_loop_over_steps(name)
        return self.loader

    def _at_rest(self) -> Any:
        """The loader, at the position of the consumer; the last loop is ended."""
        self._stop(RuntimeError("this loop has ended: another one has begun since, or a state was loaded"))
        return self.loader

    def _stop(self, why: Exception) -> None:
        """End the last loop, and move the loader to the position of its consumer."""
        if self._steps is not None:
            ahead = self._current()
            if ahead is not None:
                ahead.close(why)
            self._steps.stop()
            self._steps, self._current = None, _none
            self.loader._rewind(*self._delivered.place)


class _Delivered:
    """The position of the consumer."""

    def __init__(self, epoch: int, step: int) -> None:
        self.place = epoch, step

    def __call__(self, epoch: int, step: int) -> None:
        self.place = epoch, step


def _as_it_is(error: BaseException, number: int, args: tuple[Any, ...]) -> BaseException:
    return error


def _none() -> None:
    return None
