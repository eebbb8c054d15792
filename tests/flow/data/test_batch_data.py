"""The data of a batch: components, preloaded data, copies."""

import copy
import pickle
import threading

import numpy as np
import pytest
from flow_batches import IMAGES, LABELS, Images, One, images_of

from batchup.flow import Batch, Dataset


def test_a_component_that_does_not_exist():
    """A missing component is an AttributeError that lists the components: from batch, data and items."""
    for thing in (images_of(), images_of().data, images_of()[3]):
        with pytest.raises(
            AttributeError, match="no component or attribute 'image'; its components are images, labels"
        ):
            thing.image  # noqa: B018
    assert not hasattr(images_of(), "image")


@pytest.mark.parametrize("value", [np.zeros(3), [1], 5, "a string", iter([1, 2])])
def test_a_component_of_the_wrong_length(value):
    """A component of the wrong length is an error, and the batch does not change."""
    batch = images_of()

    with pytest.raises(ValueError, match="labels should have 2 items, as the batch has, not"):
        batch.labels = value
    assert LABELS[[3, 5]].tolist() == batch.labels.tolist()


@pytest.mark.parametrize("components", ["images", ["images"], ("images", 1)])
def test_components_are_a_tuple_of_names(components):
    """The class definition raises."""
    with pytest.raises(TypeError, match="components should be a tuple"):
        type("Wrong", (Batch,), {"components": components})


def test_a_component_cannot_hide_a_method():
    """The class definition raises for a component with the name of a method."""
    with pytest.raises(ValueError, match="has an attribute 'load'"):
        type("Wrong", (Batch,), {"components": ("load",)})


def test_more_components():
    """One name takes the whole data, several take one each; only this batch changes; known names are an error."""
    batch = images_of()

    batch.add_components("masks", [1, 2]).add_components(["p", "q"], [[3, 4], [5, 6]])

    assert ([1, 2], [5, 6]) == (batch.masks, batch.q)
    assert ("images", "labels", "masks", "p", "q") == batch.components
    assert ("images", "labels") == Images.components
    for name in ("images", "load", "masks"):
        with pytest.raises(ValueError, match="already"):
            batch.add_components(name)


def test_data_without_a_component_are_dropped_when_there_are_components():
    """Data without a component are dropped with a warning."""
    batch = Batch(2, preloaded=[1, 2])

    with pytest.warns(RuntimeWarning, match="are dropped"):
        batch.add_components("x", [5, 6])
    assert [5, 6] == batch.data.x


class Counting:
    """Data that count how often they are read."""

    def __init__(self):
        self.asked = 0

    def __getitem__(self, ids):
        self.asked += 1
        return ids * 10


@pytest.mark.parametrize("first", ["read", "write"])
def test_preloaded_data_are_taken_once_when_needed(first):
    """Preloaded data are taken at the first read of a component or the first write to one."""
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
    """Threads wait while another thread takes the preloaded data."""
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
    """A source that fails raises at the second read, too."""
    batch = One([3, 99], preloaded=(LABELS,))

    for _ in range(2):
        with pytest.raises(IndexError):
            batch.x  # noqa: B018


def test_copies():
    """Arrays of numbers are always copied; other items are shared unless ``copy=True``."""
    items = [["a"], ["b"]]

    assert One(2, preloaded=(items,)).x[0] is items[0]
    assert One(2, preloaded=(items,), copy=True).x[0] is not items[0]


def test_data_of_the_batch_are_stored_as_they_are():
    """``data``, ``_data`` and `put_into_data` store data unchanged; the batch itself is ignored."""
    batch, x = images_of(), np.ones(2)

    for store in (batch.put_into_data, lambda data: setattr(batch, "_data", data), lambda d: setattr(batch, "data", d)):
        store((x, [1, 2]))
        assert batch.images is x
        assert [1, 2] == batch.labels
    batch.put_into_data(batch)
    batch.put_into_data([3, 4], "labels")

    assert ([3, 4], x.tolist()) == (batch.labels, batch.images.tolist())


def test_attributes_of_the_constructor():
    """Extra keywords become attributes; `get_attrs` returns them, and merged batches have them."""
    batch = images_of(colour="red")

    assert ("red", {"colour": "red"}) == (batch.colour, batch.get_attrs())
    assert "red" == Images.merge([batch])[0].colour


def test_a_deep_copy_has_data_of_its_own():
    """A deep copy shares dataset and pipeline; the `copy` module does the same."""
    dataset = Dataset(10, Images, preloaded=(IMAGES, LABELS))
    batch = dataset.create_batch([1, 2])

    for twin in (batch.deepcopy(), copy.deepcopy(batch)):
        twin.images[:] = -1
        assert twin.dataset is dataset
    assert (batch.images == IMAGES[[1, 2]]).all()


def test_a_pickled_batch_has_its_data_alone():
    """A pickle has the data of the batch, without the dataset and the preloaded data."""
    dataset = Dataset(100_000, One, preloaded=(np.zeros(100_000),))
    batch = dataset.create_batch([5, 6])

    sent = pickle.dumps(batch)

    assert len(sent) < 2000
    assert ([0, 0], None) == (pickle.loads(sent).x.tolist(), pickle.loads(sent).dataset)
