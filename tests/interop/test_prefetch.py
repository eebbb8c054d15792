"""Batches that go through a function ahead of the loop."""

import itertools
import threading

import numpy as np
import pytest

from batchup import ArrayDataSource, Loader
from batchup.errors import PoolClosedError
from batchup.interop.prefetch import Prefetched

pytestmark = pytest.mark.timeout(60)


def loader(n=10, **kwargs):
    return Loader([np.arange(n), np.arange(n) / 2], 3, shuffle=7, **kwargs)


state = loader().state_dict()


def plain(batches):
    return [[part.tolist() for part in batch] for batch in batches]


def test_the_state_counts_what_the_loop_has():
    """What was put ahead does not count: another loader goes on at the exact next batch."""
    put, third = [], threading.Event()

    def note(batch):
        put.append(batch)
        if len(put) == 3:
            third.set()
        return batch

    with Prefetched(loader(), note, depth=2) as ahead, Prefetched(loader(), note) as other:
        batches = iter(ahead)
        next(batches)
        assert third.wait(30)  # two more are ready
        state = ahead.state_dict()
        other.load_state_dict(state)

        assert (0, 1) == (ahead.epoch, ahead.step) == (state["epoch"], state["step"])
        assert plain(batches) == plain(other)
        assert plain(ahead) == plain(other)


@pytest.mark.parametrize("taken", range(6))
def test_a_state_goes_between_prefetched_and_plain(taken):
    """With prefetch and without, the states at each step are the same, and load into each other."""
    with Prefetched(loader(), lambda batch: batch) as ahead:
        plain_one, third = loader(), loader()
        assert plain(itertools.islice(ahead.steps(taken), taken)) == plain(plain_one.steps(taken))
        assert ahead.state_dict() == plain_one.state_dict()
        third.load_state_dict(ahead.state_dict())
        assert plain(third.steps(4)) == plain(plain_one.steps(4))


@pytest.mark.parametrize("taken", range(5))
def test_a_loop_that_is_left(taken):
    """A loop that is left early has the same next epoch as without prefetch."""
    with Prefetched(loader(), lambda batch: batch) as ahead:
        plain_one = loader()
        for each in (ahead, plain_one):
            for _ in zip(range(taken), each, strict=False):
                pass

        assert plain(plain_one) == plain(ahead)


def test_a_batch_that_cannot_be_moved_is_not_lost():
    """An error while moving names the batch; the next call tries it again."""
    failing = [True]

    def move(batch):
        if batch[0][0] == expected[1][0][0] and failing.pop():
            raise RuntimeError("out of memory")
        return batch

    expected = plain(loader())
    failing = [False, True]
    with Prefetched(loader(), move, depth=1) as ahead:
        batches = iter(ahead)
        first = next(batches)
        with pytest.raises(RuntimeError, match="out of memory") as caught:
            next(batches)

        assert ["while moving batch 1 of epoch 0; the next call tries it again"] == caught.value.__notes__
        assert expected == plain([first, *batches])


def test_an_error_of_the_data_passes_through():
    """An error of the source has its place, with what is moved ahead."""

    def fail(x, y):
        if 0 in x:
            raise ValueError("broken")
        return x, y

    source = ArrayDataSource([np.arange(9), np.arange(9)]).map(fail)
    with Prefetched(Loader(source, 3), lambda batch: batch) as ahead:
        batches = iter(ahead)
        with pytest.raises(ValueError, match="broken") as caught:
            next(batches)

        assert "while fetching batch 0 of epoch 0 (samples 0, 1, 2)" in caught.value.__notes__
        assert [[3, 4, 5], [6, 7, 8]] == [batch[0].tolist() for batch in batches]


def test_single_batches():
    """`batch` gives any batch of the run, after the function; the place stays."""
    with Prefetched(loader(), lambda batch: batch[0] * 10) as ahead:
        assert (loader().batch(2, 1)[0] * 10).tolist() == ahead.batch(2, 1).tolist()
        assert (0, 0) == (ahead.epoch, ahead.step)


@pytest.mark.parametrize("taken", range(5))
@pytest.mark.parametrize("pool", [None, 2])
def test_the_next_run_of_a_killed_one(taken, pool):
    """What was put ahead when a run ended is put again: the batches are those of a run that went on."""
    with Prefetched(loader(), lambda batch: batch, depth=3) as whole:
        expected = plain(whole.steps(9))
    first = Prefetched(loader(pool=pool), lambda batch: batch, depth=3)
    head = plain(itertools.islice(first.steps(9), taken))
    state = first.state_dict()
    first.close()

    with Prefetched(loader(pool=pool), lambda batch: batch, depth=1) as second:
        second.load_state_dict(state)
        assert expected == head + plain(second.steps(9 - taken))


def test_what_is_put_should_be_a_function():
    """Anything else is refused at the call."""
    with pytest.raises(TypeError, match="put should be a function of a batch, not None"):
        Prefetched(loader(), None)
    with pytest.raises(ValueError, match="depth should be an integer of at least 1, not 0"):
        Prefetched(loader(), plain, depth=0)


@pytest.mark.parametrize("taken", range(5))
def test_resume(taken):
    """After a loop that was left, the rest of its epoch: from the first batch on that it did not get."""
    expected = plain(loader())
    with Prefetched(loader(), lambda batch: batch, depth=3) as ahead:
        head = [batch for _, batch in zip(range(taken), ahead, strict=False)]

        assert expected == plain([*head, *ahead.resume()])
        assert (1, 0) == (ahead.epoch, ahead.step)


@pytest.mark.parametrize(
    "begin", [iter, lambda p: p.steps(2), lambda p: p.resume(), lambda p: p.load_state_dict(state)]
)
def test_a_loop_that_was_replaced(begin):
    """It does not end as if its epoch were over: it says why, as that of a plain loader."""
    for each in (loader(), Prefetched(loader(), lambda batch: batch)):
        with each:
            batches = iter(each)
            next(batches)
            other = begin(each)

            for _ in range(2):
                with pytest.raises(RuntimeError, match="this loop has ended: another one has begun since, or a state"):
                    next(batches)
            assert other is None or len(next(other)) == 2


def test_a_loop_that_is_over():
    """It stays over, whatever comes next."""
    with Prefetched(loader(), lambda batch: batch) as ahead:
        batches = iter(ahead)

        assert 4 == len(list(batches))
        assert 4 == len(list(ahead))
        assert [] == list(batches)


def test_a_loop_of_a_closed_loader():
    """It says that the loader was closed."""
    ahead = Prefetched(loader(), lambda batch: batch)
    batches = iter(ahead)
    next(batches)
    ahead.close()

    with pytest.raises(PoolClosedError, match="the loader was closed"):
        next(batches)


class Counted:
    """A function of batches, and an event for when it was called `n` times."""

    def __init__(self, n):
        self.left, self.done = n, threading.Event()

    def __call__(self, batch):
        self.left -= 1
        if not self.left:
            self.done.set()
        return batch


def test_a_batch_size_after_steps():
    """It holds from the next epoch of the consumer on, however far the loader has run ahead."""
    counted = Counted(9)
    with Prefetched(loader(), counted, depth=9) as ahead:
        plain_one = loader()
        next(plain_one.steps(9))
        plain_one.set_batch_size(5)
        batches = ahead.steps(9)
        next(batches)
        assert counted.done.wait(30)
        del batches
        ahead.set_batch_size(5)

        assert plain_one.state_dict() == ahead.state_dict()
        assert plain(plain_one.steps(7)) == plain(ahead.steps(7))


@pytest.mark.parametrize("setting", ["batch_size", "weights"])
def test_what_is_set_in_steps(setting):
    """In a loop over steps, it is refused, as with a plain loader, even if the loader has come to their end."""
    counted = Counted(5)
    with Prefetched(loader(), counted, depth=9) as ahead:
        batches = ahead.steps(5)
        next(batches)
        assert counted.done.wait(30)

        with pytest.raises(RuntimeError, match=rf"set_{setting} should not be called in a loop over steps"):
            getattr(ahead, f"set_{setting}")(None)
        assert 4 == len(list(batches))


def test_a_batch_size_in_a_loop():
    """The loop over the epoch goes on; the next one has the size."""
    with Prefetched(loader(), lambda batch: batch, depth=9) as ahead:
        sizes = [len(batch[0]) for batch in ahead if ahead.step > 1 or ahead.set_batch_size(6) is None]

        assert ([3, 3, 3, 1], [6, 4]) == (sizes, [len(batch[0]) for batch in ahead])


def test_the_length_in_a_loop():
    """It is that of the epoch of the consumer."""
    counted = Counted(6)
    with Prefetched(Loader([np.arange(20)], lambda epoch: [5, 2][epoch % 2]), counted, depth=9) as ahead:
        lengths = [len(ahead)]
        for _ in ahead.steps(6):
            assert counted.done.wait(30)
            lengths.append(len(ahead))

        assert [4, 4, 4, 4, 4, 10, 10] == lengths


def test_the_length_of_a_loop():
    """It is the number of batches that are left, of which some may have been put already; bars need it."""
    with Prefetched(loader(), lambda batch: batch, depth=3) as ahead:
        batches = iter(ahead)
        counts = [len(batches)]
        for _ in batches:
            counts.append(len(batches))
        for _ in zip(range(1), ahead, strict=False):
            pass

        assert [4, 3, 2, 1, 0] == counts
        assert 3 == len(ahead.resume())
        assert 7 == len(ahead.steps(7))
        assert batches


def test_the_length_of_a_loop_over_an_endless_source():
    """It is not known; the loop works as any other."""
    source = ArrayDataSource([np.arange(3)], repeats=-1)
    with Prefetched(Loader(source, 2), lambda batch: batch) as ahead:
        batches = iter(ahead)
        next(batches)

        with pytest.raises(TypeError, match="this loop has no len"):
            len(batches)
        assert batches


@pytest.mark.parametrize("taken", range(5))
def test_one_of_another(taken):
    """Each function runs ahead in a thread of its own. The state counts what the outer loop has received."""
    expected = plain((x * 10 + 1, y) for x, y in loader().steps(9))

    def both():
        return Prefetched(Prefetched(loader(), lambda batch: (batch[0] * 10, batch[1])), lambda b: (b[0] + 1, b[1]))

    with both() as first, both() as second:
        head = plain(itertools.islice(first.steps(9), taken))
        state = first.state_dict()
        second.load_state_dict(state)

        assert expected == head + plain(second.steps(9 - taken))
        assert expected[taken:] == plain(first.steps(9 - taken))


def test_what_is_not_a_loader():
    """Something else is refused when it is given, by its kind."""
    with pytest.raises(TypeError, match="loader should be a Loader of batchup, or what its .* gives, not a list"):
        Prefetched([1, 2], plain)
