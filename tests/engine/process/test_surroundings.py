"""NumPy's error handling, the decimal context and context variables: those of the program hold where its tasks run."""

from __future__ import annotations

import contextvars
import decimal
import os
import re
import sys

import numpy as np
import pytest
from launcher import begun

from batchup import ArrayDataSource, WorkerProcessPool
from batchup.batch_iter import Infinite
from batchup.engine.pools import ThreadPool
from batchup.engine.process.platforms import VARIABLE
from batchup.engine.process.surroundings import ERRORS, applied, surroundings
from batchup.engine.stream import WorkStream
from batchup.errors import WorkerDiedError, WorkerError

pytestmark = [
    pytest.mark.timeout(60),
    pytest.mark.skipif(os.name != "posix", reason="worker processes need POSIX"),
    pytest.mark.usefixtures("by_value"),
]

variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="unset")


def squared(x):
    return (x * x,)


def first(pool, fn, *args):
    return next(WorkStream(pool.engine, [(fn, args)]))


def test_errstate_holds_in_workers(pool):
    """An overflow that raises without a pool raises with one, and only while the program says so."""
    ds = ArrayDataSource([np.array([1e200])]).map(squared)
    with np.errstate(over="raise"), pytest.raises(FloatingPointError, match="overflow"):
        next(pool.parallel_data_source(ds).batch_iterator(1))
    with np.errstate(over="ignore"):
        assert np.inf == next(pool.parallel_data_source(ds).batch_iterator(1))[0][0]
    assert np.geterr() == first(pool, np.geterr)


def test_a_handler_of_errstate_is_sent(pool):
    """With ``over="call"`` the function of `np.seterrcall` is called."""

    def handler(kind, flag):
        raise ArithmeticError(kind)

    with np.errstate(over="call", call=handler), pytest.raises(ArithmeticError, match="overflow"):
        first(pool, squared, np.array([1e200]))


def test_the_decimal_context_holds_in_workers(pool):
    """Precision, rounding and traps."""
    with decimal.localcontext(decimal.Context(prec=3, rounding=decimal.ROUND_UP)) as context:
        context.traps[decimal.Inexact] = True
        assert context.__reduce__()[1][:2] == first(pool, context_of_worker)[:2]
        with pytest.raises(decimal.Inexact):
            first(pool, third)
    assert "0." + 28 * "3" == str(first(pool, third))


def context_of_worker():
    return decimal.getcontext().__reduce__()[1]


def third():
    return decimal.Decimal(1) / 3


def test_context_variables_hold_in_threads_and_do_not_leak():
    """A task has a copy of the context of its submitter."""

    def task():
        found = variable.get()
        variable.set("of a task")
        return found

    token = variable.set("of the program")
    try:
        with ThreadPool(1) as pool:
            assert ["of the program"] * 3 == list(WorkStream(pool, [(task,)] * 3))
    finally:
        variable.reset(token)


def test_the_items_of_a_pipe_are_made_in_one_context():
    """A generator may set a context variable between its items, as `numpy.errstate` does."""

    def items():
        for n in range(6):
            before = variable.get()
            token = variable.set(str(n))
            yield before, variable.get(), np.geterr()["divide"]
            variable.reset(token)

    with Infinite(items(), batch_size=2, batches_per_epoch=3, combiner=list) as pipe, np.errstate(divide="raise"):
        found = [item for batch in pipe() for item in batch]

    assert [("unset", str(n), "raise") for n in range(6)] == found


def test_nothing_is_sent_where_all_is_as_in_a_new_process():
    """Also after a set and a reset; and what was applied is undone."""
    with np.errstate(**ERRORS):
        assert b"" == surroundings()
    with np.errstate(all="raise"):
        sent = surroundings()
        np.seterr(divide="warn", over="warn", under="ignore", invalid="warn")
        assert b"" == surroundings()
    before = np.geterr()
    with applied(sent):
        assert {"raise"} == set(np.geterr().values())
    assert before == np.geterr()


DEFAULTS = """
import decimal
import sys
if "changed" in sys.argv:
    decimal.DefaultContext.prec = 7
from batchup import WorkerProcessPool
from batchup.engine.stream import WorkStream
def third():
    return str(decimal.Decimal(1) / 3)
def main():
    with WorkerProcessPool(1) as pool:
        print(*WorkStream(pool.engine, [(third,)] * 2))
        here = third()
        print(*WorkStream(pool.engine, [(third,)] * 2), here)
        decimal.getcontext().prec = 3
        print(*WorkStream(pool.engine, [(third,)] * 2))
if __name__ == "__main__":
    main()
"""


@pytest.mark.parametrize(("changed", "digits"), [("", 28), ("changed", 7)])
def test_what_decimal_contexts_begin_with_holds_in_workers(tmp_path, changed, digits):
    """`decimal.DefaultContext`, before the program has computed with decimals and after; and then its own context."""
    said, _ = begun(["batchup.engine.process.pool"], DEFAULTS, [changed], folder=tmp_path).communicate(timeout=50)

    digits = "0." + "3" * digits
    assert [[digits] * 2, [digits] * 3, ["0.333"] * 2] == [line.split() for line in said.splitlines()]


def test_an_initializer_runs_in_each_worker_and_in_those_that_replace_them(tmp_path):
    """Once each, before the first task."""
    os_exit = os._exit

    def initializer(folder):
        (folder / str(os.getpid())).touch()
        np.seterr(over="raise")

    with WorkerProcessPool(1, retries=0, initializer=initializer, initargs=(tmp_path,)) as pool:
        stream = WorkStream(pool.engine, [(np.geterr,), (os_exit, (3,)), (os.getpid,)])
        assert "raise" == next(stream)["over"]
        with pytest.raises(Exception, match="died"):
            next(stream)
        assert (tmp_path / str(next(stream))).exists()
    assert 2 == len(list(tmp_path.iterdir()))


def test_an_error_of_the_initializer_is_that_of_each_task():
    """With its type, and a note that says where it was raised."""

    def initializer():
        raise KeyError("no such device")

    with WorkerProcessPool(1, initializer=initializer) as pool:
        for _ in range(2):
            with pytest.raises(KeyError, match="no such device") as raised:
                first(pool, len, "x")
            assert "in the initializer of the pool (worker_init of a Loader)" in raised.value.__notes__


@pytest.mark.parametrize(("kind", "workers"), [("", 2), ("portable", 1)])
def test_an_initializer_that_ends_its_process_is_an_error(monkeypatch, kind, workers):
    """After two of them, workers are not started in vain. All tasks get it, and later ones, too."""
    monkeypatch.setenv(VARIABLE, kind)

    def leave():
        os._exit(4)

    with WorkerProcessPool(workers, initializer=leave) as pool:
        stream = pool.work_stream([(len, ("x",))] * 6)
        said = "with exit code 4: their initializer leave (worker_init of a Loader) should return, and not end"
        for _ in range(3):
            with pytest.raises(WorkerDiedError, match=re.escape(said)):
                next(stream)

        assert pool.engine.stats()["restarts"] <= workers + 1
        with pytest.raises(WorkerDiedError, match=re.escape(said)):
            first(pool, len, "x")


@pytest.mark.parametrize("kind", ["", "portable"])
def test_an_initializer_that_exits_is_an_error(monkeypatch, kind):
    """With its name, and without another worker."""
    monkeypatch.setenv(VARIABLE, kind)

    def leave():
        sys.exit("no such device")

    with WorkerProcessPool(1, initializer=leave) as pool:
        with pytest.raises(WorkerError, match=r"initializer leave of the pool .*SystemExit\('no such device'\)"):
            first(pool, len, "x")

        assert 0 == pool.engine.stats()["restarts"]


def test_an_initializer_that_fails_now_and_then_costs_only_time(tmp_path):
    """Once a worker has begun to work, others are started as often as before."""

    def sometimes(folder):
        begun = len(list(folder.iterdir()))
        (folder / str(os.getpid())).touch()
        if 1 <= begun <= 2:
            os._exit(4)

    with WorkerProcessPool(1, retries=0, initializer=sometimes, initargs=(tmp_path,)) as pool:
        assert 1 == first(pool, len, "x")
        with pytest.raises(WorkerDiedError, match="died at this task"):
            first(pool, os._exit, 3)
        assert 1 == first(pool, len, "x")
    assert 4 == len(list(tmp_path.iterdir()))


def test_a_wrong_initializer_is_refused_at_once():
    """It should be a function, and one that can be sent."""
    with pytest.raises(TypeError, match="initializer should be a function, not 3"):
        WorkerProcessPool(1, initializer=3)
