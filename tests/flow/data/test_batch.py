"""A batch: its components, its items, what it is loaded from and what becomes of it."""

import numpy as np
import pytest

from batchup.flow import Batch, Dataset, DatasetIndex

IMAGES = np.arange(60.0).reshape(10, 2, 3)

LABELS = np.arange(10) % 3


class Images(Batch):
    components = "images", "labels"


class One(Batch):
    components = ("x",)


def made(ids=(3, 5), **kwargs):
    return Images(ids, preloaded=(IMAGES, LABELS), **kwargs)


@pytest.mark.parametrize("index", [2, [0, 1], np.arange(2), DatasetIndex(2)])
def test_the_index_is_an_index(index):
    """Whatever it was given as; ids and size come from it."""
    batch = Batch(index)

    assert isinstance(batch.index, DatasetIndex)
    assert ([0, 1], 2, 2) == (batch.indices.tolist(), batch.size, len(batch))


def test_a_component_is_one_array():
    """The same at each access, so that what is written into it stays."""
    batch = made()

    batch.images[1] = 7

    assert batch.images is batch.images
    assert (batch.images[1] == 7).all()
    assert (IMAGES[5] != 7).all()


def test_items_come_in_the_order_of_the_batch():
    """Iteration goes by place, for any ids, with components or without."""
    assert [LABELS[5], LABELS[3]] == [item.labels for item in made([5, 3])]
    assert [50, 30] == list(Batch([5, 3], preloaded=np.arange(0, 100, 10)))
    assert 2 == len(made().items)


@pytest.mark.parametrize(
    ("item", "component", "expected"),
    [(5, "labels", LABELS[5]), (None, "labels", LABELS[[3, 5]].tolist())],
)
def test_get(item, component, expected):
    """An item's component, or a whole one; of neither, all data."""
    found = made().get(item, component)

    assert expected == (found.tolist() if item is None else found)
    assert LABELS[5] == made().get(5).labels
    assert (IMAGES[[3, 5]] == made().get().images).all()


def test_a_component_may_be_a_ragged_list():
    """Any sequence of the right length will do."""
    batch = made()

    batch.labels = [[1], [2, 3]]

    assert [2, 3] == batch[5].labels


def test_a_bare_array_is_the_only_component():
    """Where there is exactly one."""
    assert [3, 5] == One([3, 5], preloaded=np.arange(9)).x.tolist()


@pytest.mark.parametrize("name", ["dst", "components"])
def test_load_makes_components(name):
    """A name gets the source whole, several get its parts; they are made in the order given."""
    batch = Batch([5, 3]).load(src=LABELS, **{name: "z"}).load(src=(LABELS, IMAGES), **{name: ("b", "a")})

    assert ("z", "b", "a") == batch.components
    assert LABELS[[5, 3]].tolist() == batch.z.tolist() == batch.b.tolist()


def test_load_from_a_frame():
    """By the labels of its index: a column each, or the rows whole."""
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"x": [1, 2, 3], "y": [4, 5, 6]}, index=["a", "b", "c"])

    batch = Batch(["c", "a"]).load(src=frame, dst=("x", "y")).load(src=frame, dst="rows")

    assert ([3, 1], [6, 4]) == (batch.x.tolist(), batch.y.tolist())
    assert 6 == batch["c"].rows["y"]


@pytest.mark.parametrize("extra", [{"index_col": 0}, {"scr": 1}])
def test_options_that_nothing_takes_are_refused(extra):
    """By `load` from a container, and by `dump` to one."""
    with pytest.raises(TypeError, match="takes no"):
        One(2).load(src=LABELS, **extra)
    with pytest.raises(TypeError, match="takes no"):
        One(2, preloaded=(LABELS,)).dump(dst=np.zeros(9), **extra)


def test_dump_of_several_components_to_one_container():
    """Is refused; the error names them."""
    with pytest.raises(ValueError, match="not images, labels"):
        made().dump(dst=np.zeros(10))


def test_a_dataset_of_a_batch():
    """Its batches have the ids and data of the batch, changed or not; a copy does not follow later changes."""
    dataset = Dataset(10, Images, preloaded=(IMAGES, LABELS), colour="red")
    batch = dataset.create_batch([4, 7, 9])
    batch.labels = np.array([40, 70, 90])

    new = batch.as_dataset()
    copied = batch.as_dataset(Dataset, copy=True)
    batch.labels[:] = 0

    assert ([9, 7], "red") == (copied.create_batch([9, 7]).indices.tolist(), new.colour)
    assert ([90, 70], [0, 0]) == (copied.create_batch([9, 7]).labels.tolist(), new.create_batch([9, 7]).labels.tolist())
    with pytest.raises(ValueError, match="should be the class to make"):
        Images(2).as_dataset()


def test_a_component_without_preloaded_data_stays_none():
    """One that is None among the data of others."""
    batch = Images([3, 5], preloaded=(IMAGES, None))

    assert (2, 2, 3) == batch.images.shape
    assert batch.labels is None
    assert batch[5].labels is None


def test_a_batch_from_data():
    """The first component says how many items there are."""
    batch = Images.from_data(data=(np.zeros((3, 2)), [1, 2, 3]))

    assert (3, [1, 2, 3]) == (batch.size, batch.labels)
    assert ["b"] == Images.from_data(["b"], (np.zeros(1), [1])).indices.tolist()
    assert 4 == Batch.from_data(data=np.zeros(4)).size


@pytest.mark.parametrize(("channels", "shape"), [("last", (2, 2, 3, 1)), ("first", (2, 1, 2, 3)), (None, (2, 2, 3))])
def test_images_to_arrays(channels, shape):
    """An image of two dimensions gets an axis of channels, first or last; the type is float32 unless it is to stay."""
    batch = made().to_array(channels=channels)

    assert (shape, np.float32) == (batch.images.shape, batch.images.dtype)
    assert np.float64 == made().to_array(dtype=None).images.dtype


def test_what_a_batch_can_do_is_listed():
    """Components are among the attributes that a prompt completes."""
    assert {"images", "labels", "load"} <= set(dir(made()))
    assert {"images", "labels", "as_dict"} <= set(dir(made()[3]))
