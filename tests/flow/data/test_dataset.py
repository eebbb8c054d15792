"""Datasets: splits and folds."""

import numpy as np
import pytest
from flow_batches import Images

from batchup.flow import Batch, C, Dataset, DatasetIndex


def test_folds_for_cross_validation():
    """Each item is in the test split of one fold, and train has the others; a second call replaces the folds."""
    dataset = Dataset(list("abcdefg"), Batch, preloaded=dict.fromkeys("abcdefg", 1))

    dataset.cv_split(n_splits=3, shuffle=4)

    assert sorted("abcdefg") == sorted(each for fold in dataset.cv for each in fold.test.indices)
    assert all(set(fold.train.indices) == set("abcdefg") - set(fold.test.indices) for fold in dataset.cv)
    assert dataset.cv0 is dataset.cv[0]
    with pytest.raises(ValueError, match="at most 7"):
        dataset.cv_split(n_splits=8)


def test_a_second_split_removes_the_parts_of_the_first():
    """Parts and folds that the new split does not make are gone."""
    dataset = Dataset(10)

    dataset.split([0.3, 0.25, 0.25])
    dataset.cv_split(n_splits=4)
    dataset.cv_split(n_splits=2)

    assert [2, 2, 2] == [len(cv.cv if isinstance(cv, Dataset) else cv) for cv in (dataset, dataset.train, dataset.test)]
    assert dataset.validation is None
    assert dataset.train.cv1 is dataset.cv1.train
    with pytest.raises(AttributeError, match="cv_split"):
        dataset.cv2  # noqa: B018
    dataset.split(0.7)
    assert (7, 3, None) == (len(dataset.train), len(dataset.test), dataset.validation)


def test_a_fold_by_its_number():
    """`cv` is called with a number, `CV` with an expression."""
    dataset = Dataset(6)
    dataset.cv_split(n_splits=3)

    assert dataset.cv(1) is dataset.cv1
    assert dataset.CV(C("fold")).get(pipeline=dataset.pipeline({"fold": 2})) is dataset.cv2
    with pytest.raises(ValueError, match="there should be a fold 3"):
        dataset.cv(3)


def test_a_dataset_shows_its_preloaded_data():
    """Components of a dataset are its preloaded data."""
    dataset = Dataset(3, Images, preloaded=(np.arange(3), [4, 5, 6]))

    assert ([0, 1, 2], [4, 5, 6]) == (dataset.images.tolist(), dataset.labels)
    with pytest.raises(AttributeError, match="no attribute 'masks'"):
        dataset.masks  # noqa: B018


def test_copies_of_a_dataset():
    """A copy and a dataset from another have the data and the attributes, but not the parts."""
    dataset = Dataset(4, Images, preloaded=(np.arange(4), np.arange(4)), name="four")
    dataset.split(0.5)

    copy, part = dataset.copy(), Dataset.from_dataset(dataset, DatasetIndex([1, 3]), kind="part")

    assert ("four", None, [0, 1, 2, 3]) == (copy.name, copy.train, copy.indices.tolist())
    assert ("four", "part", [1, 3]) == (part.name, part.kind, part.next_batch(2).images.tolist())


def test_parts_of_data_without_components():
    """Each array in a tuple or a dict is taken from by the ids; a dict may also have the items by their ids."""
    pair = Dataset(4, preloaded=(np.arange(4), np.arange(4) * 10))
    named = Dataset(4, preloaded={"x": np.arange(4)})
    by_id = Dataset(["a", "b"], preloaded={"a": 1, "b": 2})

    assert [20, 30] == pair.create_batch([2, 3]).data[1].tolist()
    assert [2, 3] == named.create_batch([2, 3]).data["x"].tolist()
    assert [2] == by_id.create_batch(["b"]).data.tolist()
