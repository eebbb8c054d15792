"""The reply of a thread: decided once, and told to all who wait."""

from __future__ import annotations

import os
import threading
from concurrent.futures import CancelledError

import pytest

from batchup.engine.outcome import Outcome
from batchup.errors import PoolClosedError


def test_an_outcome_is_decided_once():
    """By the worker that begins the task, or by who cancels it before; not by both."""
    begun, cancelled = Outcome(), Outcome()

    assert (True, False, False) == (begun.begin(), begun.begin(), begun.cancel())
    begun.end(3)
    assert (3, None, True) == (begun.result(), begun.exception(), begun.done())
    assert (True, False, False) == (cancelled.cancel(), cancelled.cancel(), cancelled.begin())
    with pytest.raises(CancelledError):
        cancelled.result(timeout=10)


def test_all_who_wait_for_an_outcome_are_told():
    """And whoever asks later; one with a timeout waits no longer than that."""
    outcome, told = Outcome(), []
    with pytest.raises(TimeoutError):
        outcome.result(timeout=0.01)
    waiting = [threading.Thread(target=lambda: told.append(outcome.result(timeout=30))) for _ in range(4)]
    for thread in waiting:
        thread.start()
    outcome.end("done")
    for thread in waiting:
        thread.join(30)

    assert ["done"] * 5 == [*told, outcome.result()]


def test_an_outcome_that_failed_before_it_began_is_not_begun():
    """Nor does it fail once it has begun."""
    failed, begun = Outcome(), Outcome()

    assert (True, False) == (failed.fail(OSError("too late")), failed.begin())
    with pytest.raises(OSError, match="too late"):
        failed.result(timeout=10)
    assert (True, False) == (begun.begin(), begun.fail(OSError("too late")))


def test_an_outcome_has_what_a_stream_counts():
    """The seconds that the task took, and no retries."""
    outcome = Outcome()
    outcome.begin()
    outcome.end(8, seconds=1.5)

    assert (8, None, 1.5, 0) == (outcome.result(), outcome.exception(), outcome.seconds, outcome.retried)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_an_outcome_is_not_waited_for_in_a_fork():
    """Its worker is not there: an error, and not a wait for ever. What is done can be read."""
    waiting, done = Outcome(), Outcome()
    done.begin()
    done.end(42)
    child = os.fork()
    if child == 0:
        try:
            waiting.result()
        except PoolClosedError:
            os._exit(done.result())
        os._exit(1)

    assert 42 == os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
