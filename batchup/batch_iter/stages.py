"""What a pipe is made of. A stage takes an iterator of items, and gives one."""

from __future__ import annotations

import collections
import dataclasses
import itertools
from collections.abc import Callable, Iterable, Sequence
from collections.abc import Iterator as Iterates
from typing import Any, NoReturn

from ..engine import pools
from ..engine.checks import whole
from ..engine.process.arguments import Outbox, Parcel, opened
from ..engine.rng import rng_at
from ..engine.stream import Task, WorkStream, presentable
from ..errors import noted
from .batching import bucketed, expiration_pool
from .chance import Place, Step, at
from .functions import Call, name_of, should_be_callable

__all__ = ["Course", "ExpirationPool", "Functions", "Iterator", "Loky", "Stage", "Threads", "buckets", "located"]


@dataclasses.dataclass(frozen=True)
class Course:
    """What the stages of one run have in common.

    Attributes
    ----------
    entropy : int
        The seed, or what stands for it.
    seeded : bool
        Whether it is a seed.
    first : int
        The number of the first item.
    unit : str
        What goes through: items, or batches.
    """

    entropy: int
    seeded: bool = False
    first: int = 0
    unit: str = "item"


class Stage:
    """What all stages have. Its number in the pipe, from 1, is told when it is put to work."""

    one_to_one = True  # whether each item that comes in goes out once, in the same order

    def pool(self) -> pools.Pool | None:
        """The workers of this stage, made for one run."""
        return None

    def flow(self, items: Iterates[Any], stage: int, course: Course, pool: pools.Pool | None) -> Iterates[Any]:
        """What comes out of the stage; called, and iterated, in the thread that runs the pipe."""
        raise NotImplementedError(f"{type(self).__name__} does not say what comes out of it")


class Functions(Stage):
    """Functions that are called one after the other, in the thread that runs the pipe."""

    def __init__(self, calls: Sequence[Callable[[Any], Any]]) -> None:
        self.calls = calls

    def flow(self, items: Iterates[Any], stage: int, course: Course, pool: pools.Pool | None) -> Iterates[Any]:
        steps = [Step(call, course.entropy, number) for number, call in enumerate(self.calls, stage)]
        number = course.first
        for item in items:
            step = steps[0]
            try:
                for step in steps:
                    item = step(item, number)
            except BaseException as error:
                raise_located(error, course.unit, number, step.stage, step.function)
            done = [item]
            del item
            yield done.pop()  # what is yielded is not held here
            number += 1


class Workers(Stage):
    """One function, called by workers for several items at a time. The order is kept.

    Parameters
    ----------
    func : callable, item -> item
    *args, **kwargs
        Further arguments of `func`.
    n_workers : int, default 1
    buffer_size : int, default 1
        How many items more than there are workers may be waiting for one, or done and waiting for the next stage.
    """

    def __init__(
        self, func: Callable[..., Any], /, *args: Any, n_workers: int = 1, buffer_size: int = 1, **kwargs: Any
    ) -> None:
        self.call = Call(func, *args, **kwargs)
        self.n_workers = whole("n_workers", n_workers)
        self.buffer_size = whole("buffer_size", buffer_size)

    def flow(self, items: Iterates[Any], stage: int, course: Course, pool: pools.Pool | None) -> Iterates[Any]:
        assert pool is not None
        job = Step(self.call, course.entropy, stage)
        tasks = map(lambda item, number: (job, (item, number)), items, itertools.count(course.first))
        return self._stream(pool, tasks, stage, course)

    def _stream(self, pool: pools.Pool, tasks: Iterates[Task], stage: int, course: Course) -> WorkStream:
        def here(error: BaseException, number: int, args: tuple[Any, ...]) -> BaseException:
            return located(error, course.unit, course.first + number, stage, self)

        return WorkStream(pool, tasks, self.n_workers + self.buffer_size, located=here)

    def __repr__(self) -> str:
        more = [f"n_workers={self.n_workers}"] + [f"buffer_size={self.buffer_size}"] * (self.buffer_size != 1)
        return f"{type(self).__name__}({', '.join(self.call._parts() + more)})"


class Threads(Workers):
    """One function, called by several threads. The order of the items is kept.

    Right for reading files, and for NumPy, Pillow and others that let go of Python's lock.

    Parameters
    ----------
    func : callable, item -> item
        May be called by several threads at a time.
    *args, **kwargs
        Further arguments of `func`.
    n_workers : int, default 1
        How many threads.
    buffer_size : int, default 1
        How many items more than that may be waiting for a thread, or done and waiting for the next stage.

    Examples
    --------
    >>> Threads(pow, 2, n_workers=4)
    Threads(pow, 2, n_workers=4)
    """

    def pool(self) -> pools.Pool:
        return pools.ThreadPool(self.n_workers)


class Loky(Workers):
    """One function, called by several processes. The order of the items is kept.

    Right for work in Python itself. Lambdas, and functions of a notebook or of the main program, are welcome. A process
    that dies is replaced, and its item tried again.

    Parameters
    ----------
    func : callable, item -> item
    *args, **kwargs
        Further arguments of `func`.
    n_workers : int, default 1
        How many processes; -1 is one for each core, -2 one less, and so on.
    buffer_size : int, default 1
        How many items more than that may be waiting for a process, or done and waiting for the next stage.

    Examples
    --------
    >>> Loky(pow, 2, n_workers=2)
    Loky(pow, 2, n_workers=2)
    """

    def __init__(
        self, func: Callable[..., Any], /, *args: Any, n_workers: int = 1, buffer_size: int = 1, **kwargs: Any
    ) -> None:
        super().__init__(func, *args, n_workers=_counted(n_workers), buffer_size=buffer_size, **kwargs)

    def pool(self) -> pools.Pool:
        from ..engine.process.pool import ProcessPool  # joblib and the rest are imported where they are used

        return ProcessPool(self.n_workers)

    def flow(self, items: Iterates[Any], stage: int, course: Course, pool: pools.Pool | None) -> Iterates[Any]:
        assert pool is not None
        job = pool.share(Delivered(Step(self.call, course.entropy, stage, seeds_globals=course.seeded)))
        outbox = Outbox()
        sent: collections.deque[Parcel | None] = collections.deque()

        def task(item: Any, number: int) -> Task:
            sent.append(outbox.packed(item))
            return job, (sent[-1], item if sent[-1] is None else None, number)

        def done(item: Any) -> Any:
            outbox.take_back(sent.popleft())
            return item

        return map(done, self._stream(pool, map(task, items, itertools.count(course.first)), stage, course))


class Delivered:
    """A step whose items may come through shared memory."""

    def __init__(self, step: Step) -> None:
        self.step = step

    def __call__(self, parcel: Parcel | None, item: Any, number: int) -> Any:
        return self.step(item if parcel is None else opened(parcel), number)


def _counted(n_workers: Any) -> Any:
    """As joblib counts: -1 is all cores."""
    if isinstance(n_workers, int) and n_workers < 0:
        return max(1, pools.cores() + 1 + n_workers)
    return n_workers


class Iterator(Stage):
    """A function of the whole iterator of items, for what cannot be done item by item: to leave some out, to repeat
    them or to change their order.

    Parameters
    ----------
    transform : callable, iterator of items -> iterable of items
        One that has a parameter ``rng`` gets a `numpy.random.Generator` for it, that of this stage.
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
                raise ValueError(f"an Iterator is one iterator, in the thread that runs the pipe: it takes no {name}")
        self.call = Call(transform, *args, **kwargs)

    def flow(self, items: Iterates[Any], stage: int, course: Course, pool: pools.Pool | None) -> Iterates[Any]:
        own = {"rng": rng_at(course.entropy, stage)} if self.call.draws else {}
        number = 0
        try:
            transformed = iter(self.call(items, **own))
            for number in itertools.count():
                with at(Place(course.entropy, stage, number)):
                    found = [next(transformed, END)]
                if found[0] is END:
                    return
                yield found.pop()  # what is yielded is not held here
        except GeneratorExit:
            raise
        except BaseException as error:
            raise_located(error, course.unit, number, stage, self)

    def __repr__(self) -> str:
        parts = self.call._parts()
        return f"{type(self).__name__}({', '.join(parts if type(self) is Iterator else parts[1:])})"


class ExpirationPool(Iterator):
    """Each item several times, in a random order, from a pool of a few that are held in memory: see `expiration_pool`.

    Parameters
    ----------
    pool_size : int
        How many items are held at most.
    repetitions : int
        How often each item comes. Then it leaves the pool.
    iterations : int, default 1
        How many are given out for each that comes in, while the pool fills.

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

    It gathers the items of some batches, sorts them by length, and gives them batch by batch, the batches in a random
    order. Put it last, and give the same `batch_size` to the pipe.

    Parameters
    ----------
    length : callable, item -> number
    batch_size : int
        Items per batch.
    n_batches : int, default 16
        Of how many batches the items are gathered, and held in memory. More of them make batches more even, and their
        order less random.

    Examples
    --------
    >>> buckets(len, batch_size=32)
    buckets(len, batch_size=32, n_batches=16)
    """

    def __init__(self, length: Callable[[Any], Any], batch_size: int, n_batches: int = 16) -> None:
        should_be_callable("length", length)
        batch_size, n_batches = whole("batch_size", batch_size), whole("n_batches", n_batches)
        super().__init__(bucketed, length, batch_size=batch_size, n_batches=n_batches)


END = object()  # of a stream


def located(error: BaseException, unit: str, number: int, stage: int, what: object) -> Exception:
    """The error, with a note that says where it happened, unless it has one."""
    error = presentable(error)
    if not any(note.startswith("at ") and ", stage " in note for note in getattr(error, "__notes__", ())):
        noted(error, f"at {unit} {number}, stage {stage}: {name_of(what)}")
    return error


def raise_located(error: BaseException, unit: str, number: int, stage: int, what: object) -> NoReturn:
    raise located(error, unit, number, stage, what)
