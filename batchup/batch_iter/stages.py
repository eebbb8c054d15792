"""The stages of a pipe. A stage takes an iterator of items and gives an iterator of items."""

from __future__ import annotations

import collections
import dataclasses
import itertools
from collections.abc import Callable, Iterable, Sequence
from collections.abc import Iterator as Iterates
from typing import Any, NoReturn

from ..engine import pools
from ..engine.checks import whole
from ..engine.cores import cores
from ..engine.process.arguments import Outbox, Parcel, opened
from ..engine.rng import SeedPath
from ..engine.stream import Task, WorkStream, presentable
from ..errors import noted
from .batching import bucketed, expiration_pool
from .functions import ItemFunction, short_name, should_be_callable
from .item_rng import ItemRng, StageCall, use_item_rng

__all__ = [
    "END",
    "ConsecutiveFunctions",
    "ExpirationPool",
    "Iterator",
    "Loky",
    "PipeContext",
    "Stage",
    "Threads",
    "buckets",
    "note_item",
]


@dataclasses.dataclass(frozen=True)
class PipeContext:
    """The run context: what all stages of one run need to know.

    Attributes
    ----------
    entropy : int
        The seed of the pipe; without a seed, a number drawn for this run.
    seeded : bool
        Whether the user gave a seed.
    first : int
        The number of the first item.
    unit : str
        What the stage handles, for error notes: "item" or "batch".
    """

    entropy: int
    seeded: bool = False
    first: int = 0
    unit: str = "item"


class Stage:
    """The base class of stages. A stage learns its number in the pipe, from 1, when the pipe starts."""

    one_to_one = True  # whether it gives exactly one item for each item, in the same order

    def pool(self) -> pools.Pool | None:
        """A new pool of workers for one run; None if the stage has no workers."""
        return None

    def outputs(self, items: Iterates[Any], stage: int, context: PipeContext, pool: pools.Pool | None) -> Iterates[Any]:
        """The items that the stage gives. Called and iterated in the background thread of the pipe."""
        raise NotImplementedError(f"{type(self).__name__} should implement outputs()")


class ConsecutiveFunctions(Stage):
    """Consecutive functions, called one after the other in the background thread of the pipe."""

    def __init__(self, functions: Sequence[Callable[[Any], Any]]) -> None:
        self.functions = functions

    def outputs(self, items: Iterates[Any], stage: int, context: PipeContext, pool: pools.Pool | None) -> Iterates[Any]:
        calls = [StageCall(function, context.entropy, n) for n, function in enumerate(self.functions, stage)]
        number = context.first
        for item in items:
            call = calls[0]
            try:
                for call in calls:
                    item = call(item, number)
            except BaseException as error:
                raise_with_note(error, context.unit, number, call.stage, call.function)
            done = [item]
            del item
            yield done.pop()  # so that this frame does not keep the item alive
            number += 1


class Workers(Stage):
    """One function, called by several workers in parallel. The order of the items is kept.

    Parameters
    ----------
    func : callable, item -> item
    *args, **kwargs
        Further arguments of `func`.
    n_workers : int, default 1
    buffer_size : int, default 1
        The number of items, beyond one per worker, that may wait for a worker or for the next stage.
    """

    def __init__(
        self, func: Callable[..., Any], /, *args: Any, n_workers: int = 1, buffer_size: int = 1, **kwargs: Any
    ) -> None:
        self.function = ItemFunction(func, *args, **kwargs)
        self.n_workers = whole("n_workers", n_workers)
        self.buffer_size = whole("buffer_size", buffer_size)

    def outputs(self, items: Iterates[Any], stage: int, context: PipeContext, pool: pools.Pool | None) -> Iterates[Any]:
        assert pool is not None
        call = StageCall(self.function, context.entropy, stage)
        tasks = map(lambda item, number: (call, (item, number)), items, itertools.count(context.first))
        return self._stream(pool, tasks, stage, context)

    def _stream(self, pool: pools.Pool, tasks: Iterates[Task], stage: int, context: PipeContext) -> WorkStream:
        def with_note(error: BaseException, number: int, args: tuple[Any, ...]) -> BaseException:
            return note_item(error, context.unit, context.first + number, stage, self)

        return WorkStream(pool, tasks, self.n_workers + self.buffer_size, located=with_note)

    def __repr__(self) -> str:
        more = [f"n_workers={self.n_workers}"] + [f"buffer_size={self.buffer_size}"] * (self.buffer_size != 1)
        return f"{type(self).__name__}({', '.join(self.function._parts() + more)})"


class Threads(Workers):
    """One function, called by several threads. The order of the items is kept.

    Use it to read files, and for NumPy, Pillow and other code that releases the GIL.

    Parameters
    ----------
    func : callable, item -> item
        Several threads may call it at the same time.
    *args, **kwargs
        Further arguments of `func`.
    n_workers : int, default 1
        The number of threads.
    buffer_size : int, default 1
        The number of items, beyond one per thread, that may wait for a thread or for the next stage.

    Examples
    --------
    >>> Threads(pow, 2, n_workers=4)
    Threads(pow, 2, n_workers=4)
    """

    def pool(self) -> pools.Pool:
        return pools.ThreadPool(self.n_workers)


class Loky(Workers):
    """One function, called by several processes. The order of the items is kept.

    Use it for functions that spend their time in Python code. Lambdas work too, and so do functions defined in a
    notebook or in the main program. A process that dies is replaced, and its item is tried again.

    Parameters
    ----------
    func : callable, item -> item
    *args, **kwargs
        Further arguments of `func`.
    n_workers : int, default 1
        The number of processes; -1 is one per core, -2 one less, and so on.
    buffer_size : int, default 1
        The number of items, beyond one per process, that may wait for a process or for the next stage.

    Examples
    --------
    >>> Loky(pow, 2, n_workers=2)
    Loky(pow, 2, n_workers=2)
    """

    def __init__(
        self, func: Callable[..., Any], /, *args: Any, n_workers: int = 1, buffer_size: int = 1, **kwargs: Any
    ) -> None:
        super().__init__(func, *args, n_workers=_as_joblib_counts(n_workers), buffer_size=buffer_size, **kwargs)

    def pool(self) -> pools.Pool:
        from ..engine.process.pool import ProcessPool  # with cloudpickle: only on use

        return ProcessPool(self.n_workers)

    def outputs(self, items: Iterates[Any], stage: int, context: PipeContext, pool: pools.Pool | None) -> Iterates[Any]:
        assert pool is not None
        call = StageCall(self.function, context.entropy, stage, seeds_globals=context.seeded)
        shared = pool.share(ProcessCall(call))
        outbox = Outbox()
        sent: collections.deque[Parcel | None] = collections.deque()

        def task(item: Any, number: int) -> Task:
            sent.append(outbox.packed(item))
            return shared, (sent[-1], item if sent[-1] is None else None, number)

        def done(item: Any) -> Any:
            outbox.take_back(sent.popleft())
            return item

        return map(done, self._stream(pool, map(task, items, itertools.count(context.first)), stage, context))


class ProcessCall:
    """The call of a stage in a worker process. A large item comes as a parcel in shared memory."""

    def __init__(self, call: StageCall) -> None:
        self.call = call

    def __call__(self, parcel: Parcel | None, item: Any, number: int) -> Any:
        return self.call(item if parcel is None else opened(parcel), number)


def _as_joblib_counts(n_workers: Any) -> Any:
    """Negative numbers count back from the number of cores: -1 is all of them."""
    if isinstance(n_workers, int) and n_workers < 0:
        return max(1, cores() + 1 + n_workers)
    return n_workers


class Iterator(Stage):
    """A function of the whole iterator of items. It can leave items out, repeat them or change their order.

    Parameters
    ----------
    transform : callable, iterator of items -> iterable of items
        If it has a parameter ``rng``, it gets the `numpy.random.Generator` of this stage.
    *args, **kwargs
        Further arguments of `transform`.

    Examples
    --------
    >>> import itertools
    >>> Iterator(itertools.islice, 10)
    Iterator(islice, 10)
    """

    one_to_one = False

    def __init__(self, transform: Callable[..., Iterable[Any]], /, *args: Any, **kwargs: Any) -> None:
        for name in ("n_workers", "buffer_size"):
            if kwargs.pop(name, 1) != 1:
                raise ValueError(
                    f"an Iterator runs in the background thread of the pipe, so it takes no {name}; leave it out"
                )
        self.function = ItemFunction(transform, *args, **kwargs)

    def outputs(self, items: Iterates[Any], stage: int, context: PipeContext, pool: pools.Pool | None) -> Iterates[Any]:
        seed_path = SeedPath(context.entropy, (stage,))
        own = {"rng": seed_path.rng()} if self.function.draws else {}
        number = 0
        try:
            transformed = iter(self.function(items, **own))
            for number in itertools.count():
                with use_item_rng(ItemRng(seed_path, number)):
                    found = [next(transformed, END)]
                if found[0] is END:
                    return
                yield found.pop()  # so that this frame does not keep the item alive
        except GeneratorExit:
            raise
        except BaseException as error:
            raise_with_note(error, context.unit, number, stage, self)

    def __repr__(self) -> str:
        parts = self.function._parts()
        return f"{type(self).__name__}({', '.join(parts if type(self) is Iterator else parts[1:])})"


class ExpirationPool(Iterator):
    """A stage that gives each item several times, in a random order, from a pool in memory: see `expiration_pool`.

    Parameters
    ----------
    pool_size : int
        The largest number of items in the pool.
    repetitions : int
        The number of times that each item is given. Then it leaves the pool.
    iterations : int, default 1
        While the pool fills, the number of items given for each new one.

    Examples
    --------
    >>> ExpirationPool(100, repetitions=4)
    ExpirationPool(pool_size=100, repetitions=4, iterations=1)
    """

    def __init__(self, pool_size: int, repetitions: int, iterations: int = 1) -> None:
        pool_size, repetitions = whole("pool_size", pool_size), whole("repetitions", repetitions)
        iterations = whole("iterations", iterations, least=0)
        super().__init__(expiration_pool, pool_size=pool_size, repetitions=repetitions, iterations=iterations)


class buckets(Iterator):
    """A stage that puts items of similar length next to each other, so that batches need little padding.

    It gathers the items of `n_batches` batches, sorts them by length, cuts them into batches and gives the batches in a
    random order. Make it the last stage, and pass the same `batch_size` to the pipe.

    Parameters
    ----------
    length : callable, item -> number
    batch_size : int
        Items per batch.
    n_batches : int, default 16
        The number of batches whose items are gathered, and held in memory. With more, the lengths within a batch are
        more alike.

    Examples
    --------
    >>> buckets(len, batch_size=32)
    buckets(len, batch_size=32, n_batches=16)
    """

    def __init__(self, length: Callable[[Any], Any], batch_size: int, n_batches: int = 16) -> None:
        should_be_callable("length", length)
        batch_size, n_batches = whole("batch_size", batch_size), whole("n_batches", n_batches)
        super().__init__(bucketed, length, batch_size=batch_size, n_batches=n_batches)


END = object()  # marks the end of a stream


def note_item(error: BaseException, unit: str, number: int, stage: int, what: object) -> Exception:
    """The error, with a note that says at which item and stage it happened. An error keeps an earlier such note."""
    error = presentable(error)
    if not any(note.startswith("at ") and ", stage " in note for note in getattr(error, "__notes__", ())):
        noted(error, f"at {unit} {number}, stage {stage}: {short_name(what)}")
    return error


def raise_with_note(error: BaseException, unit: str, number: int, stage: int, what: object) -> NoReturn:
    raise note_item(error, unit, number, stage, what)
