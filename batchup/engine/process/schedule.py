"""Decide which worker gets which task: the one with the fewest tasks."""

from __future__ import annotations

import collections
import time

from ...errors import WorkerDiedError
from .group import GRACE, WorkerGroup
from .protocol import FORGET
from .results import Answer

__all__ = ["Schedule"]

QUICK = 0.0002  # seconds; of tasks that take less, more go in one message


class Schedule:
    """The tasks that have not ended, and the workers that have them.

    Parameters
    ----------
    group : WorkerGroup

    Attributes
    ----------
    waiting : dict
        The answers to these tasks, by number.
    cancelled : deque of Answer
        Tasks that were cancelled, before their workers are told. May be appended to at any time.
    unused_constants : deque of int
        The same for constants, by their serial numbers.
    """

    def __init__(self, group: WorkerGroup) -> None:
        self.group = group
        self.waiting: dict[int, Answer] = {}
        self.cancelled: collections.deque[Answer] = collections.deque()
        self.unused_constants: collections.deque[int] = collections.deque()

    def add(self, answer: Answer) -> None:
        """Give a new task to a worker, and tell workers which objects they can forget."""
        if self.unused_constants:
            serials = [self.unused_constants.popleft() for _ in range(len(self.unused_constants))]
            for worker in self.group.workers:
                worker.send_now((FORGET, serials))
        if self.cancelled:
            self.drop_cancelled()
        self.waiting[answer.number] = answer
        self.assign(answer)

    def assign(self, answer: Answer) -> None:
        """Give a task to the worker that has the fewest."""
        workers = self.group.workers
        if workers:
            loads = [len(worker.answers) for worker in workers]
            worker = answer.worker = workers[loads.index(min(loads))]
            worker.answers[answer.number] = answer
            function, constants = answer.function, answer.constants  # read once: it may be cancelled at any time
            if constants:
                worker.send_constants(constants)
            worker.send_task(answer.frame, function is not None and function.seconds < QUICK)
        else:
            self.fail(answer, WorkerDiedError("there is no worker process left, and none can be started"))

    def fail(self, answer: Answer, error: BaseException) -> None:
        """End a task with an error."""
        answer.fail(error)
        self.waiting.pop(answer.number, None)

    def drop_cancelled(self) -> None:
        """Tell workers to drop the cancelled tasks."""
        told = []
        while self.cancelled:
            answer = self.cancelled.popleft()
            self.waiting.pop(answer.number, None)
            if answer.worker is not None and answer.worker.answers.pop(answer.number, None) is not None:
                self.group.drop(answer.worker, [answer.number])
                told.append(answer.worker)
        if told:
            self.group.settle(told)

    def start_over(self) -> None:
        """Replace all workers, and give the new ones every task that has not ended."""
        group = self.group
        for worker in list(group.workers):
            worker.process.kill()
            worker.end(time.monotonic() + GRACE)
            group.remove(worker)
        for index in range(group.size):
            group.clear_mark(index)
            group.start(index)
        for number, answer in sorted(self.waiting.items()):
            if answer.state == "waiting":
                self.assign(answer)
            else:
                del self.waiting[number]
