"""Sources in turn: in order, in strata, and by weight."""

from __future__ import annotations

import itertools
import pickle

import numpy as np
import pytest

from batchup.data_source import ArrayDataSource, CallableDataSource, ChoiceBatch, ChoiceDataSource, CompositeDataSource
from batchup.engine import tree
from batchup.testing import RandomAccessSourceContract, SequentialSourceContract


def arrays(n=10, start=0, **kwargs):
    return ArrayDataSource([np.arange(start, start + n), np.arange(n * 2.0).reshape(n, 2)], **kwargs)


def counted(batch_size, shuffle=None):
    for first in range(0, 10, batch_size):
        yield (np.arange(first, min(first + batch_size, 10)),)


def single(n=10, start=0, **kwargs):
    return ArrayDataSource([np.arange(start, start + n)], **kwargs)


def lists(batches):
    return [tree.map_leaves(lambda leaf: leaf.tolist(), batch) for batch in batches]


def turns(ds, n=300, **kwargs):
    return [pick.ds_index for pick in itertools.islice(ds.batch_indices_iterator(2, **kwargs), n)]


def weighted(weights=(1, 3)):
    return ChoiceDataSource([single(start=i, repeats=-1) for i in range(len(weights))], weights=weights)


def refused(error, said, call):
    """`call` raises `error`, whose message has all of `said` in it."""
    with pytest.raises(error) as caught:
        call()
    message = str(caught.value)
    assert [] == [words for words in said if words not in message], message


class TestChoice(RandomAccessSourceContract):
    def make(self):
        return ChoiceDataSource([arrays(7), arrays(10)], stratified=True)


class TestChoiceOfBothKinds(SequentialSourceContract):
    def make(self):
        return ChoiceDataSource([arrays(10), CallableDataSource(counted, lambda: 10)], stratified=True)


def test_a_choice_counts_those_that_know():
    """A choice has as many samples as those of its members that can say so."""
    assert 10 == ChoiceDataSource([arrays(), CallableDataSource(counted)]).num_samples()


def test_stratified_with_a_member_of_unknown_length_takes_turns():
    """Where a length is not known, the members take turns."""
    ds = ChoiceDataSource([arrays(4), CallableDataSource(counted)], stratified=True)

    assert [2, 1, 2, 1] == [len(batch) for batch in itertools.islice(ds.batch_iterator(2), 4)]


def test_a_choice_of_one():
    """A single member gives all of its batches."""
    assert [[0, 1], [2]] == [x.tolist() for x, _ in ChoiceDataSource([arrays(3)]).batch_iterator(2)]


def test_a_pick_of_a_choice_pickles():
    """As a ChoiceBatch."""
    pick = ChoiceBatch(np.array([1, 2]), 1)
    there_and_back = pickle.loads(pickle.dumps(pick))

    assert (ChoiceBatch, [1, 2], 1) == (type(there_and_back), there_and_back[0].tolist(), there_and_back.ds_index)


def test_dicts_in_turns_stay_dicts():
    """Each batch is that of its source."""
    ds = ChoiceDataSource([ArrayDataSource({"x": np.arange(2)}), ArrayDataSource({"z": np.arange(2)})], stratified=True)

    assert [{"x": [0, 1]}, {"z": [0, 1]}] == lists(ds.batch_iterator(4))


def test_all_batches_of_parts_come_in_a_stratified_choice():
    """As many turns as it has batches."""
    parts = CompositeDataSource([single(10), single(30)], batch_sizes=(1, 3))
    ds = ChoiceDataSource([parts, single(8)], stratified=True)

    assert 10 + 2 == len(list(ds.batch_iterator(4)))


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
    ds = ChoiceDataSource([single(20), single(20, 100)], weights=[1, 1])
    found = [i for (x,) in ds.batch_iterator(2, shuffle=None) for i in x.tolist()]
    one, other = ([i for i in found if i // 100 == which] for which in (0, 1))

    assert list(range(20))[: len(one)] == one
    assert list(range(100, 120))[: len(other)] == other
    assert 20 in (len(one), len(other))


@pytest.mark.parametrize(
    ("weights", "said"),
    [
        ([1], ["there should be one weight per source: 1 weights, 2 sources"]),
        ([1, -1], ["weights"]),
        ([0, 0], ["weights"]),
        ([np.nan, 1], ["weights"]),
    ],
)
def test_weights_are_one_for_each_source(weights, said):
    """Of 0 or more, and not all of them 0."""
    refused(ValueError, said, lambda: ChoiceDataSource([single(), single()], weights=weights))


def test_weights_and_strata_exclude_each_other():
    """It says why."""
    said = ["stratified should be False when there are weights: they say how often each source comes"]
    refused(ValueError, said, lambda: ChoiceDataSource([single(), single()], stratified=True, weights=[1, 1]))


def failing_at(n, batches):
    for i, batch in enumerate(batches):
        if i == n:
            raise OSError("cannot read it")
        yield batch


def outcomes(batches):
    """The batches, and the errors between them."""
    found = []
    while True:
        try:
            found.append(next(batches)[0].tolist())
        except StopIteration:
            return found
        except Exception as error:
            found.append(f"{type(error).__name__}: {error}"[:40])
            assert len(found) < 20


def test_an_error_in_a_turn_does_not_end_a_sequential_choice():
    """It costs its own batch, and the sources stay in turn."""

    def fn(x):
        if x[0] == 2:
            raise OSError("cannot read it")
        return (x,)

    sequential = CallableDataSource(counted).map(fn)
    batches = ChoiceDataSource([sequential, single(6, start=100)]).batch_iterator(2)

    expected = [[0, 1], [100, 101], "OSError: cannot read it", [102, 103], [4, 5], [104, 105], [6, 7]]
    assert expected == outcomes(batches)


def test_a_source_that_ended_with_an_error_does_not_end_the_choice_in_silence():
    """As a generator does: its other batches are missing."""
    sequential = CallableDataSource(lambda batch_size, shuffle=None: failing_at(1, counted(batch_size)))
    found = outcomes(ChoiceDataSource([sequential, single(6, start=100)]).batch_iterator(2))

    assert [[0, 1], [100, 101], "OSError: cannot read it", [102, 103]] == found[:4]
    assert ["BatchUpError: source 0 of the choice ended a"[:40]] == found[4:]
