"""A worker process, from inside: it reads tasks from one pipe, and writes what became of them to another."""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import os
import pickle
import select
import signal
import sys
import threading
import time
import traceback
from collections import deque
from typing import Any

import numpy as np

from ...errors import SharedMemoryError
from . import constants, pickling, shared_memory
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
    TASK,
    Inbox,
    framed,
)
from .slots import SHELVED, Slot, Slots

__all__ = ["main"]

SMALL = 1 << 12  # results up to here go through the pipe, in bytes
NOWHERE = contextlib.nullcontext()
KEPT = 1 << 27  # memory of arrays up to here is used again for other arrays, in bytes
LOOK = 0.0005  # seconds of work after which a worker looks for messages again

place: int | None = None  # which worker of its pool this process is, from 0; None if it is no worker

Queued = tuple[bool, bytes, Any, bool]  # whether the function is shared, the function, its arguments, piped


class Worker:
    """What one worker process does, until the pipe of its tasks ends."""

    def __init__(self, tasks: int, results: int, mark: memoryview) -> None:
        self.inbox = Inbox(tasks)
        self.results = results
        self.mark = mark  # what the parent sees if this process dies, and what this one sees of the parent at once
        self.drops = 0  # the messages DROP that were read
        self.slots = Slots()
        self.queues: dict[bytes, deque[tuple[int, Queued]]] = {}  # by function: streams take turns
        self.functions: dict[bytes, Any] = {}
        self.sizes: dict[bytes, int] = {}  # by function: how large its last result was
        self.blocking = True
        self.looked = 0.0  # when the pipe was last read

    def serve(self) -> None:
        self.send((0, 0.0, HELLO, None, None, None))
        now = 0.0
        while True:
            if not self.queues or now - self.looked > LOOK or self.mark[1] != self.drops:
                self.take_in()
                self.looked = time.perf_counter()
            if self.inbox.ended:
                return
            number, task = self.next_task()
            self.mark[0] = number
            begun = time.perf_counter()
            outcome = self.outcome(*task)
            now = time.perf_counter()
            seconds = now - begun
            try:
                self.send((number, seconds, *outcome))
            except ValueError:  # marshal's own limit
                too_large = ValueError("a result should be below 2 GiB when pickled; arrays may be larger")
                self.send((number, seconds, *self.failure(too_large)))
            self.mark[0] = 0
            gone = self.slots.given_back()
            if gone:
                self.send((0, 0.0, GONE, gone, None, None))

    def next_task(self) -> tuple[int, Queued]:
        """The oldest task of the function whose turn it is, and its number."""
        function, queue = next(iter(self.queues.items()))
        task = queue.popleft()
        if not queue or len(self.queues) > 1:
            del self.queues[function]
            if queue:
                self.queues[function] = queue  # at the end: the others come first
        return task

    def take_in(self) -> None:
        """Read what has come; wait only if there is nothing to do."""
        while True:
            if self.blocking == bool(self.queues):
                self.blocking = not self.blocking
                os.set_blocking(self.inbox.fd, self.blocking)
            for kind, *rest in self.inbox.read():
                if kind in (TASK, CALL):
                    number, function, *more = rest
                    self.queues.setdefault(function, deque()).append((number, (kind == TASK, function, *more)))
                elif kind == DROP:
                    self.drops += 1
                    self.drop(set(rest[0]))
                elif kind == FORGET:
                    self.functions.clear()
                    for serial in rest[0]:
                        constants.forget(serial)
                elif kind == FREE:
                    self.slots.take_back(rest[0])
                elif kind == MAPPED:
                    self.slots.mapped(rest[0])
            if self.queues or self.inbox.ended:
                return

    def drop(self, numbers: set[int]) -> None:
        """Nobody waits for these any more."""
        for key, queue in list(self.queues.items()):
            left = deque(task for task in queue if task[0] not in numbers)
            if left:
                self.queues[key] = left
            else:
                del self.queues[key]

    def outcome(self, shared: bool, function: bytes, arguments: bytes | list[bytes], piped: bool) -> tuple[Any, ...]:
        """The kind of outcome, its header, and where its buffers are."""
        slot, why = None, ""
        try:
            fn = self.fetch(function) if shared else pickle.loads(function)
            args, kwargs = pickling.arguments_loads(arguments)
            slot = None if piped else self.slot_for(function)
            with slot.arena if slot else NOWHERE:
                header, buffers = pickling.result_dumps(fn(*args, **kwargs))
        except BaseException as error:
            if slot:
                self.slots.give(slot)
            return self.failure(error)
        del fn, args, kwargs
        size = sum([buffer.nbytes for buffer in buffers])
        if size > SMALL and not piped:
            try:
                if size <= SHELVED and slot is None:
                    return ON_SHELF, header, *self.slots.shelve(buffers)
                asked = slot.arena.asked if slot else 0
                slot, spans = self.slots.pack(slot, buffers)
                # room for what the function makes besides, an array of labels or indices, but not for much more
                self.sizes[function] = max(shared_memory.total_size(spans), asked if asked <= 1.25 * size else 0)
                return IN_SLOT, header, spans, self.slots.lend(slot)
            except SharedMemoryError as error:
                why = str(error)  # there is still the pipe
        copies = [bytes(buffer) for buffer in buffers]
        if slot:
            self.slots.give(slot)
        return IN_PIPE, header, copies, why

    def fetch(self, function: bytes) -> Any:
        """The function of many tasks, which is unpickled once: it gives the same for the same arguments."""
        if function not in self.functions:
            if len(self.functions) > 64:
                self.functions.clear()
            self.functions[function] = pickle.loads(function)
        return self.functions[function]

    def slot_for(self, function: bytes) -> Slot | None:
        """Memory for the result of this function, if the last one was large."""
        size = self.sizes.get(function)
        if size is None or size <= SHELVED:
            return None
        if len(self.sizes) > 64:
            self.sizes.clear()
        try:
            return self.slots.take(size)
        except SharedMemoryError:
            return None

    @staticmethod
    def failure(error: BaseException) -> tuple[Any, ...]:
        """The error as a pickle, if it is one that may be raised elsewhere; and its type, message and traceback."""
        pickled = b""
        try:
            text = "".join(traceback.format_exception(error))
        except BaseException:
            text = "(and its traceback cannot be had)"
        if isinstance(error, Exception) and not isinstance(error, StopIteration):
            try:
                pickled = pickling.error_dumps(error)
            except BaseException:  # even SystemExit: it is the user's code that is run here
                pickled = b""
        return ERROR, (pickled, type(error).__name__, _said(error), text), None, None

    def send(self, message: tuple[Any, ...]) -> None:
        left = framed(message)
        while left:
            left = left[os.write(self.results, left) :]


def _said(error: BaseException) -> str:
    try:
        return str(error)
    except BaseException:
        return "(and its message cannot be had)"


def die_with_parent(life: int) -> None:
    """End this process when the pipe `life` ends: its other end is held by the parent alone."""

    def wait() -> None:
        os.read(life, 1)
        os._exit(0)

    threading.Thread(target=wait, name="batchup-life", daemon=True).start()


def keep_freed_memory() -> None:
    """Have what arrays leave behind used again for other arrays, rather than given back to the system and fetched anew.

    The C library of Linux gives back large pieces at once, and the system clears every page before it is used again:
    that takes several times as long as a copy. The parameters are those of `mallopt(3)`; one that the environment sets
    stays.
    """
    settings = " ".join([*os.environ, os.environ.get("GLIBC_TUNABLES", "")]).lower()
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None and "mmap_threshold" not in settings and "trim_threshold" not in settings:
        trim_threshold, mmap_threshold = -1, -3
        if mallopt(mmap_threshold, KEPT) or mallopt(mmap_threshold, 1 << 25):  # the most that older ones take
            mallopt(trim_threshold, 2 * KEPT)  # alone it would lower the other one


def main(tasks: int, results: int, life: int, size: int, index: int, marks: str) -> None:
    """Serve until the parent closes the pipe of tasks, or is gone."""
    global place
    place = index
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C ends a worker without a word
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGINT])
    die_with_parent(life)
    keep_freed_memory()
    for fd in (tasks, results, life):
        os.set_inheritable(fd, False)
    if hasattr(fcntl, "F_SETPIPE_SZ"):
        for fd in (tasks, results):
            try:
                fcntl.fcntl(fd, fcntl.F_SETPIPE_SZ, PIPE)
            except OSError:  # more than this user may have: smaller will do
                break
    try:
        marked = shared_memory.Segment.mapped(marks, size)
    except FileNotFoundError:
        if select.select([life], [], [], 1.0)[0]:  # the parent is gone, and its memory with it
            os._exit(0)
        raise
    mark = np.frombuffer(marked, np.int64).data[MARK * index : MARK * (index + 1)]
    try:
        Worker(tasks, results, mark).serve()
    except BrokenPipeError:  # the parent is gone
        os._exit(0)
    if sys.stdout is not None:
        sys.stdout.flush()
