"""Padded arrays: values at their places, of one kind, in workers and elsewhere."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchup import pad
from batchup.batch_iter import pad_batch_equal
from batchup.engine import padding
from batchup.engine.padding import pad_along_all, pad_along_first, should_be_plain

DTYPES = ["?", "u1", "i2", ">i4", "i8", "f2", "f8", "c16", "U2", "M8[s]", "O"]


def arrays_of(lengths, rest, dtype):
    made = [np.arange(n * int(np.prod(rest))).reshape(n, *rest) % 7 for n in lengths]
    return [array.astype(dtype) if dtype != "U2" else array.astype(str).astype("U2") for array in made]


@given(
    st.lists(st.integers(0, 5), min_size=1, max_size=6),
    st.sampled_from([(), (2,), (1, 3)]),
    st.sampled_from(DTYPES),
    st.booleans(),
    st.integers(0, 3),
    st.sampled_from([None, "sliced", "fortran", "read-only"]),
    st.booleans(),
)
def test_both_ways_give_the_same(lengths, rest, dtype, before, more, layout, worker):
    """Along the first axis, joined as bytes or as arrays, whatever the layout in memory; and along all axes."""
    arrays = arrays_of(lengths, rest, dtype)
    if layout == "sliced":
        arrays = [np.repeat(array, 2, axis=0)[::2] for array in arrays]
    elif layout == "fortran":
        arrays = [np.asfortranarray(array) for array in arrays]
    elif layout == "read-only":
        for array in arrays:
            array.setflags(write=False)
    value = {"U": "x", "M": np.datetime64(3, "s")}.get(arrays[0].dtype.kind, 0)
    most = max(lengths) + more
    ratios = [float(before)] * (1 + len(rest))
    expected = pad_along_all(arrays, (most, *rest), value, ratios)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(padding, "in_worker", lambda: worker)
        found = pad_along_first(arrays, lengths, most, value, before)

    assert (expected.dtype, expected.tolist()) == (found.dtype, found.tolist())
    assert found.flags.writeable


def test_kinds_are_kept_or_refused():
    """Large integers are not rounded, words and numbers not mixed, masks not dropped; by `pad` as by the combiners."""
    big, half = np.array([2**63 - 1]), np.array([0.5, 1.5])
    for call in (lambda x: pad()(x)[0], pad_batch_equal):
        with pytest.raises(TypeError, match="values of one array should be of one kind"):
            call([big, half])
        with pytest.raises(TypeError, match="values of one array should be of one kind"):
            call([np.array(["a", "b"]), big])
        with pytest.raises(TypeError, match="plain arrays, not a MaskedArray; convert it"):
            call([np.ma.array([1, 2], mask=[True, False]), big])
        with pytest.raises(ValueError, match="padding value 0 does not fit arrays of <U1"):
            call([np.array(["a", "b"]), np.array(["c"])])

        assert np.float32 == call([np.ones(2, np.float32), np.ones(1, np.int8)]).dtype


def test_arrays_in_files_are_plain():
    """Memory maps hold no more than their data."""
    assert None is should_be_plain([np.ones(2), np.ones(1).view(np.memmap)])
