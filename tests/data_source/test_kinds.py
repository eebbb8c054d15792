"""The contracts over random transforms, dicts, batch sizes and weights, and what each promises beyond it."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from batchup.data_source import (
    ArrayDataSource,
    CallableDataSource,
    ChoiceDataSource,
    CompositeDataSource,
    RandomMapDataSource,
)
from batchup.engine import tree
from batchup.testing import RandomAccessSourceContract, plain


def arrays(n=10, start=0, **kwargs):
    return ArrayDataSource([np.arange(start, start + n)], **kwargs)


def named(n=10, **kwargs):
    return ArrayDataSource({"x": np.arange(n), "y": np.arange(n * 2.0).reshape(n, 2)}, **kwargs)


def with_noise(x, rng):
    return x, rng.random(len(x))


def lists(batches):
    return [tree.map_leaves(lambda leaf: leaf.tolist(), batch) for batch in batches]


class TestRandomMap(RandomAccessSourceContract):
    def make(self):
        return arrays().random_map(with_noise, seed=1)


class TestRandomMapInAComposite(RandomAccessSourceContract):
    def make(self):
        return CompositeDataSource([arrays(7).random_map(with_noise, seed=1), arrays(3, repeats=-1)])


class TestNamed(RandomAccessSourceContract):
    def make(self):
        return named()


class TestNamedWithIndices(RandomAccessSourceContract):
    def make(self):
        return named(indices=[7, 2, 3], include_indices=True)


class TestNamedSideBySide(RandomAccessSourceContract):
    def make(self):
        return CompositeDataSource([named(4), ArrayDataSource({"z": np.arange(9)})])


# Dicts.


def test_a_dict_gives_dicts():
    """With the names of the data, in their order; indices come first, and have a name."""
    assert [{"indices": [3, 1], "x": [3, 1], "y": [[6.0, 7.0], [2.0, 3.0]]}] == lists(
        named(indices=[3, 1], include_indices=True).batch_iterator(4)
    )
    assert ["indices", "x", "y"] == [*next(named(include_indices=True).batch_iterator(4))]


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


def test_dicts_side_by_side_are_one_dict():
    """Or one each, where they are not flattened."""
    members = [named(3).map(lambda batch: {"x": batch["x"]}), ArrayDataSource({"z": np.arange(9)})]

    assert [{"x": [0, 1, 2], "z": [0, 1, 2]}] == lists(CompositeDataSource(members).batch_iterator(4))
    assert [({"x": [0, 1, 2]}, {"z": [0, 1, 2]})] == lists(
        CompositeDataSource(members, flatten=False).batch_iterator(4)
    )


def test_dicts_in_turns_stay_dicts():
    """Each batch is that of its source."""
    ds = ChoiceDataSource([ArrayDataSource({"x": np.arange(2)}), ArrayDataSource({"z": np.arange(2)})], stratified=True)

    assert [{"x": [0, 1]}, {"z": [0, 1]}] == lists(ds.batch_iterator(4))


# Batch sizes.


def test_each_source_gives_its_own_part():
    """Until the first of them ends; the last batch has what there is."""
    ds = CompositeDataSource([arrays(5), arrays(9, 10)], batch_sizes=(2, 3))

    assert [([0, 1], [10, 11, 12]), ([2, 3], [13, 14, 15]), ([4], [16, 17, 18])] == lists(ds.batch_iterator(5))


def test_parts_of_sources_that_come_one_by_one():
    """They are asked for their own batch size."""

    def counted(batch_size, shuffle=None):
        yield (np.arange(batch_size),)

    ds = CompositeDataSource([CallableDataSource(counted), arrays()], batch_sizes=(2, 3))

    assert [([0, 1], [0, 1, 2])] == lists(ds.batch_iterator(5))


@pytest.mark.parametrize(
    ("members", "sizes"),
    [
        ((10, 30), (1, 3)),
        ((5, 9), (2, 3)),
        ((1, 100), (3, 1)),
        ((0, 5), (1, 1)),
        ((7, 7, 7), (1, 2, 3)),
    ],
)
def test_a_composite_of_parts_says_how_much_it_gives(members, sizes):
    """All samples of all sources, until the first of them ends."""
    ds = CompositeDataSource([arrays(n) for n in members], batch_sizes=sizes)
    batches = list(ds.batch_iterator(sum(sizes)))

    assert sum(len(part) for batch in batches for part in batch) == ds.num_samples()
    assert len(batches) == -(-ds.num_samples() // sum(sizes))


def test_a_composite_of_parts_without_an_end_says_so():
    """And one that a source ends, when."""
    endless = arrays(3, repeats=-1)

    assert np.inf == CompositeDataSource([endless, endless], batch_sizes=(1, 2)).num_samples()
    assert 5 + 6 == CompositeDataSource([arrays(5), endless], batch_sizes=(2, 2)).num_samples()
    assert CompositeDataSource([arrays(5), CallableDataSource(lambda n: 0)], batch_sizes=(1, 2)).num_samples() is None


def test_all_batches_of_parts_come_in_a_stratified_choice():
    """As many turns as it has batches."""
    parts = CompositeDataSource([arrays(10), arrays(30)], batch_sizes=(1, 3))
    ds = ChoiceDataSource([parts, arrays(8)], stratified=True)

    assert 10 + 2 == len(list(ds.batch_iterator(4)))


# Turns by weight.


def turns(ds, n=300, **kwargs):
    return [pick.ds_index for pick in itertools.islice(ds.batch_indices_iterator(2, **kwargs), n)]


def weighted(weights=(1, 3)):
    return ChoiceDataSource([arrays(start=i, repeats=-1) for i in range(len(weights))], weights=weights)


def test_turns_come_as_often_as_their_weights():
    """About; and one without weight, never."""
    found = turns(weighted((1, 3, 0)), 4000, shuffle=5)

    assert 0.7 < found.count(1) / 4000 < 0.8
    assert 0 == found.count(2)


def test_turns_follow_from_the_seed():
    """Each seed and each generator has its own, the same each time."""
    ds = weighted()
    by_seed = [turns(ds, shuffle=seed) for seed in (5, 5, 6)]
    by_generator = [turns(ds, shuffle=np.random.default_rng(seed)) for seed in (5, 5, 6)]

    assert by_seed[0] == by_seed[1] != by_seed[2]
    assert by_generator[0] == by_generator[1] != by_generator[2]


def test_without_a_seed_the_global_generator_decides():
    """What `numpy.random.seed` was given."""
    found = []
    for seed in (1, 1, 2):
        np.random.seed(seed)
        found.append(turns(weighted()))

    assert found[0] == found[1] != found[2]


def test_the_samples_of_each_source_keep_their_order():
    """Whose turn it is does not change what comes when it is."""
    ds = ChoiceDataSource([arrays(20), arrays(20, 100)], weights=[1, 1])
    found = [i for (x,) in ds.batch_iterator(2, shuffle=None) for i in x.tolist()]
    one, other = ([i for i in found if i // 100 == which] for which in (0, 1))

    assert list(range(20))[: len(one)] == one
    assert list(range(100, 120))[: len(other)] == other
    assert 20 in (len(one), len(other))


# Random transforms without a loader.


def noise(ds, **kwargs):
    return [plain(batch[1]) for batch in ds.batch_iterator(3, **kwargs)]


def test_a_seed_for_the_shuffle_is_one_for_the_noise():
    """The same each time; a generator has other noise at each go, and follows from its own seed."""
    ds = arrays().random_map(with_noise)
    rng, again = np.random.RandomState(1), np.random.RandomState(1)

    assert noise(ds, shuffle=5) == noise(ds, shuffle=5) != noise(ds, shuffle=6)
    goes = [noise(ds, shuffle=rng) for _ in range(2)]
    assert goes == [noise(ds, shuffle=again) for _ in range(2)]
    assert goes[0] != goes[1]


def test_a_seed_of_its_own_needs_no_other():
    """In order, each go has the same noise; nothing is drawn from the global generator."""
    ds = arrays().random_map(with_noise, seed=1)
    state = np.random.get_state()[1].tolist()

    assert noise(ds) == noise(ds) != noise(arrays().random_map(with_noise, seed=2))
    assert noise(CompositeDataSource([ds, arrays()])) == noise(CompositeDataSource([ds, arrays()]))
    assert state == np.random.get_state()[1].tolist()


def test_without_any_seed_the_global_generator_decides_the_noise():
    """Other noise at each go, the same after `numpy.random.seed`."""
    found = []
    for _ in range(2):
        np.random.seed(3)
        ds = arrays().random_map(with_noise)
        found.append([noise(ds) for _ in range(2)])

    assert found[0] == found[1]
    assert found[0][0] != found[0][1]


@pytest.mark.parametrize("shuffle", [lambda: np.random.RandomState(1), lambda: np.random.default_rng(1), lambda: True])
def test_a_random_transform_does_not_change_the_order(shuffle):
    """It draws nothing from the generator of the shuffle."""
    orders = []
    for ds in (arrays(), arrays().random_map(with_noise)):
        np.random.seed(7)
        orders.append([batch[0].tolist() for batch in ds.batch_iterator(3, shuffle=shuffle())])

    assert orders[0] == orders[1]


def test_members_have_noise_of_their_own():
    """The same transform on two sources side by side, and in turns."""
    ds = arrays().random_map(with_noise)
    side_by_side = [(plain(a), plain(b)) for _, a, _, b in CompositeDataSource([ds, ds]).batch_iterator(3, shuffle=5)]
    in_turns = noise(ChoiceDataSource([ds, ds], stratified=True), shuffle=5)

    assert [] == [pair for pair in side_by_side if pair[0] == pair[1]]
    assert len(in_turns) == len(set(map(str, in_turns)))


def test_single_samples_have_noise_from_the_global_generator():
    """A plain index has no place in a run."""
    ds = arrays().random_map(with_noise, seed=1)
    np.random.seed(3)
    first = plain(ds.samples_by_indices(np.array([4, 2])))
    np.random.seed(3)

    assert first == plain(ds.samples_by_indices_nomapping(np.array([4, 2])))
    assert first != plain(ds.samples_by_indices(np.array([4, 2])))


def test_random_map_makes_a_source():
    """With its function and seed."""
    ds = arrays().random_map(with_noise, seed=3)

    assert (RandomMapDataSource, with_noise, 3, "with_noise") == (type(ds), ds.fn, ds.seed, ds.name)


def test_a_third_argument_is_refused():
    """That of a function is given by its name: it is not left without effect."""
    ds = CallableDataSource(lambda batch_size, shuffle=None, fold=0: iter([]))

    with pytest.raises(TypeError, match="by its name"):
        ds.batch_iterator(2, None, 5)
    assert [] == list(ds.batch_iterator(2, None, fold=5))
