"""What goes through the pipes between the parent and a worker.

Messages are marshalled tuples behind their length. To the worker: ``(TASK, number, constant, arguments, piped)``,
``(CALL, number, function, arguments, piped)``, where `piped` says that the result may not be in shared memory; ``(DROP,
numbers)``, ``(FORGET, constants)``, ``(FREE, slots)``, ``(MAPPED, slots)``. From it: ``(number, seconds, kind, header,
...)``, and behind the header of a result

========  ==============  ==============================================================================================
IN_PIPE   buffers, why    they are few; or, as `why` says, there is no shared memory for them
IN_SLOT   spans, slot     the buffers are in a piece of shared memory of the worker's: its number, path and size
ON_SHELF  spans, slot     the same, but several results are in one slot; None stands for that of the last
========  ==============  ==============================================================================================

What must be seen at once, and even if the other side is dead or at work, is in shared memory: a `MARK` for each worker.
"""

from __future__ import annotations

import marshal
import os
import struct
from typing import Any

__all__ = [
    "CALL",
    "DROP",
    "ERROR",
    "FORGET",
    "FREE",
    "GONE",
    "HELLO",
    "IN_PIPE",
    "IN_SLOT",
    "MAPPED",
    "MARK",
    "ON_SHELF",
    "PIPE",
    "TASK",
    "Inbox",
    "framed",
    "piped",
]

TASK, CALL, DROP, FORGET, FREE, MAPPED = range(6)
HELLO, GONE, ERROR, IN_PIPE, IN_SLOT, ON_SHELF = range(6)
PIPE = 1 << 20  # bytes of messages that may wait in a pipe
MARK = 2  # numbers of 64 bit: of the task that the worker is at, 0 for none; and how many DROP were sent to it
_length = struct.Struct("<Q")


def framed(message: tuple[Any, ...]) -> bytes:
    """A message as it goes through a pipe."""
    body = marshal.dumps(message)
    return _length.pack(len(body)) + body


def piped(frame: bytes) -> bytes:
    """The same task, but with a result that is not in shared memory."""
    return framed((*marshal.loads(frame[_length.size :])[:-1], True))


class Inbox:
    """The messages that come through a pipe, many to a read."""

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self.ended = False  # whether the other side has closed the pipe
        self.dry = False  # whether, by then, all had been read that was there
        self._bytes = bytearray()

    def read(self) -> list[tuple[Any, ...]]:
        """The messages of one read; none at all if nothing is there, or `ended`."""
        try:
            some = os.read(self.fd, PIPE)
        except BlockingIOError:
            self.dry = True
            return []
        self.ended, self.dry = not some, False
        self._bytes += some
        return list(self._whole_ones())

    def _whole_ones(self) -> Any:
        start = 0
        with memoryview(self._bytes) as view:
            while start + 8 <= len(view):
                stop = start + 8 + _length.unpack_from(view, start)[0]
                if stop > len(view):
                    break
                yield marshal.loads(view[start + 8 : stop])
                start = stop
        del self._bytes[:start]
