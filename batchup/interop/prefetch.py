"""Apply a function to batches ahead of the loop, for example to move them to a device."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from ..engine.checks import kind_of, whole
from ..engine.closing import Closing
from ..engine.pools import ThreadPool
from ..engine.stream import WorkStream
from ..errors import noted

__all__ = ["Ahead", "Prefetched"]

END = object()
Place = tuple[int, int]  # an epoch, and how many of its batches were delivered


class Ahead(Iterator[Any]):
    """The batches of a loop after `put`, which runs ahead of the consumer in one thread.

    Parameters
    ----------
    pool : ThreadPool
        With one thread.
    loop : iterator of batches
    place : callable, ``place() -> (epoch, step)``
        Where the loop is.
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
        self._steps = _Steps(loop, place, put)
        self._arrived = arrived
        self._stream = WorkStream(pool, itertools.repeat((self._steps, ())), depth, None, _as_it_is)

    def __next__(self) -> Any:
        batch, place = next(self._stream)
        if place is not None:
            self._arrived(*place)
        if batch is END:
            self._stream.close()
            raise StopIteration
        return batch

    def close(self) -> None:
        """Wait for the batch that is being made, and make no more."""
        self._stream.close()
        self._steps.stop()


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


class Prefetched(Closing):
    """A loader that applies a function to its batches ahead of the loop. Its state counts what the loop has received.

    Parameters
    ----------
    loader : Loader
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
        self.loader, self._put = loader, put
        self._depth = whole("depth", depth)
        self._pool: ThreadPool | None = None
        self._ahead: Ahead | None = None
        self._delivered = _Delivered(loader.epoch, loader.step)

    @property
    def epoch(self) -> int:
        """The current epoch, or the next one."""
        return self._delivered.place[0]

    @property
    def step(self) -> int:
        """The number of batches of this epoch that the loop has received."""
        return self._delivered.place[1]

    def __iter__(self) -> Iterator[Any]:
        """The batches of the next epoch; after a state was loaded, the rest of its epoch."""
        self._stop()
        return self._over(iter(self.loader))

    def steps(self, n: int) -> Iterator[Any]:
        """The next `n` batches, from where the loader is, across the ends of epochs."""
        self._stop()
        return self._over(self.loader.steps(n))

    def resume(self) -> Iterator[Any]:
        """The rest of the epoch in which a loop was interrupted, from the first batch that the loop did not receive."""
        self._stop()
        return self._over(self.loader.resume())

    def batch(self, epoch: int, step: int) -> Any:
        """One batch of the run, fetched and put here and now. The loader stays where it is."""
        return self._put(self.loader.batch(epoch, step))

    def __len__(self) -> int:
        return len(self.loader)

    def __repr__(self) -> str:
        return f"<Prefetched: {self._depth} batches of {self.loader!r} ahead>"

    def state_dict(self) -> dict[str, Any]:
        """The position of the run. Batches count when the loop has received them, not when they were put.

        Returns
        -------
        dict
        """
        state: dict[str, Any] = self.loader._state_at(self.epoch, self.step)
        return state

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on at the exact next batch of the run. The state may be that of the loader without `Prefetched`."""
        self._stop()
        self.loader.load_state_dict(state)
        self._delivered(self.loader.epoch, self.loader.step)

    def set_weights(self, weights: Any) -> None:
        """Draw samples by other weights from the next epoch on, as `Loader.set_weights`."""
        self.loader.set_weights(weights)

    def set_batch_size(self, batch_size: int | None) -> None:
        """Make batches of another size from the next epoch on, as `Loader.set_batch_size`."""
        self.loader.set_batch_size(batch_size)

    def stats(self) -> Any:
        """What the loader has done so far, and where the time went."""
        return self.loader.stats()

    def explain(self) -> str:
        """What limits the loader, in one sentence."""
        return str(self.loader.explain())

    def close(self) -> None:
        """End the thread, and close the loader."""
        self._stop()
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

        self._ahead = Ahead(self._pool, loop, place, self._put, self._depth, self._delivered)
        return self._ahead

    def _stop(self) -> None:
        """End the last loop, and move the loader to the position of its consumer."""
        if self._ahead is not None:
            self._ahead.close()
            self._ahead = None
            self.loader._rewind(*self._delivered.place)


class _Delivered:
    """The position of the consumer."""

    def __init__(self, epoch: int, step: int) -> None:
        self.place = epoch, step

    def __call__(self, epoch: int, step: int) -> None:
        self.place = epoch, step


def _as_it_is(error: BaseException, number: int, args: tuple[Any, ...]) -> BaseException:
    return error
