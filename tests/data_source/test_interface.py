"""Methods of a source that say the same: a class may override either."""

from __future__ import annotations

import collections
import inspect
import itertools

import numpy as np
import pytest

from batchup import (
    AbstractDataSource,
    ArrayDataSource,
    CallableDataSource,
    ChoiceDataSource,
    CompositeDataSource,
    Loader,
    MapDataSource,
    RandomAccessDataSource,
)
from batchup.data_source import ConcatDataSource, IndexPlan, functions
from batchup.data_source.interface import plan_of, with_shuffle
from batchup.sampling import StandardSampler
from batchup.testing import RandomAccessSourceContract
from batchup.work_pool import WorkerThreadPool


def arrays(n=10, start=0, **kwargs):
    return ArrayDataSource([np.arange(start, start + n)], **kwargs)


class EverySecond(ArrayDataSource):
    """A subclass whose plan is in its `batch_indices_iterator`, as programs for batchup 0.2 have it."""

    def batch_indices_iterator(self, batch_size, shuffle=None, **kwargs):
        given = {} if shuffle is None else {"shuffle": shuffle}
        return itertools.islice(super().batch_indices_iterator(batch_size, **given), 0, None, 2)


class EverySecondMapped(MapDataSource):
    def batch_indices_iterator(self, batch_size, shuffle=None, **kwargs):
        given = {} if shuffle is None else {"shuffle": shuffle}
        return itertools.islice(super().batch_indices_iterator(batch_size, **given), 0, None, 2)


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


class Doubled(MapDataSource):
    """A subclass with a fetch of its own."""

    def samples_by_indices_nomapping(self, indices):
        return tuple(part * 2 for part in super().samples_by_indices_nomapping(indices))


class TestBackwards(RandomAccessSourceContract):
    def make(self):
        return Backwards(10)


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


def test_an_overridden_plan_is_followed_everywhere():
    """By `batch_indices_iterator`, `batch_iterator` and a loader, with its states."""
    ds = Backwards(5)
    loader = Loader(ds, 2, last="drop")

    expected = [[4, 3], [2, 1], [0]]
    assert expected == [pick.tolist() for pick in ds.batch_indices_iterator(2)]
    assert expected == [x.tolist() for (x,) in ds.batch_iterator(2)]
    assert (expected[:2], 2) == ([x.tolist() for (x,) in loader], len(loader))
    assert loader.state_dict()["plan"] != Loader(RandomAccessDataSource(5), 2).state_dict()["plan"]


def test_an_overridden_fetch_is_what_a_loader_fetches_by():
    """And it is one stage, named for the class."""
    loader = Loader(Doubled(arrays(4), tuple_of), 2)

    assert [[0, 2], [4, 6]] == [x.tolist() for (x,) in loader]
    assert ["the fetch of Doubled"] == [stage.name for stage in loader.stats().stages]


def test_an_abstract_source_says_what_it_lacks():
    """When a method is called, by the name of the class."""

    class Nothing(AbstractDataSource):
        pass

    ds = Nothing()
    for call in (
        ds.num_samples,
        lambda: ds.batch_iterator(2),
        lambda: ds.batch_indices_iterator(2),
        lambda: ds.samples_by_indices([0]),
        lambda: ds.samples_by_indices_nomapping([0]),
    ):
        with pytest.raises(NotImplementedError, match="Nothing"):
            call()


def test_shuffle_is_passed_on_only_if_there_is_one():
    """A function that does not accept it works in order."""
    assert {"a": 1} == with_shuffle(None, {"a": 1})
    assert {"a": 1, "shuffle": 7} == with_shuffle(7, {"a": 1})
    assert {"shuffle": False} == with_shuffle(False, {})


def test_an_object_with_the_older_methods_has_a_plan():
    """One that is no data source by its class."""

    class Older:
        is_random_access = True

        def batch_indices_iterator(self, batch_size, **kwargs):
            return iter([np.arange(batch_size)])

    assert [[0, 1, 2]] == [pick.tolist() for pick in plan_of(Older(), 3, {}).picks()]


class OwnLoop(ArrayDataSource):
    """A class of a user that changes batches where only its own loop gets them."""

    def batch_iterator(self, batch_size, shuffle=None, **kwargs):
        for (x,) in super().batch_iterator(batch_size, shuffle, **kwargs):
            yield (x * 2,)


class Whole(OwnLoop):
    """Another that also has its fetch."""

    def samples_by_indices_nomapping(self, indices):
        return tuple(x * 2 for x in super().samples_by_indices_nomapping(indices))


WITHOUT_ITS_LOOP = [
    (lambda ds, pool: Loader(ds, 2), "a Loader"),
    (lambda ds, pool: ds.map(lambda x: (x,)), "map"),
    (lambda ds, pool: ds.random_map(lambda x, rng: (x,)), "random_map"),
    (lambda ds, pool: CompositeDataSource([ds, ds]), "a source over several ones"),
    (lambda ds, pool: ChoiceDataSource([ds]), "a source over several ones"),
    (lambda ds, pool: ConcatDataSource([ds]), "a source over several ones"),
    (lambda ds, pool: pool.parallel_data_source(ds), "a pool"),
]


@pytest.mark.parametrize(("use", "what"), WITHOUT_ITS_LOOP, ids=[str(i) for i in range(len(WITHOUT_ITS_LOOP))])
def test_a_batch_iterator_that_is_not_called_is_warned_of(use, what):
    """With what is called instead, where it is passed on. A class that has the fetch as well is fine."""
    with WorkerThreadPool(1) as pool:
        with pytest.warns(
            UserWarning, match=f"^{what} does not call the batch_iterator of OwnLoop: .*nomapping"
        ) as caught:
            use(OwnLoop([np.arange(4)]), pool)
        use(Whole([np.arange(4)]), pool)

    assert {__file__} == {each.filename for each in caught}


def test_a_sequential_source_over_it_calls_it():
    """There, nothing is fetched by index."""
    sequential = CallableDataSource(lambda batch_size: iter([(np.arange(2),)]))

    assert [0, 2] == next(CompositeDataSource([OwnLoop([np.arange(4)]), sequential]).batch_iterator(2))[0].tolist()


class Fetching(RandomAccessDataSource):
    """A source of the user's, whose fetch gives what a function makes of the indices."""

    def __init__(self, made, n=6):
        self.made = made
        super().__init__(n)

    def samples_by_indices_nomapping(self, indices):
        return self.made(indices)


class FetchingInOneMethod(AbstractDataSource):
    """Another one, with the methods that a wrapper has."""

    is_random_access = True

    def num_samples(self, **kwargs):
        return 6

    def plan(self, batch_size, **kwargs):
        return IndexPlan(StandardSampler(6), batch_size)

    def samples_by_indices(self, indices):
        return indices * 1.0

    samples_by_indices_nomapping = samples_by_indices


WAYS_TO_FETCH = {
    "batch_iterator": lambda ds: list(ds.batch_iterator(2)),
    "by index": lambda ds: [ds.samples_by_indices(np.arange(2)), *list(ds.batch_iterator(2))[1:]],
    "map": lambda ds: [x for (x,) in ds.map(lambda x: (x,)).batch_iterator(2)],
    "random_map": lambda ds: [x for (x,) in ds.random_map(lambda x, rng: (x,), seed=1).batch_iterator(2)],
    "loader": lambda ds: list(Loader(ds, 2)),
    "pad": lambda ds: [x[:2] for x, _ in Loader(ds, 2, last="pad")],
    "threads": lambda ds: list(Loader(ds, 2, pool=1)),
    "composite": lambda ds: [x for x, _ in CompositeDataSource([ds, arrays()]).batch_iterator(2)],
    "choice": lambda ds: list(ChoiceDataSource([ds]).batch_iterator(2)),
    "concat": lambda ds: list(ConcatDataSource([ds]).batch_iterator(2)),
    "results": lambda ds: np.split(ds.batch_map_concat(lambda x: x, 2)[0], 3),
}


@pytest.mark.parametrize("use", WAYS_TO_FETCH.values(), ids=WAYS_TO_FETCH)
@pytest.mark.parametrize("make", [lambda: Fetching(lambda indices: indices), FetchingInOneMethod])
def test_a_fetch_that_returns_a_single_array_is_warned_of(monkeypatch, make, use):
    """Once for each class, with what to write: `for x, y in` would take rows for fields. Elsewhere it is one field."""
    monkeypatch.setattr(functions, "_warned", set())
    with pytest.warns(UserWarning, match=r"samples_by_indices.* of Fetching.* not a ndarray: .*\(array,\)") as caught:
        found = [use(make()) for _ in range(2)]

    assert [[[0, 1], [2, 3], [4, 5]]] * 2 == [[x.tolist() for x in batches] for batches in found]
    assert 1 == len(caught)


def test_a_fetch_without_a_return_is_refused():
    """With a guess why."""
    with pytest.raises(TypeError, match="of Fetching should return a batch, .*, not None; does it lack a return?"):
        next(Fetching(lambda indices: None).batch_iterator(2))


def test_a_fetch_may_return_a_list_of_arrays():
    """As batchup 0.2 has it: the batch is a tuple, of which all functions get the fields."""
    ds = Fetching(lambda indices: [indices, indices * 10], n=5)
    last = list(Loader(ds, 2, last="pad"))[-1]

    assert [([0, 1], [0, 10]), ([2, 3], [20, 30]), ([4], [40])] == [
        tuple(x.tolist() for x in batch) for batch in ds.batch_iterator(2)
    ]
    assert ([4, 4], [40, 40], [True, False]) == tuple(x.tolist() for x in last)
    assert [11, 55, 44] == [int(sum(z)) for (z,) in ds.map(lambda x, y: (x + y,)).batch_iterator(2)]
    assert (2.0, 20.0) == ds.batch_map_mean(lambda x, y: (x, y), 2, sum_axis=0)
    assert [2, 2, 2] == [len(x) for x in next(CompositeDataSource([ds, arrays()]).batch_iterator(2))]


class Named(collections.UserDict):
    """A mapping that is no dict."""


@pytest.mark.parametrize(
    "made",
    [
        lambda indices: (indices,),
        lambda indices: {"x": indices},
        lambda indices: Named(x=indices),
        lambda indices: ((indices, indices), {"x": indices}),
        lambda indices: (),
    ],
    ids=["tuple", "dict", "mapping", "nested", "empty"],
)
def test_other_batches_stay_as_they_are(made):
    """Tuples and mappings, nested ones too."""
    pick = np.arange(2)

    np.testing.assert_equal(Fetching(made).samples_by_indices_nomapping(pick), made(pick))
    assert type(made(pick)) is type(Fetching(made).samples_by_indices(pick))


def test_the_fetch_of_a_class_keeps_its_name_and_its_source():
    """For tracebacks, for debuggers, and for what is pickled."""
    fetch = Fetching.samples_by_indices_nomapping

    assert ("samples_by_indices_nomapping", "self.made(indices)") == (
        fetch.__name__,
        inspect.getsource(fetch).split("return ")[1].strip(),
    )


@pytest.mark.slow
@pytest.mark.timeout(60)
def test_a_fetch_of_a_class_in_a_function_is_checked_in_processes(two_processes):
    """There, too, a list becomes a tuple, and nothing is refused."""

    class Local(RandomAccessDataSource):
        def samples_by_indices_nomapping(self, indices):
            return [indices] if indices[0] == 0 else None

    batches = iter(Loader(Local(4), 2, pool=two_processes))

    assert ([0, 1],) == tuple(x.tolist() for x in next(batches))
    with pytest.raises(TypeError, match="of Local should return a batch, .* does it lack a return?"):
        next(batches)
