"""Errors say which batch they are about, and are also one of Python's own kinds."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

from batchup import errors
from batchup.data_source import ChoiceBatch
from batchup.errors import located, noted

KINDS = {
    "BatchTimeoutError": TimeoutError,
    "DataSourcePicklingError": TypeError,
    "PoolClosedError": RuntimeError,
    "SharedMemoryError": OSError,
    "TooManySkipped": RuntimeError,
    "WorkerDiedError": RuntimeError,
    "WorkerError": RuntimeError,
}


@pytest.mark.parametrize(("name", "kind"), KINDS.items())
def test_an_error_is_one_of_batchup_and_one_of_python(name, kind):
    """``except TimeoutError`` catches it, and so does ``except BatchUpError``."""
    assert issubclass(getattr(errors, name), (errors.BatchUpError,))
    assert issubclass(getattr(errors, name), (kind,))


@pytest.mark.parametrize(
    ("pick", "said"),
    [
        (np.array([3, 1]), "samples 3, 1"),
        (np.arange(20), "samples 0, 1, 2, 3, 4, 5, 6, 7, …"),
        ((np.array([1]), np.array([2])), "samples (1), (2)"),
        (ChoiceBatch(np.array([4]), 1), "samples (4), 1"),
        (5, "samples 5"),
    ],
)
def test_a_note_names_the_batch_and_its_first_samples(pick, said):
    """With the epoch where a loader knows it."""
    error = located(ValueError("no such file"), 17, pick, epoch=2)

    assert [f"while fetching batch 17 of epoch 2 ({said})"] == error.__notes__


def test_an_error_about_a_batch_has_it_as_attributes():
    """For programs that go on with the other samples."""
    error = located(errors.WorkerDiedError("three times"), 4, np.array([8, 9]))

    assert (4, [8, 9], None) == (error.batch_number, error.indices.tolist(), error.epoch)


def test_an_error_that_takes_no_notes_stays_as_it_is():
    """A peculiar class of the user's does not turn into another error."""

    class Frozen(Exception):
        def add_note(self, note):
            raise RuntimeError("frozen")

    error = Frozen("mine")

    assert error is noted(error, "a note")


def test_an_error_pickles():
    """With its attributes: a worker, or a cluster, sends it."""
    error = errors.BatchTimeoutError("no result")
    error.timeout = 2.5
    there = pickle.loads(pickle.dumps(error))

    assert (errors.BatchTimeoutError, 2.5, ("no result",)) == (type(there), there.timeout, there.args)
