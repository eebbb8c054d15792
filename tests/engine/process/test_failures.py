"""An error of a worker is raised as itself, or as a WorkerError that has its text."""

from __future__ import annotations

import pytest

from batchup.engine.process.failures import failure_of, raised_in_worker
from batchup.errors import WorkerError


class CannotBePickled(Exception):
    def __reduce__(self):
        raise TypeError("no")


class HasNoMessage(Exception):
    def __str__(self):
        raise RuntimeError("no message")


def raised(error):
    try:
        raise error
    except BaseException as caught:
        return caught


def test_an_error_arrives_as_itself_with_its_traceback():
    """The traceback of the worker is its cause."""
    error = raised_in_worker(*failure_of(raised(KeyError("x"))))

    assert (KeyError, ("x",)) == (type(error), error.args)
    assert "in raised" in str(error.__cause__)


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (CannotBePickled("mine"), "CannotBePickled: mine"),
        (StopIteration("end"), "StopIteration: end"),
        (SystemExit(3), "SystemExit: 3"),
    ],
)
def test_what_may_not_be_raised_here_is_a_worker_error(error, said):
    """With the type, the message and the traceback as text."""
    failed = raised_in_worker(*failure_of(raised(error)))

    with pytest.raises(WorkerError, match=said):
        raise failed
    assert type(error).__name__ == failed.type_name
    assert "Traceback" in failed.remote_traceback


def test_an_error_without_a_message_is_told():
    """A message that cannot be formatted does not become another error."""
    assert "(its message cannot be formatted)" == failure_of(raised(HasNoMessage()))[2]
