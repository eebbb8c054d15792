"""A worker process, from inside: it reads tasks from one pipe, and writes their results to another."""

from __future__ import annotations

import contextlib
import ctypes
import os
import pickle
import select
import signal
import sys
import threading
import time
from collections import deque
from typing import Any, Protocol, TypeAlias

import numpy as np

from ...errors import SharedMemoryError, WorkerError, noted
from ..forks import forked
from . import constants, pickling, shared_memory
from .descriptors import descriptor_of
from .failures import failure_of, name_of
from .protocol import (
    CALL,
    DROP,
    ERROR,
    FORGET,
    FREE,
    GONE,
    HELLO,
    IN_PIPE,
    IN_SLOT,
    MAPPED,
    MARK,
    ON_SHELF,
    PIPE,
    START,
    TASK,
    Inbox,
    framed,
)
from .slots import SHELVED, Slot, Slots
from .surroundings import applied

try:
    import fcntl
except ImportError:  # not on Windows, where `portable_worker` is used
    fcntl = None  # type: ignore[assignment]

__all__ = ["Link", "PipeLink", "Worker", "flush_output", "keep_freed_memory", "main"]

SMALL = 1 << 12  # results of up to so many bytes go through the pipe
NO_ARENA = contextlib.nullcontext()
KEPT = 1 << 27  # memory that freed arrays of up to so many bytes leave is kept for other arrays
IN_INITIALIZER = "in the initializer of the pool (worker_init of a Loader)"
LOOK = 0.0005  # seconds of work after which a worker reads messages again

place: int | None = None  # the index of this process among the workers of its pool; None if it is no worker

# is the function shared, the function, its arguments, surroundings, piped
Queued: TypeAlias = tuple[bool, bytes, Any, bytes, bool]
Message: TypeAlias = tuple[int, Any, Any, Any]  # kind, header, where, more: the end of a message (see `protocol`)


class Link(Protocol):
    """A worker's end of the connection with its parent."""

    has_slots: bool  # whether results may be in shared memory

    def has_news(self, now: float) -> bool:
        """Whether to read before the next task; `now` is by `time.perf_counter`."""

    def read(self, wait: bool) -> list[tuple[Any, ...]]:
        """The messages that have come; `wait` for one if there is none."""

    @property
    def ended(self) -> bool:
        """Whether no more tasks will come."""

    def begin(self, number: int) -> None:
        """A task begins."""

    def dropped(self) -> None:
        """A message DROP was read."""

    def send(self, message: tuple[Any, ...]) -> None:
        """Send a message, now or with the next one."""

    def send_result(self, message: tuple[Any, ...]) -> None:
        """Send the result of the task, which has ended."""


class PipeLink:
    """Two pipes, and a mark in shared memory.

    Parameters
    ----------
    tasks, results : int
        Descriptors of the pipes.
    mark : memoryview of two int64
        Shared with the parent (see `protocol.MARK`).
    """

    has_slots = True

    def __init__(self, tasks: int, results: int, mark: memoryview) -> None:
        self.inbox = Inbox(tasks)
        self.results = results
        self.mark = mark
        self.drops = 0  # how many messages DROP were read
        self.blocking = True
        self.last_read = 0.0  # when messages were read

    def has_news(self, now: float) -> bool:
        return now - self.last_read > LOOK or self.mark[1] != self.drops

    def read(self, wait: bool) -> list[tuple[Any, ...]]:
        if self.blocking != wait:
            self.blocking = wait
            os.set_blocking(self.inbox.fd, wait)
        messages = self.inbox.read()
        self.last_read = time.perf_counter()
        return messages

    @property
    def ended(self) -> bool:
        return self.inbox.ended

    def begin(self, number: int) -> None:
        self.mark[0] = number

    def dropped(self) -> None:
        self.drops += 1

    def send(self, message: tuple[Any, ...]) -> None:
        left = framed(message)
        while left:
            left = left[os.write(self.results, left) :]

    def send_result(self, message: tuple[Any, ...]) -> None:
        self.send(message)
        self.mark[0] = 0


class Worker:
    """The loop of a worker process: it runs tasks until there are no more.

    Parameters
    ----------
    link : Link
    """

    def __init__(self, link: Link) -> None:
        self.link = link
        self.slots = Slots() if link.has_slots else None
        self.queues: dict[bytes, deque[tuple[int, Queued]]] = {}  # by function, as streams take turns
        self.functions: dict[bytes, Any] = {}
        self.sizes: dict[bytes, int] = {}  # of the last result, by function
        self.is_started = False
        self.failed_start: Message | None = None  # what the initializer raised: the answer to each task

    def serve(self) -> None:
        link = self.link
        while not self.is_started:
            self.read_messages()
            if link.ended:
                return
        link.send((0, 0.0, HELLO, None, None, None))
        now, is_fork = 0.0, forked()
        while True:
            if not self.queues or link.has_news(now):
                self.read_messages()
                if link.ended:
                    return
            number, task = self.next_task()
            link.begin(number)
            begun = time.perf_counter()
            result = self.run(*task)
            if is_fork():  # one that the task has made, and not ended
                os._exit(0)
            now = time.perf_counter()
            seconds = now - begun
            try:
                link.send_result((number, seconds, *result))
            except ValueError:  # marshal's own limit
                too_large = ValueError("a result should be below 2 GiB when pickled; arrays may be larger")
                link.send_result((number, seconds, *self.failure(too_large)))
            del result
            closed = self.slots.closed_slots() if self.slots else None
            if closed:
                link.send((0, 0.0, GONE, closed, None, None))

    def next_task(self) -> tuple[int, Queued]:
        """The number of the next task, and the task: the oldest one of the function whose turn it is."""
        function, queue = next(iter(self.queues.items()))
        task = queue.popleft()
        if not queue or len(self.queues) > 1:
            del self.queues[function]
            if queue:
                self.queues[function] = queue  # at the end, after the others
        return task

    def read_messages(self) -> None:
        """Read the messages that have come. Wait only if there is nothing to do."""
        while True:
            for kind, *rest in self.link.read(wait=not self.queues):
                if kind in (TASK, CALL):
                    number, function, *more = rest
                    self.queues.setdefault(function, deque()).append((number, (kind == TASK, function, *more)))
                elif kind == START:
                    self.start(rest[0])
                elif kind == DROP:
                    self.link.dropped()
                    self.drop(set(rest[0]))
                elif kind == FORGET:
                    self.functions.clear()
                    for serial in rest[0]:
                        constants.forget(serial)
                elif kind == FREE and self.slots:
                    self.slots.take_back(rest[0])
                elif kind == MAPPED and self.slots:
                    self.slots.mapped(rest[0])
            if self.queues or self.link.ended or not self.is_started:
                return

    def start(self, initializer: bytes) -> None:
        """Call the initializer of the pool."""
        try:
            if initializer:
                call_initializer(*pickle.loads(initializer))
        except BaseException as error:
            self.failed_start = self.failure(noted(error, IN_INITIALIZER))
        self.is_started = True

    def drop(self, numbers: set[int]) -> None:
        """Drop tasks that are not needed any more."""
        for key, queue in list(self.queues.items()):
            left = deque(task for task in queue if task[0] not in numbers)
            if left:
                self.queues[key] = left
            else:
                del self.queues[key]

    def run(self, shared: bool, function: bytes, arguments: Any, around: bytes, piped: bool) -> Message:
        """Run a task. Returns the end of the message with its result or error."""
        if self.failed_start:
            return self.failed_start
        slots = None if piped else self.slots
        slot, why = None, ""
        try:
            fn = self.shared_function(function) if shared else pickle.loads(function)
            args, kwargs = pickling.arguments_loads(arguments)
            slot = self.slot_for(function, slots) if slots else None
            with slot.arena if slot else NO_ARENA:
                result = fn(*args, **kwargs) if not around else in_surroundings(around, fn, args, kwargs)
                header, buffers = pickling.result_dumps(result)
        except BaseException as error:
            if slots and slot:
                slots.give(slot)
            return self.failure(error)
        del fn, args, kwargs, result
        if slots is None:
            return IN_PIPE, header, buffers, why
        size = sum([buffer.nbytes for buffer in buffers])
        if size > SMALL:
            try:
                if size <= SHELVED and slot is None:
                    return ON_SHELF, header, *slots.shelve(buffers)
                asked = slot.arena.asked if slot else 0
                slot, ranges = slots.pack(slot, buffers)
                # with room for what else the function makes, an array of labels or indices, but not for much more
                self.sizes[function] = max(shared_memory.total_size(ranges), asked if asked <= 1.25 * size else 0)
                return IN_SLOT, header, ranges, slots.lend(slot)
            except SharedMemoryError as error:
                why = str(error)  # it goes through the pipe
        copies = [bytes(buffer) for buffer in buffers]
        if slot:
            slots.give(slot)
        return IN_PIPE, header, copies, why

    def shared_function(self, function: bytes) -> Any:
        """A function that tasks share: unpickled once, as it returns the same for the same arguments."""
        if function not in self.functions:
            if len(self.functions) > 64:
                self.functions.clear()
            self.functions[function] = pickle.loads(function)
        return self.functions[function]

    def slot_for(self, function: bytes, slots: Slots) -> Slot | None:
        """Memory for the result of a function, if its last result was large."""
        size = self.sizes.get(function)
        if size is None or size <= SHELVED:
            return None
        if len(self.sizes) > 64:
            self.sizes.clear()
        try:
            return slots.take(size)
        except SharedMemoryError:
            return None

    @staticmethod
    def failure(error: BaseException) -> Message:
        """The end of the message for a task that raised `error`: its text, and its pickle if there is one."""
        return ERROR, failure_of(error), None, None


def call_initializer(fn: Any, args: tuple[Any, ...]) -> None:
    try:
        fn(*args)
    except SystemExit as error:
        raise WorkerError(
            f"the initializer {name_of(fn)} of the pool (worker_init of a Loader) should return, not raise {error!r}"
        ) from error


def in_surroundings(around: bytes, fn: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    with applied(around):
        return fn(*args, **kwargs)


def die_with_parent(lifeline: int) -> None:
    """End this process when the pipe `lifeline` ends: its other end is held by the parent alone."""

    def wait() -> None:
        os.read(lifeline, 1)
        os._exit(0)

    threading.Thread(target=wait, name="batchup-life", daemon=True).start()


def keep_freed_memory() -> None:
    """Reuse the memory of freed arrays for other arrays, instead of returning it to the system.

    The C library of Linux gives back large pieces at once, and the system clears every page before it hands it out:
    that takes several times as long as a copy. The parameters are those of `mallopt(3)`. If the environment sets one,
    nothing is changed.
    """
    settings = " ".join([*os.environ, os.environ.get("GLIBC_TUNABLES", "")]).lower()
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt is not None and "mmap_threshold" not in settings and "trim_threshold" not in settings:
        trim_threshold, mmap_threshold = -1, -3
        if mallopt(mmap_threshold, KEPT) or mallopt(mmap_threshold, 1 << 25):  # the most that older libraries accept
            mallopt(trim_threshold, 2 * KEPT)  # set alone, it would lower the other one


def flush_output() -> None:
    """Write what was printed, unless a task has closed the output."""
    if sys.stdout is not None:
        with contextlib.suppress(ValueError):
            sys.stdout.flush()


def main(tasks: str, results: str, lifeline: str, size: str, index: str, marks: str) -> None:
    """Work until the parent closes the pipe of tasks, or has ended.

    Parameters
    ----------
    tasks, results, lifeline : str
        The names of pipes: see `descriptors.descriptor_of`.
    size : str
        Of the memory at `marks`.
    index : str
        Which of the marks there is that of this worker.
    marks : str
        The path of a shared segment.
    """
    global place
    place = int(index)
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C ends a worker without a traceback
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGINT])
    life = descriptor_of(lifeline, os.O_RDONLY)
    die_with_parent(life)
    keep_freed_memory()
    fds = descriptor_of(tasks, os.O_RDONLY), descriptor_of(results, os.O_WRONLY)
    if hasattr(fcntl, "F_SETPIPE_SZ"):
        for fd in fds:
            try:
                fcntl.fcntl(fd, fcntl.F_SETPIPE_SZ, PIPE)
            except OSError:  # more than this user may have; they work with less
                break
    try:
        marked = shared_memory.Segment.mapped(marks, int(size))
    except FileNotFoundError:
        if select.select([life], [], [], 1.0)[0]:  # the parent is gone, and its memory with it
            os._exit(0)
        raise
    mark = np.frombuffer(marked, np.int64).data[MARK * place : MARK * (place + 1)]
    try:
        Worker(PipeLink(*fds, mark)).serve()
    except BrokenPipeError:  # the parent is gone
        os._exit(0)
    flush_output()
