"""Forks are counted."""

from __future__ import annotations

import os

import pytest

from batchup.engine import forks

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")


def in_a_fork(fn) -> int:
    """What `fn` returns in a fork of this process."""
    child = os.fork()
    if child == 0:
        os._exit(fn())
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def test_a_fork_knows_that_it_is_one():
    """And so does a fork of it; the parent is none."""
    is_fork = forks.forked()

    assert 1 == in_a_fork(is_fork)
    assert 1 == in_a_fork(lambda: in_a_fork(is_fork))
    assert not is_fork()


def test_what_is_made_in_a_fork_is_at_home_there():
    """The question is whether this is another process than then."""
    assert 0 == in_a_fork(lambda: forks.forked()())
