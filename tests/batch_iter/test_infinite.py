"""The pipe: epochs, order, how far it works ahead, and how it ends."""

from __future__ import annotations

import gc
import itertools
import os
import threading
import time
import weakref

import numpy as np
import pytest

from batchup.batch_iter import Infinite, Iterator, Loky, Threads, combine_to_arrays, sample, unpack_args
from batchup.data_source import IteratorDataSource
from batchup.errors import PoolClosedError

pytestmark = pytest.mark.timeout(60)

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
    """All of its items come; then there are no batches, and that is said."""
    with Infinite(range(7), *stages(squared), batch_size=3, batches_per_epoch=2) as pipe:
        assert [[0, 1, 4], [9, 16, 25]] == lists(pipe())
        assert [[36]] == lists(pipe())
        with pytest.warns(RuntimeWarning, match="the source has ended"):
            assert [] == lists(pipe())


def test_a_source_that_ends_leaves_nothing_running():
    """The threads end with it, without a call of close."""
    before = threads()
    pipe = Infinite(range(7), Threads(squared, n_workers=2), batch_size=3, batches_per_epoch=9)

    assert 3 == len(lists(pipe))
    assert before == threads()


def test_iterating_is_calling():
    """``for batch in pipe`` gives one epoch, the next one each time; its length is that of an epoch."""
    with Infinite(itertools.count(), batch_size=2, batches_per_epoch=2) as pipe:
        assert [[0, 1], [2, 3]] == lists(pipe)
        assert [[4, 5], [6, 7]] == lists(pipe)
        assert 2 == len(pipe)


@each_kind
def test_a_new_call_after_close_begins_anew(stages):
    """With the first item of the source; an epoch from before ends."""
    pipe = Infinite(range(100), *stages(squared), batch_size=2, batches_per_epoch=3)
    epoch = pipe()
    next(epoch)
    pipe.close()
    pipe.close()

    assert [] == list(epoch)
    with pipe:
        assert [0, 1] == next(pipe()).tolist()


def test_leaving_a_loop_loses_no_batch():
    """The next call goes on with the batch behind the last that was delivered."""
    with Infinite(itertools.count(), Threads(as_it_is, n_workers=2), batch_size=2, batches_per_epoch=9) as pipe:
        for _ in pipe():
            break

        assert [2, 3] == next(pipe()).tolist()


def test_work_goes_on_while_the_loop_does_something_else():
    """The next batch is made before anybody asks for it."""
    made = threading.Semaphore(0)

    def combine(items):
        made.release()
        return items

    with Infinite(itertools.count(), batch_size=3, batches_per_epoch=9, buffer_size=2, combiner=combine) as pipe:
        epoch = pipe()
        assert made.acquire(timeout=30)
        next(epoch)

        assert made.acquire(timeout=30)
        assert made.acquire(timeout=30)


@pytest.mark.parametrize("buffer_size", [1, 3])
def test_no_more_batches_are_made_ahead_than_the_buffer_holds(buffer_size):
    """Whatever the functions could do, they stop when so many batches wait."""
    seen = []
    with Infinite(
        itertools.count(), seen.append, batch_size=4, batches_per_epoch=99, buffer_size=buffer_size, combiner=len
    ) as pipe:
        for taken, _ in enumerate(itertools.islice(pipe(), 5), 1):
            wait_for(lambda: len(seen) >= 4 * (taken + buffer_size))  # noqa: B023 - called at once
            assert len(seen) == 4 * (taken + buffer_size)


@pytest.mark.parametrize(("n_workers", "buffer_size"), [(1, 1), (3, 1), (2, 4)])
def test_no_more_items_are_drawn_than_the_stages_hold(n_workers, buffer_size):
    """While all workers are busy, as many more wait as `buffer_size` says."""
    gate, drawn, begun = threading.Event(), [], []

    def source():
        for n in itertools.count():
            drawn.append(n)
            yield n

    def work(x):
        begun.append(x)
        gate.wait(30)
        return x

    stage = Threads(work, n_workers=n_workers, buffer_size=buffer_size)
    with Infinite(source(), stage, batch_size=1, batches_per_epoch=3) as pipe:
        epoch = pipe()
        wait_for(lambda: len(begun) == n_workers and len(drawn) >= n_workers + buffer_size)

        assert n_workers + buffer_size == len(drawn)
        gate.set()
        assert [[0], [1], [2]] == lists(epoch)


def test_neighbouring_functions_share_a_thread():
    """They are called one after the other, with one item, in one thread that is not the loop's."""
    idents = []

    def noted(x):
        idents.append((x, threading.get_ident()))
        return x

    with Infinite(range(4), noted, noted, noted, batch_size=4, batches_per_epoch=1) as pipe:
        list(pipe)

    assert [0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3] == [x for x, _ in idents]
    assert 1 == len({ident for _, ident in idents} - {threading.get_ident()})


def test_order_is_kept_when_later_items_are_done_first():
    """An item that takes its time does not lose its place."""
    later = threading.Event()

    def slow_first(x):
        if x == 0:
            later.wait(30)
        elif x == 2:
            later.set()
        return x

    with Infinite(range(6), Threads(slow_first, n_workers=2), batch_size=6, batches_per_epoch=1) as pipe:
        assert [[0, 1, 2, 3, 4, 5]] == lists(pipe)


def test_a_stage_over_the_whole_iterator():
    """It may leave out, repeat and look around."""

    def pairs(items, gap):
        for item in items:
            if item % gap:
                yield item
                yield -item

    with Infinite(itertools.count(), squared, Iterator(pairs, gap=2), batch_size=4, batches_per_epoch=1) as pipe:
        assert [[1, -1, 9, -9]] == lists(pipe)


def test_the_combiner_may_be_a_stage():
    """Batches are then combined by its workers, in order."""
    idents = set()

    def combine(items):
        idents.add(threading.get_ident())
        return combine_to_arrays(items)

    with Infinite(
        range(40), as_it_is, batch_size=4, batches_per_epoch=10, combiner=Threads(combine, n_workers=2)
    ) as pipe:
        assert [list(range(n, n + 4)) for n in range(0, 40, 4)] == lists(pipe)
    assert 1 <= len(idents - {threading.get_ident()}) <= 2


def test_keywords_go_to_the_combiner():
    """As they are."""
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


def test_close_ends_a_loop_that_waits():
    """In another thread, for a batch that is not there yet."""
    gate, waiting = threading.Event(), threading.Event()

    def work(x):
        waiting.set()
        gate.wait(30)

    pipe = Infinite(itertools.count(), Threads(work, n_workers=2), batch_size=4, batches_per_epoch=1)
    ended = []
    loop = threading.Thread(target=lambda: ended.append(list(pipe)))
    loop.start()
    assert waiting.wait(30)
    pipe.close()
    gate.set()
    loop.join(30)

    assert [[]] == ended


def endless(x):
    threading.Event().wait()


@pytest.mark.parametrize("kind", ["bare", "threads", "processes"])
def test_close_does_not_wait_for_a_function_that_never_returns(kind):
    """Processes are killed; a thread is left alone, and is a daemon."""
    gate = threading.Event()
    stage = {
        "bare": lambda x: gate.wait(60),
        "threads": Threads(lambda x: gate.wait(60), n_workers=2),
        "processes": Loky(endless, n_workers=2),
    }[kind]
    pipe = Infinite(itertools.count(), stage, batch_size=1, batches_per_epoch=1)
    pipe()
    begun = time.monotonic()
    pipe.close()

    assert time.monotonic() - begun < 30  # the function would take 60
    gate.set()


@each_kind
def test_a_forgotten_pipe_ends(stages):
    """In the middle of an epoch, when nobody holds it any more: no thread is left, and no item is drawn."""
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
    """A stage that never gives anything is stopped at the next item."""
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
    """A trainer that has a pipe through a method of its own, and that nobody holds any more."""
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


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="nobody counts descriptors here")
def test_a_pipe_that_was_closed_holds_no_memory():
    """What was under way when it was closed is let go of: large items lie in shared memory, which has descriptors."""

    def opened():
        gc.collect()
        return len(os.listdir("/proc/self/fd"))

    def left_early():
        items = (np.zeros(100_000) for _ in itertools.count())
        with Infinite(items, Loky(np.negative), batch_size=2, batches_per_epoch=5) as pipe:
            next(pipe())

    left_early()
    before = opened()
    for _ in range(4):
        left_early()

    assert before == opened()


def test_an_epoch_keeps_its_pipe():
    """``for batch in Infinite(…)()`` needs no name for the pipe."""
    before = threads()

    assert [[0, 1], [2, 3]] == lists(Infinite(itertools.count(), batch_size=2, batches_per_epoch=2)())
    gc.collect()
    wait_for(lambda: threads() <= before)


@pytest.mark.parametrize(
    "stages",
    [
        [],
        [as_it_is, as_it_is],
        [Threads(as_it_is, n_workers=2)],
        [Iterator(lambda items: map(as_it_is, items))],
    ],
    ids=["none", "bare", "threads", "iterator"],
)
def test_items_are_not_held(stages):
    """What has gone into batches is not kept by the pipe, once it waits for the loop; nor is a batch that was given."""

    class Item:
        pass

    alive: list[weakref.ref[Item]] = []

    def source(_):
        item = Item()
        alive.append(weakref.ref(item))
        return item

    def living():
        return sum(ref() is not None for ref in alive)

    items = map(source, range(8))
    with Infinite(items, *stages, batch_size=2, batches_per_epoch=4, combiner=len, buffer_size=4) as pipe:
        epoch = pipe()
        wait_for(lambda: len(alive) == 8 and living() == 0)
        assert [2, 2, 2, 2] == list(epoch)

    alive.clear()
    items = map(source, itertools.count())
    with Infinite(items, *stages, batch_size=2, batches_per_epoch=9, combiner=tuple) as pipe:
        epoch = pipe()
        for _ in range(3):
            next(epoch)
        wait_for(lambda: living() == len(alive) - 6)


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
    """By name, and nothing begins."""
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
    """A source is an iterable, and what comes behind it is a function or a stage."""
    with pytest.raises(TypeError, match=match):
        Infinite(*parts, batch_size=2, batches_per_epoch=1)


@pytest.mark.parametrize(
    ("make", "error", "match"),
    [
        (lambda: Threads(as_it_is, n_workers=0), ValueError, "n_workers should be"),
        (lambda: Threads(as_it_is, buffer_size=0), ValueError, "buffer_size should be"),
        (lambda: Loky(as_it_is, n_workers=0), ValueError, "n_workers should be"),
        (lambda: Threads(3), TypeError, "func should be a function"),
        (lambda: Iterator(as_it_is, n_workers=2), ValueError, "takes no n_workers"),
    ],
)
def test_a_stage_refuses_what_cannot_be(make, error, match):
    """When it is made."""
    with pytest.raises(error, match=match):
        make()


def test_processes_are_counted_as_in_joblib():
    """-1 is one for each core, and never less than one."""
    import joblib

    assert joblib.cpu_count() == Loky(as_it_is, n_workers=-1).n_workers
    assert 1 == Loky(as_it_is, n_workers=-10_000).n_workers


def test_a_pipe_prints_what_it_is_made_of():
    """Source, stages, sizes, as they are written."""
    pipe = Infinite(
        sample(range(5), random_state=7), unpack_args(squared), Threads(squared, n_workers=4), batch_size=2,
        batches_per_epoch=3,
    )  # fmt: skip

    assert (
        "Infinite(sample(<5 entries>, random_state=7), unpack_args(squared), Threads(squared, n_workers=4), "
        "batch_size=2, batches_per_epoch=3)"
    ) == repr(pipe)


def test_a_fork_does_not_wait_for_the_thread_of_its_parent():
    """In a forked process the pipe that the parent has begun is refused."""
    pipe = Infinite(itertools.count(), batch_size=2, batches_per_epoch=2)
    epoch = pipe()
    next(epoch)
    pipe._run._forked = lambda: True

    with pytest.raises(PoolClosedError, match="another process"):
        next(epoch)
    pipe.close()
