"""Streams: order, errors in their place, a bound, and an end."""

from __future__ import annotations

import contextlib
import functools
import gc
import signal
import threading
import time
import weakref
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from batchup import ArrayDataSource, Loader, WorkerThreadPool, WorkStream
from batchup.engine.pools import SerialPool, ThreadPool
from batchup.errors import BatchTimeoutError, PoolClosedError, WorkerError


def invert(x: float) -> float:
    return 1 / x


def raise_(error: BaseException) -> None:
    raise error


def outcomes(stream: WorkStream) -> list[Any]:
    """Each result, or the type of the error in its place."""
    found: list[Any] = []
    while True:
        try:
            found.append(next(stream))
        except StopIteration:
            return found
        except Exception as error:
            found.append(type(error))


def test_an_error_keeps_its_place(pool):
    """The results before and after a failing task arrive."""
    stream = pool.work_stream((invert, (x,)) for x in [1, 0, 2])

    assert [1.0, ZeroDivisionError, 0.5] == outcomes(stream)


def test_an_error_says_which_task_it_was(pool):
    """A note names the task by its number."""
    stream = pool.work_stream((invert, (x,)) for x in [1, 0])
    next(stream)

    with pytest.raises(ZeroDivisionError) as raised:
        next(stream)
    assert "in task 1 of the work stream" in raised.value.__notes__


@pytest.mark.parametrize("error", [StopIteration(3), GeneratorExit(), SystemExit(1), KeyboardInterrupt()], ids=repr)
def test_what_would_end_the_program_or_the_loop_is_a_worker_error(pool, error):
    """An error that may not be raised in the consumer is told, and the results behind it arrive."""
    stream = pool.work_stream([(raise_, (error,)), (invert, (4,))])

    with pytest.raises(WorkerError, match=type(error).__name__) as raised:
        next(stream)
    assert type(error).__name__ == raised.value.type_name
    assert [0.25] == list(stream)


def test_an_error_of_the_plan_waits_its_turn(pool):
    """The generator of tasks fails while it is ahead: the results before it come first."""

    def tasks():
        yield invert, (1,)
        yield invert, (2,)
        raise OSError("no more paths")

    assert [1.0, 0.5, OSError] == outcomes(pool.work_stream(tasks()))


def test_a_task_has_one_to_three_parts(pool):
    """A function, its arguments, its keywords; the last two may be left out."""
    tasks = [(dict,), (pow, (2, 3)), (dict, (), {"a": 1})]

    assert [{}, 8, {"a": 1}] == list(pool.work_stream(tasks))


@pytest.mark.parametrize("task", [(), pow, (1, 2, 3, 4)], ids=repr)
def test_a_task_of_another_form_is_refused_in_its_place(pool, task):
    """It fails where its result would be, and says which forms there are."""
    stream = pool.work_stream([(pow, (2, 3)), task])
    next(stream)

    with pytest.raises(TypeError, match="a task should be"):
        next(stream)


def test_retrieve_gives_none_at_the_end(pool):
    """And again, as often as it is asked."""
    stream = pool.work_stream([(pow, (2, 3))])

    assert [8, None, None] == [stream.retrieve() for _ in range(3)]


def test_the_first_tasks_begin_at_once():
    """A stream has its buffer full of tasks before anybody asks for a result."""
    begun = threading.Semaphore(0)
    with ThreadPool(2) as pool:
        stream = WorkStream(pool, ((begun.release,) for _ in range(5)), depth=3)

        assert [True, True, True] == [begun.acquire(timeout=10) for _ in range(3)]
        assert not begun.acquire(blocking=False)
        assert 5 == len(list(stream))


@pytest.mark.parametrize("depth", [1, 2, 7])
def test_no_more_than_depth_are_drawn_ahead(pool, depth):
    """Drawn and not delivered: never more than the buffer holds, and just that while the tasks last."""
    drawn: list[int] = []

    def tasks():
        for n in range(12):
            drawn.append(n)
            yield pow, (n, 2)

    stream = pool.work_stream(tasks(), depth)
    ahead = [len(drawn)]
    for delivered, _ in enumerate(stream, 1):
        ahead.append(len(drawn) - delivered)

    assert [depth] * (13 - depth) == ahead[: 13 - depth]
    assert depth == max(ahead)


def test_a_task_that_takes_too_long_is_given_up(pool):
    """The consumer waits no longer than the timeout; the results behind it arrive."""
    gate = threading.Event()
    blocked = (gate.wait, (60,)) if isinstance(pool.engine, ThreadPool) else (wait_long,)
    stream = WorkStream(pool.engine, [blocked, (pow, (2, 3))], depth=2, timeout=0.5)

    with pytest.raises(BatchTimeoutError, match="timeout=0.5") as raised:
        next(stream)
    assert 0.5 == raised.value.timeout
    stream._timeout = None  # a new worker may take longer than that to begin
    assert [8] == list(stream)
    gate.set()


def wait_long() -> None:
    threading.Event().wait(30)


@pytest.mark.parametrize(("timeout", "kind"), [(0, ValueError), (-1, ValueError), (True, TypeError), ("1", TypeError)])
def test_a_timeout_that_is_none_is_refused(timeout, kind):
    """At the call, by name."""
    with pytest.raises(kind, match="timeout should be"):
        WorkStream(SerialPool(), [], timeout=timeout)


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="there is no alarm here")
def test_a_time_limit_of_the_program_is_its_own(pool):
    """A TimeoutError that an alarm raises while the loop waits arrives as it is, and costs no batch."""

    def ring(*_):
        raise TimeoutError("the program has run for long enough")

    before = signal.signal(signal.SIGALRM, ring)
    stream = pool.work_stream((time.sleep, (0.5,)) for _ in range(2))
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.2)
        with pytest.raises(TimeoutError, match="long enough"):
            next(stream)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)

    assert [None, None] == list(stream)


def test_close_ends_the_stream_and_draws_no_more(pool):
    """The next call after close is the end; tasks that have not begun never do."""
    drawn = []
    stream = pool.work_stream((drawn.append(n) or pow, (n, 2)) for n in range(100))
    next(stream)
    stream.close()

    assert [] == list(stream)
    assert 21 == len(drawn)


def test_close_ends_a_stream_whose_plan_was_interrupted(pool):
    """Also there the next call is the end, and not an error."""

    def tasks():
        yield pow, (2, 2)
        raise KeyboardInterrupt

    stream = pool.work_stream(tasks(), 1)
    with pytest.raises(KeyboardInterrupt):
        next(stream)
    stream.close()

    assert [] == list(stream)


def test_an_abandoned_stream_cancels_what_has_not_begun():
    """Nobody asks for the results any more: the workers are free for others."""
    gate, begun = threading.Event(), []

    def task(n):
        begun.append(n)
        gate.wait(30)

    with ThreadPool(1) as pool:
        stream = WorkStream(pool, ((task, (n,)) for n in range(10)), depth=10)
        del stream
        gate.set()
        pool.submit(int).result(timeout=30)  # behind all that was submitted before

        assert begun in ([], [0])


@pytest.mark.parametrize("depth", [1, 4])
def test_an_abandoned_stream_is_collected_though_its_plan_failed(depth):
    """The error waits for its turn, which never comes, and its traceback holds the stream; the pool goes with it."""

    def plan():
        yield pow, (1, 2)
        raise OSError("no such file")

    pool = ThreadPool(2)
    threads = pool._state.threads
    stream = WorkStream(pool, plan(), depth)
    gone = weakref.ref(stream)
    assert 1 == next(stream)
    del stream, pool
    gc.collect()

    assert gone() is None
    for thread in threads:
        thread.join(30)
        assert not thread.is_alive()


def test_work_for_a_closed_pool_is_refused(pool):
    """A stream whose pool is closed says so, and does not wait."""
    closed = type(pool)(1)
    stream = closed.work_stream(((wait_long,) for _ in range(3)), 1)
    closed.close()

    assert [PoolClosedError] == list(dict.fromkeys(outcomes(stream)))
    assert [PoolClosedError] == outcomes(closed.work_stream([(pow, (2, 3))]))


def test_a_thread_that_does_not_end_keeps_nobody_waiting_once_its_pool_is_closed():
    """A task that runs when its pool is closed is given a moment; then its stream gets an error, as with processes."""
    begun, gate = threading.Event(), threading.Event()

    def task() -> None:
        begun.set()
        gate.wait(30)

    with ThreadPool(1) as pool:
        stream = WorkStream(pool, [(task,)])
        assert begun.wait(30)

    assert [PoolClosedError] == outcomes(stream)
    gate.set()
    pool._state.threads[0].join(30)


def test_two_streams_share_a_pool(pool):
    """Interleaved, each has its own results in its own order."""
    squares = pool.work_stream((pow, (n, 2)) for n in range(50))
    cubes = pool.work_stream((pow, (n, 3)) for n in range(50))

    assert [(n**2, n**3) for n in range(50)] == list(zip(squares, cubes, strict=True))


def test_many_threads_share_a_pool(pool):
    """Each consumer thread has its own results, whoever of them reads for all."""
    results: dict[int, list[int]] = {}

    def consume(k: int) -> None:
        results[k] = list(pool.work_stream(((pow, (n, k)) for n in range(200)), 5))

    threads = [threading.Thread(target=consume, args=(k,), daemon=True) for k in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)

    assert {k: [n**k for n in range(200)] for k in range(6)} == results


def test_a_stream_tells_what_it_has_done(pool):
    """Counts and seconds, in a record that does not change."""
    stream = pool.work_stream(((pow, (n, 2)) for n in range(30)), 5)
    next(stream)
    early = stream.stats()
    list(stream)
    late = stream.stats()

    assert (1, 5, 2) == (early.done, early.under_way, early.workers)
    assert (30, 0, 0, early.restarts) == (late.done, late.under_way, late.retried, late.restarts)
    assert 0 <= early.waited <= late.waited
    assert 0 < late.busy


def test_an_interruption_loses_nothing(pool):
    """Ctrl-C in the middle of drawing a task, or of submitting it: caught, all results still come, once."""
    interrupt = {"plan": 3, "submit": 7}

    def tasks():
        for n in range(20):
            yield pow, (n, 2)

    stream = pool.work_stream(tasks(), 2)
    submit = stream._pool.submit
    calls = []

    def interrupted(*args):
        calls.append(args)
        if len(calls) in interrupt.values():
            raise KeyboardInterrupt
        return submit(*args)

    stream._pool.submit = interrupted
    got = []
    try:
        while len(got) < 20:
            with contextlib.suppress(KeyboardInterrupt):
                got.append(next(stream))
    finally:
        del stream._pool.submit

    assert [n**2 for n in range(20)] == got
    assert [] == list(stream)


def test_close_from_another_thread_ends_a_call_that_waits(pool):
    """It gets an error that says so, at once in processes, and when the task has ended in threads."""
    gate, found = threading.Event(), []
    with type(pool)(1) as own:
        task = (wait_long,) if own.engine.isolated else (gate.wait, (30,))
        stream = own.work_stream([task, task, task], 2)
        consumer = threading.Thread(target=lambda: found.extend(outcomes(stream)))
        consumer.start()
        while stream._is_in_next is False:
            time.sleep(0.001)
        stream.close()
        gate.set()
        consumer.join(30)

    assert [PoolClosedError] == found
    assert 0 == stream.stats().under_way


@pytest.mark.slow
@pytest.mark.parametrize("verb", ["close", "load_state_dict"])
def test_a_signal_handler_may_use_the_stream_that_waits(pool, verb, tmp_path):
    """`close` gives an error to the call that waits; after `load_state_dict` it gives the batch of the state."""
    ds = ArrayDataSource([np.arange(6)]).map(functools.partial(gated, tmp_path / "open"))
    with type(pool)(1) as own:
        stream = own.parallel_data_source(ds, 2).batch_iterator(2)
        state = stream.state_dict()
        next(stream)
        args = () if verb == "close" else (state,)

        def handler(*_):
            getattr(stream, verb)(*args)
            (tmp_path / "open").touch()

        old = signal.signal(signal.SIGALRM, handler)
        try:
            signal.setitimer(signal.ITIMER_REAL, 0.05)
            found = [x if isinstance(x, type) else x[0].tolist() for x in outcomes(stream)]
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, old)

    assert found == ([PoolClosedError] if verb == "close" else [[0, 1], [2, 3], [4, 5]])


def gated(gate: Path, x: np.ndarray) -> tuple[np.ndarray]:
    """All batches but the first wait for the gate."""
    while x[0] and not gate.exists():
        time.sleep(0.005)
    return (x,)


@pytest.mark.slow
@pytest.mark.parametrize("verb", ["close", "load_state_dict", "__iter__"])
def test_a_loader_may_be_used_by_a_signal_handler_while_its_loop_waits(verb, tmp_path):
    """The loop that waits gets an error, and the loader is where the handler has put it."""
    with WorkerThreadPool(1) as own:
        ds = ArrayDataSource([np.arange(6)]).map(functools.partial(gated, tmp_path / "open"))
        loader = Loader(ds, 2, pool=own)
        state = loader.state_dict()
        batches = iter(loader)
        next(batches)
        args = (state,) if verb == "load_state_dict" else ()

        def handler(*_):
            getattr(loader, verb)(*args)
            (tmp_path / "open").touch()

        old = signal.signal(signal.SIGALRM, handler)
        try:
            signal.setitimer(signal.ITIMER_REAL, 0.05)
            with pytest.raises(RuntimeError, match="closed|loop has ended"):
                list(batches)
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, old)
        if verb == "close":
            assert (0, 1) == (loader.epoch, loader.step)
        elif verb == "load_state_dict":
            assert (0, 0) == (loader.epoch, loader.step)
            assert 3 == len(list(loader))


def test_a_stream_that_was_never_made_goes_in_silence():
    """Its arguments were refused, or Ctrl-C came while it was made."""
    WorkStream.__new__(WorkStream).__del__()
