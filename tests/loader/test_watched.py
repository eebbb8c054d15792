"""Batches that draw random numbers where those before them did not."""

from __future__ import annotations

import random
import threading

import numpy as np
import pytest

from batchup import ArrayDataSource, Loader
from batchup.loader import auto
from batchup.loader.fetch import FetchJob
from batchup.loader.watched import ALWAYS, HasDrawnError, NoticingJob, Watched, are_same

pytestmark = pytest.mark.timeout(120)

N = 40  # batches of one sample


class DrawsLate:
    """A transform that draws random numbers for some samples only."""

    def __init__(self, first=20):
        self.first = first

    def __call__(self, x):
        return (x + np.random.randint(1000) + random.randrange(1000) if x[0] >= self.first else x * 1.0,)


def made(fn, **kwargs):
    return Loader(ArrayDataSource([np.arange(N)]).map(fn), 1, **kwargs)


def plain(batches):
    return [x.tolist() for (x,) in batches]


def choosing(monkeypatch, kind):
    """Have this be chosen where nothing draws, and processes or the loop where something does."""

    def choice_of(alone, together, loop, draws, *_):
        return auto.Choice(draws and (kind and "processes") or (None if draws else kind), 2 if kind else None, "a test")

    monkeypatch.setattr(auto, "choice_of", choice_of)


@pytest.mark.slow
@pytest.mark.usefixtures("kept_workers")
@pytest.mark.parametrize("first", [5, 12, 33])
@pytest.mark.parametrize("kind", [None, "threads", "processes"])
def test_batches_that_draw_late_do_not_depend_on_the_choice(monkeypatch, two_processes, kind, first):
    """They get the numbers that they have in worker processes, over epochs and after a resume; so do single ones."""
    choosing(monkeypatch, kind)
    fn = DrawsLate(first)
    np.random.seed(5)  # decides the seeds that loaders draw
    with made(fn, pool=two_processes) as processes:
        expected = plain(processes.steps(3 * N))

    np.random.seed(5)
    with made(fn, pool="auto") as loader, made(fn, pool="auto") as other:
        assert expected[: 2 * N] == plain(loader.steps(2 * N))
        assert expected[9] == loader.batch(0, 9)[0].tolist()
        other.load_state_dict(loader.state_dict())
        assert [expected[2 * N :]] * 2 == [plain(loader.steps(N)), plain(other.steps(N))]
        assert loader._workers.auto.draws or kind == "processes"


@pytest.mark.parametrize("first", [4, 20, N])
def test_the_generators_of_the_program_stay_as_they_were(monkeypatch, first):
    """In the loop, where the batch that draws is fetched a second time."""
    choosing(monkeypatch, None)
    np.random.seed(5)
    expected = np.random.RandomState(5).rand(), random.getstate()
    with made(DrawsLate(first), pool="auto", shuffle=7) as loader:
        list(loader)

    assert expected == (np.random.rand(), random.getstate())


@pytest.mark.parametrize("kind", [None, "threads"])
def test_a_loop_that_draws_changes_nothing(monkeypatch, kind):
    """Its draws are its own, and are no reason to go on in another way."""
    choosing(monkeypatch, kind)
    with made(lambda x: (x * 2,), pool="auto") as loader:
        seen = [(x.tolist(), np.random.random() < 2) for (x,) in loader.steps(3 * N)]

        assert [([2 * i], True) for i in range(N)] * 3 == seen
        assert kind == loader._workers.auto.choice.pool


def test_an_error_of_the_data_comes_once(monkeypatch):
    """Also just before the batch that draws."""
    choosing(monkeypatch, "threads")

    def broken(x):
        if x[0] == 19:
            raise ValueError("broken")
        return (x if x[0] < 20 else x + 0 * np.random.random(),)

    with made(broken, pool="auto") as loader:
        batches, seen = iter(loader), []
        while len(seen) < N:
            try:
                seen.append(int(next(batches)[0][0]))
            except ValueError:
                seen.append("broken")

    assert [*range(19), "broken", *range(20, N)] == seen


class Source:
    """What a job fetches from."""

    _stages = ("the fetch",)

    def __init__(self, fn):
        self.fn, self.fetches = fn, 0

    @property
    def traits(self):
        return ArrayDataSource([np.arange(3)]).traits

    def _fetch_timed(self, pick, times):
        self.fetches += 1
        times.append(0.0)
        return self.fn(pick)


ITEM = np.array([1]), 0, 0


def test_a_job_notices_who_draws():
    """In the loop, everybody who draws is the batch. In threads, the batch is if it comes out otherwise."""
    drawing, other = Source(lambda pick: (np.random.random(2),)), Source(lambda pick: (pick, np.random.random() < 2))
    for source, alone in [(drawing, True), (drawing, False), (other, True)]:
        with pytest.raises(HasDrawnError):
            NoticingJob(FetchJob(source), alone)(ITEM)

    assert (True,) == NoticingJob(FetchJob(other), False)(ITEM)[0][1:]
    assert (3, 3) == (drawing.fetches, other.fetches)


def test_false_alarms_cost_less_and_less():
    """A loop that always draws makes few batches be fetched twice."""
    source = Source(lambda pick: (pick, np.random.random() < 2))
    job = NoticingJob(FetchJob(source), alone=False)
    for _ in range(128):
        job(ITEM)

    assert 128 + ALWAYS + len([16, 32, 64, 128]) == source.fetches


def test_from_the_first_that_draws_on_they_are_made_anew():
    """All that were not delivered, in order, and none before those in flight have ended."""
    ended = threading.Event()

    def results(items):
        for item in items:
            if item[2] == 2:
                list(items)  # three more are in flight
                ended.set()
                raise HasDrawnError
            yield ("first", *item[1:])

    def anew(items):
        assert ended.is_set()
        return (("anew", *item[1:]) for item in items)

    watched = Watched(iter([(None, 0, i) for i in range(6)]), results, anew)

    assert [("first", 0, 0), ("first", 0, 1), *(("anew", 0, i) for i in range(2, 6))] == list(watched)


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [
        ((np.arange(3), "x"), (np.arange(3), "x"), True),
        ((np.arange(3),), (np.arange(3.0),), False),
        ({"x": np.array([np.nan])}, {"x": np.array([np.nan])}, True),
        (([np.zeros(2), "a"],), ([np.zeros(2), "a"],), True),
        (([np.zeros(2), "a"],), ([np.zeros(2), "b"],), False),
        ((np.array(["a", None], object),), (np.array(["a", None], object),), True),
        ((object(),), (object(),), False),
        (None, None, True),
    ],
)
def test_batches_are_compared_by_their_bytes(a, b, expected):
    """What cannot be compared counts as different."""
    assert expected == are_same(a, b)
