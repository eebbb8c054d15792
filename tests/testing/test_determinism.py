"""`check_determinism` finds what does not reproduce, and says where."""

import threading

import numpy as np
import pytest

from batchup import ArrayDataSource
from batchup.testing import check_determinism

pytestmark = pytest.mark.timeout(120)
DS = ArrayDataSource([np.zeros((64, 2)), np.arange(64)])


def told(source, **arguments):
    with pytest.raises(AssertionError) as caught:
        check_determinism(source, **arguments)
    return str(caught.value)


@pytest.mark.parametrize(("last", "processes"), [("keep", 2), ("drop", 0), ("pad", 1), ("wrap", 0)])
def test_a_random_map_passes_on_all_pools(last, processes):
    """Its random numbers depend only on the position of the batch."""

    def jitter(x, y, rng):
        return x + rng.normal(size=x.shape), y

    check_determinism(DS.random_map(jitter).random_map(jitter), batch_size=10, last=last, processes=processes)


def test_a_dict_of_lists_passes():
    """Lists, strings and NaN are compared too."""
    check_determinism({"text": [str(i) for i in range(40)], "weight": np.full(40, np.nan)}, processes=1)


def test_a_generator_that_nothing_seeds_is_found_serially():
    """A transform that draws from one generator gives other batches the second time."""
    rng = np.random.RandomState(0)

    said = told(DS.map(lambda x, y: (x + rng.normal(size=x.shape), y)), processes=0)

    assert said.startswith("batch 0 of epoch 0, serially and serially again: field 0 is 1.76")
    assert said.endswith(" in sample 0")


def test_what_depends_on_the_thread_is_found_in_threads():
    """The first field and sample that differ are named."""

    def third_sample(x, y):
        y = y.copy()
        y[2] = threading.current_thread() is threading.main_thread()
        return x, y

    assert "batch 0 of epoch 0, serially and in 1 thread: field 1 is 1 and 0 in sample 2" == told(DS.map(third_sample))


def test_what_depends_on_the_process_is_found_in_processes():
    """A counter of its own in each worker is not the same as one for all."""
    counts = iter(range(10**6))
    serial = threading.get_native_id()

    def counted(x, y):
        return (x + (0 if threading.main_thread().native_id == serial else next(counts) + 1), y)

    assert "serially and in 1 process: field 0 is 0.0 and 1.0 in sample 0" in told(DS.map(counted))


def test_what_depends_on_the_order_of_calls_is_found_when_resumed():
    """The first batch that a process makes is not always the first of the run."""
    calls = []

    def first_call(x, y):
        calls.append(None)
        return x, y, np.full(len(y), len(calls) % 8)  # 8 calls in each go through 64 samples, so whole runs agree

    said = told(DS.map(first_call), batch_size=8, shuffle=None, processes=0)

    assert "in 1 thread, resumed at batch " in said


def test_fields_that_come_and_go_are_found():
    """Batches of other fields are not the same."""
    turns = iter([0, 1] * 100)

    said = told(
        DS.map(lambda x, y: {"x": x, "y": y} if next(turns) else {"x": x}), batch_size=64, processes=0, epochs=1
    )

    assert said == "batch 0 of epoch 0, serially and serially again: the fields are x, and x, y"


@pytest.mark.parametrize(
    ("once", "again"),
    [
        (np.ma.array([1.0, 2.0]), np.ma.array([1.0, 2.0], mask=[False, True])),
        ([b"a", b"b"], [b"a", b"b\0"]),
        ([1, 1], [1, True]),
        ([("a", 1), ("b", 2)], [("a", 1), ("b", 2.0)]),
    ],
    ids=["masks", "bytes", "bool", "float"],
)
def test_values_of_another_kind_are_found(once, again):
    """A mask that comes and goes, a NUL at the end, a number of another type."""
    fields = iter([once] + [again] * 100)

    assert "field 0 is" in told(ArrayDataSource([np.arange(2)]).map(lambda x: (next(fields),)), processes=0)


def test_samples_of_mixed_kinds_pass():
    """Tuples of words and numbers, and NaN in them."""
    check_determinism([[("a", 1, float("nan"))] * 8], processes=0)


@pytest.mark.parametrize("pools", ["threads", 2])
def test_one_pool_is_given_in_a_list(pools):
    """A name is no sequence of pools."""
    with pytest.raises(TypeError, match=r"pools should be several pools, as \["):
        check_determinism(DS, pools=pools)
