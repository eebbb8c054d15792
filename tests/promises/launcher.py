"""Programs that begin with their imports done: forks of a process that has them.

A program takes half a second before its first line, most of it for NumPy; with PyTorch or Keras it takes several. Here
one process, which is started clean, imports what programs have in common, and forks for each of them. The fork leads a
session of its own, has the streams, the folder, the environment and the arguments that it is given, is ``__main__``
with nothing else in it, and ends as an interpreter does: with its hooks at exit, or by the signal that it does not
survive. Worker processes of its pools are started by exec, as ever. Where it matters how an interpreter begins (its
options, limits of the system, closed streams), tests start one by exec.

All of pytest's processes use the same one, which ends with the last of them. Programs that need heavy libraries are
forks of one process with all of those, `HEAVY`.
"""

from __future__ import annotations

import atexit
import builtins
import contextlib
import ctypes
import errno
import gc
import hashlib
import importlib.util
import json
import os
import random
import select
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time
import warnings
import weakref
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any

import batchup

LAUNCHERS: dict[tuple[Any, ...], Launcher] = {}
ENDED: list[bool] = []  # whether the program of this fork has come to its end
IS_COVERED = "COVERAGE_PROCESS_CONFIG" in os.environ
LIMIT = 60.0  # seconds that the process that forks waits for who started it


def installed(*modules: str) -> list[str]:
    """Those of them whose library is there."""
    return [module for module in modules if importlib.util.find_spec(module.partition(".")[0])]


# What takes seconds to import; Keras is not among them, as it looks at its backend then.
HEAVY = installed(
    "batchup.flow", "sklearn.datasets", "sklearn.neural_network", "sklearn.linear_model", "matplotlib.figure",
    "PIL.Image", "h5py", "zarr", "threadpoolctl", "tqdm", "torch", "torch.utils.data", "torch._dynamo",
    "lightning.pytorch", "accelerate", "jax.numpy", "jax.sharding", "distributed", "sybil.parsers.rest",
)  # fmt: skip


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
    """The process that forks, from this side. It is there already if another process of pytest has used it.

    Parameters
    ----------
    modules : sequence of str
        What it imports.
    options : sequence of str
        Those of the interpreter.
    environment : dict
        In which it imports; programs are given theirs.
    name : str
        Under which the processes of pytest find it.
    """

    def __init__(
        self, modules: Sequence[str], options: Sequence[str], environment: Mapping[str, str], name: str
    ) -> None:
        while not self._connect(name):
            with _socket() as theirs:
                if _taken(theirs, name):
                    time.sleep(0.01)  # by another process of pytest, which goes on to start it
                    continue
                theirs.listen()
                subprocess.run(
                    [sys.executable, *options, __file__, str(theirs.fileno()), *modules],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    pass_fds=[theirs.fileno()],
                    env=dict(environment),
                    start_new_session=True,
                    check=True,
                )

    def _connect(self, name: str) -> bool:
        """Whether it is there, and waits for requests."""
        self._control = _socket()
        try:
            self._control.connect(name)
            return bool(self._control.recv(64))
        except ConnectionError:
            self._control.close()
            return False

    def start(
        self,
        program: Path | str,
        arguments: Sequence[str],
        folder: Path,
        environment: Mapping[str, str],
        stdout: int,
        stderr: int,
        strict: bool = False,
    ) -> socket.socket:
        """Fork for a program: a socket that says its pid, and later how it ended."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        request = {
            "argv": [str(program), *arguments],
            "folder": str(folder),
            "environment": dict(environment),
            "strict": strict,
        }
        with theirs:
            socket.send_fds(self._control, [json.dumps(request).encode()], [theirs.fileno(), stdout, stderr])
        return ours

    def close(self) -> None:
        self._control.close()


def _socket() -> socket.socket:
    return socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)


def _taken(listener: socket.socket, name: str) -> bool:
    """Give it a name, if that is free."""
    try:
        listener.bind(name)
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            raise
        return True
    return False


def launcher_of(modules: Sequence[str], options: Sequence[str], before: Mapping[str, str]) -> Launcher:
    """The one that has imported `modules`, with these options, and with `before` in its environment."""
    key = (*modules, None, *options, None, *sorted(before.items()))
    if key not in LAUNCHERS:
        # one thread of each library: where the machine is busy, several wait for each other, and spin
        run = os.environ.get("PYTEST_XDIST_TESTRUNUID", f"{os.getpid()}")
        name = hashlib.sha256(repr((run, key)).encode()).hexdigest()
        around = {**environment(), "OMP_NUM_THREADS": "1", "JAX_PLATFORMS": "cpu", **before}
        LAUNCHERS[key] = Launcher(modules, options, around, f"\0batchup-{name}")
    return LAUNCHERS[key]


def begun(
    modules: Sequence[str],
    code: str | Path,
    arguments: Sequence[object] = (),
    *,
    folder: Path,
    strict: bool = False,
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
    strict : bool
        Whether warnings are errors, in its worker processes, too.
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
    launcher = launcher_of(modules, [], before or {})
    around = {**environment(), **(before or {}), **more}
    report = launcher.start(path, list(map(str, arguments)), folder, around, out, err, strict)
    return Forked(report, os.fdopen(out, encoding="utf-8"), os.fdopen(err, encoding="utf-8"))


def environment() -> dict[str, str]:
    """That of a program: this package is found, and warnings are as it says itself."""
    left_out = ("PYTHONWARNINGS", "PYTHONDEVMODE", "COVERAGE_PROCESS_START")
    inherited = {name: value for name, value in os.environ.items() if name not in left_out}
    return inherited | {"PYTHONPATH": str(Path(batchup.__file__).parents[1])}


def close_all() -> None:
    """End the processes that fork."""
    while LAUNCHERS:
        LAUNCHERS.popitem()[1].close()


def serve(listener: socket.socket, modules: Sequence[str]) -> dict[str, Any]:
    """Fork for each request, as long as there is a process that may have one. Returns in the forks."""
    if os.fork():
        os._exit(0)  # nobody waits for it
    libraries: list[str] = []
    atexit.register(leave, libraries)  # the first one, so it comes last
    gc.disable()
    for module in modules:
        with contextlib.suppress(Exception):  # a program that needs it will say so
            importlib.import_module(module)
    ours = {"__main__", "batchup", "numpy", *sys.stdlib_module_names}
    libraries += [name for name in sys.modules if name.partition(".")[0] not in ours]
    for finalizer in weakref.finalize._registry:  # those of libraries, which end with the process
        finalizer.atexit = False
    if "torch._dynamo.utils" in sys.modules:
        atexit.unregister(sys.modules["torch._dynamo.utils"].dump_compile_times)
    if hasattr(c := ctypes.CDLL(None), "on_exit"):
        c.on_exit(c._exit, None)  # nor what these have in C++
    gc.collect()
    gc.freeze()
    gc.enable()
    clients: set[socket.socket] = set()
    programs: dict[int, tuple[int, int]] = {}  # by a descriptor of the process: its pid, and where to report its end
    while True:
        readable = select.select([listener, *clients, *programs], [], [], None if clients else LIMIT)[0]
        for ended in programs.keys() & set(readable):
            report_end(ended, *programs.pop(ended))
        for client in clients.intersection(readable):
            data, fds, *_ = socket.recv_fds(client, 1 << 20, 3)
            if data and forked(fds, [listener, *clients], programs):
                return {**json.loads(data), "fds": fds}
            if not data:
                clients.remove(client)
                client.close()
        if listener in readable:
            clients |= accepted(listener)
        elif not clients:
            os._exit(0)


def accepted(listener: socket.socket) -> set[socket.socket]:
    """The one that has come, if it is of this user. It is told that it has been seen."""
    client, _ = listener.accept()
    _, user, _ = struct.unpack("3i", client.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
    if user != os.getuid():
        client.close()
        return set()
    client.send(b"ready")
    return {client}


def forked(fds: list[int], sockets: list[socket.socket], programs: dict[int, tuple[int, int]]) -> bool:
    """Fork for a program that has these descriptors, and no others; whether this is the fork."""
    pid = os.fork()
    if pid == 0:
        for each in sockets:
            each.close()
        for process, (_, report) in programs.items():
            os.close(process)
            os.close(report)
        return True
    programs[os.pidfd_open(pid)] = pid, fds[0]
    for fd in fds[1:]:
        os.close(fd)
    return False


def report_end(process: int, pid: int, report: int) -> None:
    """Say how a program has ended."""
    _, status = os.waitpid(pid, 0)
    with contextlib.suppress(BrokenPipeError):  # nobody waits for it
        os.write(report, str(status).encode())
    os.close(process)
    os.close(report)


def leave(libraries: list[str]) -> None:
    """At its end, a program does not take apart the libraries that it began with: that takes half a second.

    With the heavy ones, the rest of the end takes as long. There, a program that ran to its end only frees what it has
    made itself; not under coverage, which saves what it has counted after this.
    """
    if "torch" in libraries and ENDED and not IS_COVERED:
        vars(sys.modules["__main__"]).clear()
        gc.collect()
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        os._exit(0)
    kept = [sys.modules.pop(name, None) for name in libraries]
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(kept))


def become(argv: list[str], folder: str, environment: dict[str, str], strict: bool, fds: list[int]) -> None:
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
    if strict:
        sys.warnoptions.append("error")
        warnings.simplefilter("error")
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
    ENDED.append(True)


if __name__ == "__main__":  # which a program empties for itself
    import launcher

    launcher.become(**launcher.serve(socket.socket(fileno=int(sys.argv[1])), sys.argv[2:]))
