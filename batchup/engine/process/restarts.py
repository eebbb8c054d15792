"""When a worker dies, start another one and run its tasks again, except a task that kills its workers."""

from __future__ import annotations

import signal
import time

from ...errors import WorkerDiedError
from .group import GRACE, WorkerProcess
from .results import Answer
from .schedule import Schedule
from .starting import python

__all__ = ["Restarts"]

ENOUGH = 2  # failed starts in a row after which the next ones will fail, too, if none has succeeded
SIGNALS = ("SIGKILL", "SIGTERM", "SIGINT", "SIGHUP")
FROM_OUTSIDE = {-getattr(signal, name) for name in SIGNALS if hasattr(signal, name)}  # what ends one worker, not each
INTERRUPTS = 10  # how often Ctrl-C may end the workers that have one task; more often, the task itself does
LIKELY_CAUSES = {  # by exit code
    -9: "-9 is often the system's answer to too little memory",
    -11: "-11 is that of code in C that reads or writes where it may not",
    0xC0000005: "3221225477 is that of code in C that reads or writes where it may not",  # on Windows
}


class Restarts:
    """Replaces workers that died.

    A worker notes in shared memory which task it runs (`protocol`), so the parent knows which task was running when it
    died. A task is not tried again after `retries` + 1 workers have died while running it.

    Parameters
    ----------
    schedule : Schedule
    workers : int
    retries : int
    initializer : str
        The name of the function that each worker calls first; empty for none.

    Attributes
    ----------
    count : int
        How many workers were replaced.
    """

    def __init__(self, schedule: Schedule, workers: int, retries: int, initializer: str = "") -> None:
        self._schedule = schedule
        self._most_failed_starts = 2 * workers
        self._retries = retries
        self._initializer = initializer
        self._failed_starts = 0  # in a row
        self._own_ends = 0  # how many of them were the worker's own doing
        self._has_any_started = False
        self.count = 0

    def note_start(self, worker: WorkerProcess) -> None:
        """The worker has begun to work."""
        worker.has_started = self._has_any_started = True
        self._failed_starts = self._own_ends = 0

    def replace(self, dead: WorkerProcess) -> None:
        """Start another worker in place of a dead one, and run its tasks again."""
        group = self._schedule.group
        exit_code = dead.end(time.monotonic() + GRACE)
        running = dead.answers.get(group.mark(dead))
        group.clear_mark(dead.index)
        group.remove(dead)
        if not dead.killed_by_parent:
            self._blame(dead, running, exit_code)
        if not self._has_any_started and self._own_ends >= ENOUGH:
            self._fail_all(list(self._schedule.waiting.values()), exit_code)
        elif self._failed_starts > self._most_failed_starts:
            self._fail_all(list(dead.answers.values()), exit_code)
            self._failed_starts = 0
        group.start(dead.index)
        self.count += 1
        for answer in dead.answers.values():
            if answer.state == "waiting":
                answer.retried += 1
                self._schedule.assign(answer)

    def _blame(self, dead: WorkerProcess, running: Answer | None, exit_code: int | None) -> None:
        if not dead.has_started:
            self._failed_starts += 1
            self._own_ends += exit_code not in FROM_OUTSIDE
        if running is not None:
            running.exit_codes += (exit_code,)
            interrupts = running.exit_codes.count(-signal.SIGINT)  # Ctrl-C is no fault of the data
            if interrupts > INTERRUPTS or len(running.exit_codes) - interrupts > self._retries:
                self._schedule.fail(dead.answers.pop(running.number), _died(running))

    def _fail_all(self, answers: list[Answer], exit_code: int | None) -> None:
        why = f"worker processes end before they begin to work, with exit code {exit_code}; they run {python()}, which "
        why += "should be a Python interpreter that can import batchup"
        if self._initializer:
            why = f"worker processes end before they begin to work, with exit code {exit_code}: their initializer "
            why += f"{self._initializer} (worker_init of a Loader) should return, and not end the process"
        for answer in answers:
            self._schedule.fail(answer, WorkerDiedError(why))


def _died(answer: Answer) -> WorkerDiedError:
    attempts = len(answer.exit_codes)
    codes = ", ".join(map(str, answer.exit_codes))
    hints = "".join(f"; {cause}" for code, cause in LIKELY_CAUSES.items() if code in answer.exit_codes)
    who, them = ("a worker process", "code") if attempts == 1 else (f"{attempts} worker processes in a row", "codes")
    error = WorkerDiedError(f"{who} died at this task (exit {them} {codes}{hints})")
    error.attempts, error.exit_codes = attempts, answer.exit_codes
    return error
