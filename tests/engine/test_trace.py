"""What was measured adds up, and what is said of it is right: with made-up times."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchup.engine.trace import Span, StageStats, Trace, verdict

times = st.floats(0, 10)


def traced(n=10, stages=("read",), work=1.0, wait=1.0, use=1.0, workers=1):
    """`n` batches, each waited for and used for so long, and worked on so long by all workers together."""
    trace = Trace(stages)
    now = 100.0
    for i in range(max(workers, 1)):  # what the first of each worker takes does not count
        trace.add(0, 0, now, now, 7 + i, [now] * (len(stages) + 1))
    for i in range(1, n + 1):
        marks = [now - work]
        for _ in stages:
            marks.append(marks[-1] + work / len(stages))
        trace.add(0, i, now, now + wait, 7 + i % workers, marks)
        now += wait + use
    trace.pause(now)
    return trace


def test_a_new_trace_is_empty():
    """Nothing was measured."""
    trace = Trace(["read", "crop"])

    assert (0, 0.0, 0.0, 0.0, []) == (trace.batches, trace.seconds, trace.waited, trace.busy, trace.last)
    assert (StageStats("read", 0.0), StageStats("crop", 0.0)) == trace.of_stages()


@given(st.lists(st.tuples(times, times, times, times), min_size=1, max_size=20))
def test_numbers_add_up(batches):
    """Waiting and using is all the time there was; the stages are all the work."""
    trace, now = Trace(["read", "crop"]), 50.0
    for i, (wait, use, read, crop) in enumerate(batches):
        trace.add(0, i, now, now + wait, 1, [now, now + read, now + read + crop])
        now += wait + use
    trace.pause(now)
    waits, uses, reads, crops = (sum(column) for column in zip(*batches, strict=True))

    assert len(batches) == trace.batches
    assert pytest.approx((waits, waits + uses, reads + crops)) == (trace.waited, trace.seconds, trace.busy)
    assert pytest.approx((reads, crops)) == tuple(stage.seconds for stage in trace.of_stages())
    assert ("read", "crop") == tuple(stage.name for stage in trace.of_stages())


def test_time_between_two_loops_is_none_of_theirs():
    """What the program does after an epoch, or after it left one, does not count."""
    trace = Trace(["read"])
    trace.add(0, 0, 10.0, 11.0, 1, [10.0, 11.0])
    trace.pause(13.0)  # the loop asked for more, and there was none
    trace.add(1, 0, 100.0, 101.0, 1, [100.0, 101.0])
    trace.pause()  # the loop was left
    trace.add(2, 0, 200.0, 201.0, 1, [200.0, 201.0])

    assert 3.0 + 1.0 + 1.0 == trace.seconds


def test_a_second_end_adds_nothing():
    """A loop that has ended is asked again."""
    trace = traced(1)
    before = trace.seconds
    trace.pause(1e6)

    assert before == trace.seconds


def test_the_last_batches_are_there_one_by_one():
    """With place, times and worker."""
    trace = Trace(["read"], keep=2)
    for i in range(3):
        trace.add(4, i, i + 0.0, i + 0.5, 77, [i + 0.1, i + 0.4])

    assert [Span(4, 1, 1.0, 1.5, 77, [1.1, 1.4]), Span(4, 2, 2.0, 2.5, 77, [2.1, 2.4])] == trace.last
    assert 3 == trace.batches


# The verdict.


def test_nothing_is_said_of_nothing():
    """Before the first batch."""
    assert "no batch was delivered yet" == verdict(Trace(["read"]), 2, "threads", 8)


@pytest.mark.parametrize(
    ("times", "said"),
    [
        ({"work": 0.5, "use": 1.0}, "the loader was 4 times faster than the loop: nothing to gain here"),
        ({"work": 0.01, "use": 1.0}, "the loader was 200 times faster than the loop: nothing to gain here"),
        ({"work": 1.6, "use": 2.0}, "the loader was 2.5 times faster than the loop: nothing to gain here"),
        ({"work": 1e-9, "use": 10.0}, "the loader was 1,000,000 times faster than the loop: nothing to gain here"),
        ({"work": 0.0, "use": 10.0}, "the loader was 1,000,000 times faster than the loop: nothing to gain here"),
    ],
)
@pytest.mark.parametrize("kind", ["threads", "processes"])
def test_a_loop_that_does_not_wait_has_nothing_to_gain(times, said, kind):
    """It says how much faster the workers were."""
    trace = traced(wait=0.0, workers=2, **times)

    assert said == verdict(trace, 2, kind, 8)


def test_a_loop_that_hardly_waits_has_nothing_to_gain():
    """Under a twentieth of its time."""
    assert "nothing to gain" in verdict(traced(wait=0.04, use=0.96, work=0.5), 2, "threads", 8)
    assert "the loop waited 6 % of its time" in verdict(traced(wait=0.06, use=0.94, work=0.5), 2, "threads", 8)


CASES = {
    "no pool": (
        {"wait": 3.0, "use": 1.0, "work": 3.0, "workers": 0, "kind": "threads"},
        "the loop waited 75 % of its time for batches; they were made in its own thread: a pool would make them "
        "meanwhile",
    ),
    "busy threads": (
        {"wait": 1.0, "use": 1.0, "work": 3.8, "workers": 2, "kind": "threads"},
        "the loop waited 50 % of its time for batches; 2 threads were busy 95 %: more workers, or processes, would "
        "help",
    ),
    "a busy thread": (
        {"wait": 1.0, "use": 1.0, "work": 1.9, "workers": 1, "kind": "threads"},
        "the loop waited 50 % of its time for batches; 1 thread was busy 95 %: more workers, or processes, would help",
    ),
    "busy processes": (
        {"wait": 1.0, "use": 1.0, "work": 3.8, "workers": 2, "kind": "processes"},
        "the loop waited 50 % of its time for batches; 2 processes were busy 95 %: more workers would help",
    ),
    "a busy process": (
        {"wait": 1.0, "use": 1.0, "work": 1.9, "workers": 1, "kind": "processes"},
        "the loop waited 50 % of its time for batches; 1 process was busy 95 %: more workers would help",
    ),
    "all cores": (
        {"wait": 1.0, "use": 1.0, "work": 15.8, "workers": 8, "kind": "processes"},
        "the loop waited 50 % of its time for batches; 8 processes were busy 99 %: all cores are at work, so make this "
        "cheaper",
    ),
    "more work than time": (
        {"wait": 1.0, "use": 1.0, "work": 9.0, "workers": 2, "kind": "processes"},
        "the loop waited 50 % of its time for batches; 2 processes were busy 100 %: more workers would help",
    ),
    "idle threads": (
        {"wait": 1.0, "use": 1.0, "work": 1.0, "workers": 2, "kind": "threads"},
        "the loop waited 50 % of its time for batches; 2 threads were busy 25 %: a larger depth would even out batches "
        "of unequal cost",
    ),
    "idle processes": (
        {"wait": 1.0, "use": 1.0, "work": 1.0, "workers": 2, "kind": "processes"},
        "the loop waited 50 % of its time for batches; 2 processes were busy 25 %: starting workers and sending "
        "batches took the rest; threads, or smaller batches, help a long loop",
    ),
    "cheap batches without a pool": (
        {"wait": 1e-5, "use": 1e-6, "work": 1e-5, "workers": 0, "kind": "threads"},
        "the loop waited 91 % of its time for batches; they were made in its own thread: they are so cheap that a pool "
        "would take longer to hand them over; larger batches would help",
    ),
    "cheap batches of busy threads": (
        {"wait": 1e-5, "use": 1e-6, "work": 1e-5, "workers": 1, "kind": "threads"},
        "the loop waited 91 % of its time for batches; 1 thread was busy 91 %: these batches are so cheap that handing "
        "them over takes longer than making them: try pool=None",
    ),
    "cheap batches": (
        {"wait": 1e-3, "use": 1e-3, "work": 8e-5, "workers": 2, "kind": "processes"},
        "the loop waited 50 % of its time for batches; 2 processes were busy 2 %: these batches are so cheap that "
        "handing them over takes longer than making them: try pool=None",
    ),
}


@pytest.mark.parametrize(("case", "said"), CASES.values(), ids=CASES)
def test_a_loop_that_waits_is_told_why(case, said):
    """And what would help."""
    workers, kind = case["workers"], case["kind"]
    trace = traced(wait=case["wait"], use=case["use"], work=case["work"], workers=max(workers, 1))

    assert said == verdict(trace, workers, kind, 8)


def test_the_slowest_stage_is_named():
    """Where there are several, with its part of the work."""
    trace = Trace(["read", "crop", "scale"])
    trace.add(0, 0, 0.0, 10.0, 1, [0.0, 2.0, 9.0, 10.0])

    assert (
        "the loop waited 100 % of its time for batches; they were made in its own thread, mostly with crop (70 %): a "
        "pool would make them meanwhile"
    ) == verdict(trace, 0, "threads", 8)


def test_a_loop_that_waits_at_its_beginning_is_told_so():
    """Short epochs wait for their first batches, with nothing made ahead; more depth would not help them."""
    trace = Trace(["fetch"])
    for epoch in range(5):
        at = 10.0 * epoch
        for step in range(4):
            wait = 1.0 if step == 0 else 0.0
            trace.add(epoch, step, at, at + wait, 7, [at, at + 0.3])
            at += wait + 0.5
        trace.pause(at)

    said = verdict(trace, 2, "threads", 8)
    assert said.startswith("the loop waited 29 % of its time for batches; 2 threads were busy 21 %: most of it ")
    assert said.endswith("first batch of each loop, with nothing made ahead: longer epochs (repeats) would help")


def test_the_start_of_any_worker_does_not_count():
    """On a busy machine the second one may be ready long after the first; it is no fault of the pool."""
    trace = Trace(["fetch"])
    at = 0.0
    for i in range(20):
        wait = {0: 2.0, 1: 5.0}.get(i, 0.0)  # the first batch of each of two workers
        trace.add(0, i, at, at + wait, 7 + i % 2, [at, at + 0.2])
        at += wait + 0.5

    assert "the loader was 5 times faster than the loop: nothing to gain here" == verdict(trace, 2, "processes", 8)


def test_a_batch_from_each_worker_is_enough_to_say_something():
    """With no others, what they took counts after all."""
    trace = Trace(["fetch"])
    for i in range(2):
        trace.add(0, i, i + 0.0, i + 1.0, 7 + i, [i + 0.0, i + 1.0])

    assert "the loop waited 100 % of its time" in verdict(trace, 2, "threads", 8)
