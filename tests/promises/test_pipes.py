"""Pipes of `batchup.batch_iter` in programs of their own: they end when the program does, however it does."""

import os
import signal

import pytest
from programs import quiet, run, started

pytestmark = pytest.mark.skipif(os.name != "posix", reason="worker processes need POSIX")

PIPE = """
import itertools
from batchup.batch_iter import Infinite, Iterator, Loky, Threads, combine_to_arrays, sample

def squared(x):
    return x ** 2

def slow(x):
    time.sleep(0.01)
    return x

def blocked(x):
    note("blocked")
    time.sleep(600)

STAGES = {
    "bare": [squared],
    "threads": [Threads(squared, n_workers=2)],
    "processes": [Loky(squared, n_workers=2)],
    "all": [slow, Loky(squared), slow, Threads(slow, n_workers=2)],
}

def pipe(kind, **kwargs):
    return Infinite(itertools.count(), *STAGES[kind], batch_size=5, batches_per_epoch=50, **kwargs)
"""
KINDS = ["bare", "threads", "processes", "all"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_program_ends_in_the_middle_of_an_epoch(tmp_path, kind):
    """Without close, at once, and without a word."""
    ended = run(
        PIPE
        + f"""
pipe = pipe({kind!r}, buffer_size=3)
for batch in pipe():
    print(batch.tolist())
    break
""",
        tmp_path,
    )

    assert quiet("[0, 1, 4, 9, 16]\n") == ended


@pytest.mark.parametrize("stage", ["blocked", "Threads(blocked, n_workers=2)", "Loky(blocked, n_workers=1)"])
def test_a_program_ends_though_a_function_does_not_return(tmp_path, stage):
    """The thread is a daemon, the process is killed."""
    ended = run(
        PIPE
        + f"""
pipe = Infinite(itertools.count(), {stage}, batch_size=1, batches_per_epoch=1)
pipe()
wait_until(lambda: noted("blocked"))
print("end")
""",
        tmp_path,
    )

    assert quiet("end\n") == ended


@pytest.mark.parametrize("kind", KINDS)
def test_an_error_in_the_loop_ends_the_program(tmp_path, kind):
    """With its traceback, and no other words."""
    ended = run(
        PIPE
        + f"""
for batch in pipe({kind!r})():
    raise ZeroDivisionError("in the loop")
""",
        tmp_path,
    )

    assert (1, "", 0) == (ended.returncode, ended.stdout, ended.left)
    assert 1 == ended.stderr.count("Traceback")
    assert ended.stderr.strip().endswith("ZeroDivisionError: in the loop")


@pytest.mark.parametrize("kind", KINDS)
def test_a_hundred_pipes_that_are_left_early(tmp_path, kind):
    """Threads, processes and descriptors are as many after the last as after the first."""
    n = 100 if kind in ("bare", "threads") else 1
    ended = run(
        PIPE
        + f"""
def leave():
    for batch in pipe({kind!r})():
        break

def open_things():
    gc.collect()
    return threading.active_count(), len(workers()), len(os.listdir("/proc/self/fd"))

leave()
wait_until(lambda: threading.active_count() == 1)
before = open_things()
for _ in range({n}):
    leave()
wait_until(lambda: threading.active_count() == 1)
wait_until(lambda: open_things() == before)
print("level")
""",
        tmp_path,
    )

    assert quiet("level\n") == ended


@pytest.mark.parametrize("kind", KINDS)
def test_ctrl_c_ends_the_program(tmp_path, kind):
    """One traceback, and no worker is left."""
    body = (
        PIPE
        + f"""
for batch in pipe({kind!r})():
    print("batch", flush=True)
    time.sleep(600)
"""
    )
    with started(body, tmp_path) as program:
        assert "batch" == program.line()
        program.settle()
        os.killpg(program.pid, signal.SIGINT)
        ended = program.ended()

    assert (-signal.SIGINT, "", 0) == (ended.returncode, ended.stdout, ended.left)
    assert 1 == ended.stderr.count("Traceback")


@pytest.mark.parametrize("kind", KINDS)
def test_a_caught_ctrl_c_loses_no_batch(tmp_path, kind):
    """While the loop waits for one: it goes on with it."""
    body = (
        PIPE
        + f"""
def gated(x):
    if x == 0 and not (here / "open").exists():
        os.write(1, b"blocked\\n")
        wait_until((here / "open").exists)
    return x

pipe = Infinite(itertools.count(), gated, *STAGES[{kind!r}], batch_size=5, batches_per_epoch=3)
epoch = pipe()
try:
    next(epoch)
except KeyboardInterrupt:
    (here / "open").touch()
print([batch.tolist() for batch in epoch] == [[n ** 2 for n in range(i, i + 5)] for i in (0, 5, 10)])
pipe.close()
"""
    )
    with started(body, tmp_path) as program:
        assert "blocked" == program.line()
        program.settle()
        os.killpg(program.pid, signal.SIGINT)
        ended = program.ended()

    assert quiet("True\n") == ended


@pytest.mark.parametrize("kind", ["processes", "all"])
def test_a_killed_parent_leaves_no_process(tmp_path, kind):
    """The workers of a stage end with it."""
    body = (
        PIPE
        + f"""
for batch in pipe({kind!r})():
    print("batch", flush=True)
    time.sleep(600)
"""
    )
    with started(body, tmp_path) as program:
        assert "batch" == program.line()
        os.kill(program.pid, signal.SIGKILL)

        assert 0 == program.ended().left
