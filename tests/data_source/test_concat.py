"""Several sources as one: the contract, and batches across the joint."""

import numpy as np
import pytest

from batchup import ArrayDataSource, ClassCountSampler, ConcatDataSource, Loader, WeightedSampler
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
