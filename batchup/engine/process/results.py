"""Results of worker processes: the reply to a task, and how the parent maps the memory of a result.

A large result is in a slot, shared memory of the worker's. The message about it says which slot (`protocol`). The
parent maps the slot when it first hears of it, and keeps it mapped: `WorkerProcess.lease` returns an array over all of
it. The arrays of the batch are views of that array (`pickling.result_in`), so it is collected with the last of them.
Then the slot is free, and the worker is told so with the next task (`group`).
"""

from __future__ import annotations

import errno
from collections.abc import Sequence
from typing import Any, Protocol

from ...errors import WorkerError, noted
from . import pickling
from .constants import Constant
from .failures import raised_in_worker
from .group import WorkerProcess
from .protocol import ERROR, IN_SLOT, ON_SHELF, SlotReference, piped

__all__ = ["Answer", "Reader", "Results"]

NO_MEMORY = (
    errno.ENOMEM,
    errno.EMFILE,
    errno.ENFILE,
    errno.EACCES,
)  # not the fault of a worker


class Reader(Protocol):
    """What reads the pipes for an `Answer`: the pool."""

    def glance(self) -> None:
        """Read what has come, without waiting."""

    def wait_for(self, answer: Answer, timeout: float | None) -> None:
        """Read until the answer is there; raises TimeoutError."""

    def forgo(self, answer: Answer) -> bool:
        """Cancel its task; False if it has ended."""


class Answer:
    """The reply of a worker process: a `pools.Reply` that has the pipes read while it waits.

    Its `state` is "waiting", then "arrived" when its message has been read, then "open" when that has been unpickled.
    A task that fails or is cancelled in the parent is "open" at once.
    """

    __slots__ = (  # there is one for each batch, and with a dictionary it takes longer to make and to look at
        "constants",
        "error",
        "exit_codes",
        "frame",
        "function",
        "lease",
        "message",
        "number",
        "reader",
        "references",
        "retried",
        "seconds",
        "state",
        "value",
        "worker",
    )

    def __init__(
        self,
        reader: Reader,
        number: int,
        frame: bytes,
        function: Constant | None = None,
        references: Any = None,
        constants: Sequence[Constant] = (),
    ) -> None:
        self.reader = reader
        self.number = number
        self.frame = frame  # the task, as it is sent
        # these are None or () when it has ended, so that they can be collected
        self.function = function  # of the task, if it is shared with other tasks
        self.references = references  # its function and arguments: constants in them are needed until it has ended
        self.constants = constants  # that its worker has to be sent, if it has not had them
        self.worker: WorkerProcess | None = None
        self.exit_codes: tuple[int | None, ...] = ()  # of the workers that died while they had this task
        self.retried = 0
        self.seconds = 0.0
        self.state = "waiting"
        self.message: tuple[Any, ...] = ()  # the kind, the header, and the buffers or where they are
        self.lease: Any = None  # the memory of the slot that it is in
        self.value: Any = None
        self.error: BaseException | None = None

    def done(self) -> bool:
        if self.state == "waiting":
            self.reader.glance()
        return self.state != "waiting"

    def cancel(self) -> bool:
        return self.reader.forgo(self)

    def exception(self, timeout: float | None = None) -> BaseException | None:
        if self.state == "waiting":
            self.reader.wait_for(self, timeout)
        if self.state == "arrived":
            self._open()
        return self.error

    def result(self, timeout: float | None = None) -> Any:
        error = self.error if self.state == "open" else self.exception(timeout)
        if error is not None:
            raise error
        return self.value

    def fail(self, error: BaseException) -> None:
        """End the task with an error of the parent's."""
        self.error, self.state, self.lease = error, "open", None
        self.function, self.references, self.constants = None, None, ()

    def _open(self) -> None:
        kind, header, where = self.message
        pid = self.worker.process.pid if self.worker else 0
        value: Any = None
        error: BaseException | None = None
        try:
            if kind == ERROR:
                error = noted(raised_in_worker(*header), f"in worker pid {pid}")
            elif self.lease is not None:
                value = pickling.result_in(self.lease, header, where)
            else:
                value = pickling.result_loads(header, [_own(buffer) for buffer in where])
        except Exception as cause:
            error = WorkerError(f"what came back from worker pid {pid} cannot be loaded here: {cause}")
            error.__cause__ = cause
        # no calls from here on (see engine.pulled): if Ctrl-C came before, the message is opened again
        self.value, self.error, self.lease, self.message = value, error, None, ()
        self.function, self.references, self.constants, self.state = None, None, (), "open"


def _own(buffer: bytes | bytearray) -> bytearray:
    """Memory that may be written to. Where buffers come one by one, they are in memory of their own already."""
    return buffer if isinstance(buffer, bytearray) else bytearray(buffer)


class Results:
    """Hands the results that workers send to their answers.

    Parameters
    ----------
    waiting : dict
        The answers that wait, by number. Those that get their result are removed.

    Attributes
    ----------
    shortage : str
        Why results come through pipes rather than shared memory, until `warned` is set.
    """

    def __init__(self, waiting: dict[int, Answer]) -> None:
        self.waiting = waiting
        self.shortage = ""
        self.warned = False

    def take(
        self, worker: WorkerProcess, number: int, seconds: float, kind: int, header: Any, where: Any, more: Any
    ) -> None:
        """Hand a result to its answer. `more` is the slot that it is in, or why it is in none."""
        lease = None
        if kind >= IN_SLOT:
            lease = self._lease(worker, kind, more)
            if lease is None:  # once more, through the pipe; or by another worker, if this one has died
                if number in worker.answers:
                    worker.send_task(piped(worker.answers[number].frame), False)
                return
        elif more:
            self._note_shortage(more)
        answer = worker.answers.pop(number, None)
        if answer is not None and answer.state == "waiting":
            answer.seconds = seconds
            function = answer.function  # read once: it may be cancelled at any time
            if function is not None:
                function.seconds = seconds
            answer.message, answer.lease, answer.state = (kind, header, where), lease, "arrived"
        self.waiting.pop(number, None)  # last: what is there after Ctrl-C is done again

    def _lease(self, worker: WorkerProcess, kind: int, slot: SlotReference | None) -> Any:
        """The memory of a result, or None if it cannot be mapped."""
        if slot is None:
            return worker.shelf
        if kind == ON_SHELF:
            worker.shelf = None  # even if this one cannot be mapped, the next results are not in the last one
        try:
            lease = worker.lease(*slot)
        except OSError as error:
            worker.refuse(slot[0])
            if error.errno in NO_MEMORY:
                self._note_shortage(f"{slot[2]} bytes cannot be mapped: {error}")
            return None
        if kind == ON_SHELF:
            worker.shelf = lease
        return lease

    def _note_shortage(self, why: str) -> None:
        if not self.warned:
            self.shortage = why
