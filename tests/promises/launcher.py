"""Programs that begin with their imports done: forks of a process that has them.

A program takes half a second before its first line, most of it for NumPy; with PyTorch or Keras it takes several. Here
one process, which is started clean, imports what programs have in common, and forks for each of them. The fork leads a
session of its own, has the streams, the folder, the environment and the arguments that it is given, is ``__main__``
with nothing else in it, and ends as an interpreter does: with its hooks at exit, or by the signal that it does not
survive. Worker processes of its pools are started by exec, as ever. Where it matters how an interpreter begins (its
options, limits of the system, closed streams), tests start one by exec.
"""

from __future__ import annotations

import builtins
import contextlib
import gc
import importlib.util
import json
import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any

import batchup

LAUNCHERS: dict[tuple[Any, ...], Launcher] = {}


class Forked:
    """A program that runs, with the part of `subprocess.Popen` that tests use.

    Parameters
    ----------
    report : socket
        Says its pid, and later how it ended.
    stdout, stderr : text files
        What can be read from it.
    """

    def __init__(self, report: socket.socket, stdout: IO[str], stderr: IO[str] | None = None) -> None:
        self._report = report
        self.stdout, self.stderr = stdout, stderr
        self.returncode: int | None = None
        self.pid = int(self._report.recv(64))

    def communicate(self, timeout: float) -> tuple[str, str]:
        """What it has said when it has ended, if that goes to files; it is killed after so many seconds."""
        try:
            self.wait(timeout)
        finally:
            self.kill()
            self.wait()
        said = []
        for stream in (self.stdout, self.stderr):
            with stream:
                stream.seek(0)
                said.append(stream.read())
        return said[0], said[1]

    def wait(self, timeout: float | None = None) -> int:
        """Its exit code, when it has ended."""
        if self.returncode is None:
            self._report.settimeout(timeout)
            try:
                status = self._report.recv(64)
            except (TimeoutError, BlockingIOError):
                raise subprocess.TimeoutExpired("a program", timeout or 0) from None
            self.returncode = os.waitstatus_to_exitcode(int(status))
            self._report.close()
        return self.returncode

    def poll(self) -> int | None:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.wait(0)
        return self.returncode

    def kill(self) -> None:
        """End it and all of its session."""
        if self.poll() is None:
            os.killpg(self.pid, signal.SIGKILL)


class Launcher:
    """The process that forks, from this side.

    Parameters
    ----------
    modules : sequence of str
        What it imports.
    options : sequence of str
        Those of the interpreter.
    environment : dict
        In which it imports; programs are given theirs.
    """

    def __init__(self, modules: Sequence[str], options: Sequence[str], environment: Mapping[str, str]) -> None:
        self._control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, *options, __file__, str(theirs.fileno()), *modules],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                env=dict(environment),
                start_new_session=True,
            )

    def start(
        self,
        program: Path | str,
        arguments: Sequence[str],
        folder: Path,
        environment: Mapping[str, str],
        stdout: int,
        stderr: int,
    ) -> socket.socket:
        """Fork for a program: a socket that says its pid, and later how it ended."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        request = {"argv": [str(program), *arguments], "folder": str(folder), "environment": dict(environment)}
        with theirs:
            socket.send_fds(self._control, [json.dumps(request).encode()], [theirs.fileno(), stdout, stderr])
        return ours

    def close(self) -> None:
        self._control.close()
        self._process.wait()


def launcher_of(modules: Sequence[str], options: Sequence[str], before: Mapping[str, str]) -> Launcher:
    """The one that has imported `modules`, with these options, and with `before` in its environment."""
    key = (*modules, None, *options, None, *sorted(before.items()))
    if key not in LAUNCHERS:
        LAUNCHERS[key] = Launcher(modules, options, {**environment(), **before})
    return LAUNCHERS[key]


def begun(
    modules: Sequence[str],
    code: str | Path,
    arguments: Sequence[object] = (),
    *,
    folder: Path,
    options: Sequence[str] = (),
    before: Mapping[str, str] | None = None,
    **more: str,
) -> Forked:
    """Begin a program, a file or the code of one; what it says goes to files in the folder.

    Parameters
    ----------
    modules : sequence of str
        What is imported beforehand.
    arguments : sequence
        `sys.argv` without the program.
    before : dict, optional
        Variables of the environment that have to be there when the modules are imported.
    **more
        Those of this program.
    """
    path: Path | str = code
    if isinstance(code, str):
        fd, path = tempfile.mkstemp(".py", dir=folder)
        with open(fd, "w", encoding="utf-8") as file:
            file.write(code)
    out, err = (tempfile.mkstemp(dir=folder)[0] for _ in range(2))
    launcher = launcher_of(modules, options, before or {})
    around = {**environment(), **(before or {}), **more}
    report = launcher.start(path, list(map(str, arguments)), folder, around, out, err)
    return Forked(report, os.fdopen(out, encoding="utf-8"), os.fdopen(err, encoding="utf-8"))


def installed(*modules: str) -> list[str]:
    """Those of them whose library is there."""
    return [module for module in modules if importlib.util.find_spec(module.partition(".")[0])]


def environment() -> dict[str, str]:
    """That of a program: this package is found, and warnings are as it says itself."""
    left_out = ("PYTHONWARNINGS", "PYTHONDEVMODE", "COVERAGE_PROCESS_START")
    inherited = {name: value for name, value in os.environ.items() if name not in left_out}
    return inherited | {"PYTHONPATH": str(Path(batchup.__file__).parents[1])}


def close_all() -> None:
    """End the processes that fork."""
    while LAUNCHERS:
        LAUNCHERS.popitem()[1].close()


def serve(control: socket.socket, modules: Sequence[str]) -> dict[str, Any]:
    """Fork for each request. Returns in the forks."""
    for module in modules:
        importlib.import_module(module)
    gc.collect()
    gc.freeze()
    while True:
        data, fds, *_ = socket.recv_fds(control, 1 << 20, 3)
        if not data:
            os._exit(0)
        if os.fork() == 0:
            control.close()
            if os.fork() == 0:
                return {**json.loads(data), "fds": fds}
            _, status = os.wait()  # of the program: who reports on it does nothing else
            os.write(fds[0], str(status).encode())
            os._exit(0)
        for fd in fds:
            os.close(fd)
        with contextlib.suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass


def become(argv: list[str], folder: str, environment: dict[str, str], fds: list[int]) -> None:
    """Run a program in this process, which is a fork."""
    os.setsid()
    report, *streams = fds
    os.write(report, str(os.getpid()).encode())
    for stream, fd in zip((1, 2), streams, strict=True):
        os.dup2(fd, stream)
    for fd in fds:
        os.close(fd)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    random.seed()
    if "numpy" in sys.modules:
        sys.modules["numpy"].random.seed()
    sys.argv, sys.path[0] = argv, os.path.dirname(argv[0])
    code = compile(Path(argv[0]).read_bytes(), argv[0], "exec")
    main = vars(sys.modules["__main__"])
    empty = {"__name__": "__main__", "__file__": argv[0], "__builtins__": builtins, "__spec__": None, "__doc__": None}
    main.clear()
    main.update(empty)
    exec(code, main)


if __name__ == "__main__":
    become(**serve(socket.socket(fileno=int(sys.argv[1])), sys.argv[2:]))
