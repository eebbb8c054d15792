"""Errors in a pipe arrive unchanged, after the batches before them, and stop the pipe."""

from __future__ import annotations

import itertools
import os
import signal
import threading

import numpy as np
import pytest

from batchup.batch_iter import Infinite, Iterator, Loky, Threads, combine_to_arrays, load_by_random_id
from batchup.errors import DataSourcePicklingError, WorkerDiedError, WorkerError

pytestmark = [pytest.mark.timeout(60), pytest.mark.usefixtures("kept_workers")]

KINDS = {
    "bare": lambda f: f,
    "threads": lambda f: Threads(f, n_workers=2),
    "processes": lambda f: Loky(f, n_workers=2),
}
each_kind = pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)


def as_it_is(x):
    return x


def fail_at_7(x):
    if x == 7:
        raise OSError("no such file")
    return x


def stop_at_7(x):
    if x == 7:
        raise StopIteration
    return x


def threads():
    return {thread for thread in threading.enumerate() if thread.name.startswith("batchup")}


def until_it_fails(pipe, error):
    """The batches before the error, and the error."""
    got = []
    with pytest.raises(error) as raised:
        got.extend(batch.tolist() for batch in pipe)
    return got, raised.value


@each_kind
def test_an_error_arrives_as_itself_behind_the_batches_before_it(kind):
    """A note names the item and the stage, and no thread is left running."""
    before = threads()
    stages = [as_it_is, kind(fail_at_7), Threads(as_it_is, n_workers=2), as_it_is]
    pipe = Infinite(range(100), *stages, batch_size=2, batches_per_epoch=9)

    got, error = until_it_fails(pipe, OSError)
    assert [[0, 1], [2, 3], [4, 5]] == got
    assert "no such file" == str(error)
    (note,) = [note for note in error.__notes__ if note.startswith("at ")]
    assert note.startswith("at item 7, stage 2: ")
    assert "fail_at_7" in note
    assert before == threads()


@each_kind
def test_a_pipe_begins_anew_after_an_error(kind):
    """The next call starts over, as after `close`."""
    pipe = Infinite(range(100), kind(fail_at_7), batch_size=2, batches_per_epoch=9)

    assert until_it_fails(pipe, OSError)[0] == until_it_fails(pipe, OSError)[0]


@each_kind
def test_a_stop_iteration_does_not_end_the_epoch(kind):
    """A StopIteration of a function arrives as a WorkerError, not as a silent, short epoch."""
    pipe = Infinite(range(100), kind(stop_at_7), batch_size=2, batches_per_epoch=9)

    got, error = until_it_fails(pipe, WorkerError)
    assert 3 == len(got)
    assert "StopIteration" == error.type_name
    assert any("at item 7, stage 1" in note for note in error.__notes__)


@pytest.mark.parametrize("error", [SystemExit(3), KeyboardInterrupt(), GeneratorExit()], ids=repr)
def test_what_would_end_the_program_is_an_error_in_its_place(error):
    """SystemExit and its like arrive as a WorkerError, also before a stage with workers."""

    def fail(x):
        if x == 3:
            raise error
        return x

    pipe = Infinite(range(100), fail, Threads(as_it_is, n_workers=4), batch_size=1, batches_per_epoch=9)

    got, _ = until_it_fails(pipe, WorkerError)
    assert [[0], [1], [2]] == got


def test_an_error_of_the_source_is_located():
    """The note names the missing item, and stage 0."""

    def source():
        yield from range(3)
        raise OSError("the disk is gone")

    got, error = until_it_fails(Infinite(source(), Threads(as_it_is), batch_size=1, batches_per_epoch=9), OSError)
    assert [[0], [1], [2]] == got
    assert error.__notes__[0].startswith("at item 3, stage 0: ")


def test_a_stop_iteration_of_a_loader_is_an_error():
    """A StopIteration of a loader does not end the stream."""

    def load(i):
        raise StopIteration

    pipe = Infinite(load_by_random_id(load, ids=[1, 2]), batch_size=1, batches_per_epoch=2)
    with pytest.raises(RuntimeError, match="StopIteration"):
        next(pipe())


def test_an_error_of_the_combiner_names_the_batch():
    """The combiner counts as the stage after the last one."""
    pipe = Infinite(
        iter([np.zeros(2), np.zeros(2), np.zeros(2), np.zeros(3)]), as_it_is, batch_size=2, batches_per_epoch=3
    )

    got, error = until_it_fails(pipe, ValueError)
    assert [[[0, 0], [0, 0]]] == got
    assert ["at batch 1, stage 2: combine_to_arrays"] == error.__notes__
    assert "combiner=combine_pad" in str(error)


def test_an_error_of_should_add_arrives():
    """The error of `should_add` arrives unchanged."""

    def should_add(batch, item):
        raise KeyError("size")

    with pytest.raises(KeyError, match="size"):
        list(Infinite(range(9), batch_size=should_add, batches_per_epoch=3))


def test_an_error_of_an_iterator_stage_is_located():
    """The note names the missing item; an error from an earlier stage keeps its own note."""

    def failing(items):
        yield from itertools.islice(items, 3)
        raise OSError("enough")

    _, error = until_it_fails(Infinite(range(9), Iterator(failing), batch_size=1, batches_per_epoch=9), OSError)
    assert ["at item 3, stage 1: Iterator(failing)"] == [note.replace(FAILING, "") for note in error.__notes__]

    stages = [fail_at_7, Iterator(lambda items: (x for x in items))]
    _, error = until_it_fails(Infinite(range(9), *stages, batch_size=1, batches_per_epoch=9), OSError)
    assert ["at item 7, stage 1: fail_at_7"] == error.__notes__


FAILING = "test_an_error_of_an_iterator_stage_is_located.<locals>."


def test_what_cannot_be_sent_to_a_process_says_what_it_is():
    """The error names the lock that cannot be pickled."""
    lock = threading.Lock()

    def locked(x):
        with lock:
            return x

    with pytest.raises(DataSourcePicklingError, match="lock"):
        list(Infinite(range(9), Loky(locked), batch_size=1, batches_per_epoch=9))


@pytest.mark.parametrize("size", [1, 300_000])
def test_an_item_whose_process_dies_is_tried_again(tmp_path, size):
    """No item is lost, whether small or large."""

    def die_once(x):
        if x[0] == 3 and not (tmp_path / "died").exists():
            (tmp_path / "died").touch()
            x[:] = -1
            os.kill(os.getpid(), signal.SIGKILL)
        return x

    source = (np.full(size, n) for n in range(10))
    with Infinite(source, Loky(die_once, n_workers=2), batch_size=5, batches_per_epoch=2) as pipe:
        assert [[0, 1, 2, 3, 4], [5, 6, 7, 8, 9]] == [batch[:, -1].tolist() for batch in pipe]
    assert (tmp_path / "died").exists()


def test_an_item_that_kills_every_process_is_an_error():
    """The error arrives after the batches before it, and names the item."""

    def die(x):
        if x == 2:
            os.kill(os.getpid(), signal.SIGKILL)
        return x

    got, error = until_it_fails(
        Infinite(range(9), Loky(die, n_workers=2), batch_size=1, batches_per_epoch=9), WorkerDiedError
    )
    assert [[0], [1]] == got
    assert any(note.startswith("at item 2, stage 1: Loky(") for note in error.__notes__)


def test_an_error_in_the_loop_leaves_nothing_behind():
    """The end of ``with`` ends the work."""
    before = threads()
    pipe = Infinite(itertools.count(), Threads(as_it_is), batch_size=2, batches_per_epoch=9)

    def train():
        with pipe:
            for _ in pipe:
                1 / 0  # noqa: B018

    with pytest.raises(ZeroDivisionError):
        train()
    assert before == threads()


def test_the_default_combiner_names_itself():
    """The default combiner prints by its name."""
    assert combine_to_arrays.__name__ in repr(Infinite(range(3), batch_size=1, batches_per_epoch=1)._plan.combiner)
