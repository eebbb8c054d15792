"""Items are grouped into batches, and reordered or repeated before that."""

from __future__ import annotations

import collections
import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchup.batch_iter import ExpirationPool, Infinite, buckets, combine_pad, expiration_pool
from batchup.batch_iter.batching import bucketed, grouped


@given(items=st.lists(st.integers(0, 9)), size=st.integers(1, 5))
def test_batches_are_the_items_in_order(items, size):
    """No item is lost. With an integer batch size, only the last batch is short."""
    by_number = list(grouped(items, size))
    by_rule = list(grouped(items, lambda batch, item: len(batch) < size))
    by_sum = list(grouped(items, lambda batch, item: sum(batch) + item <= 10))

    assert items == list(itertools.chain(*by_number))
    assert by_number == by_rule
    assert items == list(itertools.chain(*by_sum))
    assert all(sum(batch) <= 10 for batch in by_sum)


def test_the_first_item_is_always_taken():
    """A rule that always refuses gives batches of one item. It is not called for the first item of a batch."""
    asked = []
    batches = list(grouped("abc", lambda batch, item: asked.append((list(batch), item))))

    assert [["a"], ["b"], ["c"]] == batches
    assert [(["a"], "b"), (["b"], "c")] == asked


@given(items=st.lists(st.integers(), max_size=40), size=st.integers(1, 6), repetitions=st.integers(1, 4),
       iterations=st.integers(0, 3))  # fmt: skip
def test_a_pool_gives_each_item_so_many_times(items, size, repetitions, iterations):
    """Every item is given exactly `repetitions` times."""
    found = collections.Counter(expiration_pool(items, size, repetitions, iterations))

    assert {item: n * repetitions for item, n in collections.Counter(items).items()} == found


@pytest.mark.parametrize("iterations", [0, 1, 3])
def test_a_pool_is_bounded(iterations):
    """The pool draws at most `pool_size` items more than are used up."""
    drawn = []
    pool = expiration_pool((drawn.append(n) or n for n in itertools.count()), 10, 4, iterations)
    seen = collections.Counter()
    for item in itertools.islice(pool, 500):
        seen[item] += 1
        assert len(drawn) - sum(n == 4 for n in seen.values()) <= 10
    assert 4 == max(seen.values())


def test_a_pool_mixes_by_its_generator():
    """Generators in equal states give equal orders."""

    def run(seed):
        return list(expiration_pool(range(50), 10, 3, rng=np.random.default_rng(seed)))

    assert run(1) == run(1)
    assert run(1) != run(2)
    assert run(1) != sorted(run(1))


@pytest.mark.parametrize("kwargs", [{"pool_size": 0}, {"repetitions": 0}, {"iterations": -1}, {"pool_size": 1.5}])
def test_a_pool_refuses_what_cannot_be(kwargs):
    """The call raises an error that names the argument."""
    for make in [ExpirationPool, lambda **kwargs: expiration_pool([], **kwargs)]:
        with pytest.raises((TypeError, ValueError), match=next(iter(kwargs))):
            make(**{"pool_size": 2, "repetitions": 2, **kwargs})


@given(lengths=st.lists(st.integers(0, 50), max_size=60), size=st.integers(1, 5), n=st.integers(1, 4))
def test_buckets_lose_nothing(lengths, size, n):
    """The items are the same, and within each pool the batches are slices of the sorted items."""
    found = list(bucketed(lengths, lambda x: x, size, n))
    expected = []
    for pool in grouped(lengths, size * n):
        expected += grouped(sorted(pool), size)

    assert sorted(lengths) == sorted(found)
    assert sorted(expected) == sorted(grouped(found, size))


def test_buckets_need_less_padding():
    """Bucketed batches need less than a fifth of the padding, and come in a random order."""
    series = [np.ones(n) for n in np.random.RandomState(0).randint(1, 100, 640)]

    def padded(*stages):
        with Infinite(series, *stages, batch_size=16, batches_per_epoch=40, combiner=combine_pad, seed=7) as pipe:
            batches = list(pipe)
        assert 640 == sum(map(len, batches))
        return 1 - sum(batch.sum() for batch in batches) / sum(batch.size for batch in batches), batches

    as_they_come, _ = padded()
    bucketed_, batches = padded(buckets(len, batch_size=16, n_batches=20))
    widths = [batch.shape[1] for batch in batches]

    assert bucketed_ < as_they_come / 5
    assert widths[:20] != sorted(widths[:20])


@pytest.mark.parametrize("kwargs", [{"batch_size": 0}, {"n_batches": 0}, {"length": 3}])
def test_buckets_refuse_what_cannot_be(kwargs):
    """The stage raises an error that names the argument when it is made."""
    with pytest.raises((TypeError, ValueError), match=f"{next(iter(kwargs))} should be"):
        buckets(**{"length": len, "batch_size": 2, **kwargs})
