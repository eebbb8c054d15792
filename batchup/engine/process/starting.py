"""How a worker process is started: by exec, clean, with this interpreter's options and path."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

from ..cores import cores
from .descriptors import new_pipe, passed

__all__ = ["environment_for", "python", "search_path", "start_process", "start_with_pipes"]

PROGRAM = (  # what is imported here stays: the garbage collector need not go through it, at the end either
    "import gc, sys; gc.disable(); n = int(sys.argv[2]); sys.path[:] = sys.argv[3 : 3 + n]; "
    "module, _, name = sys.argv[1].rpartition('.'); module = __import__(module, fromlist=[name]); "
    "gc.freeze(); gc.enable(); getattr(module, name)(*sys.argv[3 + n :])"
)
THREADS = (  # how many threads libraries start; PyTorch heeds the first
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "BLIS_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "NUMBA_NUM_THREADS",
    "POLARS_MAX_THREADS",
    "OPENCV_FOR_THREADS_NUM",
)


def start_process(
    main: str, fds: list[int], arguments: list[Any], environment: dict[str, str], path: list[str]
) -> subprocess.Popen[bytes]:
    """A worker process. It calls ``main(*fds, *arguments)``, all of them as text; `main` is a name with its module.

    The process has the descriptors open; `descriptor_of` says by which numbers.
    """
    # with the path as arguments: nothing is searched for in the working directory, which may be gone
    options = ["-P", *getattr(subprocess, "_args_from_interpreter_flags", list)()]
    with passed(fds) as (names, keywords), _interrupts_blocked():
        command = [python(), *options, "-c", PROGRAM, main, str(len(path)), *path, *map(str, [*names, *arguments])]
        return subprocess.Popen(command, stdin=subprocess.DEVNULL, env=environment, **keywords)


def start_with_pipes(
    main: str, fds: list[int], arguments: list[Any], environment: dict[str, str], path: list[str]
) -> tuple[subprocess.Popen[bytes], int, int]:
    """A worker process that reads tasks from one pipe and writes results to another. Its first two arguments are these.

    Returns
    -------
    process, tasks, results
        `tasks` is the descriptor to write tasks to, `results` the one to read results from.
    """
    opened: list[int] = []
    try:
        for _ in range(2):
            opened += new_pipe()
        tasks_out, tasks, results, results_in = opened
        process = start_process(main, [tasks_out, results_in, *fds], arguments, environment, path)
    except BaseException:
        for fd in opened:
            os.close(fd)
        raise
    os.close(tasks_out)
    os.close(results_in)
    return process, tasks, results


@contextlib.contextmanager
def _interrupts_blocked() -> Iterator[None]:
    """Block Ctrl-C while a worker starts, which inherits that: it unblocks it when it has set its handler."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def python() -> str:
    """The interpreter of workers: this one, or that of `multiprocessing.set_executable`.

    Raises
    ------
    RuntimeError
        If there is none.
    """
    chosen: Any = sys.executable
    if "multiprocessing" in sys.modules:
        from multiprocessing import spawn

        chosen = spawn.get_executable() or chosen
    executable = os.fsdecode(chosen) if chosen else ""
    hint = "name one that has the same packages, multiprocessing.set_executable(path), or use threads"
    if executable == (sys.executable or "") and getattr(sys, "frozen", False):
        raise RuntimeError(
            "worker processes need a Python interpreter, and this program is frozen (sys.frozen): its executable would "
            f"start the whole program again; {hint}"
        )
    if not executable or not (os.path.exists(executable) or shutil.which(executable)):
        raise RuntimeError(
            f"worker processes need a Python interpreter, but sys.executable is {chosen!r}, which cannot be run; {hint}"
        )
    return executable


def search_path(folder: str) -> list[str]:
    """`sys.path` with absolute entries: relative ones count from `folder`. If that is empty, they are left out.

    >>> set(map(os.path.isabs, search_path(os.getcwd())))
    {True}
    """
    entries = [os.path.join(folder, entry) for entry in sys.path if isinstance(entry, str)]
    return [os.path.normpath(entry) for entry in entries if os.path.isabs(entry)]


def environment_for(workers: int) -> dict[str, str]:
    """The environment of each worker: that of the program, and each library's share of threads."""
    threads = str(max(1, cores() // workers))
    return dict.fromkeys(THREADS, threads) | dict(os.environ)
