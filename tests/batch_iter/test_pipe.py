"""The pipe: its epochs, its arguments, and how long it lives."""

from __future__ import annotations

import gc
import itertools
import threading
import time
import weakref

import numpy as np
import pytest

from batchup.batch_iter import Infinite, Iterator, Loky, Threads, sample, unpack_args
from batchup.data_source import IteratorDataSource

pytestmark = [pytest.mark.timeout(60), pytest.mark.usefixtures("kept_workers")]

STAGES = {
    "bare": lambda f: [f],
    "bare, twice": lambda f: [f, as_it_is],
    "threads": lambda f: [Threads(f, n_workers=3)],
    "threads, twice": lambda f: [Threads(f, n_workers=2), as_it_is, Threads(as_it_is, n_workers=2, buffer_size=3)],
    "processes": lambda f: [Loky(f, n_workers=2)],
    "processes and threads": lambda f: [Loky(f, n_workers=2), Threads(as_it_is, n_workers=2)],
}
each_kind = pytest.mark.parametrize("stages", STAGES.values(), ids=STAGES)


def as_it_is(x):
    return x


def squared(x):
    return x**2


def lists(pipe):
    return [batch.tolist() for batch in pipe]


def wait_for(condition, seconds=30.0):
    until = time.monotonic() + seconds
    while not condition() and time.monotonic() < until:
        time.sleep(0.001)
    assert condition()


def threads():
    return {thread for thread in threading.enumerate() if thread.name.startswith("batchup")}


@each_kind
def test_an_epoch_goes_on_where_the_last_one_stopped(stages):
    """Three epochs of two batches of five are the first thirty items, in order, on any workers."""
    with Infinite(itertools.count(), *stages(squared), batch_size=5, batches_per_epoch=2) as pipe:
        epochs = [lists(pipe()) for _ in range(3)]

    expected = [n**2 for n in range(30)]
    assert expected == np.array(epochs).ravel().tolist()
    assert (3, 2, 5) == np.shape(epochs)


@each_kind
def test_a_source_that_ends_gives_a_short_last_batch(stages):
    """All items are given; the next epoch is empty, with a warning."""
    with Infinite(range(7), *stages(squared), batch_size=3, batches_per_epoch=2) as pipe:
        assert [[0, 1, 4], [9, 16, 25]] == lists(pipe())
        assert [[36]] == lists(pipe())
        with pytest.warns(RuntimeWarning, match="the source has ended"):
            assert [] == lists(pipe())


def test_iterating_is_calling():
    """``for batch in pipe`` gives one epoch, the next one each time; its length is that of an epoch."""
    with Infinite(itertools.count(), batch_size=2, batches_per_epoch=2) as pipe:
        assert [[0, 1], [2, 3]] == lists(pipe)
        assert [[4, 5], [6, 7]] == lists(pipe)
        assert 2 == len(pipe)


@each_kind
def test_a_new_call_after_close_begins_anew(stages):
    """The new epoch starts with the first item of the source; older epochs end."""
    pipe = Infinite(range(100), *stages(squared), batch_size=2, batches_per_epoch=3)
    epoch = pipe()
    next(epoch)
    pipe.close()
    pipe.close()

    assert [] == list(epoch)
    with pipe:
        assert [0, 1] == next(pipe()).tolist()


def test_leaving_a_loop_loses_no_batch():
    """The next call continues with the batch after the last delivered one."""
    with Infinite(itertools.count(), Threads(as_it_is, n_workers=2), batch_size=2, batches_per_epoch=9) as pipe:
        for _ in pipe():
            break

        assert [2, 3] == next(pipe()).tolist()


def test_keywords_go_to_the_combiner():
    """Further keyword arguments are passed to the combiner."""
    with Infinite(
        range(4), batch_size=2, batches_per_epoch=1, combiner=lambda items, scale: scale * sum(items), scale=10
    ) as pipe:
        assert [10] == list(pipe)


@pytest.mark.parametrize("kind", [Threads, Loky])
def test_two_loops_share_a_pipe(kind):
    """Each batch goes to one of them."""
    with Infinite(itertools.count(), kind(as_it_is, n_workers=2), batch_size=1, batches_per_epoch=200) as pipe:
        got: list[list[int]] = [[], []]
        loops = [threading.Thread(target=lambda i=i: got[i].extend(int(x[0]) for x in pipe())) for i in range(2)]
        for loop in loops:
            loop.start()
        for loop in loops:
            loop.join(30)

    assert list(range(400)) == sorted(got[0] + got[1])
    assert all(part == sorted(part) for part in got)


@each_kind
@pytest.mark.usefixtures("own_workers")
def test_a_forgotten_pipe_ends(stages):
    """A pipe that is no longer referenced stops in the middle of an epoch, and leaves no thread behind."""
    before = threads()
    pipe = Infinite(itertools.count(), *stages(squared), batch_size=2, batches_per_epoch=5)
    gone = weakref.ref(pipe)
    for _ in pipe():
        break
    del pipe
    gc.collect()

    assert gone() is None
    wait_for(lambda: threads() <= before)


def test_a_forgotten_pipe_ends_though_its_source_does_not_let_go():
    """A pipe whose stage never gives an item stops at the next item of the source."""
    before, drawn = threads(), threading.Event()

    def source():
        for n in itertools.count():
            drawn.set()
            yield n

    pipe = Infinite(source(), Iterator(lambda items: (x for x in items if x < 0)), batch_size=2, batches_per_epoch=5)
    pipe()
    assert drawn.wait(30)
    del pipe
    gc.collect()

    wait_for(lambda: threads() <= before)


@pytest.mark.parametrize("kind", ["bare", "threads", "threads, twice"])
def test_a_pipe_ends_with_the_object_whose_methods_it_calls(kind):
    """An object whose pipe calls its methods can be collected, and the pipe stops."""
    before = threads()

    class Trainer:
        def __init__(self):
            self.pipe = Infinite(itertools.count(), *STAGES[kind](self.loaded), batch_size=2, batches_per_epoch=5)
            next(self.pipe())

        def loaded(self, x):
            return x

    gone = weakref.ref(Trainer())

    def collected():
        gc.collect()  # not before the threads have finished what they are at
        return gone() is None

    wait_for(collected)
    wait_for(lambda: threads() <= before)


def test_an_epoch_keeps_its_pipe():
    """``for batch in Infinite(…)()`` needs no name for the pipe."""
    before = threads()

    assert [[0, 1], [2, 3]] == lists(Infinite(itertools.count(), batch_size=2, batches_per_epoch=2)())
    gc.collect()
    wait_for(lambda: threads() <= before)


def test_a_pipe_is_a_data_source():
    """Inside an `IteratorDataSource` it gives the batches of one epoch each time."""
    with Infinite(itertools.count(), lambda n: (n, -n), batch_size=2, batches_per_epoch=2) as pipe:
        ds = IteratorDataSource(pipe, n_samples=4).map(lambda x, y: (x + y, y))

        assert [[0, -1], [-2, -3]] == [y.tolist() for _, y in ds.batch_iterator(batch_size=64)]
        assert [[-4, -5], [-6, -7]] == [y.tolist() for _, y in ds.batch_iterator(batch_size=64)]
        assert [-8, -9] == next(IteratorDataSource(pipe).batch_iterator(batch_size=64))[1].tolist()


@pytest.mark.parametrize(
    ("kwargs", "error", "match"),
    [
        ({"batch_size": 0}, ValueError, "batch_size should be an integer of at least 1, not 0"),
        ({"batch_size": 2.5}, TypeError, "batch_size should be"),
        ({"batch_size": True}, TypeError, "batch_size should be"),
        ({"batches_per_epoch": 0}, ValueError, "batches_per_epoch should be"),
        ({"batches_per_epoch": None}, TypeError, "batches_per_epoch should be"),
        ({"buffer_size": 0}, ValueError, "buffer_size should be"),
        ({"bufer_size": 2}, TypeError, "bufer_size"),
        ({"combiner": 3}, TypeError, "combiner should be a function"),
        ({"combiner": Threads(tuple), "padding_values": 0}, TypeError, "the combiner is a stage"),
        ({"seed": -1}, ValueError, "seed should be"),
        ({"seed": 1.5}, TypeError, "seed should be"),
    ],
    ids=repr,
)
def test_arguments_are_refused_when_the_pipe_is_made(kwargs, error, match):
    """An invalid argument raises an error that names it; no thread is started."""
    before = threads()
    with pytest.raises(error, match=match):
        Infinite(range(3), **{"batch_size": 2, "batches_per_epoch": 1, **kwargs})
    assert before == threads()


@pytest.mark.parametrize(
    ("parts", "match"),
    [
        ([3], "source should be an iterable"),
        ([lambda: iter([])], "call the function"),
        ([IteratorDataSource(iter([]))], "items_of"),
        ([range(3), None], "a transform should be a function"),
        ([range(3), Threads], "not the class"),
    ],
    ids=["number", "function", "data source", "no function", "class"],
)
def test_parts_are_refused_when_the_pipe_is_made(parts, match):
    """A source has to be an iterable, and each transform a function or a stage."""
    with pytest.raises(TypeError, match=match):
        Infinite(*parts, batch_size=2, batches_per_epoch=1)


def test_a_pipe_prints_what_it_is_made_of():
    """`repr` shows the source, the stages and the sizes as they are written."""
    pipe = Infinite(
        sample(range(5), random_state=7), unpack_args(squared), Threads(squared, n_workers=4), batch_size=2,
        batches_per_epoch=3,
    )  # fmt: skip

    assert (
        "Infinite(sample(<5 entries>, random_state=7), unpack_args(squared), Threads(squared, n_workers=4), "
        "batch_size=2, batches_per_epoch=3)"
    ) == repr(pipe)


def test_a_keyword_that_neither_the_pipe_nor_its_combiner_has():
    """The error names the keyword, and says where it went."""
    with pytest.raises(TypeError, match="combine_to_arrays .*'n_workers'; keywords that Infinite does not have"):
        Infinite(range(3), batch_size=2, batches_per_epoch=1, n_workers=2)
