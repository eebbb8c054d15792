"""The guide table gives the indices of a plain binary search."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from batchup.sampling.inverse import Inverse


@given(st.lists(st.sampled_from([0.0, 1e-12, 1.0, 7.0, 1e6]), min_size=2, max_size=300).filter(any), st.integers(0, 99))
def test_the_table_finds_what_a_search_finds(weights, seed):
    """The table changes no index, however few or uneven the weights, also at the edges."""
    p = np.array(weights) / np.sum(weights)
    plain, table = Inverse(p), _with_table(p)
    uniform = np.concatenate([np.random.RandomState(seed).random(200), plain.cumulated[plain.cumulated < 1], [0.0]])
    with np.errstate(under="ignore"):  # next to 0
        uniform = np.concatenate([uniform, np.nextafter(uniform, 0), np.nextafter(uniform, 1)])
    uniform = uniform[uniform < 1]

    assert plain(uniform).tolist() == table(uniform).tolist()


def _with_table(p):
    class Always(Inverse):
        table_above = 1
        max_gap = 3

    return Always(p)
