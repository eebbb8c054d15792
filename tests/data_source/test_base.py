"""Maps and random transforms of a source."""

from __future__ import annotations

import numpy as np
import pytest

from batchup import Loader
from batchup.data_source import (
    AbstractDataSource,
    ArrayDataSource,
    CallableDataSource,
    ChoiceDataSource,
    CompositeDataSource,
    MapDataSource,
    RandomAccessDataSource,
    RandomMapDataSource,
)
from batchup.engine import tree
from batchup.testing import RandomAccessSourceContract, SequentialSourceContract, plain


def arrays(n=10, start=0, **kwargs):
    return ArrayDataSource([np.arange(start, start + n), np.arange(n * 2.0).reshape(n, 2)], **kwargs)


def counted(batch_size, shuffle=None):
    for first in range(0, 10, batch_size):
        yield (np.arange(first, min(first + batch_size, 10)),)


def doubled(*batch):
    return tuple(part * 2 for part in batch)


def as_dict(x, y):
    return {"x": x, "y": (y, x)}


def single(n=10, start=0, **kwargs):
    return ArrayDataSource([np.arange(start, start + n)], **kwargs)


def named(n=10, **kwargs):
    return ArrayDataSource({"x": np.arange(n), "y": np.arange(n * 2.0).reshape(n, 2)}, **kwargs)


def with_noise(x, rng):
    return x, rng.random(len(x))


def lists(batches):
    return [tree.map_leaves(lambda leaf: leaf.tolist(), batch) for batch in batches]


def drawn(ds, **kwargs):
    return [plain(batch[1]) for batch in ds.batch_iterator(3, **kwargs)]


X = np.arange(5)


def sequential():
    return CallableDataSource(lambda n: iter(()))


def refused(error, said, call):
    """`call` raises `error`, whose message has all of `said` in it."""
    with pytest.raises(error) as caught:
        call()
    message = str(caught.value)
    assert [] == [words for words in said if words not in message], message


class TestMapped(RandomAccessSourceContract):
    def make(self):
        return arrays().map(doubled)


class TestMappedToDicts(RandomAccessSourceContract):
    def make(self):
        return arrays().map(as_dict)


class TestMappedCallable(SequentialSourceContract):
    def make(self):
        return CallableDataSource(counted).map(doubled)


def test_a_list_that_a_function_returns_is_a_batch():
    """`[x, y]` is taken for `(x, y)`."""
    assert ([0, 1],) == tuple(x.tolist() for x in next(arrays().map(lambda x, y: [x]).batch_iterator(2)))


def test_a_dict_goes_whole_into_the_next_function():
    """A function behind one that returns dicts gets the dict."""
    ds = arrays().map(as_dict).map(lambda batch: (batch["x"],))

    assert [0, 1] == next(ds.batch_iterator(2))[0].tolist()


def test_map_gives_a_map_source():
    """`ds.map(fn)` is `MapDataSource(ds, fn)`."""
    mapped = AbstractDataSource().map(doubled)

    assert (MapDataSource, doubled) == (type(mapped), mapped.fn)


@pytest.mark.parametrize(
    "ds",
    [
        ArrayDataSource([np.arange(10)]),
        ArrayDataSource([np.arange(10)]).map(lambda x: (x,)),
        CompositeDataSource([ArrayDataSource([np.arange(10)])]),
        ChoiceDataSource([ArrayDataSource([np.arange(10)])]),
    ],
    ids=lambda ds: type(ds).__name__,
)
def test_shuffle_may_be_given_by_position(ds):
    """As in ``batch_iterator(64, rng)``."""
    by_keyword = list(ds.batch_iterator(4, shuffle=7))

    np.testing.assert_equal(list(ds.batch_iterator(4, 7)), by_keyword)


def test_sources_say_what_they_are():
    """How many samples, of which fields, through which functions."""
    ds = ArrayDataSource([np.zeros((4, 2)), range(4)], repeats=2)
    named = ArrayDataSource({"x": [1, 2]}, include_indices=True)

    assert "<ArrayDataSource of 8 samples: ndarray float64 (4, 2), range (4,)>" == repr(ds)
    assert "<ArrayDataSource of 2 samples: x list (2,)>" == repr(named)
    assert "<RandomAccessDataSource of inf samples>" == repr(RandomAccessDataSource(3, repeats=-1))
    assert f"{ds!r}.map(tuple).random_map(len)" == repr(ds.map(tuple).random_map(len))
    assert f"CompositeDataSource([{ds!r}, {named!r}])" == repr(CompositeDataSource([ds, named]))
    assert f"ChoiceDataSource([{ds!r}])" == repr(ChoiceDataSource([ds]))


class TestRandomMap(RandomAccessSourceContract):
    def make(self):
        return single().random_map(with_noise, seed=1)


class TestRandomMapInAComposite(RandomAccessSourceContract):
    def make(self):
        return CompositeDataSource([single(7).random_map(with_noise, seed=1), single(3, repeats=-1)])


def test_maps_get_and_give_dicts():
    """As one argument; a random one gets its generator beside it."""

    def doubled(batch):
        return {"x": batch["x"] * 2}

    def moved(batch, rng):
        return {**batch, "by": rng.integers(5, size=len(batch["x"]))}

    (batch,) = named(3).map(doubled).random_map(moved, seed=1).batch_iterator(4)

    assert ([0, 2, 4], 3) == (batch["x"].tolist(), len(batch["by"]))


def test_a_map_may_turn_dicts_into_tuples_and_back():
    """What comes out is what the next one gets."""
    ds = named(3).map(lambda batch: (batch["x"],)).map(lambda x: {"z": x})

    assert [{"z": [0, 1, 2]}] == lists(ds.batch_iterator(4))


def test_a_seed_for_the_shuffle_is_one_for_the_noise():
    """The same each time; a generator has other noise at each go, and follows from its own seed."""
    ds = single().random_map(with_noise)
    rng, again = np.random.RandomState(1), np.random.RandomState(1)

    assert drawn(ds, shuffle=5) == drawn(ds, shuffle=5) != drawn(ds, shuffle=6)
    goes = [drawn(ds, shuffle=rng) for _ in range(2)]
    assert goes == [drawn(ds, shuffle=again) for _ in range(2)]
    assert goes[0] != goes[1]


def test_a_seed_of_its_own_needs_no_other():
    """In order, each go has the same noise; nothing is drawn from the global generator."""
    ds = single().random_map(with_noise, seed=1)
    state = np.random.get_state()[1].tolist()

    assert drawn(ds) == drawn(ds) != drawn(single().random_map(with_noise, seed=2))
    assert drawn(CompositeDataSource([ds, single()])) == drawn(CompositeDataSource([ds, single()]))
    assert state == np.random.get_state()[1].tolist()


def test_without_any_seed_the_global_generator_decides_the_noise():
    """Other noise at each go, the same after `numpy.random.seed`."""
    found = []
    for _ in range(2):
        np.random.seed(3)
        ds = single().random_map(with_noise)
        found.append([drawn(ds) for _ in range(2)])

    assert found[0] == found[1]
    assert found[0][0] != found[0][1]


@pytest.mark.parametrize("shuffle", [lambda: np.random.RandomState(1), lambda: np.random.default_rng(1), lambda: True])
def test_a_random_transform_does_not_change_the_order(shuffle):
    """It draws nothing from the generator of the shuffle."""
    orders = []
    for ds in (single(), single().random_map(with_noise)):
        np.random.seed(7)
        orders.append([batch[0].tolist() for batch in ds.batch_iterator(3, shuffle=shuffle())])

    assert orders[0] == orders[1]


def test_members_have_noise_of_their_own():
    """The same transform on two sources side by side, and in turns."""
    ds = single().random_map(with_noise)
    side_by_side = [(plain(a), plain(b)) for _, a, _, b in CompositeDataSource([ds, ds]).batch_iterator(3, shuffle=5)]
    in_turns = drawn(ChoiceDataSource([ds, ds], stratified=True), shuffle=5)

    assert [] == [pair for pair in side_by_side if pair[0] == pair[1]]
    assert len(in_turns) == len(set(map(str, in_turns)))


def test_single_samples_have_noise_from_the_global_generator():
    """A plain index has no place in a run."""
    ds = single().random_map(with_noise, seed=1)
    np.random.seed(3)
    first = plain(ds.samples_by_indices(np.array([4, 2])))
    np.random.seed(3)

    assert first == plain(ds.samples_by_indices_nomapping(np.array([4, 2])))
    assert first != plain(ds.samples_by_indices(np.array([4, 2])))


def test_random_map_makes_a_source():
    """With its function and seed."""
    ds = single().random_map(with_noise, seed=3)

    assert (RandomMapDataSource, with_noise, 3, "with_noise") == (type(ds), ds.fn, ds.seed, ds.name)


def test_a_random_transform_is_over_a_source_with_indices():
    """Only there has a batch a place."""
    said = ["random_map should be over a source that fetches by index, not a CallableDataSource"]
    refused(TypeError, said, lambda: sequential().random_map(lambda x, rng: (x,)))


@pytest.mark.parametrize(
    ("fn", "seed", "error", "said"),
    [
        (7, None, TypeError, ["fn should be a function fn(*batch, rng) that returns a batch, not 7"]),
        (max, -1, ValueError, ["seed should be an integer of at least 0", "-1"]),
        (max, 1.0, TypeError, ["seed should be an integer of at least 0", "1.0"]),
        (max, True, TypeError, ["seed should be an integer of at least 0", "True"]),
    ],
)
def test_a_random_transform_has_a_function_and_a_seed(fn, seed, error, said):
    """A seed is a whole number."""
    refused(error, said, lambda: single().random_map(fn, seed))


@pytest.mark.parametrize(("result", "was"), [(None, "None"), (X, "a ndarray")])
def test_a_random_transform_returns_a_batch(result, was):
    """Otherwise it is named."""

    def jitter(x, rng):
        return result

    said = [f"jitter should return a batch, a tuple or a dict of arrays, not {was}"]
    refused(TypeError, said, lambda: list(Loader(single().random_map(jitter), 2)))
