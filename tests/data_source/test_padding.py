"""Padding in `map`: lists of arrays become arrays, on either side, along several axes, and in shared memory."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchup import ArrayDataSource, Loader, pad

WORDS = [np.array([5, 6, 7]), np.array([8]), np.array([], int)]


@given(
    st.lists(st.integers(0, 9), min_size=1, max_size=9),
    st.sampled_from([1, 4]),
    st.sampled_from(["left", "right"]),
    st.sampled_from([(), (2,)]),
)
def test_values_are_where_the_mask_is_true(lengths, multiple, side, rest):
    """The padded array has the samples at the mask, and the value elsewhere."""
    samples = [np.random.default_rng(i).random((n, *rest), np.float32) for i, n in enumerate(lengths)]
    x, mask = pad(multiple, value=-1, mask=True, side=side)(samples)

    assert (len(lengths), -(-max(lengths) // multiple) * multiple, *rest) == x.shape
    assert np.float32 == x.dtype
    assert lengths == mask.sum(axis=1).tolist()
    assert np.array_equal(np.concatenate(samples), x[mask])
    assert (x[~mask] == -1).all()
    assert all(row.tolist() == sorted(row.tolist(), reverse=side == "right") for row in mask)


def test_samples_that_differ_along_several_axes():
    """Each axis is padded; the mask has all of them."""
    images = [np.ones((2, 3)), np.ones((4, 1))]
    x, mask = pad(to_multiple=2, mask=True)(images)

    assert ((2, 4, 4), (2, 4, 4)) == (x.shape, mask.shape)
    assert np.array_equal(x, mask)
    assert [6, 4] == mask.sum(axis=(1, 2)).tolist()


def test_nested_ragged_samples():
    """Samples that are lists of sequences are padded along both axes."""
    documents = [[np.array([1, 2]), np.array([3])], [], [[4, 5, 6]]]
    x, mask = pad(mask=True)(documents)

    assert [[[1, 2, 0], [3, 0, 0]], [[0, 0, 0]] * 2, [[4, 5, 6], [0, 0, 0]]] == x.tolist()
    assert [3, 0, 3] == mask.sum(axis=(1, 2)).tolist()
    assert np.issubdtype(x.dtype, np.integer)


def test_other_fields_stay_as_they_are():
    """Arrays and strings are not padded; a list of numbers becomes an array."""
    y, names = np.array([1, 2, 3]), ["a", "b", "c"]
    x, same, numbers, strings = pad()(WORDS, y, [7, 8, 9], names)

    assert [[5, 6, 7], [8, 0, 0], [0, 0, 0]] == x.tolist()
    assert same is y
    assert strings is names
    assert isinstance(numbers, np.ndarray)
    assert [7, 8, 9] == numbers.tolist()


def test_batches_that_are_dicts():
    """The mask of a field has its name."""
    ds = ArrayDataSource({"x": WORDS, "y": np.arange(3)}).map(pad(mask=True))
    batch = next(ds.batch_iterator(3))

    assert ["x", "y", "x_mask"] == list(batch)
    with pytest.raises(ValueError, match="'x_mask', but there is one of that name"):
        pad(mask=True)({"x": WORDS, "x_mask": np.arange(3)})


def test_a_fixed_length():
    """`length` is that of every batch; longer samples raise an error."""
    assert (3, 8) == pad(length=8)(WORDS)[0].shape
    with pytest.raises(ValueError, match="at most length=2 long, not 3"):
        pad(length=2)(WORDS)


def test_several_lengths():
    """The first that is long enough is taken, so that batches have few shapes."""
    longest = max(map(len, WORDS))

    assert [longest + 1, longest + 1, 20] == [
        pad(length=each)(WORDS)[0].shape[1] for each in ([longest + 1, 20], [20, longest + 1, longest - 1], (20,))
    ]
    with pytest.raises(ValueError, match=f"at most length={longest - 1} long, not {longest}"):
        pad(length=[1, longest - 1])(WORDS)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: pad(side="middle"), '"right" or "left", not \'middle\''),
        (lambda: pad(length=[]), "length should be one length or several"),
        (lambda: pad(length=[3, 0]), "length should be an integer of at least 1, not 0"),
        (lambda: pad(value=0.5)(WORDS), "padding value 0.5 does not fit arrays of int64"),
        (lambda: pad()([np.ones(3), np.ones((3, 2))]), "the same number of axes"),
    ],
)
def test_what_cannot_be_is_refused(make, said):
    """Errors say what should be."""
    with pytest.raises(ValueError, match=said):
        make()


def test_it_pads_in_workers(pool):
    """The batches of a pool are those of one thread."""
    ds = ArrayDataSource([WORDS * 4]).map(pad(to_multiple=2, mask=True))
    expected = [[part.tolist() for part in batch] for batch in Loader(ds, 3, shuffle=7)]

    assert expected == [[part.tolist() for part in batch] for batch in Loader(ds, 3, shuffle=7, pool=pool)]
