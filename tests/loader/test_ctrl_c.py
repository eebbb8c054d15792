"""Ctrl-C, wherever it comes: no batch is lost, and none comes twice."""

from __future__ import annotations

import os
import random
import sys
import warnings
import weakref
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import settings

import batchup
from batchup import ArrayDataSource, CallableDataSource, Loader
from batchup.errors import BatchUpError
from batchup.loader import auto
from batchup.testing import plain
from batchup.work_pool import WorkerProcessPool, WorkerThreadPool

pytestmark = pytest.mark.timeout(120)
OURS = str(batchup.__path__[0])


class Interrupt:
    """Raise `KeyboardInterrupt` at the n-th place in batchup, in this thread, where Python would look for a signal.

    These are where a function begins or goes on, and behind a call of one that is not written in Python.
    """

    def __init__(self, n):
        self.left = n
        self.came = False
        self.outermost = None

    def __call__(self, frame, event, arg):
        ours = event in ("call", "c_return") and frame.f_code.co_filename.startswith(OURS)
        if ours and not is_finalizer(frame, self.outermost):
            self.left -= 1
            if self.left < 0 and not self.came:
                self.came = True
                sys.setprofile(None)
                raise KeyboardInterrupt

    def next(self, loop):
        self.outermost = sys._getframe()
        sys.setprofile(self)
        try:
            return next(loop)
        finally:
            sys.setprofile(None)
            self.outermost = None


def is_finalizer(frame, outermost):
    """Whether Python calls this for an object that goes, and would only print what it raises."""
    while frame is not outermost and frame.f_code.co_name != "__del__" and frame.f_code.co_filename != weakref.__file__:
        frame = frame.f_back
    return frame is not outermost


def with_noise(x, rng):
    return x, rng.random(len(x))


def failing(x, noise):
    if 3 in x:
        raise ValueError("3 is bad")
    return x, noise


def source(fn=with_noise):
    return ArrayDataSource([np.arange(10)]).random_map(fn)


def went_on(loop, loader, n):
    """The batches of a loop with Ctrl-C at place `n`, what the loader said behind each, and whether Ctrl-C came.

    If the loop says that it cannot go on, it goes on from its state.
    """
    interrupt, found = Interrupt(n), []
    while True:
        try:
            batch = interrupt.next(loop)
        except KeyboardInterrupt:
            continue
        except BatchUpError:
            loader.load_state_dict(loader.state_dict())
            loop = iter(loader)
        except StopIteration:
            return found, interrupt.came
        else:
            found.append((loader.epoch, loader.step, plain(batch)))


def step(every):
    """From one place to the next, for as many examples as Hypothesis tries."""
    return max(1, every * 50 // settings.default.max_examples)


def undisturbed(make):
    """What there is without Ctrl-C."""
    loader = make()
    found = [(loader.epoch, loader.step, plain(batch)) for batch in loader]
    return found, (loader.epoch, loader.step, len(loader.skipped))


def everywhere(make, every=1):
    """What comes of each place that Ctrl-C may come at, until it comes no more; of one in `every`, from any of them.

    `.ci/run`, which tries four times as many examples, tries four times as many places.
    """
    every = step(every)
    n, came = random.randrange(every), True
    while came:
        loader = make()
        found, came = went_on(iter(loader), loader, n)
        yield found, (loader.epoch, loader.step, len(loader.skipped))
        n += every
    assert n > 20


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("skip", [False, True], ids=["raise", "skip"])
def test_it_costs_nothing_wherever_it_comes(workers, skip):
    """At each place in the loop, in the plan and in the fetch: the epoch is the same, and so is what was left out."""

    def make():
        ds = source().map(failing) if skip else source()
        return Loader(ds, 3, shuffle=5, pool=pool, depth=2, on_error="skip" if skip else "raise")

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pool = None
        whole = undisturbed(make)
        with WorkerThreadPool(2) as threads:
            pool = threads if workers else None
            for found in everywhere(make, every=10 if skip else 4):
                assert whole == found


@pytest.mark.parametrize("kind", [None, "threads"])
def test_it_costs_nothing_while_a_pool_is_chosen(monkeypatch, kind):
    """While batches are measured and workers begin: the epoch is the same."""
    choice = auto.Choice(kind, kind and 1, "a test says so")
    monkeypatch.setattr(auto, "choice_of", lambda *_, **__: choice)

    def make():
        return Loader(source(), 1, shuffle=5, pool="auto", depth=2)

    monkeypatch.setattr(auto, "ALONE", 3)
    monkeypatch.setattr(auto, "TOGETHER", 3)
    whole = undisturbed(make)
    for found in everywhere(make, every=15):
        assert whole == found


@pytest.mark.skipif(os.name != "posix", reason="worker processes need POSIX")
def test_it_costs_nothing_while_processes_are_fed_and_heard():
    """At places all over the parent's bookkeeping: the epoch is the same, and other threads may use the pool after."""

    def noisy(x, rng):  # sent by value: to find it by name, each worker would import this module, and pytest with it
        return x, rng.random(len(x))

    with WorkerProcessPool(1) as pool:

        def make():
            return Loader(source(noisy), 3, shuffle=5, pool=pool, depth=2)

        whole = undisturbed(make)
        for n in range(random.randrange(step(20)), 240, step(20)):
            loader = make()
            found, _ = went_on(iter(loader), loader, n)
            assert whole == (found, (loader.epoch, loader.step, 0)), f"at place {n}"
            with ThreadPoolExecutor(1) as other:
                assert 8 == other.submit(lambda: next(pool.work_stream([(pow, (2, 3))]))).result(30)


def test_it_loses_no_batch_that_cannot_be_fetched_again():
    """From an iterator that is no generator, which goes on after Ctrl-C."""

    class Counted:
        def __init__(self):
            self.i = 0

        def __iter__(self):
            return self

        def __next__(self):
            if self.i == 5:
                raise StopIteration
            self.i += 1
            return (np.array([self.i]),)

    def make():
        return Loader(CallableDataSource(lambda n: Counted()), 1)

    whole = undisturbed(make)

    assert [whole] == list({str(found): found for found in everywhere(make)}.values())


def test_a_plain_iterator_loses_nothing():
    """That of the source itself, without a loader."""
    ds = ArrayDataSource([np.arange(10)])
    whole, n, came = plain(list(ds.batch_iterator(3, shuffle=5))), 0, True
    while came:
        interrupt, found, batches = Interrupt(n), [], ds.batch_iterator(3, shuffle=5)
        while len(found) < 5:
            try:
                found.append(plain(interrupt.next(batches)))
            except KeyboardInterrupt:
                continue
            except BatchUpError:  # the plan itself was interrupted
                state, batches = batches.state_dict(), ds.batch_iterator(3, shuffle=5)
                batches.load_state_dict(state)
            except StopIteration:
                break
        assert whole == found
        n, came = n + 1, interrupt.came
    assert n > 20


def test_an_interrupted_plan_does_not_end_the_epoch_in_silence():
    """A generator that was interrupted is at its end: the loop says so, each time that it is asked."""

    class Interrupted(ArrayDataSource):
        def batch_indices_iterator(self, batch_size, shuffle=None, **kwargs):
            yield np.arange(3)
            raise KeyboardInterrupt

    for loop in (iter(Loader(Interrupted([np.arange(10)]), 3)), Interrupted([np.arange(10)]).batch_iterator(3)):
        next(loop)
        with pytest.raises(KeyboardInterrupt):
            next(loop)
        for _ in range(2):
            with pytest.raises(BatchUpError, match="Ctrl-C interrupted what this iterator draws from"):
                next(loop)


def test_the_state_behind_ctrl_c_is_where_the_loop_was():
    """A batch that was not delivered comes again in the run that is resumed."""

    def interrupted(x, noise):
        if len(seen) == 2:
            seen.append(x)
            raise KeyboardInterrupt
        seen.append(x)
        return x, noise

    seen = []
    loader = Loader(source().map(interrupted), 3, shuffle=5)
    loop = iter(loader)
    head = [plain(next(loop)) for _ in range(2)]
    with pytest.raises(KeyboardInterrupt):
        next(loop)
    other = Loader(source(), 3, shuffle=5)
    other.load_state_dict(loader.state_dict())

    whole = plain(list(Loader(source(), 3, shuffle=5)))
    assert whole == head + plain(list(loop))
    assert whole == head + plain(list(other))
