"""Given numbers of each class in every batch: exact counts, whole cycles, and labels of any kind."""

import itertools
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchup import ArrayDataSource, Loader
from batchup.sampling import ClassCountSampler, WeightedSampler
from batchup.sampling.cycles import Cycles
from batchup.testing import SamplerContract, rngs

LABELS = [0, 1, 0, 0, 2, 0, 1, 0, 0, 0]


class TestCounts(SamplerContract):
    n_samples = 10
    batch_size = 3

    def make(self):
        return ClassCountSampler(LABELS, {0: 2, 1: 1})

    def one_go(self):
        return None


class TestShares(SamplerContract):
    n_samples = 12
    batch_size = 4

    def make(self):
        return ClassCountSampler(["a"] * 6 + ["b"] * 6, {"a": 0.5, "b": 0.5})


class TestPairs(SamplerContract):
    n_samples = 12
    batch_size = 4

    def make(self):
        return ClassCountSampler([0, 1, 2] * 4, classes_per_batch=2, samples_per_class=2)


class TestSoManyBatches(SamplerContract):
    n_samples = 10
    batch_size = 3

    def make(self):
        return ClassCountSampler(LABELS, {0: 2, 1: 1}, epoch=7)

    def one_go(self):
        return None


@given(st.integers(1, 12), st.data(), st.integers(0, 2**64))
def test_cycles_have_each_member_once_and_draws_none_twice(size, data, key):
    """However short the cycles are, and wherever a draw lies."""
    count = data.draw(st.integers(1, size))
    draws = Cycles(size, count, key, ()).draws(0, 3 * size)
    first = data.draw(st.integers(0, 3 * size - 1))

    assert all(len(set(draw)) == count for draw in draws.tolist())
    assert np.array_equal(np.sort(draws.reshape(-1, size), axis=1), np.tile(np.arange(size), (3 * count, 1)))
    assert np.array_equal(draws[first : first + 2], Cycles(size, count, key, ()).draws(first, min(first + 2, 3 * size)))


def test_cycles_of_many_members_have_each_once():
    """Also where the order of a cycle is computed, not kept."""
    draws = Cycles(70_000, 24, 5, (1,)).draws(0, 5834).ravel()

    assert np.array_equal(np.arange(70_000), np.sort(draws[:70_000]))
    assert draws[:70_000].tolist() != sorted(draws[:70_000].tolist())
    assert all(len(set(row)) == 24 for row in draws.reshape(-1, 24)[2900:2930].tolist())


@given(st.lists(st.sampled_from("abc"), min_size=3, max_size=60), st.data(), rngs())
def test_every_batch_has_exactly_these_counts(labels, data, fresh):
    """Of each class, as many as asked for; no sample twice in a batch; each sample once per cycle of its class."""
    sizes = Counter(labels)
    counts = {name: data.draw(st.integers(1, sizes[name])) for name in sorted(sizes)}
    sampler = ClassCountSampler(np.array(labels), counts)
    batches = [b.tolist() for b in sampler.shuffled_indices_batch_iterator(sum(counts.values()), fresh())]

    for batch in batches:
        assert counts == Counter(labels[i] for i in batch)
        assert len(batch) == len(set(batch))
    for name, size in sizes.items():
        came = [i for batch in batches for i in batch if labels[i] == name]
        for first in range(0, len(came) - size + 1, size):
            assert size == len(set(came[first : first + size]))
    assert len(batches) == max(-(-sizes[name] // n) for name, n in counts.items())


@given(rngs())
def test_pairs_have_so_many_classes_with_so_many_samples(fresh):
    """Each batch has different classes; all classes come equally often."""
    y = np.arange(60) % 5
    sampler = ClassCountSampler(y, classes_per_batch=3, samples_per_class=4, epoch=10)
    batches = list(sampler.shuffled_indices_batch_iterator(12, fresh()))

    assert all(sorted(Counter(y[batch].tolist()).values()) == [4, 4, 4] for batch in batches)
    assert {24} == set(Counter(y[np.concatenate(batches)].tolist()).values())
    assert all(len(set(batch.tolist())) == 12 for batch in batches)


@pytest.mark.parametrize(
    ("epoch", "expected"), [("longest", 4), ("shortest", 2), (9, 9)], ids=["longest", "shortest", "batches"]
)
def test_who_ends_an_epoch(epoch, expected):
    """The class that lasts longest, the one that is used up first, or a number of batches."""
    sampler = ClassCountSampler(LABELS, {0: 2, 1: 1}, epoch=epoch)

    assert expected == sampler.num_batches(3) == len(list(sampler.in_order_indices_batch_iterator(3)))
    assert 3 * expected == sampler.num_indices_generated()


def test_shares_go_with_any_batch_size():
    """Shares are rounded to whole samples that add up."""
    sampler = ClassCountSampler([0] * 50 + [1] * 20 + [2] * 30, {0: 0.5, 1: 0.2, 2: 0.3})
    found = {n: np.bincount(next(sampler.in_order_indices_batch_iterator(n)) // 10 > 4).tolist() for n in (10, 7, 4)}

    assert {10: [5, 5], 7: [4, 3], 4: [2, 2]} == found
    assert None is sampler.num_indices_generated()


MIXED = ["x", 1, ("t", 2), "x", 1, ("t", 2)]


@pytest.mark.parametrize(
    "labels",
    [
        [10**12, -5, 3, 10**12, -5, 3],
        np.array(["a", "b", "c"] * 2),
        np.array([b"a", b"b", b"c"] * 2),
        np.array(["a", "b", "c"] * 2, object),
        MIXED,
        [(1, 2), (3, 4), (5, 6)] * 2,
    ],
    ids=["int", "str", "bytes", "object", "mixed", "tuple"],
)
def test_labels_are_of_any_kind(labels):
    """Each class is found by its value, here and in the class-balancing samplers."""
    names = labels[:3] if isinstance(labels, list) else labels[:3].tolist()
    counts = dict(zip(names, [1, 1, 2], strict=True))
    (batch, *_) = ClassCountSampler(labels, counts).shuffled_indices_batch_iterator(4, np.random.default_rng(0))

    assert [0, 1, 2, 2] == (batch % 3).tolist()
    if not isinstance(labels, list) or labels is MIXED:
        assert [1 / 6] * 6 == pytest.approx(WeightedSampler.class_balancing_sample_weights(labels).tolist())


def test_pandas_categories_are_labels():
    """A categorical column or index; categories that do not occur are no classes."""
    pd = pytest.importorskip("pandas")
    y = pd.Categorical(["a", "c", "a", "c"], categories=["c", "b", "a"])
    for labels in (y, pd.Series(y), pd.Series(["a", "c", "a", "c"])):
        batch = next(ClassCountSampler(labels, {"a": 2, "c": 1}).in_order_indices_batch_iterator(3))
        assert [0, 2, 1] == batch.tolist()
        assert [0.25] * 4 == WeightedSampler.class_balancing_sample_weights(labels).tolist()
    with pytest.raises(ValueError, match="not of 'b'"):
        ClassCountSampler(y, {"b": 1})
    with pytest.raises(ValueError, match="at index 1 it is missing"):
        ClassCountSampler(pd.Categorical(["a", None]), {"a": 1})


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: ClassCountSampler(LABELS, {0: 2, 7: 1}), r"classes that occur in y \(0, 1, 2\), not of 7"),
        (lambda: ClassCountSampler(LABELS, {0: 2, 2: 3}), "at most 1 samples of class 2, as there are no more, not 3"),
        (lambda: ClassCountSampler(LABELS, {0: 2, 1: 0}), "counts should be above 0, but that of class 1 is 0"),
        (lambda: ClassCountSampler(LABELS, {0: 0.5, 1: 0.6}), "should sum to 1, not to 1.1"),
        (lambda: ClassCountSampler(LABELS, {0: 0.5, 1: 3}), "all be whole numbers, or all be shares"),
        (lambda: ClassCountSampler([], {0: 1}), "y should be 1-D, with the class of each sample"),
        (lambda: ClassCountSampler(["a", None], {"a": 1}), "at index 1 it is None"),
        (lambda: ClassCountSampler(LABELS, {0: 1}, epoch="last"), 'epoch should be "longest", "shortest" or'),
        (lambda: ClassCountSampler(LABELS, {0: 1}, epoch=0), 'epoch should be "longest", "shortest" or'),
        (lambda: ClassCountSampler(LABELS, classes_per_batch=4, samples_per_class=1), "at most 3, the number of cl"),
        (
            lambda: ClassCountSampler(LABELS, classes_per_batch=2, samples_per_class=3),
            "at most 1, .* of class 2, not 3",
        ),
        (lambda: ClassCountSampler(LABELS, {0: 1}, classes_per_batch=2), "counts should be left out"),
        (lambda: ClassCountSampler(LABELS, classes_per_batch=2), "both classes_per_batch and samples_per_class"),
        (lambda: ClassCountSampler(LABELS, [24, 8]), "counts should be a dict .* not a list"),
        (lambda: ArrayDataSource([range(9)], sampler=ClassCountSampler(LABELS, {0: 1})), "10 labels, 9 samples"),
        (lambda: Loader(source({0: 2, 1: 1}), 4), "batch_size should be 3, the sum of the counts, not 4"),
        (lambda: Loader(source({0: 0.9, 1: 0.1}), 2), "class 1 has a share of 0.1"),
    ],
)
def test_what_cannot_be_is_refused(make, said):
    """Errors name the class, and how many samples there are."""
    with pytest.raises((TypeError, ValueError), match=said):
        len(make())


def source(counts):
    return ArrayDataSource([np.array(LABELS)], sampler=ClassCountSampler(LABELS, counts))


def test_a_run_is_shared_out_and_resumed():
    """Ranks get the same number of batches with these counts, and go on from a state."""
    ds = ArrayDataSource([np.array(LABELS)], sampler=ClassCountSampler(LABELS, {0: 2, 1: 1}))
    for rank in range(2):
        loader, again = (Loader(ds, 3, shuffle=7, shard=(rank, 2), pool=2) for _ in range(2))
        with loader, again:
            batches = iter(loader)
            first = next(batches)
            again.load_state_dict(loader.state_dict())
            rest = [x.tolist() for (x,) in batches]

            assert [[0, 0, 1]] * 2 == [first[0].tolist(), *rest]
            assert (2, rest) == (len(loader), [x.tolist() for (x,) in again])
    other = Loader(source({0: 1, 1: 2}), 3, shuffle=7)
    with pytest.raises(ValueError, match="the state has length 12, but here it is 21"):
        other.load_state_dict({**loader.state_dict(), "shard": None})


def test_epochs_differ():
    """Another epoch has other batches."""
    loader = Loader(source({0: 2, 1: 1}), 3, shuffle=7)
    epochs = [[loader.source.plan(3).picks(seed) for seed in range(4)]]

    assert 1 < len({tuple(map(tuple, itertools.islice(picks, 9))) for picks in epochs[0]})
