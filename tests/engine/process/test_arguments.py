"""Large arguments go to workers through memory that is used again."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

from batchup.engine.process import arguments
from batchup.engine.process.arguments import Outbox, opened
from batchup.engine.process.platforms import is_portable
from batchup.engine.process.pool import ProcessPool
from batchup.errors import SharedMemoryError

pytestmark = [
    pytest.mark.timeout(60),
    pytest.mark.skipif(is_portable(), reason="portable worker processes have no shared memory"),
]

LARGE = np.arange(100_000)


class Sample:
    """An object that is no array."""

    def __init__(self, x):
        self.x = x


@pytest.mark.parametrize(
    "obj",
    [LARGE, (LARGE, 3), {"x": LARGE, "y": [LARGE[:3]]}, (LARGE.astype("f4").reshape(2, -1), "name"), Sample(LARGE)],
    ids=["array", "tuple", "dict", "several", "object"],
)
def test_a_parcel_is_opened_as_what_was_packed(obj):
    """Arrays of any kind, whatever they are in; the parcel itself is small."""
    box = Outbox()
    parcel = box.packed(obj)

    assert len(pickle.dumps(parcel)) < 1000
    assert pickle.dumps(obj) == pickle.dumps(opened(parcel))


@pytest.mark.parametrize("obj", [3, "text", None, np.arange(10), [np.arange(10)] * 3])
def test_small_objects_are_not_packed(obj):
    """They go as they are."""
    assert Outbox().packed(obj) is None


def test_memory_is_used_again():
    """When it is taken back, and not before; one that is too small is let go."""
    box = Outbox()
    one, two = box.packed(LARGE), box.packed(LARGE + 1)
    box.take_back(one)
    three = box.packed(LARGE + 2)

    assert one[0] == three[0] != two[0]
    assert (LARGE + 1 == opened(two)).all()
    assert (LARGE + 2 == opened(three)).all()
    box.take_back(three)
    larger = box.packed(np.arange(200_000))
    assert larger[0] not in (one[0], two[0])
    assert (np.arange(200_000) == opened(larger)).all()


def test_what_is_opened_is_the_workers_own():
    """It may be written to and kept: later parcels do not change it, nor it them."""
    box = Outbox()
    parcel = box.packed(LARGE)
    mine = opened(parcel)
    mine[:] = -1
    assert (LARGE == opened(parcel)).all()
    box.take_back(parcel)
    box.packed(LARGE + 1)
    assert (mine == -1).all()


def test_workers_open_parcels():
    """In turn, many times more than there are pieces of memory."""
    box, numbers = Outbox(), set()
    with ProcessPool(2) as pool:
        for n in range(30):
            parcel = box.packed(LARGE + n)
            numbers.add(parcel[0])
            assert LARGE.sum() + n * len(LARGE) == pool.submit(lambda p: opened(p).sum(), parcel).result()
            box.take_back(parcel)
    assert 1 == len(numbers)


def test_another_outbox_is_not_taken_for_one_that_is_gone():
    """Though its memory may come to have the same path."""
    for n in range(5):
        box = Outbox()
        assert (LARGE + n == opened(box.packed(LARGE + n))).all()


def test_without_memory_things_go_as_they_are(monkeypatch):
    """What cannot be had is no error."""

    def none(size):
        raise SharedMemoryError("no space left")

    monkeypatch.setattr(arguments, "Segment", none)

    assert Outbox().packed(LARGE) is None
