"""Columns: take items from containers, write them back, stack them."""

import numpy as np
import pytest
from flow_batches import IMAGES, LABELS, Images, One, images_of
from hypothesis import given
from hypothesis import strategies as st

from batchup.flow import Batch, Dataset
from batchup.flow.data.columns import stack_items


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
    """Parts are taken by name from a dict or record array, by order from a tuple or list; then by id."""
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
    """A bare array, too many parts, wrong names or nothing are errors."""
    with pytest.raises(error, match=why):
        Images(2).load(src=source)


@pytest.mark.parametrize("source", [LABELS, LABELS.tolist()])
@pytest.mark.parametrize("ids", [[-1, 2], [2, 10]])
def test_ids_that_the_data_do_not_have(source, ids):
    """Missing ids are an IndexError; a negative id does not count from the end."""
    with pytest.raises(IndexError, match="ids should be"):
        Batch(ids).load(src=source)


def test_string_ids_do_not_index_an_array():
    """The error says which containers accept string ids."""
    with pytest.raises(IndexError, match="pass a mapping by id"):
        Batch(["a", "b"]).load(src=LABELS)


@pytest.mark.parametrize("container", [np.zeros(10, int), {}, [0] * 10], ids=["array", "dict", "list"])
def test_dump_to_a_container(container):
    """`dump` writes by id into an array, a dict or a list."""
    images_of().dump(dst=container, components="labels")

    assert LABELS[[3, 5]].tolist() == [container[3], container[5]]


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
    """Arrays and numbers of one shape are stacked; other items go unchanged into an array of objects."""
    found = stack_items(items)

    assert (np.dtype(dtype), shape) == (found.dtype, found.shape)
    if dtype is object:
        assert all(a is b for a, b in zip(found, items, strict=True))


def test_data_by_h5py(tmp_path):
    """h5py datasets accept ids in any order and twice; groups are indexed by name."""
    h5py = pytest.importorskip("h5py")
    with h5py.File(tmp_path / "data.h5", "w") as file:
        file["images"], file["labels"] = IMAGES, LABELS

        batch = Dataset(10, Images, preloaded=file).create_batch([7, 2])
        again = Dataset(10, One, preloaded=(file["labels"],)).create_batch([7, 2, 7])

        assert (batch.images == IMAGES[[7, 2]]).all()
        assert LABELS[[7, 2, 7]].tolist() == again.x.tolist()
        batch.dump(dst=file.create_dataset("out", (10,), int), components="labels")
        assert LABELS[[7, 2]].tolist() == [file["out"][7], file["out"][2]]


def test_words_and_numbers_are_not_mixed_up():
    """Strings and numbers are not converted to a common type."""
    assert [np.str_("a"), 1] == stack_items([np.str_("a"), 1]).tolist()
    assert object == stack_items([np.str_("a"), 1]).dtype
    assert "<M8[D]" == stack_items([np.datetime64("2020-01-01")]).dtype
    assert "U" == stack_items(["a", np.str_("b")]).dtype.kind


def test_columns_of_a_frame_are_written_to():
    """Writes to columns of a frame change the batch, not the frame."""
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"x": np.arange(3)})
    batch = One(3, preloaded=frame)

    batch.x[0] = 9

    assert [9, 1, 2] == batch.x.tolist()
    assert [0, 1, 2] == frame["x"].tolist()


VALUES = [
    *[0, 5, 2**53 + 1, 2**63 + 1, -1, 2**70, 0.5, 1j, True, False, None, "a", "a\0", "", b"a", b"a\0"],
    *[np.int8(1), np.uint64(2**63), np.float32(0.5), np.True_, np.str_("a\0"), np.bytes_(b"a\0")],
    *[np.datetime64("2020"), np.datetime64("2020-01-01"), np.datetime64("2020-01-01", "ns"), np.timedelta64(1, "D")],
]


def kind(x):
    if isinstance(x, (bool, np.bool_)):
        return "bool"
    if isinstance(x, (np.datetime64, np.timedelta64)):
        return x.dtype
    if isinstance(x, (int, float, complex, np.number)):
        return "number"
    return next((each for each in (str, bytes) if isinstance(x, each)), type(x))


@given(st.lists(st.sampled_from(VALUES), min_size=1, max_size=4))
def test_items_are_unchanged(items):
    """Each item of a component is what went in, in value and kind."""
    found = stack_items(items)

    assert [*map(kind, items)] == [*map(kind, found)]
    assert all(
        (one.item() if kind(one) == "number" and isinstance(one, np.generic) else one) == other
        for one, other in zip(items, found.tolist() if kind(found[0]) == "number" else found, strict=True)
    )


def test_arrays_are_unchanged():
    """Masks are kept; arrays of unlike kinds, or that would be rounded, become objects."""
    masked = np.ma.array([1, 2], mask=[False, True])
    words, large = np.array(["a", "b"]), np.array([2**53 + 1, 0])

    assert [[1, None], [1, None]] == stack_items([masked, masked]).tolist()
    for items in ([words, large], [large, np.zeros(2)], [np.zeros(1, "M8[D]"), np.zeros(1, "M8[s]")]):
        found = stack_items(items)
        assert object == found.dtype
        assert all(one is other for one, other in zip(items, found, strict=True))


@pytest.mark.parametrize(
    ("container", "values"),
    [
        (np.zeros(4, int), np.array([0.5, 1])),
        (np.zeros(4, int), [1, np.nan]),
        (np.zeros(4, np.int8), [1, 300]),
        (np.zeros(4, float), ["1", "2"]),
        (np.zeros(4, "U2"), ["a", "long"]),
        (np.zeros(4, "U2"), [1, 2]),
        (np.zeros(4, "S2"), [b"a", b"a\0"]),
        (np.zeros(4, "M8[D]"), np.array(["2020-01-01T01", "2020-01-01"], "M8[h]")),
        (np.zeros(4), np.ma.array([1, 2], mask=[True, False])),
        (np.zeros(4, object), np.ma.array([1, 2], mask=[True, False])),
    ],
    ids=str,
)
def test_values_that_a_container_would_change_are_refused(container, values):
    """Cut off, rounded to integers, or without their mask; the container is as it was."""
    before = container.copy()
    batch = One([3, 0])
    batch.x = values

    with pytest.raises(TypeError, match=r"x should be (values that|without a mask)"):
        batch.dump(dst=container, components="x")
    assert before.tolist() == container.tolist()


def test_values_that_a_container_holds():
    """Of another dtype, too."""
    for container, values in [
        (np.zeros(2, int), [1.0, 2.0]),
        (np.zeros(2, np.float32), [1, 2.5]),
        (np.zeros(2, "U3"), ["a", "b"]),
        (np.zeros(2, "M8[s]"), np.array(["2020-01-01", "NaT"], "M8[D]")),
        (np.zeros(2, object), ["a", 3]),
    ]:
        batch = One(2)
        batch.x = values
        batch.dump(dst=container, components="x")
        assert [*values] == container.tolist() or np.isnat(container[1])


def test_sparse_matrices():
    """They are loaded by id, and are components: the rows are the items."""
    sparse = pytest.importorskip("scipy.sparse")
    batch = One([2, 0]).load(src=sparse.csr_array(np.diag([1, 2, 3])), dst="x")

    assert [[0, 0, 3], [1, 0, 0]] == batch.x.toarray().tolist()
    with pytest.raises(ValueError, match="x should have 2 items"):
        batch.x = sparse.csr_array(np.eye(3))


def test_images_keep_their_masks():
    """`to_array` converts masked images to masked arrays."""
    image = np.ma.array([[1, 2]], mask=[[True, False]])
    batch = Images(1)
    batch.images = [image]

    assert [[[[None], [2.0]]]] == batch.to_array().images.tolist()
