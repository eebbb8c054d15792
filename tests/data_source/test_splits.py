"""Parts of sources: subsets, and splits whose parts share no sample, by class and by group."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchup import ArrayDataSource, ChoiceDataSource, CompositeDataSource, IteratorDataSource, Loader, WeightedSampler
from batchup.testing import RandomAccessSourceContract


def arrays(n=10, **kwargs):
    return ArrayDataSource([np.arange(n)], **kwargs)


def twice(x):
    return x, x


def with_noise(x, y, rng):
    return x, rng.random(len(x))


def samples(source):
    return [i for (x, *_) in source.batch_iterator(4) for i in x.tolist()]


class TestSubset(RandomAccessSourceContract):
    def make(self):
        return arrays(repeats=3).map(twice).subset([7, 2, 3])


class TestPartOfAComposite(RandomAccessSourceContract):
    def make(self):
        both = CompositeDataSource([arrays(), ArrayDataSource([np.arange(30) / 2])])
        return both.random_map(with_noise, seed=2).take(7)


def test_parts_of_parts():
    """Positions are those in the part."""
    part = arrays(indices=[5, 6, 7, 8]).subset([3, 1, 0])

    assert ([8, 6, 5], [6, 8]) == (samples(part), samples(part.subset([1, 0])))
    assert ([8, 6], [6]) == (samples(part.take(2)), samples(part.where(np.array([False, True, False]))))
    assert [8, 6, 5] == samples(part.take(100))


def test_the_source_stays_as_it_was():
    """A part is a new source over the same data."""
    ds = arrays().map(lambda x: (x,))
    part = ds.take(3)

    assert (10, 3) == (ds.num_samples(), part.num_samples())
    assert ds.source.data[0] is part.source.data[0]


@given(st.integers(1, 60), st.lists(st.integers(1, 9), min_size=1, max_size=4), st.integers(0, 99))
def test_a_split_has_exact_counts_and_no_sample_twice(n, weights, seed):
    """Sizes differ from the shares by less than one sample, and sum to all."""
    shares = {str(i): w / sum(weights) for i, w in enumerate(weights)}
    if min(shares.values()) * n < 1:
        return  # a part may be empty, and is refused

    parts = arrays(n).split(shares, seed=seed)
    assert list(range(n)) == sorted(i for part in parts.values() for i in samples(part))
    assert all(abs(part.num_samples() - shares[name] * n) < 1 for name, part in parts.items())


def test_a_split_follows_from_the_seed():
    """Equal seeds give equal parts, others other ones; without it, seed 0."""
    parts = [samples(arrays(50).split({"a": 0.5}, **given)["a"]) for given in ({}, {"seed": 0}, {"seed": 1})]

    assert parts[0] == parts[1] != parts[2]


def test_numbers_of_samples():
    """Ints are counts; they may leave samples out."""
    parts = arrays(10).split({"train": 5, "val": 2})

    assert {"train": 5, "val": 2} == {name: part.num_samples() for name, part in parts.items()}
    assert not set(samples(parts["train"])) & set(samples(parts["val"]))


@given(st.lists(st.sampled_from("abc"), min_size=12, max_size=90), st.integers(0, 99))
def test_stratified_parts_have_their_share_of_each_class(labels, seed):
    """Each class is in each part in proportion, but for rounding; the sizes stay right."""
    y = np.array(labels)
    parts = arrays(len(y)).split({"train": 0.75, "val": 0.25}, stratify=y, seed=seed)

    assert list(range(len(y))) == sorted(i for part in parts.values() for i in samples(part))
    assert abs(parts["val"].num_samples() - len(y) / 4) <= 1
    for each in set(labels):
        found = int((y[samples(parts["val"])] == each).sum())
        assert abs(found - (y == each).sum() / 4) < 2


def test_groups_stay_together():
    """No patient is in two parts; sizes and classes are near to what they should be."""
    rng = np.random.default_rng(0)
    patients = rng.integers(0, 80, 1000)
    y = (rng.random(80) < 0.3)[patients].astype(int)
    parts = arrays(1000).split({"train": 0.6, "val": 0.2, "test": 0.2}, groups=patients, stratify=y)
    groups = [set(patients[samples(part)].tolist()) for part in parts.values()]

    assert 80 == len(groups[0] | groups[1] | groups[2]) == sum(map(len, groups))
    assert [600, 200, 200] == pytest.approx([part.num_samples() for part in parts.values()], abs=25)
    assert [y.mean()] * 3 == pytest.approx([y[samples(part)].mean() for part in parts.values()], abs=0.06)


def test_groups_may_be_left_out():
    """Shares that sum to less than 1 leave whole groups out."""
    parts = arrays(100).split({"a": 0.3, "b": 0.3}, groups=np.arange(100) // 5)

    assert [30, 30] == [part.num_samples() for part in parts.values()]


def test_splitters_of_scikit_learn():
    """A pair of sources for each split."""
    model_selection = pytest.importorskip("sklearn.model_selection")
    y, groups = np.arange(40) % 2, np.arange(40) // 4
    folds = arrays(40).split(model_selection.StratifiedGroupKFold(5), stratify=y, groups=groups)

    assert 5 == len(folds)
    assert list(range(40)) == sorted(i for fold in folds for i in samples(fold["test"]))
    assert all(not set(groups[samples(f["train"])]) & set(groups[samples(f["test"])]) for f in folds)


def test_a_random_transform_belongs_to_the_part():
    """A part that is transformed leaves the others as they are; a run over it resumes."""
    parts = arrays(20).split({"train": 0.5, "val": 0.5})
    train = parts["train"].random_map(lambda x, rng: (x, rng.random(len(x))))
    loader, again = Loader(train, 4, shuffle=7), Loader(train, 4, shuffle=7)
    batches = iter(loader)
    next(batches)
    again.load_state_dict(loader.state_dict())

    assert repr(list(batches)) == repr(list(again))
    assert 1 == len(next(parts["val"].batch_iterator(4)))


@pytest.mark.parametrize(
    ("make", "error", "said"),
    [
        (lambda: arrays().subset([10]), IndexError, "below 10"),
        (lambda: arrays().where([1, 0]), ValueError, "1-D array with a bool for each of the 10 samples"),
        (lambda: arrays().where([True]), ValueError, r"not an array of bool of shape \(1,\)"),
        (lambda: arrays().take(-1), ValueError, "n should be"),
        (lambda: arrays(sampler=WeightedSampler(np.ones(10))).take(1), TypeError, "here is a WeightedSampler; make"),
        (lambda: ChoiceDataSource([arrays()]).take(1), TypeError, "not of a ChoiceDataSource"),
        (lambda: IteratorDataSource(iter([])).take(1), TypeError, "fetch by index, not of an IteratorDataSource"),
        (lambda: arrays().split({"a": 0.8, "b": 0.3}), ValueError, "sum to at most 1, not to 1.1"),
        (lambda: arrays().split({"a": 8, "b": 3}), ValueError, "at most the 10 samples that there are, not 11"),
        (lambda: arrays().split({"a": 0.99, "b": 0.01}), ValueError, "part 'b' of 0.1 has none"),
        (lambda: arrays().split({"a": 0}), ValueError, "part 'a' is 0"),
        (lambda: arrays().split([0.8, 0.2]), TypeError, 'a dict such as {"train": 0.8'),
        (lambda: arrays().split({"a": 0.5}, stratify=[1]), ValueError, "stratify .* 1 entries, 10 samples"),
        (lambda: arrays().split({"a": 0.5}, groups=[1]), ValueError, "groups .* 1 entries, 10 samples"),
        (lambda: arrays(3).split({"a": 0.5, "b": 0.5}, groups=[1, 1, 1]), ValueError, "has none"),
    ],
)
def test_what_cannot_be_is_refused(make, error, said):
    """Errors say which part, and how many samples there are."""
    with pytest.raises(error, match=said):
        make()
