"""Plans know what the loader asks about them, also through wrappers and subclasses of a user's own."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from batchup import (
    AbstractDataSource,
    ArrayDataSource,
    ChoiceDataSource,
    CompositeDataSource,
    Loader,
    MapDataSource,
    RandomAccessDataSource,
)
from batchup.data_source import IndexPlan, Plan
from batchup.sampling import StandardSampler
from batchup.testing import RandomAccessSourceContract, WrapperContract, plain


class Bare(AbstractDataSource):
    """A wrapper that forwards what was public before there were plans."""

    def __init__(self, source):
        self.inner = source

    @property
    def is_random_access(self):
        return self.inner.is_random_access

    def num_samples(self, **kwargs):
        return self.inner.num_samples(**kwargs)

    def batch_indices_iterator(self, batch_size, shuffle=None, **kwargs):
        given = kwargs if shuffle is None else {**kwargs, "shuffle": shuffle}
        return self.inner.batch_indices_iterator(batch_size, **given)

    def samples_by_indices(self, indices):
        return self.inner.samples_by_indices(indices)

    def samples_by_indices_nomapping(self, indices):
        return self.inner.samples_by_indices_nomapping(indices)


class Logged(Bare):
    """And one that forwards its plan, too."""

    def plan(self, batch_size, **kwargs):
        return self.inner.plan(batch_size, **kwargs)


def arrays(n=10, start=0, **kwargs):
    return ArrayDataSource([np.arange(start, start + n)], **kwargs)


def unequal():
    return CompositeDataSource([arrays(8), arrays(30, 50)], batch_sizes=(1, 3))


def with_noise(x, rng):
    return (x + rng.random(len(x)),)


class TestLogged(WrapperContract):
    def wrap(self, source):
        return Logged(source)


class TestMapped(WrapperContract):
    def wrap(self, source):
        return source.map(lambda *batch: batch if not isinstance(batch[0], dict) else batch[0])


class TestLoggedSource(RandomAccessSourceContract):
    def make(self):
        return Logged(arrays())


class TestBareSource(RandomAccessSourceContract):
    def make(self):
        return Bare(arrays())


@pytest.mark.parametrize("last", ["drop", "pad", "wrap"])
@pytest.mark.parametrize("wrap", [Bare, lambda ds: CompositeDataSource([Bare(ds), arrays()], trim=False)])
def test_what_a_made_plan_cannot_know_is_refused(wrap, last):
    """At once, with the name of the class and the method to add."""
    ds = wrap(unequal())

    with pytest.raises(TypeError, match=rf'last="{last}" needs .* Bare has no method plan\(\).*def plan'):
        Loader(ds, 4, last=last)


def test_a_made_plan_has_no_state():
    """What another epoch would depend on is not known: the state of one subset could go into another."""
    loader = Loader(Bare(arrays(indices=[1, 2])), 2, shuffle=7)
    batches = Bare(arrays()).batch_iterator(2, shuffle=7)

    for made in (loader, batches):
        with pytest.raises(TypeError, match=r"a state needs .* Bare has no method plan\(\)"):
            made.state_dict()


def test_a_made_plan_has_no_len():
    """A guess by the number of samples was wrong over a choice."""
    loader = Loader(Bare(ChoiceDataSource([arrays(11), arrays(6)], stratified=True)), 4)

    with pytest.raises(TypeError, match="no len"):
        len(loader)


@pytest.mark.parametrize("shuffle", [None, 7])
@pytest.mark.parametrize("shard", [None, (0, 2), (1, 2)])
def test_a_made_plan_gives_the_same_batches(shuffle, shard):
    """All else works without a plan, also on several ranks."""
    bare, wrapped = (Loader(ds, 4, shuffle=shuffle, shard=shard) for ds in (unequal(), Bare(unequal())))

    assert list(map(plain, bare)) == list(map(plain, wrapped))


class EverySecond(ArrayDataSource):
    """A subclass whose plan is in its `batch_indices_iterator`, as programs for batchup 0.2 have it."""

    def batch_indices_iterator(self, batch_size, shuffle=None, **kwargs):
        given = {} if shuffle is None else {"shuffle": shuffle}
        return itertools.islice(super().batch_indices_iterator(batch_size, **given), 0, None, 2)


class EverySecondMapped(MapDataSource):
    def batch_indices_iterator(self, batch_size, shuffle=None, **kwargs):
        given = {} if shuffle is None else {"shuffle": shuffle}
        return itertools.islice(super().batch_indices_iterator(batch_size, **given), 0, None, 2)


@pytest.mark.parametrize("make", [lambda: EverySecond([np.arange(10)]), lambda: EverySecondMapped(arrays(), tuple_of)])
def test_an_overridden_batch_indices_iterator_is_the_plan(make):
    """Alone, in a loader, in a composite and in a choice."""
    expected = [[0, 1], [4, 5], [8, 9]]
    ds = make()

    assert expected == [x.tolist() for (x,) in ds.batch_iterator(2)]
    assert expected == [x.tolist() for (x,) in Loader(ds, 2)]
    assert expected == [x.tolist() for x, _ in CompositeDataSource([make(), arrays()]).batch_iterator(2)]
    assert expected == [x.tolist() for (x,) in ChoiceDataSource([make()]).batch_iterator(2)]
    with pytest.raises(TypeError, match="has no method plan"):
        Loader(ds, 2, last="drop")


def tuple_of(*batch):
    return batch


class Backwards(RandomAccessDataSource):
    """A source with a plan of its own, which `batch_indices_iterator` follows."""

    def plan(self, batch_size, **kwargs):
        return IndexPlan(_FromTheEnd(self.length), batch_size, "Backwards")

    def samples_by_indices_nomapping(self, indices):
        return (indices,)


class _FromTheEnd(StandardSampler):
    def in_order_indices_batch_iterator(self, batch_size):
        return (self.length - 1 - pick for pick in super().in_order_indices_batch_iterator(batch_size))


class TestBackwards(RandomAccessSourceContract):
    def make(self):
        return Backwards(10)


def test_an_overridden_plan_is_followed_everywhere():
    """By `batch_indices_iterator`, `batch_iterator` and a loader, with its states."""
    ds = Backwards(5)
    loader = Loader(ds, 2, last="drop")

    expected = [[4, 3], [2, 1], [0]]
    assert expected == [pick.tolist() for pick in ds.batch_indices_iterator(2)]
    assert expected == [x.tolist() for (x,) in ds.batch_iterator(2)]
    assert (expected[:2], 2) == ([x.tolist() for (x,) in loader], len(loader))
    assert loader.state_dict()["plan"] != Loader(RandomAccessDataSource(5), 2).state_dict()["plan"]


class Doubled(MapDataSource):
    """A subclass with a fetch of its own."""

    def samples_by_indices_nomapping(self, indices):
        return tuple(part * 2 for part in super().samples_by_indices_nomapping(indices))


def test_an_overridden_fetch_is_what_a_loader_fetches_by():
    """And it is one stage, named for the class."""
    loader = Loader(Doubled(arrays(4), tuple_of), 2)

    assert [[0, 2], [4, 6]] == [x.tolist() for (x,) in loader]
    assert ["the fetch of Doubled"] == [stage.name for stage in loader.stats().stages]


def test_a_composite_refuses_to_trim_unequal_parts_behind_a_wrapper():
    """A wrapper does not have to say that its parts differ in length: its plan does."""
    ds = CompositeDataSource([Logged(unequal()), arrays()])

    with pytest.raises(ValueError, match="trim should be False"):
        Loader(ds, 4)


def test_same_named_transforms_around_a_wrapper_differ():
    """A transform behind a wrapper counts: two of one name do not draw the same numbers."""
    once = arrays(4).random_map(with_noise)
    expected, twice = once.random_map(with_noise), Logged(once).random_map(with_noise)

    assert [plain(b) for b in expected.batch_iterator(2, shuffle=7)] == [
        plain(b) for b in twice.batch_iterator(2, shuffle=7)
    ]


def test_a_plan_is_asked_for_by_keyword():
    """What a source does not take is refused by its plan as well."""
    with pytest.raises(TypeError, match="shufle"):
        arrays().plan(2, shufle=True)


def test_plans_are_abstract():
    """A plan of one's own says all that a loader asks."""
    with pytest.raises(TypeError, match="abstract"):
        Plan()
