"""Several sources as one: the contract, and batches across the joint."""

import numpy as np
import pytest

from batchup import AbstractSampler, ArrayDataSource, ClassCountSampler, ConcatDataSource, Loader, WeightedSampler
from batchup.testing import RandomAccessSourceContract


def arrays(n=5, start=0, **kwargs):
    return ArrayDataSource([np.arange(start, start + n), [f"sample {i}" for i in range(n)]], **kwargs)


def with_noise(x, names, rng):
    return x, names, rng.random(len(x))


class TestConcat(RandomAccessSourceContract):
    def make(self):
        return ConcatDataSource([arrays(5), arrays(0), arrays(3, 100, indices=[2, 0])])


class TestConcatOfDicts(RandomAccessSourceContract):
    def make(self):
        return ConcatDataSource(
            [{"x": np.zeros(3)}, ArrayDataSource({"x": np.ones(2, int)}).map(dict)], repeats=2, include_indices=True
        )


class TestConcatInAConcat(RandomAccessSourceContract):
    def make(self):
        inner = ConcatDataSource([arrays(2), arrays(3, 10)], indices=[4, 0])
        return ConcatDataSource([inner, arrays(4, 20)]).random_map(with_noise, seed=1)


def test_a_batch_has_samples_of_all_sources():
    """Each sample is at its place, in arrays and in lists."""
    ds = ConcatDataSource([arrays(3), arrays(3, 100, indices=[2, 0])])

    x, names = ds.samples_by_indices(np.array([4, 0, 3, 2]))
    assert ([100, 0, 102, 2], ["sample 0", "sample 0", "sample 2", "sample 2"]) == (x.tolist(), names)
    assert (100, "sample 0") == ds.samples_by_indices(4)


def test_arrays_get_a_dtype_that_holds_all():
    """Integers beside floats become floats; samples of other shapes stay a list."""
    numbers = ConcatDataSource([[np.arange(2)], [np.ones(2) / 2]])
    images = ConcatDataSource([[np.zeros((2, 3))], [np.zeros((2, 4))]])

    assert np.float64 == next(numbers.batch_iterator(3))[0].dtype
    assert [(3,), (3,), (4,)] == [each.shape for each in next(images.batch_iterator(3))[0]]


def test_values_keep_their_kind():
    """Masks stay, large integers are not rounded, and unlike kinds raise an error that names the sources."""
    masked = ConcatDataSource([[np.ma.array([1, 2], mask=[True, False])], [np.arange(10, 12)]])
    x = masked.samples_by_indices(np.array([3, 0, 1]))[0]

    assert ([11, None, 2], np.ma.MaskedArray) == (x.tolist(), type(x))
    for other in (np.array(["a"]), np.array([True]), np.array([0.5])):
        ds = ConcatDataSource([[np.array([2**63 - 1])], [other]])
        with pytest.raises(TypeError, match="values of one array should be of one kind") as caught:
            ds.samples_by_indices(np.array([0, 1]))
        assert ["while joining samples of datasets[0] and datasets[1], whose fields should be of one kind"] == [
            note for note in caught.value.__notes__ if "joining" in note
        ]


def test_a_sampler_is_over_all_samples(pool):
    """Weights are one per sample of all sources; pools give the same batches."""
    ds = ConcatDataSource([arrays(2), arrays(2, 10)], sampler=WeightedSampler([0, 1, 1, 0], 12))
    expected = [x.tolist() for x, _ in Loader(ds, 5, shuffle=7)]

    assert {1, 10} == {i for batch in expected for i in batch}
    assert expected == [x.tolist() for x, _ in Loader(ds, 5, shuffle=7, pool=pool)]


@pytest.mark.parametrize(
    ("make", "error", "said"),
    [
        (lambda: ConcatDataSource([]), ValueError, "at least one data source"),
        (lambda: ConcatDataSource([arrays(repeats=-1)]), TypeError, r"datasets\[0\] should .* it has no end"),
        (lambda: ConcatDataSource([arrays(), iter([])]), TypeError, r"datasets\[1\] should fetch by index"),
        (lambda: ConcatDataSource([arrays(repeats=2).map(tuple)]), TypeError, r"each of its samples once"),
        (lambda: ConcatDataSource([arrays().random_map(tuple)]), TypeError, r"apply random_map to the Concat"),
        (lambda: ConcatDataSource([arrays(2)]).samples_by_indices_nomapping(np.array([2])), IndexError, "from 0 to 1"),
    ],
)
def test_what_cannot_be_is_refused(make, error, said):
    """Errors name the source."""
    with pytest.raises(error, match=said):
        make()


@pytest.mark.parametrize(
    "member",
    [
        lambda: ConcatDataSource([[np.arange(7)], [np.arange(3)]], weights=[1, 1]),
        lambda: ArrayDataSource([np.arange(4)], sampler=WeightedSampler(np.ones(4), num_samples=4)),
        lambda: ArrayDataSource([np.arange(4)], sampler=ClassCountSampler([0, 0, 1, 1], {0: 1, 1: 1})),
        lambda: ArrayDataSource([np.arange(4)], repeats=2),
    ],
    ids=["mixture", "weights", "class counts", "repeats"],
)
def test_a_member_gives_each_sample_once(member):
    """Its sampler would have no say, and samples would be lost."""
    with pytest.raises(TypeError, match=r"datasets\[1\] should give each of its samples once, but its sampler is"):
        ConcatDataSource([[np.arange(3)], member()])


class FromTheEnd(AbstractSampler):
    """A sampler of the user's, with the methods that `AbstractSampler` asks for."""

    def __init__(self, n, twice=False, has_order=True):
        self.n, self.twice, self.has_order = n, twice, has_order

    def num_indices_generated(self):
        return self.n

    def in_order_indices_batch_iterator(self, batch_size):
        if not self.has_order:
            return super().in_order_indices_batch_iterator(batch_size)
        return self._cut(np.arange(self.n)[::-1] // (1 + self.twice), batch_size)

    def shuffled_indices_batch_iterator(self, batch_size, shuffle_rng):
        yield from self._cut(shuffle_rng.permutation(self.n), batch_size)

    def _cut(self, order, batch_size):
        return iter([order[i : i + batch_size] for i in range(0, len(order), batch_size)])


@pytest.mark.parametrize(
    ("member", "expected"),
    [
        (lambda: ArrayDataSource([np.arange(14, 10, -1)], sampler=FromTheEnd(4)), [11, 12, 13, 14]),
        (lambda: ArrayDataSource([np.arange(20)], indices=[4, 8, 6], sampler=FromTheEnd(3)), [6, 8, 4]),
        (lambda: ArrayDataSource([np.arange(4)], sampler=FromTheEnd(4)).map(lambda x: (x + 5,)), [8, 7, 6, 5]),
        (lambda: ConcatDataSource([[np.arange(2)], [np.arange(7, 9)]], sampler=FromTheEnd(3)), [7, 1, 0]),
        (lambda: ArrayDataSource([np.zeros(0, int)], sampler=FromTheEnd(0)), []),
    ],
    ids=["whole", "subset", "map", "concat", "empty"],
)
def test_a_member_may_have_a_sampler_of_ones_own(member, expected):
    """If it gives each of its samples once. They come in its order, or shuffled with those of the others, each once."""
    ds = ConcatDataSource([[np.arange(3)], member()])
    shuffled = [i for (x,) in Loader(ds, 2, shuffle=7) for i in x.tolist()]

    assert [0, 1, 2, *expected] == [i for (x,) in ds.batch_iterator(2) for i in x.tolist()]
    assert sorted([0, 1, 2, *expected]) == sorted(shuffled)
    assert shuffled == [i for (x,) in Loader(ds, 2, shuffle=7, pool=2) for i in x.tolist()]
    assert expected == [int(ds.samples_by_indices(3 + i)[0]) for i in range(len(expected))]


@pytest.mark.parametrize("sampler", [FromTheEnd(4, twice=True), FromTheEnd(4, has_order=False)])
def test_a_sampler_of_ones_own_that_repeats_samples_or_has_no_order_is_refused(sampler):
    """It could not have its say."""
    with pytest.raises(TypeError, match=r"datasets\[0\] should give each of its samples once, but its sampler is"):
        ConcatDataSource([ArrayDataSource([np.arange(4)], sampler=sampler)])
