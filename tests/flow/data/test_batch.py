"""Batches: components, items, load and dump, conversions."""

import numpy as np
import pytest
from flow_batches import IMAGES, LABELS, Images, One, images_of

from batchup.flow import Batch, Dataset, DatasetIndex


@pytest.mark.parametrize("index", [2, [0, 1], np.arange(2), DatasetIndex(2)])
def test_the_index_is_an_index(index):
    """`batch.index` is a DatasetIndex, whatever was passed; it gives ids and size."""
    batch = Batch(index)

    assert isinstance(batch.index, DatasetIndex)
    assert ([0, 1], 2, 2) == (batch.indices.tolist(), batch.size, len(batch))


def test_a_component_is_one_array():
    """Each access gives the same array, so assignments to its items stay."""
    batch = images_of()

    batch.images[1] = 7

    assert batch.images is batch.images
    assert (batch.images[1] == 7).all()
    assert (IMAGES[5] != 7).all()


def test_items_come_in_the_order_of_the_batch():
    """Iteration is by position, for any ids, with components or without."""
    assert [LABELS[5], LABELS[3]] == [item.labels for item in images_of([5, 3])]
    assert [50, 30] == list(Batch([5, 3], preloaded=np.arange(0, 100, 10)))
    assert 2 == len(images_of().items)


@pytest.mark.parametrize(
    ("item", "component", "expected"),
    [(5, "labels", LABELS[5]), (None, "labels", LABELS[[3, 5]].tolist())],
)
def test_get(item, component, expected):
    """`get` returns a component of an item, a whole component, or all data."""
    found = images_of().get(item, component)

    assert expected == (found.tolist() if item is None else found)
    assert LABELS[5] == images_of().get(5).labels
    assert (IMAGES[[3, 5]] == images_of().get().images).all()


def test_a_component_may_be_a_ragged_list():
    """A component may be any sequence of the right length."""
    batch = images_of()

    batch.labels = [[1], [2, 3]]

    assert [2, 3] == batch[5].labels


def test_a_bare_array_is_the_only_component():
    """A bare array is accepted if there is exactly one component."""
    assert [3, 5] == One([3, 5], preloaded=np.arange(9)).x.tolist()


@pytest.mark.parametrize("name", ["dst", "components"])
def test_load_makes_components(name):
    """One name gets the whole source, several get its parts; they are created in the given order."""
    batch = Batch([5, 3]).load(src=LABELS, **{name: "z"}).load(src=(LABELS, IMAGES), **{name: ("b", "a")})

    assert ("z", "b", "a") == batch.components
    assert LABELS[[5, 3]].tolist() == batch.z.tolist() == batch.b.tolist()


def test_load_from_a_frame():
    """`load` uses the labels of the frame: one column per component, or whole rows."""
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"x": [1, 2, 3], "y": [4, 5, 6]}, index=["a", "b", "c"])

    batch = Batch(["c", "a"]).load(src=frame, dst=("x", "y")).load(src=frame, dst="rows")

    assert ([3, 1], [6, 4]) == (batch.x.tolist(), batch.y.tolist())
    assert 6 == batch["c"].rows["y"]


@pytest.mark.parametrize("extra", [{"index_col": 0}, {"scr": 1}])
def test_options_that_nothing_takes_are_refused(extra):
    """Extra options are an error for `load` from a container and for `dump` to one."""
    with pytest.raises(TypeError, match="takes no"):
        One(2).load(src=LABELS, **extra)
    with pytest.raises(TypeError, match="takes no"):
        One(2, preloaded=(LABELS,)).dump(dst=np.zeros(9), **extra)


def test_dump_of_several_components_to_one_container():
    """Several components for one container are an error that names them."""
    with pytest.raises(ValueError, match="not images, labels"):
        images_of().dump(dst=np.zeros(10))


def test_a_dataset_of_a_batch():
    """`as_dataset` keeps ids and data of the batch; a copy does not follow later changes."""
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
    """A component without preloaded data is None beside the others."""
    batch = Images([3, 5], preloaded=(IMAGES, None))

    assert (2, 2, 3) == batch.images.shape
    assert batch.labels is None
    assert batch[5].labels is None


def test_a_batch_from_data():
    """`from_data` takes the number of items from the first component; with ids, the items with these ids."""
    batch = Images.from_data(data=(np.zeros((3, 2)), [1, 2, 3]))

    assert (3, [1, 2, 3]) == (batch.size, batch.labels)
    assert [1, 3] == Images.from_data([0, 2], (np.zeros((3, 2)), [1, 2, 3])).labels.tolist()
    with pytest.raises(IndexError, match="below 3"):
        Images.from_data([5], (np.zeros((3, 2)), [1, 2, 3]))
    assert 4 == Batch.from_data(data=np.zeros(4)).size


@pytest.mark.parametrize(("channels", "shape"), [("last", (2, 2, 3, 1)), ("first", (2, 1, 2, 3)), (None, (2, 2, 3))])
def test_images_to_arrays(channels, shape):
    """A 2-D image gets an axis of channels, first or last; the dtype is float32 by default."""
    batch = images_of().to_array(channels=channels)

    assert (shape, np.float32) == (batch.images.shape, batch.images.dtype)
    assert np.float64 == images_of().to_array(dtype=None).images.dtype


def test_what_a_batch_can_do_is_listed():
    """`dir` lists the components, for completion at a prompt."""
    assert {"images", "labels", "load"} <= set(dir(images_of()))
    assert {"images", "labels", "as_dict"} <= set(dir(images_of()[3]))


def test_a_batch_by_hand_is_seeded_by_numpy():
    """``numpy.random.seed`` decides what a batch without a seed draws; two batches differ."""

    def drawn():
        np.random.seed(5)
        return Batch(3).random.random(), Batch(3).random.random()

    one, other = drawn()

    assert (one, other) == drawn()
    assert one != other
