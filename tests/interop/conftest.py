"""Worker processes that import PyTorch take seconds to start: here they are forks, and tests share them."""

import contextlib
import itertools
import json
import socket
import sys

import pytest
from launcher import HEAVY, Forked, launcher_of

WORKER = """
import gc, importlib, json, os, socket, sys
with socket.socket(fileno=os.dup(1)) as ours:
    said, fds, *_ = socket.recv_fds(ours, 1 << 20, 16)
os.dup2(2, 1)
main, sys.path[:], arguments = json.loads(said)
module, _, name = main.rpartition(".")
main = getattr(importlib.import_module(module), name)
gc.freeze()
main(*map(str, [*fds, *arguments]))
"""


class Worker(Forked):
    """A worker process, with the part of `subprocess.Popen` that pools use."""

    def kill(self):
        with contextlib.suppress(ProcessLookupError):  # it has ended, and its exit code is on its way
            super().kill()


@pytest.fixture(scope="session")
def _started(tmp_path_factory):
    """The function that starts a worker process: a fork of the process that has imported PyTorch."""
    folder = tmp_path_factory.mktemp("workers")
    program = folder / "worker.py"
    program.write_text(WORKER)
    workers = []

    def start(main, fds, arguments, environment, path):
        here, there = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with here, there:
            report = launcher_of(HEAVY, [], {}).start(program, [], folder, environment, there.fileno(), 2)
            socket.send_fds(here, [json.dumps([main, path, arguments]).encode()], fds)
        workers.append(Worker(report, None))
        return workers[-1]

    yield start
    assert [] == [each.pid for each in workers if each.poll() is None]


@pytest.fixture
def forked_workers(_started, monkeypatch):
    """Worker processes have imported PyTorch when they start. Those of the programs in `test_killed` start by exec."""
    if sys.platform == "linux":
        monkeypatch.setattr("batchup.engine.process.starting.start_process", _started)


@pytest.fixture(scope="session")
def _pools(_started):
    from batchup.engine.process.pool import ProcessPool

    made = {}
    yield lambda n, i: made.setdefault((n, i), None) or made.update({(n, i): ProcessPool(n)}) or made[n, i]
    for pool in made.values():
        pool.close()


@pytest.fixture
def shared_workers(_pools, forked_workers, monkeypatch):
    """Each DataLoader gets the same processes; it is not to be closed."""
    from batchup.interop.torch import epochs

    turns = itertools.cycle(range(2))
    monkeypatch.setattr(epochs, "_processes", lambda n: _pools(n, next(turns) if n == 1 else 0))
