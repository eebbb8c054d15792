"""Iterators that pull from another one: nothing is lost to Ctrl-C, and two threads do not use one at the same time."""

from __future__ import annotations

import itertools
import sys
import threading

import pytest

from batchup.engine import pulled
from batchup.engine.pulled import DOUBTED, INTERRUPTED, NOTHING, PullingIterator
from batchup.errors import BatchUpError

pytestmark = pytest.mark.timeout(60)
SAID = "Ctrl-C interrupted what this iterator draws from"


class Tens(PullingIterator[int]):
    """Ten times each item."""

    def _next(self) -> int:
        ten = tenfold(self._pull())
        self._held = NOTHING
        return ten


def tenfold(x: int) -> int:
    return int(str(x) + "0")


class Counting:
    """An iterator that is no generator: an interruption leaves it as it is."""

    def __init__(self, n: int) -> None:
        self.i, self.n = 0, n

    def __iter__(self):
        return self

    def __next__(self) -> int:
        if self.i == self.n:
            raise StopIteration
        self.i += 1
        return self.i


def interrupted_at(n: int, make, events):
    """What there is with Ctrl-C at the n-th event in this file or in `pulled`, and whether it came."""
    left, came = n, False
    files, here = (__file__, pulled.__file__), interrupted_at.__code__  # behind its own next(), the item would be lost

    def profile(frame, event, arg):
        nonlocal left, came
        code = frame.f_code
        if event in events and code.co_filename in files and code is not here and not came:
            left -= 1
            if left < 0:
                came = True
                raise KeyboardInterrupt

    found, iterator = [], make()
    while True:
        sys.setprofile(profile)
        try:
            item = next(iterator)
        except KeyboardInterrupt:
            continue
        except StopIteration:
            return found, came
        finally:
            sys.setprofile(None)
        found.append(item)


@pytest.mark.parametrize("if_interrupted", [INTERRUPTED, DOUBTED, NOTHING], ids=repr)
def test_nothing_is_lost_and_nothing_comes_twice(if_interrupted):
    """Wherever Ctrl-C comes: where functions begin, and behind calls of those that are not written in Python."""
    for n in itertools.count():
        found, came = interrupted_at(n, lambda: Tens(iter([1, 2, 3]), if_interrupted), ("call", "c_return"))
        assert [10, 20, 30] == found
        if not came:
            break

    assert n > 12


def plan():
    yield 1
    raise KeyboardInterrupt


def test_an_interrupted_plan_is_not_trusted_any_more():
    """A generator ends when it is interrupted; what would follow is missing, and each call says so."""
    items = Tens(itertools.chain(plan(), [7]))
    assert 10 == next(items)
    with pytest.raises(KeyboardInterrupt):
        next(items)

    for _ in range(2):
        with pytest.raises(BatchUpError, match=SAID):
            next(items)
    assert INTERRUPTED is items._held


def test_a_doubted_source_that_ends_after_an_interruption_is_an_error():
    """It may have ended of that, as a generator does: the loop does not end without a word."""
    items = Tens(plan(), DOUBTED)
    next(items)
    with pytest.raises(KeyboardInterrupt):
        next(items)

    with pytest.raises(BatchUpError, match=SAID):
        next(items)


class InterruptedOnce(Counting):
    def __next__(self) -> int:
        if self.i == 1 and not hasattr(self, "was"):
            self.was = True
            raise KeyboardInterrupt
        return super().__next__()


@pytest.mark.parametrize("if_interrupted", [DOUBTED, NOTHING], ids=repr)
def test_a_source_that_goes_on_is_gone_on_with(if_interrupted):
    """And its end is an end."""
    items = Tens(InterruptedOnce(3), if_interrupted)
    assert 10 == next(items)
    with pytest.raises(KeyboardInterrupt):
        next(items)

    assert [20, 30] == list(items)


def test_an_error_of_the_source_is_its_own():
    """The next call asks it again."""

    class Failing(Counting):
        def __next__(self) -> int:
            item = super().__next__()
            if item == 2:
                raise OSError("no such file")
            return item

    items = Tens(Failing(3))
    assert 10 == next(items)
    with pytest.raises(OSError, match="no such file"):
        next(items)

    assert [30] == list(items)


def test_an_item_is_held_until_something_is_made_of_it():
    """An error while it is made does not lose it."""

    class Once(PullingIterator[int]):
        failed = False

        def _next(self) -> int:
            item = self._pull()
            if not self.failed:
                self.failed = True
                raise OSError("once")
            self._held = NOTHING
            return item

    items = Once([1, 2])
    with pytest.raises(OSError, match="once"):
        next(items)

    assert [1, 2] == list(items)


def test_two_threads_do_not_use_one_at_the_same_time():
    """The second one is told; the first one gets its item, and then the other may ask."""
    in_next, may_go_on = threading.Event(), threading.Event()

    def slow():
        in_next.set()
        assert may_go_on.wait(30)
        yield from (1, 2)

    items, found = Tens(slow()), []
    thread = threading.Thread(target=lambda: found.append(next(items)), daemon=True)
    thread.start()
    assert in_next.wait(30)
    with pytest.raises(ValueError, match="another thread is asking this iterator"):
        next(items)
    may_go_on.set()
    thread.join(30)

    assert [10, 20] == [*found, *items]
