"""What a group of workers is sent, and what it answers, message by message."""

from __future__ import annotations

import time
from typing import Any

from batchup.engine.process import pickling
from batchup.engine.process.group import WorkerGroup
from batchup.engine.process.protocol import CALL, HELLO, KIND, framed


def heard(group: WorkerGroup, n: int, seconds: float = 30.0) -> list[tuple[Any, ...]]:
    """The next `n` messages of its workers, but for the greetings."""
    found: list[tuple[Any, ...]] = []
    until = time.monotonic() + seconds
    while len(found) < n and time.monotonic() < until:
        for worker in group.ready(1.0, most=1.0):
            found += [message for message in worker.read() if message[KIND] != HELLO]
    return found


def frame_of(number: int, fn: Any, *args: Any) -> bytes:
    """A task, as it goes through the pipe."""
    return framed((CALL, number, pickling.inline(fn), pickling.arguments_dumps(args, {}), b"", False))
