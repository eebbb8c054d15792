"""Labels of any kind become numbers."""

from __future__ import annotations

import numpy as np
import pytest

from batchup.sampling.labels import class_index, classes_of, label_array


@pytest.mark.parametrize(
    ("y", "codes", "names"),
    [
        ([3, 1, 3], [1, 0, 1], [1, 3]),
        (np.array([-5, 10**15], np.int64), [0, 1], [-5, 10**15]),
        (np.array([2**64 - 1, 0], np.uint64), [1, 0], [0, 2**64 - 1]),
        (np.array([127, -128], np.int8), [1, 0], [-128, 127]),
        ([True, False], [1, 0], [False, True]),
        (["b", "a", "b"], [1, 0, 1], ["a", "b"]),
        (np.array([b"b", b"a"]), [1, 0], [b"a", b"b"]),
        ([(1, 2), (0, 1), (1, 2)], [1, 0, 1], [(0, 1), (1, 2)]),
        ([1, "a", 1], [0, 1, 0], [1, "a"]),
        (np.array(["x", "y"], np.dtypes.StringDType()), [0, 1], ["x", "y"]),
    ],
    ids=["list", "far apart", "large", "small ints", "bools", "strings", "bytes", "tuples", "mixed", "StringDType"],
)
def test_labels(y, codes, names):
    """The classes are sorted where they can be, else in the order in which they come."""
    found = classes_of(y)

    assert (codes, names) == (found.codes.tolist(), found.names)


@pytest.mark.parametrize("of", ["Series", "Categorical"])
def test_categories_of_pandas(of):
    """Categories that do not occur are no classes."""
    pd = pytest.importorskip("pandas")
    y = getattr(pd, of)(pd.Categorical(["b", "a", "b"], categories=["c", "b", "a"]))

    found = classes_of(y)

    assert ([0, 1, 0], ["b", "a"]) == (found.codes.tolist(), found.names)


@pytest.mark.parametrize(
    ("y", "said"),
    [
        ([], "1-D"),
        ([[1], [2]], "1-D"),
        ([0.5, 1.5], "1-D"),
        (3, "1-D"),
        (["a", None], "at index 1 it is None"),
        ([1, "a", float("nan")], "at index 2 it is nan"),
        ([{1}, {2}], "hashable"),
    ],
)
def test_what_cannot_be_labels(y, said):
    """Missing labels are named by their index."""
    with pytest.raises(ValueError, match=f"labels should.*{said}|labels.*{said}"):
        classes_of(y, "labels")


def test_a_missing_category():
    """It is named by its index."""
    pd = pytest.importorskip("pandas")
    with pytest.raises(ValueError, match="at index 1 it is missing"):
        classes_of(pd.Categorical(["a", None]))


def test_members():
    """Each sample is a member of its class, in rising order."""
    members = classes_of(["b", "a", "b", "c"]).members()

    assert [[1], [0, 2], [3]] == [each.tolist() for each in members]


def test_many_classes():
    """More classes than two bytes can number."""
    y = np.arange(70_000)[::-1]

    assert (y.tolist(), 70_000) == (classes_of(y).codes.tolist(), len(classes_of(y).names))


def test_the_index_of_a_class():
    """It should occur; the error shows some that do."""
    classes = classes_of(list(range(12)))
    with pytest.raises(ValueError, match=r"counts should be of classes that occur in y \(0, .*, 8, …\), not of 'cat'"):
        class_index(classes, "cat", "counts")

    assert 11 == class_index(classes, 11, "counts")


def test_numbers_and_words_stay_what_they_are():
    """NumPy would make strings of both."""
    assert [1, "1"] == label_array([1, "1"]).tolist()
