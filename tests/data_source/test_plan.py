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
)
from batchup.data_source import IndexPlan, Plan
from batchup.sampling import AbstractSampler, StandardSampler
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


class LoggedEverySecond(Logged):
    """A wrapper with a plan, and a subclass that overrides the other method, with ``super()``."""

    def batch_indices_iterator(self, batch_size, shuffle=None, **kwargs):
        return itertools.islice(super().batch_indices_iterator(batch_size, shuffle, **kwargs), 0, None, 2)


class Planned(AbstractDataSource):
    """A source whose only order is its plan."""

    @property
    def is_random_access(self):
        return True

    def num_samples(self, **kwargs):
        return 10

    def plan(self, batch_size, **kwargs):
        return IndexPlan(StandardSampler(10), batch_size)

    def samples_by_indices_nomapping(self, indices):
        return (indices,)


class PlannedEverySecond(Planned):
    def batch_indices_iterator(self, batch_size, shuffle=None, **kwargs):
        return itertools.islice(super().batch_indices_iterator(batch_size, shuffle, **kwargs), 0, None, 2)


class PlannedAgain(PlannedEverySecond):
    def plan(self, batch_size, **kwargs):
        return super().plan(batch_size, **kwargs)


@pytest.mark.parametrize("make", [lambda: LoggedEverySecond(arrays()), PlannedEverySecond, PlannedAgain])
def test_super_in_one_method_leads_to_the_other_one_of_the_base(make):
    """A class may override either, and call what it overrides."""
    expected = [[0, 1], [4, 5], [8, 9]]
    ds = make()

    assert expected == [pick.tolist() for pick in ds.batch_indices_iterator(2)]
    assert expected == [pick.tolist() for pick in ds.plan(2).picks()]
    assert expected == [x.tolist() for (x,) in Loader(ds, 2)]


class Uneven(AbstractSampler):
    """A sampler of a user whose batches differ in size; without the methods that say how."""

    def num_indices_generated(self):
        return 10

    def in_order_indices_batch_iterator(self, batch_size):
        return iter([np.arange(2), np.arange(2, 6), np.arange(6, 10)])

    def shuffled_indices_batch_iterator(self, batch_size, shuffle_rng):
        return self.in_order_indices_batch_iterator(batch_size)


class SaysHow(Uneven):
    has_own_sizes = True

    def num_batches(self, batch_size, full=False):
        return 2 if full else 3

    def full_size(self, indices, batch_size):
        return 4


@pytest.mark.parametrize("shuffle", [None, 7])
@pytest.mark.parametrize(
    "wrapped", [lambda ds: ds, lambda ds: CompositeDataSource([ds, ds]), lambda ds: ds.map(tuple_of)]
)
def test_a_loader_refuses_a_sampler_that_does_not_say_how_long_its_batches_are(wrapped, shuffle):
    """Its length would be wrong, and its states would not be found again. It says what to add."""
    ds = wrapped(ArrayDataSource([np.arange(10)], sampler=Uneven()))
    loop = iter(Loader(ds, 4, shuffle=shuffle))
    next(loop)

    with pytest.raises(
        ValueError, match="Uneven should give batches of 4 indices .*, not of 2; .* has_own_sizes = True"
    ):
        next(loop)


def tuple_of(*batch):
    return batch


def test_a_sampler_that_says_how_long_its_batches_are_is_fine():
    """And one that does not works without a loader, as in batchup 0.2."""
    loader = Loader(ArrayDataSource([np.arange(10)], sampler=SaysHow()), 4)

    assert (3, [2, 4, 4]) == (len(loader), [len(x) for (x,) in loader])
    assert 3 == len(list(ArrayDataSource([np.arange(10)], sampler=Uneven()).batch_iterator(4)))
