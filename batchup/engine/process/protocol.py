"""What goes through the pipes between the parent and a worker.

Messages are tuples, marshalled, behind their length. Marshal takes plain tuples only, so their parts have no names in
the code. They are, to a worker:

==============================================  ======================================================================
``(START, initializer)``                        the first one: a reference to a function and its arguments, or nothing
``(TASK, number, constant, arguments,           run a task; its function is shared, and here is the reference to it
surroundings, piped)``
``(CALL, number, function, arguments,           run a task; here is its function, pickled
surroundings, piped)``
``(DROP, numbers)``                             nobody waits for these tasks
``(FORGET, constants)``                         these constants are not used any more
``(FREE, slots)``                               these slots are free: no array lies in them any more
``(MAPPED, slots)``                             the parent has mapped these slots: their descriptors can be closed
``(CONSTANT, serial)``                          keep the memory of a constant, which comes before this message
``(END,)``                                      the pool is closed: end
==============================================  ======================================================================

With ``piped`` the result may not be in shared memory. The surroundings are those of `surroundings`. CONSTANT and END
are sent by `portable` only.

From a worker they are ``(number, seconds, kind, header, where, more)``:

========  ====================  =======  ===============================================================================
kind      header                where    more
========  ====================  =======  ===============================================================================
HELLO                                    the worker has begun to work
GONE      numbers of slots               they were given back
BEGUN                                    the worker begins this task; sent by `portable_worker` only
ERROR     error                          the header has its pickle, the name of its type, its message and its traceback
IN_PIPE   of `result_dumps`     buffers  why there is no shared memory for them, or mostly nothing
IN_SLOT   of `result_dumps`     ranges   a `SlotReference`: the slot in which the buffers are
ON_SHELF  of `result_dumps`     ranges   the same, for several results; None for the slot of the last one
========  ====================  =======  ===============================================================================

What must be seen at once, even if the other side is dead or busy, is in shared memory: a `MARK` for each worker. Where
there is none, `portable` has threads that read at once, and BEGUN.
"""

from __future__ import annotations

import marshal
import os
import struct
from typing import Any, TypeAlias

__all__ = [
    "BEGUN",
    "CALL",
    "CONSTANT",
    "DROP",
    "END",
    "ERROR",
    "FORGET",
    "FREE",
    "GONE",
    "HELLO",
    "IN_PIPE",
    "IN_SLOT",
    "KIND",
    "MAPPED",
    "MARK",
    "ON_SHELF",
    "PIPE",
    "START",
    "TASK",
    "Inbox",
    "SlotReference",
    "framed",
    "length_of",
    "length_prefix",
    "piped",
    "unframed",
]

TASK, CALL, DROP, FORGET, FREE, MAPPED, START, CONSTANT, END = range(9)
HELLO, GONE, BEGUN, ERROR, IN_PIPE, IN_SLOT, ON_SHELF = range(7)
KIND = 2  # where in a message from a worker its kind is
PIPE = 1 << 20  # bytes of messages that may wait in a pipe
MARK = 2  # integers of 64 bits: the number of the task that the worker runs, or 0; and how many DROP were sent to it

SlotReference: TypeAlias = tuple[int, str, int]  # the number, path and size of a slot
_length = struct.Struct("<Q")


def framed(message: tuple[Any, ...]) -> bytes:
    """A message as it goes through a pipe."""
    body = marshal.dumps(message)
    return _length.pack(len(body)) + body


def unframed(body: bytes | bytearray) -> tuple[Any, ...]:
    """The message of these bytes, which come without their length."""
    message: tuple[Any, ...] = marshal.loads(body)
    return message


def length_prefix(length: int) -> bytes:
    """The bytes that announce a message of so many bytes."""
    return _length.pack(length)


def length_of(prefix: bytes | bytearray) -> int:
    """The number of bytes that a prefix announces."""
    length: int = _length.unpack(prefix)[0]
    return length


def piped(frame: bytes) -> bytes:
    """The same task, with its result sent through the pipe."""
    return framed((*marshal.loads(frame[_length.size :])[:-1], True))


class Inbox:
    """The messages that come through a pipe, many to a read."""

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self.ended = False  # whether the other side has closed the pipe
        self.drained = False  # whether the last read found nothing
        self._room = bytearray(PIPE)  # read into again and again: to allocate it takes as long as to read
        self._filled = 0  # bytes of it that are of messages which are not complete

    def read(self) -> list[tuple[Any, ...]]:
        """The messages of one read; none if nothing is there, or `ended`."""
        if self._filled == len(self._room):
            self._room.extend(bytes(self._filled))
        try:
            with memoryview(self._room) as view:
                n = os.readv(self.fd, [view[self._filled :]])
        except BlockingIOError:
            self.drained = True
            return []
        self.ended, self.drained = not n, False
        self._filled += n
        return self._complete()

    def _complete(self) -> list[tuple[Any, ...]]:
        messages, start, end = [], 0, self._filled
        with memoryview(self._room) as view:
            while start + 8 <= end:
                stop = start + 8 + _length.unpack_from(view, start)[0]
                if stop > end:
                    break
                messages.append(marshal.loads(view[start + 8 : stop]))
                start = stop
        if start:
            rest = self._room[start:end]
            if len(self._room) > PIPE >= len(rest):  # after a large message
                self._room = bytearray(PIPE)
            self._room[: len(rest)] = rest
            self._filled = len(rest)
        return messages
