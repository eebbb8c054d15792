"""A batch: its components, its items, what it is loaded from and what becomes of it."""

import copy
import pickle
import threading

import numpy as np
import pytest

from batchup.flow import Batch, Dataset, DatasetIndex
from batchup.flow.data.columns import stack_items

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


def test_items_are_found_by_id():
    """One, several, or from one to another; an unknown one is a KeyError, whatever was written before."""
    batch = made([3, 5, 8])
    batch.add_components("more")
    batch.labels = np.array([10, 20, 30])

    assert 20 == batch[5].labels
    assert [30, 10] == batch[[8, 3]].labels.tolist()
    assert [10, 20] == batch[3:8].labels.tolist()
    with pytest.raises(KeyError):
        batch[0]


def test_an_item_is_written_to():
    """Through the view; a component that is None becomes an array of objects first."""
    batch = made()
    batch.add_components("masks")

    batch[5].labels = 9
    batch[3].masks = "mask"

    assert [LABELS[3], 9] == batch.labels.tolist()
    assert ["mask", None] == batch.masks.tolist()


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


def test_a_component_may_be_a_ragged_list():
    """Any sequence of the right length will do."""
    batch = made()

    batch.labels = [[1], [2, 3]]

    assert [2, 3] == batch[5].labels


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


@pytest.mark.parametrize(
    "source",
    [
        {"images": IMAGES, "labels": LABELS, "more": None},
        (IMAGES, LABELS),
        [IMAGES, dict(enumerate(LABELS))],
        np.array(list(zip(IMAGES, LABELS, strict=True)), dtype=[("images", float, (2, 3)), ("labels", int)]),
    ],
    ids=["dict", "tuple", "list with a dict by id", "record array"],
)
def test_components_are_loaded_from(source):
    """A dict or a record array by name, a tuple or a list by place; then by id."""
    batch = Images([5, 3]).load(src=source)

    assert (IMAGES[[5, 3]] == batch.images).all()
    assert LABELS[[5, 3]].tolist() == batch.labels.tolist()


@pytest.mark.parametrize(
    ("source", "error", "why"),
    [
        (IMAGES, TypeError, "for the components images, labels should be a tuple"),
        ((1, 2, 3), ValueError, "2 components"),
        ({"x": LABELS}, KeyError, "images, labels, but there are x"),
        (None, ValueError, "src should be"),
    ],
)
def test_what_has_no_parts_for_components_is_refused(source, error, why):
    """A bare array, too many parts, other names, nothing."""
    with pytest.raises(error, match=why):
        Images(2).load(src=source)


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


@pytest.mark.parametrize("source", [LABELS, LABELS.tolist()])
@pytest.mark.parametrize("ids", [[-1, 2], [2, 10]])
def test_ids_that_the_data_do_not_have(source, ids):
    """Are an IndexError; a negative one is not taken from the end."""
    with pytest.raises(IndexError, match="ids should be"):
        Batch(ids).load(src=source)


def test_string_ids_do_not_index_an_array():
    """The error says what would do."""
    with pytest.raises(IndexError, match="pass a mapping by id"):
        Batch(["a", "b"]).load(src=LABELS)


@pytest.mark.parametrize("container", [np.zeros(10, int), {}, [0] * 10], ids=["array", "dict", "list"])
def test_dump_to_a_container(container):
    """By id: of an array, a dict, a list."""
    made().dump(dst=container, components="labels")

    assert LABELS[[3, 5]].tolist() == [container[3], container[5]]


def test_dump_of_several_components_to_one_container():
    """Is refused; the error names them."""
    with pytest.raises(ValueError, match="not images, labels"):
        made().dump(dst=np.zeros(10))


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


def test_data_are_a_record():
    """With components by name and in order, and items by id; without, what was stored."""
    data = made().data

    images, labels = data
    assert (images == IMAGES[[3, 5]]).all()
    assert labels.tolist() == data.as_dict()["labels"].tolist() == data.as_tuple()[1].tolist()
    assert LABELS[5] == data[5].labels
    assert (Batch(2, preloaded=[7, 8]).data == [7, 8]).all()


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


def test_batches_are_merged_and_cut():
    """The first so many items, and the rest, with new ids; nothing is left over of the whole."""
    batches = [made([0, 1]), made([2, 3, 4])]

    batch, rest = Images.merge(batches, batch_size=4)

    assert (LABELS[:4].tolist(), LABELS[4:5].tolist()) == (batch.labels.tolist(), rest.labels.tolist())
    assert ([0, 1, 2, 3], [0]) == (batch.indices.tolist(), rest.indices.tolist())
    assert Images.merge(batches)[1] is Images.merge(batches, batch_size=9)[1] is None
    assert ("labels",) == Images.merge(batches, components="labels", batch_class=Batch)[0].components


def test_batches_without_components_are_merged():
    """Their data are concatenated."""
    batches = [Batch(2, preloaded=[1, 2]), Batch(1, preloaded=[3])]

    assert [1, 2, 3] == Batch.merge(batches)[0].data.tolist()


@pytest.mark.parametrize("size", [0, -1, 1.5])
def test_merged_batches_have_at_least_one_item(size):
    """The error names `batch_size`."""
    with pytest.raises((TypeError, ValueError), match="batch_size should be an integer of at least 1"):
        Images.merge([made(), made()], batch_size=size)


def test_a_component_without_preloaded_data_stays_none():
    """One that is None among the data of others."""
    batch = Images([3, 5], preloaded=(IMAGES, None))

    assert (2, 2, 3) == batch.images.shape
    assert batch.labels is None
    assert batch[5].labels is None


def test_what_cannot_be_merged():
    """A component that is there in some batches only; one that is no array."""
    with pytest.raises(ValueError, match="images should have data in all"):
        Images.merge([made(), Images(2)])
    odd = [One.from_data(data=({"a": 1},)), One.from_data(data=({"a": 2},))]
    with pytest.raises(TypeError, match="override merge_component"):
        One.merge(odd)


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


@pytest.mark.parametrize(
    ("items", "dtype", "shape"),
    [
        ([np.zeros(2), np.ones(2)], float, (2, 2)),
        ([1, 2.5], float, (2,)),
        (["a", "bc"], "<U2", (2,)),
        ([np.zeros(2), np.zeros(3)], object, (2,)),
        ([1, "a"], object, (2,)),
        ([[1, 2], [3, 4]], object, (2,)),
        ([None, None], object, (2,)),
        ([], object, (0,)),
        ([np.zeros(2), np.ones(2, "f4")], float, (2, 2)),
    ],
)
def test_items_are_stacked_if_their_shapes_agree(items, dtype, shape):
    """Arrays and numbers; all else is in an array of objects, each as it was."""
    found = stack_items(items)

    assert (np.dtype(dtype), shape) == (found.dtype, found.shape)
    if dtype is object:
        assert all(a is b for a, b in zip(found, items, strict=True))


def test_data_by_h5py(tmp_path):
    """In any order of ids, and with one twice; a group by the names of its datasets."""
    h5py = pytest.importorskip("h5py")
    with h5py.File(tmp_path / "data.h5", "w") as file:
        file["images"], file["labels"] = IMAGES, LABELS

        batch = Dataset(10, Images, preloaded=file).create_batch([7, 2])
        again = Dataset(10, One, preloaded=(file["labels"],)).create_batch([7, 2, 7])

        assert (batch.images == IMAGES[[7, 2]]).all()
        assert LABELS[[7, 2, 7]].tolist() == again.x.tolist()
        batch.dump(dst=file.create_dataset("out", (10,), int), components="labels")
        assert LABELS[[7, 2]].tolist() == [file["out"][7], file["out"][2]]


def test_what_a_batch_can_do_is_listed():
    """Components are among the attributes that a prompt completes."""
    assert {"images", "labels", "load"} <= set(dir(made()))
    assert {"images", "labels", "as_dict"} <= set(dir(made()[3]))


def test_words_and_numbers_are_not_mixed_up():
    """What has no common kind stays what it is."""
    assert [np.str_("a"), 1] == stack_items([np.str_("a"), 1]).tolist()
    assert object == stack_items([np.str_("a"), 1]).dtype
    assert "<M8[D]" == stack_items([np.datetime64("2020-01-01")]).dtype
    assert "U" == stack_items(["a", np.str_("b")]).dtype.kind


def test_columns_of_a_frame_are_written_to():
    """The batch has them for itself, and the frame stays as it is."""
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"x": np.arange(3)})
    batch = One(3, preloaded=frame)

    batch.x[0] = 9

    assert [9, 1, 2] == batch.x.tolist()
    assert [0, 1, 2] == frame["x"].tolist()
