"""Views of a batch, of an item, and of some items."""

import numpy as np
import pytest
from flow_batches import IMAGES, LABELS, images_of

from batchup.flow import Batch


def test_items_are_found_by_id():
    """A batch is indexed by an id, several, or a slice; an unknown id is a KeyError."""
    batch = images_of([3, 5, 8])
    batch.add_components("more")
    batch.labels = np.array([10, 20, 30])

    assert 20 == batch[5].labels
    assert [30, 10] == batch[[8, 3]].labels.tolist()
    assert [10, 20] == batch[3:8].labels.tolist()
    with pytest.raises(KeyError):
        batch[0]


def test_an_item_is_written_to():
    """Writing to a view writes to the batch; a None component becomes an array of objects first."""
    batch = images_of()
    batch.add_components("masks")

    batch[5].labels = 9
    batch[3].masks = "mask"

    assert [LABELS[3], 9] == batch.labels.tolist()
    assert ["mask", None] == batch.masks.tolist()


def test_data_are_a_record():
    """`data` has components by name and in order, and items by id; without components it is the stored data."""
    data = images_of().data

    images, labels = data
    assert (images == IMAGES[[3, 5]]).all()
    assert labels.tolist() == data.as_dict()["labels"].tolist() == data.as_tuple()[1].tolist()
    assert LABELS[5] == data[5].labels
    assert (Batch(2, preloaded=[7, 8]).data == [7, 8]).all()
