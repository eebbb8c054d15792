"""The data of a batch: components, preloaded data, copies."""

import copy
import pickle
import threading

import numpy as np
import pytest

from batchup.flow import Batch, Dataset

IMAGES = np.arange(60.0).reshape(10, 2, 3)

LABELS = np.arange(10) % 3


class Images(Batch):
    components = "images", "labels"


class One(Batch):
    components = ("x",)


def made(ids=(3, 5), **kwargs):
    return Images(ids, preloaded=(IMAGES, LABELS), **kwargs)


def test_a_component_that_does_not_exist():
    """An AttributeError that names those that do, from the batch, its data and its items."""
    for thing in (made(), made().data, made()[3]):
        with pytest.raises(
            AttributeError, match="no component or attribute 'image'; its components are images, labels"
        ):
            thing.image  # noqa: B018
    assert not hasattr(made(), "image")


@pytest.mark.parametrize("value", [np.zeros(3), [1], 5, "a string", iter([1, 2])])
def test_a_component_of_the_wrong_length(value):
    """Is refused, and the batch is as it was."""
    batch = made()

    with pytest.raises(ValueError, match="labels should have 2 items, as the batch has, not"):
        batch.labels = value
    assert LABELS[[3, 5]].tolist() == batch.labels.tolist()


@pytest.mark.parametrize("components", ["images", ["images"], ("images", 1)])
def test_components_are_a_tuple_of_names(components):
    """Said when the class is made."""
    with pytest.raises(TypeError, match="components should be a tuple"):
        type("Wrong", (Batch,), {"components": components})


def test_a_component_cannot_hide_a_method():
    """Said when the class is made, too."""
    with pytest.raises(ValueError, match="has an attribute 'load'"):
        type("Wrong", (Batch,), {"components": ("load",)})


def test_more_components():
    """A name takes its data whole, names take one each; only this batch has them; a known name is refused."""
    batch = made()

    batch.add_components("masks", [1, 2]).add_components(["p", "q"], [[3, 4], [5, 6]])

    assert ([1, 2], [5, 6]) == (batch.masks, batch.q)
    assert ("images", "labels", "masks", "p", "q") == batch.components
    assert ("images", "labels") == Images.components
    for name in ("images", "load", "masks"):
        with pytest.raises(ValueError, match="already"):
            batch.add_components(name)


def test_data_without_a_component_are_dropped_when_there_are_components():
    """With a warning."""
    batch = Batch(2, preloaded=[1, 2])

    with pytest.warns(RuntimeWarning, match="are dropped"):
        batch.add_components("x", [5, 6])
    assert [5, 6] == batch.data.x


class Counting:
    """Data that count how often they are asked for."""

    def __init__(self):
        self.asked = 0

    def __getitem__(self, ids):
        self.asked += 1
        return ids * 10


@pytest.mark.parametrize("first", ["read", "write"])
def test_preloaded_data_are_taken_once_when_needed(first):
    """Not before the first read of a component, or the first write to one."""
    source = Counting()
    batch = Images([3, 5], preloaded={"images": source, "labels": LABELS})
    assert 0 == source.asked

    if first == "write":
        batch.labels = [0, 0]
    batch.images[0] = 1

    assert [1, 50] == batch.images.tolist()
    assert 1 == source.asked


@pytest.mark.timeout(30)
def test_preloaded_data_are_taken_once_by_several_threads():
    """Those that come while they are taken wait for them."""
    begun, go_on, seen = threading.Event(), threading.Event(), []

    class Slow(Counting):
        def __getitem__(self, ids):
            begun.set()
            go_on.wait(10)
            return super().__getitem__(ids)

    source = Slow()
    batch = One([3, 5], preloaded=(source,))
    threads = [threading.Thread(target=lambda: seen.append(batch.x.tolist())) for _ in range(2)]
    threads[0].start()
    begun.wait(10)
    threads[1].start()
    go_on.set()
    for thread in threads:
        thread.join(10)

    assert ([[30, 50]] * 2, 1) == (seen, source.asked)


def test_a_failing_source_fails_at_each_read():
    """The second read does not find nothing there."""
    batch = One([3, 99], preloaded=(LABELS,))

    for _ in range(2):
        with pytest.raises(IndexError):
            batch.x  # noqa: B018


def test_copies():
    """Arrays of numbers are never shared with the source; other items are shared unless ``copy=True``."""
    items = [["a"], ["b"]]

    assert One(2, preloaded=(items,)).x[0] is items[0]
    assert One(2, preloaded=(items,), copy=True).x[0] is not items[0]


def test_data_of_the_batch_are_stored_as_they_are():
    """By ``data``, ``_data`` and `put_into_data`; the batch itself is passed over."""
    batch, x = made(), np.ones(2)

    for store in (batch.put_into_data, lambda data: setattr(batch, "_data", data), lambda d: setattr(batch, "data", d)):
        store((x, [1, 2]))
        assert batch.images is x
        assert [1, 2] == batch.labels
    batch.put_into_data(batch)
    batch.put_into_data([3, 4], "labels")

    assert ([3, 4], x.tolist()) == (batch.labels, batch.images.tolist())


def test_attributes_of_the_constructor():
    """Further keywords become attributes, which `get_attrs` gives back, and merged batches have."""
    batch = made(colour="red")

    assert ("red", {"colour": "red"}) == (batch.colour, batch.get_attrs())
    assert "red" == Images.merge([batch])[0].colour


def test_a_deep_copy_has_data_of_its_own():
    """And the same dataset and pipeline; also by the `copy` module."""
    dataset = Dataset(10, Images, preloaded=(IMAGES, LABELS))
    batch = dataset.create_batch([1, 2])

    for twin in (batch.deepcopy(), copy.deepcopy(batch)):
        twin.images[:] = -1
        assert twin.dataset is dataset
    assert (batch.images == IMAGES[[1, 2]]).all()


def test_a_pickled_batch_has_its_data_alone():
    """Neither dataset nor preloaded data go with it, and no data are lost."""
    dataset = Dataset(100_000, One, preloaded=(np.zeros(100_000),))
    batch = dataset.create_batch([5, 6])

    sent = pickle.dumps(batch)

    assert len(sent) < 2000
    assert ([0, 0], None) == (pickle.loads(sent).x.tolist(), pickle.loads(sent).dataset)
