"""Subclasses that did not call ``super().__init__``."""

from __future__ import annotations

import copy
import dataclasses
import pickle

import numpy as np
import pytest

from batchup import (
    AbstractDataSource,
    ArrayDataSource,
    CompositeDataSource,
    Loader,
    MapDataSource,
    RandomAccessDataSource,
    WorkerThreadPool,
    batch_iter,
    flow,
    sampling,
    storage,
)
from batchup.data_source import IndexPlan, ParallelItems
from batchup.engine.initialised import Initialised, is_of_batchup, why_missing
from batchup.flow.extras.samplers import NumpySampler
from batchup.interop.prefetch import Prefetched


def without_super(base):
    """A subclass of `base` whose ``__init__`` does not call that of `base`."""

    def __init__(self):
        self.own = 1

    return type("Mine", (base,), {"__init__": __init__, "__module__": __name__})


class Counted(RandomAccessDataSource):
    def __init__(self, n):
        self.n = n

    def samples_by_indices_nomapping(self, indices):
        return (indices,)


HALF_MADE = [
    (RandomAccessDataSource, lambda ds: Loader(ds, 2), "sampler", "length"),
    (RandomAccessDataSource, lambda ds: ds.num_samples(), "sampler", "length"),
    (ArrayDataSource, lambda ds: list(ds.batch_iterator(2)), "sampler", "data"),
    (ArrayDataSource, lambda ds: ds.samples_by_indices_nomapping(np.arange(2)), "data", "data"),
    (MapDataSource, lambda ds: Loader(ds, 2), "source", "source, fn"),
    (CompositeDataSource, lambda ds: ds.num_samples(), "datasets", "datasets"),
    (sampling.StandardSampler, lambda it: ArrayDataSource([np.arange(3)], sampler=it), "length", "length"),
    (sampling.WeightedSampler, lambda it: it.num_indices_generated(), "num_samples", "weights"),
    (IndexPlan, lambda plan: list(plan.picks()), "sampler", "sampler, batch_size, …"),
    (ParallelItems, lambda items: ArrayDataSource([items]), "items", "items, workers"),
    (storage.HDF5Array, lambda array: ArrayDataSource([array]), "_opened", "path, name"),
    (WorkerThreadPool, lambda pool: Loader([np.arange(3)], 2, pool=pool), "_engine", ""),
    (WorkerThreadPool, lambda pool: pool.close(), "_engine", ""),
    (Loader, iter, "_run", "source, batch_size"),
    (Prefetched, iter, "_steps", "loader, put"),
    (batch_iter.Infinite, lambda pipe: pipe(), "_lock", "source, …, batch_size=…, batches_per_epoch=…"),
    (flow.Dataset, lambda dataset: dataset.next_batch(2), "index", "index"),
    (flow.DatasetIndex, lambda index: len(index), "_indices", "…"),
    (NumpySampler, lambda it: it.sample(2), "rng", "name"),
]


@pytest.mark.parametrize(
    ("base", "use", "name", "arguments"), HALF_MADE, ids=[f"{each[0].__name__}-{i}" for i, each in enumerate(HALF_MADE)]
)
def test_a_subclass_that_did_not_call_super_is_told_so(base, use, name, arguments):
    """With the class, and what to call."""
    with pytest.raises(AttributeError) as caught:
        use(without_super(base)())

    call = f"super().__init__({arguments})"
    assert f"Mine has no attribute '{name}': Mine.__init__ should call {call}, which sets it" == str(caught.value)


def test_a_batch_of_flow_that_did_not_call_super_is_told_so():
    """It finds its components by attributes."""
    with pytest.raises(AttributeError, match=r"a Mine has no attribute '.*': Mine.__init__ should call super"):
        len(without_super(flow.Batch)())


def test_the_class_that_forgot_it_is_named():
    """Not one that is derived from it, and called its own base."""

    class Derived(Counted):
        def __init__(self, n):
            super().__init__(n)

    class Forgetting(ArrayDataSource):
        def __init__(self, data):
            super().__init__(data)

    class Twice(Forgetting):
        def __init__(self):
            pass

    with pytest.raises(AttributeError, match=r"Derived has no attribute 'sampler': Counted.__init__ .*\(length\)"):
        Derived(3).num_samples()
    with pytest.raises(AttributeError, match=r"Twice has no attribute 'sampler': Twice.__init__ .*\(data\)"):
        Twice().num_samples()


def test_a_dataclass_has_an_init_of_its_own():
    """Its own code goes into another method."""

    @dataclasses.dataclass
    class Squares(RandomAccessDataSource):
        n: int

    with pytest.raises(AttributeError, match=r"Squares.__post_init__ should call super\(\).__init__\(length\)"):
        Squares(3).num_samples()


def test_other_attributes_that_are_missing_are_as_ever():
    """Also where `hasattr` asks, in a property, and for an object that was made; copies and pickles are as ever."""

    class Wrapping(AbstractDataSource):
        def __init__(self, source):
            self.source = source

        @property
        def traits(self):
            return self.source.no_traits

    class Whole(Counted):
        def __init__(self, n):
            RandomAccessDataSource.__init__(self, n)

    whole, half = Whole(3), Counted(3)

    with pytest.raises(AttributeError, match="'ArrayDataSource' object has no attribute 'no_traits'"):
        Wrapping(ArrayDataSource([np.arange(3)])).traits  # noqa: B018
    with pytest.raises(AttributeError, match="'Whole' object has no attribute 'sam_ple'"):
        whole.sam_ple  # noqa: B018
    assert (False, False, False) == tuple(hasattr(whole, name) for name in ("source", "__array__", "_engine"))
    assert (False, True) == (hasattr(half, "sampler"), hasattr(half, "n"))
    assert [3, 3] == [each.num_samples() for each in (copy.copy(whole), copy.deepcopy(whole))]
    assert 3 == pickle.loads(pickle.dumps(half)).n


def test_a_getattr_of_ones_own_stays():
    """A wrapper may forward what it lacks."""

    class Forwarding(AbstractDataSource):
        def __init__(self, source):
            self.inner = source

        def __getattr__(self, name):
            return getattr(self.inner, name)

    class Derived(Forwarding):
        pass

    assert 3 == Derived(ArrayDataSource([np.arange(3)])).length


def test_classes_of_batchup_are_as_fast_as_ever():
    """They have no ``__getattr__``, which would make each attribute of an object take longer to read."""
    ours = [RandomAccessDataSource, ArrayDataSource, Loader, WorkerThreadPool, sampling.StandardSampler, Initialised]

    assert [] == [kind for kind in ours if hasattr(kind, "__getattr__")]
    assert ("", "") == (why_missing(ArrayDataSource, "sampler"), why_missing(Counted, "__array__"))
    assert (True, False) == (is_of_batchup(ArrayDataSource), is_of_batchup(Counted))
