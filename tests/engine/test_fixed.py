"""Attributes that can be read, but not set after an object was made."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest

from batchup import ArrayDataSource, ChoiceDataSource, CompositeDataSource, Loader
from batchup.batch_iter import Infinite, sample
from batchup.data_source import ConcatDataSource, ParallelItems, RandomAccessDataSource
from batchup.engine.fixed import Fixed, read_only
from batchup.sampling import (
    BlockSampler,
    BucketSampler,
    ClassCountSampler,
    LazyShuffleSampler,
    MixtureSampler,
    StandardSampler,
    SubsetSampler,
    WeightedSampler,
    WeightedSubsetSampler,
)

X = np.arange(4)


def arrays():
    return ArrayDataSource([X])


def halved(x, rng=None):
    return (x / 2,)


MADE = [
    arrays(),
    ArrayDataSource([X], indices=[3, 1], sampler=WeightedSampler([1, 2])),
    ArrayDataSource({"x": X}, include_indices=True),
    arrays().map(halved),
    arrays().random_map(halved, seed=3),
    CompositeDataSource([arrays(), arrays()]),
    ChoiceDataSource([arrays(), arrays()], weights=[1, 2]),
    ConcatDataSource([arrays(), arrays()]),
    StandardSampler(4),
    SubsetSampler([3, 1]),
    LazyShuffleSampler(4, indices=[3, 1]),
    WeightedSampler([1, 2, 3, 4]),
    WeightedSubsetSampler([1, 2], [3, 1]),
    ArrayDataSource([X], indices=[3, 1], sampler=WeightedSampler([1, 2])).sampler,
    BucketSampler([3, 1, 2, 4]),
    ClassCountSampler([0, 0, 1, 1], {0: 1, 1: 1}),
    BlockSampler(4, block=2, window=2),
    MixtureSampler([6, 2], [0.5, 0.5]),
    ParallelItems(X, workers=1),
    sample(X, weights=[1, 2, 3, 4], random_state=7),
]
NAMES = [(made, name) for made in MADE for name in type(made)._fixed]


@pytest.mark.parametrize(("made", "name"), NAMES, ids=[f"{type(made).__name__}.{name}" for made, name in NAMES])
def test_attributes_are_there_to_read(made, name):
    """To set them raises an error that says what to do; so it does for copies, and for what was pickled."""
    copies = [made, copy.copy(made), copy.deepcopy(made), pickle.loads(pickle.dumps(made))]

    for each in copies:
        with pytest.raises(AttributeError, match=f"^{name} of an? {type(made).__name__} cannot be set.*: make a new "):
            setattr(each, name, getattr(each, name))


@pytest.mark.parametrize(("made", "name"), NAMES, ids=[f"{type(made).__name__}.{name}" for made, name in NAMES])
def test_what_they_hold_cannot_be_written_to(made, name):
    """Nor in copies. Arrays and lists are those that the object was made with; the data itself may be written to."""
    for each in (made, copy.copy(made), copy.deepcopy(made), pickle.loads(pickle.dumps(made))):
        value = getattr(each, name)

        assert not isinstance(value, list)
        assert not isinstance(value, np.ndarray) or not value.flags.writeable or name in ("items", "sequence")


@pytest.mark.parametrize(
    ("name", "instead"),
    [
        ("batch_size", "set_batch_size changes it from the next epoch on"),
        ("source", "make a new Loader"),
        ("shuffle", "make a new Loader"),
        ("pool", "make a new Loader"),
        ("max_skipped", "make a new Loader"),
        ("epoch", "load_state_dict moves to another position"),
        ("step", "load_state_dict moves to another position"),
        ("skipped", "load_state_dict goes back to what was left out until then"),
    ],
)
def test_arguments_of_a_loader_cannot_be_set(name, instead):
    """Not those that cannot be read, either. The batches and the state stay what they were."""
    loader, same = Loader(arrays(), 2), Loader(arrays(), 2)
    with pytest.raises(AttributeError, match=f"^{name} of a Loader cannot be set.*: {instead}$"):
        setattr(loader, name, 3)

    assert same.state_dict() == loader.state_dict()
    assert [x.tolist() for (x,) in same] == [x.tolist() for (x,) in loader]


def test_arguments_of_a_pipe_cannot_be_set():
    """Its state would have another seed than its run."""
    pipe = Infinite(sample(X), batch_size=2, batches_per_epoch=2, seed=7)
    for name in ("seed", "batches_per_epoch", "batch_size"):
        with pytest.raises(AttributeError, match=f"^{name} of an Infinite cannot be set"):
            setattr(pipe, name, 3)

    assert 7 == pipe.state_dict()["entropy"]


def test_what_a_caller_holds_can_be_written_to():
    """Samplers have copies; the arrays of a source are the caller's own."""
    weights, indices, x = np.array([1.0, 2.0]), np.array([1, 0]), np.arange(2)
    WeightedSubsetSampler(weights, indices)
    ds = ArrayDataSource([x])
    weights[0], indices[0], x[0] = 5, 0, 9

    assert [9, 1] == next(ds.batch_iterator(2))[0].tolist()


def test_a_class_of_a_user_may_set_them_before():
    """As one for batchup 0.2 that has them first; all other attributes are its own."""

    class Squares(RandomAccessDataSource):
        def __init__(self, n):
            self.length = n
            super().__init__(n)
            self.calls = 0

        def samples_by_indices_nomapping(self, indices):
            self.calls += 1
            return (indices**2,)

    ds = Squares(3)

    assert ([0, 1, 4], 1) == (next(ds.batch_iterator(3))[0].tolist(), ds.calls)


def test_parts_of_a_source_are_fixed_as_well():
    """Of arrays, maps and composites; the source stays whole."""
    for source in (arrays(), arrays().map(halved), CompositeDataSource([arrays(), arrays()])):
        part = source.subset([2, 1])

        assert (2, 4) == (part.num_samples(), source.num_samples())
        for name in type(part)._fixed:
            with pytest.raises(AttributeError, match="cannot be set"):
                setattr(part, name, None)


def test_attributes_that_are_not_fixed_can_be_set():
    """Also those that a derived class adds."""

    class Named(Fixed):
        _fixed = {"name": "keep it"}

        def __init__(self):
            self.name = "a"
            self._fix(kind="b")

    named = Named()
    named.note = "c"

    assert ("a", "b", "c") == (named.name, named.kind, named.note)


def test_a_view_that_is_read_only_leaves_the_array_alone():
    """It may be the caller's."""
    array = np.arange(3)

    assert (False, True) == (read_only(array).flags.writeable, array.flags.writeable)
