"""Programs of their own: written to a file, run in a session of their own, and gone in the end."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import psutil
import pytest
from launcher import IS_COVERED, Forked, environment, launcher_of

needs_no_coverage = pytest.mark.skipif(IS_COVERED, reason="the program cannot write the file of coverage")
LIMIT = 60.0  # seconds that a program may take
MODULES = [  # of most programs
    "faulthandler", "resource", "threading", "psutil", "batchup.engine.process.pool", "batchup.data_source",
    "batchup.work_pool", "batchup.batch_iter", "batchup.loader",
]  # fmt: skip
OPENING = """\
import faulthandler, gc, os, random, resource, signal, sys, threading, time
import numpy as np
import psutil
from pathlib import Path
from batchup.data_source import ArrayDataSource
from batchup.work_pool import *

resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
here = Path({here!r})
X = np.arange(1000).reshape(250, 4)  # 25 batches of 10


def workers():
    "The pids of the worker processes."
    running = [child for child in psutil.Process().children() if child.status() != psutil.STATUS_ZOMBIE]
    return sorted(child.pid for child in running)


def batches_of(source, size=10, **kwargs):
    return [batch[0].tolist() for batch in source.batch_iterator(size, **kwargs)]


def note(name, what=1):
    "Put a line into a file, from whatever process."
    with open(here / name, "a") as file:
        file.write(f"{{what}}\\n")


def noted(name):
    return (here / name).read_text().split() if (here / name).exists() else []


def wait_until(fn):
    while not fn():
        time.sleep(0.005)


"""


class Ended(NamedTuple):
    """How a program ended, what it said, and how many of its processes were still there."""

    returncode: int
    stdout: str
    stderr: str
    left: int


def quiet(stdout: str) -> Ended:
    """The end of a program that said this, and nothing else."""
    return Ended(0, textwrap.dedent(stdout).lstrip("\n"), "", 0)


class Program:
    """One that runs."""

    def __init__(self, command: Sequence[str], folder: Path, **kwargs: object) -> None:
        self.said = folder / "stderr"
        with open(self.said, "wb") as stderr:
            self.process = self._started(command, folder, stderr=stderr, **kwargs)
        self.pid = self.process.pid
        self._limit = threading.Timer(LIMIT, self.kill)
        self._limit.start()

    def _started(self, command: Sequence[str], folder: Path, **kwargs: object) -> subprocess.Popen[str] | Forked:
        return subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            cwd=folder,
            env=environment(),
            start_new_session=True,
            text=True,
            **kwargs,
        )

    def line(self) -> str:
        """The next line that it says."""
        return self.process.stdout.readline().rstrip("\n")

    def ended(self) -> Ended:
        """Wait for its end."""
        returncode = self.process.wait()
        left = self._left()
        self.kill()
        ended = Ended(returncode, self.process.stdout.read(), self.said.read_text(), left)
        print(*ended, sep="\n")  # for pytest to show if a test fails
        return ended

    def _left(self, seconds: float = 30.0) -> int:
        """How many processes of its session run on; those on their way out have some seconds for it."""
        until = time.monotonic() + seconds
        while (left := len(running(self.pid))) and time.monotonic() < until:
            time.sleep(0.02)
        return left

    def settle(self) -> None:
        """Wait until it waits."""
        asleep = 0
        while asleep < 5 and self.process.poll() is None:
            asleep = asleep + 1 if psutil.Process(self.pid).status() == psutil.STATUS_SLEEPING else 0
            time.sleep(0.01)

    def kill(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)

    def close(self) -> None:
        self._limit.cancel()
        self.kill()
        self.process.wait()
        self.process.stdout.close()
        self._limit.join()


class Fork(Program):
    """One that begins with its imports done (see `launcher`)."""

    def _started(self, command: Sequence[str], folder: Path, **kwargs: object) -> subprocess.Popen[str] | Forked:
        reading, writing = os.pipe()
        launcher = launcher_of(MODULES, ["-W", "error"], {})
        stderr = kwargs["stderr"].fileno()
        report = launcher.start(Path(command[-1]), [], folder, environment(), writing, stderr)
        os.close(writing)
        return Forked(report, open(reading, encoding="utf-8"))


def running(session: int) -> list[int]:
    """The processes of a session. One that has ended, and that nobody has asked about yet, does not count."""
    found = []
    for pid in psutil.pids():
        with contextlib.suppress(OSError, psutil.Error):
            if os.getsid(pid) == session and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
                found.append(pid)
    return found


def written(body: str, folder: Path) -> Path:
    """The file of a program that imports what all need, and then does `body`."""
    path = folder / "program.py"
    path.write_text(OPENING.format(here=str(folder)) + textwrap.dedent(body))
    return path


@contextlib.contextmanager
def started(body: str, folder: Path, before: Sequence[str] = (), **kwargs: object) -> Iterator[Program]:
    """A program while it runs; `before` comes before its command, as ``nice`` does."""
    kind = Program if before or kwargs else Fork
    program = kind([*before, sys.executable, "-W", "error", str(written(body, folder))], folder, **kwargs)
    try:
        yield program
    finally:
        program.close()


def run(body: str, folder: Path, before: Sequence[str] = (), **kwargs: object) -> Ended:
    """How a program ended, and what it said."""
    with started(body, folder, before, **kwargs) as program:
        return program.ended()


def private_shm(megabytes: int) -> list[str] | None:
    """What comes before a program so that its ``/dev/shm`` is its own, and small; None where that is not permitted.

    What is in there in the end is said in a line on stdout.
    """
    mount = f"mount -t tmpfs -o size={megabytes}m tmpfs /dev/shm"
    script = f'{mount} && "$@"; code=$?; echo left: $(ls -A /dev/shm); exit $code'
    before = ["unshare", "-m", "sh", "-c", script, "sh"]
    try:
        done = subprocess.run([*before, "true"], capture_output=True, text=True, timeout=LIMIT)
    except OSError:
        return None
    return before if (done.returncode, done.stdout.strip()) == (0, "left:") else None
