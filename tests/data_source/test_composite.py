"""Sources side by side: trimming, flattening, and batch sizes of their own."""

from __future__ import annotations

import numpy as np
import pytest

from batchup.data_source import (
    ArrayDataSource,
    CallableDataSource,
    ChoiceDataSource,
    CompositeDataSource,
    IteratorDataSource,
)
from batchup.engine import tree
from batchup.testing import RandomAccessSourceContract, SequentialSourceContract


def arrays(n=10, start=0, **kwargs):
    return ArrayDataSource([np.arange(start, start + n), np.arange(n * 2.0).reshape(n, 2)], **kwargs)


def counted(batch_size, shuffle=None):
    for first in range(0, 10, batch_size):
        yield (np.arange(first, min(first + batch_size, 10)),)


def doubled(*batch):
    return tuple(part * 2 for part in batch)


def as_dict(x, y):
    return {"x": x, "y": (y, x)}


class Words:
    """An accessor that gives a list of strings of different lengths."""

    def __init__(self, n):
        self.n = n

    def __len__(self):
        return self.n

    def __getitem__(self, index):
        return ["word" * i for i in index] if isinstance(index, np.ndarray) else "word" * int(index)


def single(n=10, start=0, **kwargs):
    return ArrayDataSource([np.arange(start, start + n)], **kwargs)


def named(n=10, **kwargs):
    return ArrayDataSource({"x": np.arange(n), "y": np.arange(n * 2.0).reshape(n, 2)}, **kwargs)


def lists(batches):
    return [tree.map_leaves(lambda leaf: leaf.tolist(), batch) for batch in batches]


X = np.arange(5)


def refused(error, said, call):
    """`call` raises `error`, whose message has all of `said` in it."""
    with pytest.raises(error) as caught:
        call()
    message = str(caught.value)
    assert [] == [words for words in said if words not in message], message


class TestComposite(RandomAccessSourceContract):
    def make(self):
        return CompositeDataSource([arrays(3, repeats=-1), arrays(10).map(doubled)])


class TestStructuredComposite(RandomAccessSourceContract):
    def make(self):
        return CompositeDataSource([arrays(3, repeats=2), arrays(6)], flatten=False)


class TestNested(RandomAccessSourceContract):
    def make(self):
        choice = ChoiceDataSource([arrays(9), CompositeDataSource([arrays(6), arrays(8)])], stratified=True)
        return CompositeDataSource([choice.map(doubled), arrays(5, repeats=-1)], flatten=False)


class TestCompositeOfBothKinds(SequentialSourceContract):
    def make(self):
        return CompositeDataSource([arrays(8), CallableDataSource(counted, 10)])


def test_a_seed_shuffles_the_members_of_a_composite_apart():
    """One generator is made from the seed and shared: two equal members get different orders."""
    ds = CompositeDataSource([ArrayDataSource([np.arange(30)])] * 2)
    left, right = next(ds.batch_iterator(30, shuffle=7))

    assert left.tolist() != right.tolist()
    assert left.tolist() == next(ds.batch_iterator(30, shuffle=7))[0].tolist()


def test_a_composite_that_does_not_trim_has_an_untrimmed_plan():
    """The plan is what the batches are fetched by, so it is not trimmed either."""
    ds = CompositeDataSource([arrays(2, repeats=-1), arrays(3)], trim=False)

    assert [[2, 2], [2, 1]] == [[len(part) for part in pick] for pick in ds.batch_indices_iterator(2)]


def test_a_composite_trims_dicts_and_lists():
    """Whatever a batch is made of is cut to the shortest member."""
    ds = CompositeDataSource([arrays(5).map(as_dict), ArrayDataSource([Words(3)])])
    mapping, words = next(ds.batch_iterator(4))

    assert (3, 3, 3, 3) == (len(mapping["x"]), len(mapping["y"][0]), len(mapping["y"][1]), len(words))


def test_a_composite_knows_no_length_if_a_member_knows_none():
    """Not the smallest of those that are known."""
    unknown = CallableDataSource(counted)

    assert CompositeDataSource([arrays(), unknown]).num_samples() is None


class TestNamedSideBySide(RandomAccessSourceContract):
    def make(self):
        return CompositeDataSource([named(4), ArrayDataSource({"z": np.arange(9)})])


def test_dicts_side_by_side_are_one_dict():
    """Or one each, where they are not flattened."""
    members = [named(3).map(lambda batch: {"x": batch["x"]}), ArrayDataSource({"z": np.arange(9)})]

    assert [{"x": [0, 1, 2], "z": [0, 1, 2]}] == lists(CompositeDataSource(members).batch_iterator(4))
    assert [({"x": [0, 1, 2]}, {"z": [0, 1, 2]})] == lists(
        CompositeDataSource(members, flatten=False).batch_iterator(4)
    )


def test_each_source_gives_its_own_part():
    """Until the first of them ends; the last batch has what there is."""
    ds = CompositeDataSource([single(5), single(9, 10)], batch_sizes=(2, 3))

    assert [([0, 1], [10, 11, 12]), ([2, 3], [13, 14, 15]), ([4], [16, 17, 18])] == lists(ds.batch_iterator(5))


def test_parts_of_sources_that_come_one_by_one():
    """They are asked for their own batch size."""

    def counted(batch_size, shuffle=None):
        yield (np.arange(batch_size),)

    ds = CompositeDataSource([CallableDataSource(counted), single()], batch_sizes=(2, 3))

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
    ds = CompositeDataSource([single(n) for n in members], batch_sizes=sizes)
    batches = list(ds.batch_iterator(sum(sizes)))

    assert sum(len(part) for batch in batches for part in batch) == ds.num_samples()
    assert len(batches) == -(-ds.num_samples() // sum(sizes))


def test_a_composite_of_parts_without_an_end_says_so():
    """And one that a source ends, when."""
    endless = single(3, repeats=-1)

    assert np.inf == CompositeDataSource([endless, endless], batch_sizes=(1, 2)).num_samples()
    assert 5 + 6 == CompositeDataSource([single(5), endless], batch_sizes=(2, 2)).num_samples()
    assert CompositeDataSource([single(5), CallableDataSource(lambda n: 0)], batch_sizes=(1, 2)).num_samples() is None


@pytest.mark.parametrize(
    ("sizes", "error", "said"),
    [
        ((1,), ValueError, ["there should be a batch size for each of the 2 sources, not (1,)"]),
        ((1, 2, 3), ValueError, ["there should be a batch size for each of the 2 sources, not (1, 2, 3)"]),
        ((0, 2), ValueError, ["batch_sizes should be an integer of at least 1", "0"]),
        ((1.5, 2), TypeError, ["batch_sizes should be an integer of at least 1", "1.5"]),
    ],
)
def test_batch_sizes_are_one_for_each_source(sizes, error, said):
    """Positive integers."""
    refused(error, said, lambda: CompositeDataSource([single(), single()], batch_sizes=sizes))


def test_parts_of_unequal_length_are_not_trimmed():
    """A composite of a composite with batch sizes would be cut to its smallest part."""
    parts = CompositeDataSource([single(), single()], batch_sizes=(1, 2))
    for source in (parts, parts.map(lambda *b: b), parts.random_map(lambda *b, rng: b), ChoiceDataSource([parts])):
        said = ["trim should be False: one of the sources has batch_sizes"]
        refused(ValueError, said, lambda: CompositeDataSource([source, single()]))  # noqa: B023


@pytest.mark.parametrize("call", ["batch_iterator", "batch_indices_iterator"])
def test_the_batch_size_of_a_composite_is_the_sum_of_its_parts(call):
    """Also in a plain loop."""
    parts = CompositeDataSource([single(), single()], batch_sizes=(1, 2))

    refused(
        ValueError, ["batch_size should be 3, the sum of batch_sizes=(1, 2), not 2"], lambda: getattr(parts, call)(2)
    )
    refused(TypeError, ["batch_size should be an integer", "'3'"], lambda: getattr(parts, call)("3"))


def test_fields_side_by_side_have_names_of_their_own():
    """Two of one name cannot be in one dict."""
    pair = CompositeDataSource([ArrayDataSource({"x": X}), ArrayDataSource({"x": X})])
    said = ["should have fields of different names, but two have 'x'"]
    refused(ValueError, said, lambda: next(pair.batch_iterator(2)))


def rows_with_an_error(values, bad, error):
    """Batches of one row each; before the row `bad`, one error."""

    class Rows:
        def __init__(self):
            self.left, self.failed = list(values), False

        def __iter__(self):
            return self

        def __next__(self):
            if self.left and self.left[0] == bad and not self.failed:
                self.failed = True
                raise error
            if not self.left:
                raise StopIteration
            return (np.array([self.left.pop(0)]),)

    return Rows()


@pytest.mark.parametrize("error", [OSError("cannot read"), KeyboardInterrupt()])
def test_members_stay_in_step_after_an_error(error):
    """What the other members gave for the failed batch is kept, and comes with the next one."""
    pair = CompositeDataSource([iter([(np.array([i]),) for i in range(5)]), rows_with_an_error(range(5), 2, error)])
    batches, found = pair.batch_iterator(1), []
    while True:
        try:
            found.append([int(x[0]) for x in next(batches)])
        except StopIteration:
            break
        except type(error):
            found.append("error")

    assert [[0, 0], [1, 1], "error", [2, 2], [3, 3], [4, 4]] == found


def test_a_map_over_batches_in_turn_loses_none_to_ctrl_c():
    """The batch whose function was interrupted comes again."""
    interrupted = []

    def once(x):
        if x[0] == 2 and not interrupted:
            interrupted.append(True)
            raise KeyboardInterrupt
        return (x,)

    batches = IteratorDataSource(iter([(np.array([i]),) for i in range(5)])).map(once).batch_iterator(1)
    found = [int(next(batches)[0][0]) for _ in range(2)]
    with pytest.raises(KeyboardInterrupt):
        next(batches)

    assert [0, 1, 2, 3, 4] == found + [int(x[0]) for (x,) in batches]


@pytest.mark.parametrize("flatten", [True, False])
def test_fields_in_a_list_are_trimmed_as_fields(flatten):
    """A sequential source may give lists, as PyTorch's DataLoader does; the number of fields is not that of samples."""
    in_lists = IteratorDataSource([[np.arange(3), np.arange(3)], [np.arange(2), np.arange(2)]])
    batches = list(CompositeDataSource([in_lists, single(6)], flatten=flatten).batch_iterator(3))

    expected = [([0, 1, 2], [0, 1, 2], [0, 1, 2]), ([0, 1], [0, 1], [3, 4])]
    assert expected == [tuple(leaf.tolist() for leaf in tree.leaves(batch)) for batch in batches]
    assert [3 if flatten else 2] * 2 == [len(batch) for batch in batches]
