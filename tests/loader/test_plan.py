"""What becomes of short batches, and how many batches there are."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from batchup import (
    ArrayDataSource,
    CallableDataSource,
    ChoiceDataSource,
    CompositeDataSource,
    Loader,
)
from batchup.data_source import RandomAccessDataSource
from batchup.engine import tree
from batchup.sampling import WeightedSampler
from batchup.testing import batch_sizes, named_sources, plain, sources


def arrays(n=5, start=0, **kwargs):
    return ArrayDataSource([np.arange(start, start + n)], **kwargs)


def batches(*args, **kwargs):
    return [[part.tolist() for part in batch] for batch in Loader(*args, **kwargs)]


def with_noise(x, rng):
    return x, rng.random(len(x))


def test_keep_is_the_default():
    """The last batch has what is left."""
    assert [[[0, 1]], [[2, 3]], [[4]]] == batches(arrays(), 2)
    assert batches(arrays(), 2) == batches(arrays(), 2, last="keep")


@pytest.mark.parametrize(("n", "expected"), [(5, [[[0, 1]], [[2, 3]]]), (4, [[[0, 1]], [[2, 3]]]), (1, [])])
def test_drop_leaves_short_batches_out(n, expected):
    """And full ones in; there may be none."""
    assert expected == batches(arrays(n), 2, last="drop")


def test_pad_repeats_the_last_sample():
    """Every batch says which of its samples are there to fill it."""
    assert [[[0, 1, 2], [True] * 3], [[3, 4, 4], [True, True, False]]] == batches(arrays(), 3, last="pad")


def test_pad_of_one_sample_fills_a_whole_batch():
    """With an array of booleans."""
    (batch,) = Loader(arrays(1), 3, last="pad")

    assert (([0, 0, 0], [True, False, False]), bool) == ((batch[0].tolist(), batch[1].tolist()), batch[1].dtype)


def test_pad_of_dicts_has_a_name():
    """`valid`, as the last field."""
    (batch,) = Loader({"x": np.arange(2)}, 3, last="pad")

    assert {"x": ("int64", (3,), [0, 1, 1]), "valid": ("bool", (3,), [True, True, False])} == plain(batch)


def test_pad_does_not_write_over_a_field():
    """A dict that has a `valid` of its own is refused."""
    with pytest.raises(ValueError, match='last="pad" gives each batch a field "valid", but there is one of that name'):
        list(Loader({"valid": np.arange(2)}, 3, last="pad"))


def test_pad_of_a_batch_that_is_one_thing_keeps_it_whole():
    """A source of one's own may give an array in place of a tuple, with a warning: it is the first field."""

    class Squares(RandomAccessDataSource):
        def samples_by_indices_nomapping(self, indices):
            return indices**2

    with pytest.warns(UserWarning, match=r"of Squares should return .* return \(array,\)"):
        (batch,) = Loader(Squares(2), 3, last="pad")

    assert ([0, 1, 1], [True, True, False]) == tuple(part.tolist() for part in batch)


def test_pad_of_sources_side_by_side_fills_all_of_them():
    """Where they are trimmed to one length, one array speaks for all."""
    pair = CompositeDataSource([arrays(4), arrays(9, 10)])

    assert [
        [[0, 1, 2], [10, 11, 12], [True, True, True]],
        [[3, 3, 3], [13, 13, 13], [True, False, False]],
    ] == batches(pair, 3, last="pad")


@pytest.mark.parametrize(
    "make",
    [
        lambda: CompositeDataSource([arrays(3), arrays(7, 10)], batch_sizes=(1, 3)),
        lambda: CompositeDataSource([arrays(3), arrays(7, 10)], batch_sizes=(1, 3)).map(lambda x, y: (x, y)),
        lambda: ChoiceDataSource([CompositeDataSource([arrays(3), arrays(7, 10)], batch_sizes=(1, 3))]),
    ],
    ids=["composite", "map", "choice"],
)
def test_pad_of_unequal_sources_says_it_for_each(make):
    """With batch sizes of their own, `valid` is a tuple with an array per source."""
    found = list(Loader(make(), 4, last="pad"))

    assert plain((np.array([2]), np.array([16, 16, 16]))) == plain(found[-1][:2])
    assert ([True], [True, False, False]) == tuple(each.tolist() for each in found[-1][2])
    assert ([True], [True, True, True]) == tuple(each.tolist() for each in found[0][2])


def test_pad_says_it_for_each_where_nothing_is_trimmed():
    """A source that is short beside a full one is the only one that is filled."""
    pair = CompositeDataSource([arrays(2, repeats=-1), arrays(5, 10)], trim=False)
    *_, (x, y, valid) = Loader(pair, 3, last="pad")

    assert ([1, 0, 1], [13, 14, 14]) == (x.tolist(), y.tolist())
    assert ([True] * 3, [True, True, False]) == tuple(each.tolist() for each in valid)


def test_wrap_fills_from_the_next_epoch():
    """With the samples that it begins with, in its order."""
    loader = Loader(arrays(), 3, shuffle=5, last="wrap")
    (first, last), (following, _) = [[x.tolist() for (x,) in loader] for _ in range(2)]

    assert list(range(5)) == sorted(first + last[:2])
    assert following[:1] == last[2:]


def test_wrap_goes_on_through_as_many_epochs_as_it_takes():
    """A batch that is larger than the data."""
    loader = Loader(arrays(2), 7, shuffle=5, last="wrap")
    orders = [x.tolist() for epoch in range(4) for (x,) in [Loader(arrays(2), 2, shuffle=5).batch(epoch, 0)]]

    assert [i for order in orders for i in order][:7] == next(iter(loader))[0].tolist()


def weighted():
    return arrays(3, sampler=WeightedSampler(np.ones(3), num_samples=5))


def test_wrap_fills_by_the_weights_of_the_next_epoch():
    """Where a function of the epoch says them; batch sizes may change, too."""
    loader = Loader(weighted(), 2, shuffle=7, last="wrap", weights=lambda e: [[1, 0, 0], [0, 0, 1]][e % 2])
    sizes = Loader(arrays(), lambda e: 3 - e % 2, shuffle=5, last="wrap")
    (_, last), (following, *_) = [[x.tolist() for (x,) in sizes] for _ in range(2)]

    assert [[0, 0], [0, 0], [0, 2]] == [x.tolist() for (x,) in loader]
    assert [[2, 2], [2, 2], [2, 0]] == [x.tolist() for (x,) in loader]
    assert following[:1] == last[2:]


def test_wrap_is_the_same_after_a_resume():
    """Weights that are set for the next epoch come too late to fill the last batch of this one."""
    loader = Loader(weighted(), 2, shuffle=7, last="wrap")
    batches = iter(loader)
    next(batches)
    loader.set_weights([0, 0, 1])
    again = Loader(weighted(), 2, shuffle=7, last="wrap")
    again.set_weights([0, 0, 1])
    again.load_state_dict(loader.state_dict())

    assert [x.tolist() for (x,) in batches] == [x.tolist() for (x,) in again]


def test_wrap_fills_each_source_from_its_own():
    """Side by side, and in turns."""
    pair = CompositeDataSource([arrays(3), arrays(3, 10)])
    turns = ChoiceDataSource([arrays(3), arrays(3, 10)], stratified=True)

    assert [[[0, 1], [10, 11]], [[2, 0], [12, 10]]] == batches(pair, 2, last="wrap")
    assert [[[0, 1]], [[10, 11]], [[2, 0]], [[12, 10]]] == batches(turns, 2, last="wrap")


LAST = ["keep", "drop", "pad", "wrap"]
SOURCES = {
    "plain": arrays,
    "subset": lambda: arrays(9, indices=[3, 1, 4, 1, 5]),
    "repeats": lambda: arrays(5, repeats=2),
    "composite": lambda: CompositeDataSource([arrays(), arrays(7)]),
    "choice": lambda: ChoiceDataSource([arrays(), arrays(7)], stratified=True),
    "batch_sizes": lambda: CompositeDataSource([arrays(), arrays(7)], batch_sizes=(1, 2)),
    "random_map": lambda: arrays().random_map(with_noise),
    "dict": lambda: ArrayDataSource({"x": np.arange(5)}),
}


@pytest.mark.parametrize("seed", [None, 5])
@pytest.mark.parametrize("name", SOURCES)
def test_what_is_in_full_batches_does_not_depend_on_last(name, seed):
    """It changes the short ones and no other."""
    found = []
    for last in LAST:
        np.random.seed(0)  # decides about random transforms where there is no seed
        found.append([plain(batch) for batch in Loader(SOURCES[name](), 3, shuffle=seed, last=last)])
    kept, dropped, padded, wrapped = found
    is_full = [batch == other for batch, other in zip(kept, wrapped, strict=True)]
    without_valid = [dict([*b.items()][:-1]) if isinstance(b, dict) else b[:-1] for b in padded]

    assert dropped == list(itertools.compress(kept, is_full)) == list(itertools.compress(without_valid, is_full))
    assert (2 if name == "choice" else 1) == is_full.count(False)


@pytest.mark.parametrize("last", ["drop", "pad", "wrap"])
@pytest.mark.parametrize("name", SOURCES)
def test_all_batches_are_of_one_size(name, last):
    """For compiled programs, which want one shape."""
    found = list(Loader(SOURCES[name](), 3, shuffle=5, last=last))
    shapes = {tuple(leaf.shape for leaf in tree.leaves(batch)) for batch in found}

    assert 1 == len(shapes)


def test_pad_marks_as_many_samples_as_there_are():
    """The valid samples of an epoch are the epoch."""
    loader = Loader(arrays(50), 7, shuffle=5, last="pad")

    assert list(range(50)) == sorted(i for x, valid in loader for i in x[valid].tolist())


# How many.


def counted_or_not(loader):
    try:
        return len(loader)
    except TypeError:
        return None


@pytest.mark.slow
@given(
    st.data(),
    batch_sizes(25),
    st.none() | st.integers(0, 99),
    st.sampled_from(LAST),
    st.none() | st.integers(1, 4),
    st.sampled_from(["drop", "pad", "uneven"]),
)
def test_len_is_what_is_delivered(data, batch_size, seed, last, world, remainder):
    """Wherever there is a length, with any source, `last`, shard and remainder."""
    drawn = seed is not None or not world  # what ranks share has a seed
    ds = data.draw(sources(weighted=seed is not None, random=drawn, batch_size=batch_size) | named_sources())
    shard = world and (data.draw(st.integers(0, world - 1)), world)
    loader = Loader(ds, batch_size, shuffle=seed, last=last, shard=shard, remainder=remainder)
    n = counted_or_not(loader)
    assume(n is not None)

    assert n == sum(1 for _ in itertools.islice(loader, n + 5))


@pytest.mark.parametrize("last", LAST)
@pytest.mark.parametrize(
    "source",
    [
        ChoiceDataSource([ChoiceDataSource([arrays(8), arrays(2)]), arrays(20)], stratified=True),
        ChoiceDataSource([ChoiceDataSource([arrays(8, repeats=-1), arrays(2)]), arrays(20)], stratified=True),
        CompositeDataSource([ChoiceDataSource([arrays(5), arrays(20)], stratified=True), arrays(30)]),
    ],
    ids=["a choice that ends early", "one that need not end", "short batches in the midst"],
)
def test_len_is_not_guessed(source, last):
    """Where turns end early, and where short batches meet full ones, it is right, or there is none."""
    loader = Loader(source, 2, last=last)

    assert counted_or_not(loader) in (None, len(list(loader)))


@pytest.mark.parametrize("last", LAST)
@pytest.mark.parametrize("name", SOURCES)
@pytest.mark.parametrize("seed", [None, 5])
def test_len_is_known_for_what_is_common(name, last, seed):
    """Arrays, subsets, repeats, sources side by side, and stratified choices."""
    loader = Loader(SOURCES[name](), 3, shuffle=seed, last=last)

    assert len(list(loader)) == len(loader)


@pytest.mark.parametrize(
    ("source", "why"),
    [
        (lambda: arrays(repeats=-1), "its epoch has no end"),
        (lambda: arrays(sampler=WeightedSampler(np.ones(5))), "its epoch has no end"),
        (lambda: CompositeDataSource([arrays(repeats=-1), arrays(repeats=-1)]), "its epoch has no end"),
        (lambda: ChoiceDataSource([arrays(), arrays()]), "its epoch ends when the source says so"),
        (lambda: ChoiceDataSource([arrays(), arrays()], weights=[1, 2]), "its epoch ends when the source says so"),
        (lambda: CallableDataSource(lambda n, shuffle: iter(())), "its epoch ends when the source says so"),
    ],
)
def test_where_there_is_no_length_the_error_says_why(source, why):
    """Without an end, or where it is drawn as the epoch goes."""
    with pytest.raises(TypeError, match=rf"the loader has no len\(\): {why}; steps\(n\) gives n batches"):
        len(Loader(source(), 2, shuffle=5))


def test_sources_that_say_how_much_they_have_have_a_length():
    """Also those that give their batches one after the other."""
    assert 3 == len(Loader(CallableDataSource(lambda n: iter(()), 5), 2))


def test_pad_refuses_a_transform_that_changes_the_number_of_samples():
    """Its `valid` would not say which samples they are."""
    loader = Loader(arrays(5).map(lambda x: (np.repeat(x, 2),)), 2, last="pad")

    with pytest.raises(ValueError, match="keep the number of samples, but a batch of 2 samples became one of 4"):
        next(iter(loader))


@pytest.mark.parametrize("fn", [lambda x: (x[x != 3],), lambda x: (np.repeat(x, 2),)], ids=["fewer", "more"])
@pytest.mark.parametrize("on_error", ["raise", "skip"])
def test_pad_raises_where_the_number_of_samples_changes_in_any_batch(fn, on_error):
    """No sample is left out for it: that is not the fault of the data."""
    loader = Loader(arrays(5).map(fn), 2, last="pad", on_error=on_error)

    with pytest.raises(ValueError, match="keep the number of samples, but a batch of 2 samples became one of"):
        list(loader)
    assert [] == loader.skipped


@pytest.mark.parametrize(
    ("options", "sizes"),
    [
        ({"shard": (2, 3), "remainder": "uneven"}, [3, 6]),
        ({"last": "drop"}, [12, 20]),
        ({"last": "drop"}, [12, 20, 20]),
    ],
)
def test_steps_go_on_after_an_epoch_without_batches(options, sizes):
    """As loops do, where another epoch has some."""
    loader = Loader(arrays(12), lambda epoch: sizes[epoch % len(sizes)], **options)
    first = loader.batch(0, 0)[0].tolist()

    assert [first] * 3 == [x.tolist() for (x,) in loader.steps(3)]
    assert (2 * len(sizes), 1) == (loader.epoch, loader.step)


def test_steps_do_not_go_on_for_ever():
    """Where one epoch after the other is empty."""
    loader = Loader(arrays(3), lambda epoch: 4 + epoch % 2, last="drop")

    with pytest.raises(ValueError, match="over a source with batches, but epochs 0 to 99 have none"):
        next(loader.steps(1))
