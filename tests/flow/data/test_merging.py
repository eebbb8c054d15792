"""Several batches become one."""

import numpy as np
import pytest
from flow_batches import LABELS, Images, One, images_of

from batchup.flow import Batch


def test_batches_are_merged_and_cut():
    """`merge` gives a batch of the first items and the rest, with new ids; without a size there is no rest."""
    batches = [images_of([0, 1]), images_of([2, 3, 4])]

    batch, rest = Images.merge(batches, batch_size=4)

    assert (LABELS[:4].tolist(), LABELS[4:5].tolist()) == (batch.labels.tolist(), rest.labels.tolist())
    assert ([0, 1, 2, 3], [0]) == (batch.indices.tolist(), rest.indices.tolist())
    assert Images.merge(batches)[1] is Images.merge(batches, batch_size=9)[1] is None
    assert ("labels",) == Images.merge(batches, components="labels", batch_class=Batch)[0].components
    assert ("labels", "images") == Images.merge(batches, components=("labels", "images"))[0].components
    assert ("images",) == Images.merge(batches, components=["images"])[0].components


def test_batches_without_components_are_merged():
    """Data without components are concatenated."""
    batches = [Batch(2, preloaded=[1, 2]), Batch(1, preloaded=[3])]

    assert [1, 2, 3] == Batch.merge(batches)[0].data.tolist()


@pytest.mark.parametrize("size", [0, -1, 1.5])
def test_merged_batches_have_at_least_one_item(size):
    """The error names `batch_size`."""
    with pytest.raises((TypeError, ValueError), match="batch_size should be an integer of at least 1"):
        Images.merge([images_of(), images_of()], batch_size=size)


def test_what_cannot_be_merged():
    """A component in some batches only, and one that is not an array, are errors."""
    with pytest.raises(ValueError, match="images should have data in all"):
        Images.merge([images_of(), Images(2)])
    odd = [One.from_data(data=({"a": 1},)), One.from_data(data=({"a": 2},))]
    with pytest.raises(TypeError, match="override merge_component"):
        One.merge(odd)


def test_merged_values_are_unchanged():
    """Masks are kept, and large integers; words and numbers are refused, with the name of the component."""

    def merged(*columns):
        batches = []
        for column in columns:
            batch = Batch(len(column)).load(src=column, dst="x")
            batches.append(batch)
        return Batch.merge(batches)[0].x

    masked = np.ma.array([1, 2], mask=[True, False])
    assert [None, 2, 3] == merged(masked, np.array([3])).tolist()
    assert [2**63 + 1, 5] == merged(np.array([2**63 + 1], np.uint64), np.array([5])).tolist()
    with pytest.raises(TypeError, match=r"'cat' \(str\) and 3 \(number\)") as caught:
        merged(np.array(["cat"]), np.array([3]))
    assert ["while merging x"] == caught.value.__notes__
