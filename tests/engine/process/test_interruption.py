"""Bookkeeping that was interrupted is begun anew, and not gone on with."""

from __future__ import annotations

import pytest

from batchup.engine.process.interruption import Bookkeeping


def interrupted(*args):
    raise KeyboardInterrupt


def test_steps_are_run_one_after_the_other():
    """With their arguments; nothing is begun anew without need."""
    done = []
    bookkeeping = Bookkeeping(interrupted)
    for n in range(3):
        bookkeeping.run(done.append, n)

    assert [0, 1, 2] == done
    assert not bookkeeping.is_running


def test_after_an_interruption_all_is_begun_anew_once():
    """Before the next step."""
    done = []
    bookkeeping = Bookkeeping(lambda: done.append("anew"))
    with pytest.raises(KeyboardInterrupt):
        bookkeeping.run(interrupted)
    assert not bookkeeping.is_running
    for n in range(2):
        bookkeeping.run(done.append, n)

    assert ["anew", 0, 1] == done


def test_beginning_anew_may_be_interrupted_as_well():
    """Then it is tried once more, and no step is run in between."""
    tries, done = [], []

    def start_over():
        tries.append(len(tries))
        if len(tries) < 3:
            raise KeyboardInterrupt

    bookkeeping = Bookkeeping(start_over)
    for step in (interrupted, done.append, done.append):
        with pytest.raises(KeyboardInterrupt):
            bookkeeping.run(step, 0)
    bookkeeping.run(done.append, 1)

    assert ([0, 1, 2], [1]) == (tries, done)


def test_it_is_known_that_a_step_is_running():
    """Also to what the garbage collector calls in the middle of it."""
    seen = []
    bookkeeping = Bookkeeping(lambda: seen.append(bookkeeping.is_running))
    with pytest.raises(KeyboardInterrupt):
        bookkeeping.run(interrupted)
    bookkeeping.run(lambda: seen.append(bookkeeping.is_running))

    assert [True, True] == seen
