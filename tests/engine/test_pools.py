"""The three verbs of a pool: submit, share, close."""

from __future__ import annotations

import copy
import gc
import os
import pickle
import threading
import weakref

import pytest

from batchup.engine.pools import SerialPool, ThreadPool
from batchup.engine.process.pool import ProcessPool
from batchup.errors import PoolClosedError


def test_serial_work_is_done_when_it_is_submitted():
    """By the thread that submits it."""
    reply = SerialPool().submit(threading.get_ident)

    assert reply.done()
    assert threading.get_ident() == reply.result()


def test_serial_lets_ctrl_c_through():
    """It is the consumer's own thread that is interrupted."""

    def interrupted():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        SerialPool().submit(interrupted)


@pytest.mark.parametrize("make", [SerialPool, lambda: ThreadPool(1)], ids=["serial", "threads"])
def test_a_closed_pool_takes_no_work(make):
    """Closed by the end of `with`, or by `close`, as often as one likes."""
    with make() as pool:
        assert 8 == pool.submit(pow, 2, 3).result()
    pool.close()

    with pytest.raises(PoolClosedError, match="closed"):
        pool.submit(pow, 2, 3)


def test_threads_work_side_by_side():
    """Two tasks that need each other get done by two threads."""
    barrier = threading.Barrier(2)
    with ThreadPool(2) as pool:
        replies = [pool.submit(barrier.wait, timeout=30) for _ in range(2)]

        assert {0, 1} == {reply.result(timeout=30) for reply in replies}


def test_closing_fails_what_has_not_begun():
    """Whoever waits for it gets an error instead of waiting for ever."""
    begun, gate = threading.Event(), threading.Event()

    def wait():
        begun.set()
        return gate.wait(30)

    pool = ThreadPool(1)
    running, waiting = pool.submit(wait), pool.submit(pow, 2, 3)
    begun.wait(30)
    gate_opened = threading.Timer(0.01, gate.set)
    gate_opened.start()
    pool.close()

    assert running.result(timeout=30)
    with pytest.raises(PoolClosedError):
        waiting.result(timeout=30)
    gate_opened.join()


def test_threads_that_nobody_holds_end():
    """A pool that is collected takes its threads with it."""
    pool = ThreadPool(2)
    threads, gone = pool._state.threads, weakref.ref(pool)
    del pool
    gc.collect()
    for thread in threads:
        thread.join(10)

    assert gone() is None
    assert [False, False] == [thread.is_alive() for thread in threads]


def test_threads_that_are_too_many_end(monkeypatch):
    """Where the system starts no more, there is an error, and those that have begun are not left behind."""
    before, start = set(threading.enumerate()), threading.Thread.start

    def limited(thread):
        if len(set(threading.enumerate()) - before) == 3:
            raise RuntimeError("can't start new thread")
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", limited)
    with pytest.raises(RuntimeError, match="can't start new thread"):
        ThreadPool(8)
    monkeypatch.undo()
    gc.collect()
    for thread in set(threading.enumerate()) - before:
        thread.join(10)

    assert set() == set(threading.enumerate()) - before


def test_threads_do_not_survive_a_fork():
    """A forked child is told, and does not wait for threads that are not there."""
    with ThreadPool(1) as pool:
        child = os.fork()
        if child == 0:
            try:
                pool.submit(pow, 2, 3)
            except PoolClosedError:
                pool.close()
                os._exit(42)
            os._exit(1)

        assert 42 == os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        assert 8 == pool.submit(pow, 2, 3).result()


def test_arguments_are_not_kept_after_their_task():
    """A thread that waits for work holds nothing of the last."""

    class Large:
        pass

    with ThreadPool(1) as pool:
        large = Large()
        gone = weakref.ref(large)
        pool.submit(id, large).result()
        del large
        pool.submit(int).result()  # the thread has come back for more
        gc.collect()

        assert gone() is None


def test_what_is_done_cannot_be_cancelled():
    """Its result stays."""
    for pool in (SerialPool(), ThreadPool(1)):
        with pool:
            reply = pool.submit(pow, 2, 3)
            reply.exception()

            assert not reply.cancel()
            assert 8 == reply.result()


@pytest.mark.parametrize(
    "make", [SerialPool, lambda: ThreadPool(1), lambda: ProcessPool(1)], ids=["serial", "threads", "processes"]
)
def test_a_pool_cannot_be_copied(make):
    """What was left of half a copy closed descriptors of the pool, and what had come to have their numbers."""
    with make() as pool:
        for copied in (copy.copy, copy.deepcopy, pickle.dumps):
            with pytest.raises(TypeError, match="a pool cannot be copied or pickled"):
                copied(pool)
        gc.collect()

        assert 8 == pool.submit(pow, 2, 3).result()
