"""Datasets: splits and folds."""

import pytest

from batchup.flow import Batch, Dataset


def test_folds_for_cross_validation():
    """Each item is in the test split of one fold, and train has the others; a second call replaces the folds."""
    dataset = Dataset(list("abcdefg"), Batch, preloaded=dict.fromkeys("abcdefg", 1))

    dataset.cv_split(n_splits=3, shuffle=4)

    assert sorted("abcdefg") == sorted(each for fold in dataset.cv for each in fold.test.indices)
    assert all(set(fold.train.indices) == set("abcdefg") - set(fold.test.indices) for fold in dataset.cv)
    assert dataset.cv0 is dataset.cv[0]
    with pytest.raises(ValueError, match="at most 7"):
        dataset.cv_split(n_splits=8)
