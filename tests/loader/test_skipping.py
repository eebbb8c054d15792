"""Samples that cannot be fetched are left out of their batches."""

from __future__ import annotations

import json
import warnings

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from batchup import ArrayDataSource, ChoiceDataSource, CompositeDataSource, Loader
from batchup.data_source import ChoiceBatch, RandomAccessDataSource
from batchup.errors import TooManySkipped
from batchup.loader import Skipped
from batchup.testing import plain
from batchup.work_pool import WorkerThreadPool

pytestmark = pytest.mark.timeout(120)


class Files(RandomAccessDataSource):
    """Numbers, some of which cannot be read."""

    def __init__(self, length, bad=(), **kwargs):
        super().__init__(length, **kwargs)
        self.bad = set(bad)

    def samples_by_indices_nomapping(self, indices):
        for i in indices.tolist():
            if i in self.bad:
                raise OSError(f"cannot read {i}")
        return (indices * 10,)


def with_noise(x, rng):
    return x, rng.random(len(x))


def failing_on(*bad):
    def fn(x, *rest):
        if set(bad) & set(x.tolist()):
            raise ValueError(f"{sorted(set(bad) & set(x.tolist()))} in it")
        return x, *rest

    return fn


@pytest.fixture(scope="module", params=["serial", "threads", "processes"])
def any_pool(request):
    if request.param == "threads":
        with WorkerThreadPool(2) as pool:
            yield pool
    else:
        yield None if request.param == "serial" else request.getfixturevalue("two_processes")


def arrays(n=10, start=0):
    return ArrayDataSource([np.arange(start, start + n)])


def skipping(source, batch_size, **kwargs):
    return Loader(source, batch_size, on_error="skip", **kwargs)


def quiet(loader):
    """The batches, without the warning."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return [tuple(field.tolist() for field in batch) for batch in loader]


def notes_of(loader):
    with pytest.raises((OSError, ValueError)) as caught:
        list(loader)
    return [note for note in caught.value.__notes__ if "worker pid" not in note]


@given(st.integers(1, 40), st.integers(1, 12), st.sets(st.integers(0, 39)), st.none() | st.integers(0, 9))
def test_the_samples_that_fail_are_left_out_and_no_others(n, batch_size, bad, seed):
    """Each is in `skipped`, with its epoch, step and error; the others keep their batches and their order."""
    whole = Loader(Files(n), batch_size, shuffle=seed)
    loader = skipping(Files(n, bad), batch_size, shuffle=seed)
    expected, skipped = [], []
    for step, (x,) in enumerate(whole):
        kept = [i for i in x.tolist() if i // 10 not in bad]
        skipped += [Skipped(0, step, i // 10, f"OSError: cannot read {i // 10}") for i in x.tolist() if i // 10 in bad]
        expected += [(kept,)] if kept else []
    assume(expected)  # an epoch without any is an error

    assert expected == quiet(loader)
    assert skipped == loader.skipped
    assert len(skipped) == loader.stats().skipped


def test_every_pool_leaves_out_the_same(any_pool):
    """Noise included. In the list, each sample comes once, with the first batch that it was left out of."""

    def make(pool):
        return skipping(Files(60, [3, 4, 17, 40, 41, 42, 43]).random_map(with_noise), 4, shuffle=5, pool=pool)

    loader, serial = make(any_pool), make(None)
    found = [quiet(loader) for _ in range(2)]

    assert [quiet(serial) for _ in range(2)] == found
    assert serial.skipped == loader.skipped
    assert [3, 4, 17, 40, 41, 42, 43] == sorted(each.sample for each in loader.skipped)
    assert {0} == {each.epoch for each in loader.skipped}


def test_large_batches_come_back_whole(any_pool):
    """Fetched again without the bad sample, in the worker's shared memory too."""
    X = np.arange(40 * 5000.0).reshape(40, 5000)
    loader = skipping(ArrayDataSource([X]).map(lambda x: _without_row(x, 13)), 8, pool=any_pool)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = [x.copy() for (x,) in loader]

    assert np.array_equal(np.delete(X, 13, axis=0), np.concatenate(found))
    assert [8, 7, 8, 8, 8] == [len(x) for x in found]


def _without_row(x, row):
    if (x[:, 0] == row * 5000.0).any():
        raise ValueError("a bad row")
    return (x,)


def test_a_skipped_sample_does_not_shift_the_rest():
    """The batches behind are those that they are without it."""
    assert quiet(skipping(Files(10), 3, shuffle=5))[2:] == quiet(skipping(Files(10, [2]), 3, shuffle=5))[2:]


def test_a_batch_without_a_good_sample_is_left_out(any_pool):
    """The ones around it keep their numbers."""
    loader = skipping(Files(6, [2, 3]), 2, pool=any_pool)
    places = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for (x,) in loader:
            places.append((loader.step, x.tolist()))

    assert [(1, [0, 10]), (3, [40, 50])] == places
    assert [(0, 1, 2), (0, 1, 3)] == [each[:3] for each in loader.skipped]


def test_a_single_batch_without_a_good_sample_says_so():
    """`batch` has nothing to give."""
    with pytest.raises(
        ValueError, match="batch 1 of epoch 0 should have a sample .*, but it has none: .*cannot read 2"
    ):
        skipping(Files(6, [2, 3]), 2).batch(0, 1)


def test_a_single_batch_is_that_of_the_loop():
    """Without the samples that are left out there; it notes nothing."""
    loader = skipping(Files(6, [2]), 2)

    assert ([30], []) == (loader.batch(0, 1)[0].tolist(), loader.skipped)


def test_a_warning_comes_once():
    """At the first sample; it says which, and where all are, and points at the loop."""
    loader = skipping(Files(10, [1, 2, 7]), 4)
    with pytest.warns(UserWarning, match="left out a sample") as caught:
        [list(loader) for _ in range(2)]

    assert 1 == len(caught)
    assert __file__ == caught[0].filename
    assert (
        "left out a sample that cannot be fetched: Skipped(epoch=0, step=0, sample=1, error='OSError: cannot read 1'); "
        "all are in loader.skipped"
    ) == str(caught[0].message)


@pytest.mark.parametrize("most", [0, 1, 3])
def test_too_many_are_an_error(most):
    """The first that is more than `max_skipped` ends it, and it stays ended."""
    loader = skipping(Files(100, range(0, 100, 10)), 10, max_skipped=most)
    loop = iter(loader)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = [next(loop) for _ in range(most)]
        for _ in range(2):
            with pytest.raises(
                TooManySkipped, match=f"{most + 1} samples .*, more than max_skipped={most}; the last: "
            ):
                next(loop)

    assert (most, most + 1) == (len(found), len(loader.skipped))


def test_as_many_as_may_be_are_no_error():
    """`max_skipped` itself is allowed."""
    assert 10 == len(quiet(skipping(Files(100, range(0, 100, 10)), 10, max_skipped=10)))


def test_indices_that_were_written_to_are_those_of_the_batch_alone(any_pool):
    """A function may write to its batch; where it fails then, the samples are looked for where they were."""

    def counted_from_1(indices, x):
        indices += 1
        return failing_on(5)(x, indices)

    traced = ArrayDataSource([np.arange(12)], include_indices=True).map(counted_from_1)
    loader = Loader(traced, 4, on_error="skip", pool=any_pool)

    assert ([4, 6, 7], [5, 7, 8]) == quiet(loader)[1]
    assert [5] == [each.sample for each in loader.skipped]


def test_an_error_that_no_sample_causes_is_raised(any_pool):
    """A function that fails on two samples together, and on neither alone."""

    def fn(x):
        if len(x) > 1 and 0 in x:
            raise ValueError("together they fail")
        return (x,)

    loader = skipping(arrays(4).map(fn), 2, pool=any_pool)

    notes = notes_of(loader)

    assert ["in fn", "while fetching batch 0 of epoch 0 (samples 0, 1)"] == [notes[0], notes[-1]]
    assert [] == loader.skipped


@pytest.mark.parametrize("last", ["keep", "pad"])
def test_a_failure_that_passes_costs_no_sample(last):
    """The second attempt works. The first such batch warns, all are counted."""
    failed = []

    def fn(x):
        if x[0] not in failed and x[0] in (2, 4):
            failed.append(x[0])
            raise OSError("the network")
        return (x,)

    loader = skipping(arrays(6).map(fn), 2, last=last)
    with pytest.warns(UserWarning, match="batch 1 of epoch 0 .* second attempt only, after OSError: the net") as caught:
        found = [batch[0].tolist() for batch in loader]

    assert [[0, 1], [2, 3], [4, 5]] == found
    assert ([], 2, 0) == (loader.skipped, loader.stats().retried, loader.stats().skipped)
    assert [__file__] == [each.filename for each in caught]


def needs_two(x, *rest):
    if len(x) < 2:
        raise ValueError("takes two samples")
    return x, *rest


@pytest.mark.parametrize("bad", [[1], [0], [2, 5], [0, 1, 2, 3, 4], [0, 2, 4, 6], [7]])
def test_a_function_of_several_samples_costs_no_good_one(any_pool, bad):
    """A suspect is tried beside good samples, not alone."""
    loader = skipping(Files(8, bad).map(needs_two), 8, pool=any_pool)

    assert [([i * 10 for i in range(8) if i not in bad],)] == quiet(loader)
    assert bad == [each.sample for each in loader.skipped]


@pytest.mark.parametrize("odd", [[0], [3], [7], [0, 1], [2, 5, 6]])
@pytest.mark.parametrize("last", ["keep", "pad"])
def test_a_sample_that_does_not_fit_to_the_others_is_left_out(odd, last):
    """Such as one of another shape. Each alone can be fetched; those that are the fewest are the odd ones."""

    def stacked(i):
        return (np.stack([np.full(3 if each in odd else 2, each) for each in i.tolist()])[:, 0],)

    loader = skipping(arrays(8).map(stacked), 8, last=last)

    assert [i for i in range(8) if i not in odd] == quiet(loader)[0][0][: 8 - len(odd)]
    assert odd == [each.sample for each in loader.skipped]


@pytest.mark.parametrize("n", [2, 4])
def test_it_is_not_guessed_which_half_is_odd(n):
    """As many samples of one shape as of the other: the error is raised, with what was not clear."""

    def stacked(i):
        return (np.stack([np.zeros(2 + each % 2) for each in i.tolist()]),)

    loader = skipping(arrays(n).map(stacked), n)

    assert notes_of(loader)[1].startswith("no samples were left out of this batch: it is not clear which")


def test_a_bad_sample_counts_once():
    """Over any number of epochs."""
    loader = skipping(Files(10, [1, 5, 8]), 5, shuffle=3, max_skipped=3)
    for _ in range(10):
        quiet(loader)

    assert (3, 3) == (len(loader.skipped), loader.stats().skipped)


@pytest.mark.parametrize(
    "make",
    [
        lambda: Files(12, [1, 5, 8]),
        lambda: CompositeDataSource([Files(12, [1, 5, 8]), Files(12)]),
        lambda: ChoiceDataSource([Files(12, [1, 5, 8])]),
    ],
    ids=["indices", "composite", "choice"],
)
def test_a_state_knows_the_bad_samples(make):
    """So that they count once in the whole run, and no more than `max_skipped` of them can be passed by resuming."""
    loader = skipping(make(), 4, max_skipped=3)
    quiet(loader)
    state = json.loads(json.dumps(loader.state_dict()))
    other, stricter = skipping(make(), 4, max_skipped=3), skipping(make(), 4, max_skipped=2)
    other.load_state_dict(state)
    quiet(other)
    stricter.load_state_dict(state)

    assert (3, state["skipped"]) == (other.stats().skipped, other.state_dict()["skipped"])
    assert [1, 1, 1] == [each.epoch for each in other.skipped]
    with pytest.raises(TooManySkipped, match="3 samples could not be fetched, more than max_skipped=2"):
        quiet(stricter)


def test_a_state_of_an_earlier_time_knows_what_was_left_out_then():
    """Loaded again, the loader lists what it had left out until there."""
    loader = skipping(Files(12, [1, 5]), 4)
    loop = iter(loader)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        next(loop)
        state = loader.state_dict()
        next(loop)
    loader.load_state_dict(state)

    assert [1] == [each.sample for each in loader.skipped] == state["skipped"]


def test_a_loop_that_is_resumed_goes_on_counting():
    """`resume` keeps what was left out."""
    loader = skipping(Files(12, [1, 5]), 4, max_skipped=1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        next(iter(loader))

        with pytest.raises(TooManySkipped, match="2 samples"):
            list(loader.resume())


@pytest.mark.parametrize(
    ("skipped", "error"),
    [(5, "a list of indices of samples, not 5"), ([-1], "at least 0, not -1"), (["a"], "at least 0, not 'a'")],
)
def test_a_state_with_wrong_samples_is_refused(skipped, error):
    """With the name of the entry."""
    loader = skipping(Files(12), 4)

    with pytest.raises((TypeError, ValueError), match=f"skipped of the state should be .*{error}"):
        loader.load_state_dict({**loader.state_dict(), "skipped": skipped})


def test_steps_are_as_many_as_were_asked_for(any_pool):
    """Others take the place of a batch that is left out."""
    loader = skipping(Files(6, [2, 3]), 2, pool=any_pool)
    loop = loader.steps(5)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = [(len(loop), x.tolist()) for (x,) in loop]

    assert [(4, [0, 10]), (3, [40, 50]), (2, [0, 10]), (1, [40, 50]), (0, [0, 10])] == found
    assert (2, 1) == (loader.epoch, loader.step)


def test_steps_over_bad_samples_alone_end():
    """With an error, after an epoch that gave nothing."""
    loader = skipping(Files(6, range(6)), 2)

    with pytest.warns(UserWarning, match="left out"), pytest.raises(TooManySkipped, match="no sample of epoch 1"):
        list(loader.steps(2))


@pytest.mark.parametrize("remainder", ["drop", "pad"])
def test_ranks_have_the_same_number_of_batches(any_pool, remainder):
    """Where no sample of a batch can be fetched, the rank gets one of the next epoch, and keeps its steps."""
    loaders = [skipping(Files(8, [2, 3]), 2, shard=(rank, 2), remainder=remainder, pool=any_pool) for rank in range(2)]

    assert [[([0, 10],), ([40, 50],)], [([60, 70],), ([60, 70],)]] == [quiet(each) for each in loaders]
    assert [0, 2] == [len(each.skipped) for each in loaders]
    assert [(1, 0), (1, 0)] == [(each.epoch, each.step) for each in loaders]
    assert [60, 70] == loaders[1].batch(0, 0)[0].tolist()


def test_a_batch_that_stands_in_has_no_valid_samples():
    """With padding, the valid samples of all ranks are the good ones, once each."""
    loaders = [skipping(Files(7, [2, 3]), 2, last="pad", shard=(rank, 2), remainder="pad") for rank in range(2)]
    found = [quiet(each) for each in loaders]
    valid = [
        x for batches in found for xs, valids in batches for x, is_valid in zip(xs, valids, strict=True) if is_valid
    ]

    assert [2, 2] == [len(each) for each in found]
    assert ([60, 60], [False, False]) == found[1][0]
    assert [0, 10, 40, 50, 60] == sorted(valid)


def test_steps_of_ranks_stay_in_step():
    """Their positions are equal, so that all can load the state of one."""
    loaders = [skipping(Files(8, [2, 3]), 2, shard=(rank, 2)) for rank in range(2)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = [len(list(each.steps(3))) for each in loaders]

    assert [3, 3] == found
    assert [(1, 1), (1, 1)] == [(each.epoch, each.step) for each in loaders]


def test_uneven_ranks_get_their_own_batches_alone():
    """For an evaluation, in which no sample may come twice."""
    loaders = [skipping(Files(8, [2, 3]), 2, shard=(rank, 2), remainder="uneven") for rank in range(2)]

    assert [[([0, 10],), ([40, 50],)], [([60, 70],)]] == [quiet(each) for each in loaders]


def test_a_rank_without_any_good_sample_says_so():
    """It could never go on."""
    loader = skipping(Files(4, range(4)), 2, shard=(0, 2))

    with pytest.warns(UserWarning, match="left out"), pytest.raises(TooManySkipped, match="no sample of epoch 1"):
        list(loader)


def test_padding_goes_on_where_samples_are_left_out(any_pool):
    """The batch keeps its size; what fills it is not valid."""
    loader = skipping(Files(7, [1, 6]), 4, last="pad", pool=any_pool)

    assert [
        ([0, 20, 30, 30], [True, True, True, False]),
        ([40, 50, 50, 50], [True, True, False, False]),
    ] == quiet(loader)
    assert [1, 6] == [each.sample for each in loader.skipped]


def test_every_rank_leaves_out_its_own():
    """Together they have the good samples, and each bad one once."""
    loaders = [skipping(Files(20, [3, 12]), 2, shuffle=5, shard=(rank, 2)) for rank in range(2)]
    found = [i for loader in loaders for (x,) in quiet(loader) for i in x]

    assert [i * 10 for i in range(20) if i not in (3, 12)] == sorted(found)
    assert [3, 12] == sorted(each.sample for loader in loaders for each in loader.skipped)


def test_a_batch_that_only_fills_up_a_round_leaves_nothing_out():
    """Its samples are another rank's, who notes what fails; it has the same size, and none that is valid."""
    loaders = [skipping(Files(4, [3]), 4, last="pad", shard=(rank, 2), remainder="pad") for rank in range(2)]

    assert [
        [([0, 10, 20, 20], [True, True, True, False])],
        [([20, 20, 20, 20], [False] * 4)],
    ] == [quiet(loader) for loader in loaders]
    assert [1, 0] == [len(loader.skipped) for loader in loaders]


@pytest.mark.parametrize(
    ("source", "samples"),
    [
        (CompositeDataSource([Files(4), Files(4, [2])]), [(2, 2)]),
        (ChoiceDataSource([Files(4), Files(4, [2])], stratified=True), [ChoiceBatch(2, 1)]),
        (Files(4, [2]).random_map(with_noise), [2]),
        (CompositeDataSource([Files(4), Files(4, [2]).random_map(with_noise)]), [(2, 2)]),
    ],
    ids=["composite", "choice", "random_map", "composite with noise"],
)
@pytest.mark.parametrize("last", ["keep", "pad"])
def test_samples_are_named_as_the_source_has_them(source, samples, last):
    """An index, one for each source beside another, or with the number of its source."""
    loader = skipping(source, 4, last=last)
    quiet(loader)

    assert samples == [each.sample for each in loader.skipped]


@pytest.mark.parametrize("last", ["keep", "pad"])
def test_unequal_sources_say_that_they_cannot_be_spared(last):
    """With batch sizes of their own, there is no sample to leave out of all."""
    loader = skipping(CompositeDataSource([Files(4), Files(8, [2])], batch_sizes=(1, 2)), 3, last=last)

    assert "no samples could be left out of this batch: its sources give unequal numbers of samples" in notes_of(loader)


def test_a_resumed_run_skips_on(any_pool):
    """What comes is the same; what was skipped before is in the state, and is listed when it comes again."""
    source = Files(20, [3, 12])
    loader, other = (skipping(source, 4, shuffle=5, pool=any_pool) for _ in range(2))
    loop = iter(loader)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        next(loop)
        next(loop)
        other.load_state_dict(loader.state_dict())

        assert plain(list(loop)) == plain(list(other))
    assert [each for each in loader.skipped if each.step >= 2] == other.skipped


def test_a_function_that_always_fails_is_not_skipped_in_silence():
    """An epoch without any batch is an error: it is hardly the data."""
    loader = Loader(ArrayDataSource([np.arange(10)]).map(lambda x: (x + None,)), 4, on_error="skip")

    with pytest.warns(UserWarning, match="left out"), pytest.raises(TooManySkipped, match="no sample of epoch 0"):
        list(loader)


def test_an_epoch_without_batches_between_two_failed_ones():
    """Samples were delivered in both of its neighbours, so the run goes on."""

    def order(seed, epoch):
        loader = Loader([np.arange(2)], 1, shuffle=seed)
        return [int(loader.batch(epoch, step)[0][0]) for step in range(2)]

    seed = next(seed for seed in range(100) if ([0, 1], [1, 0]) == (order(seed, 0), order(seed, 2)))
    loader = skipping(Files(2, [1]), lambda epoch: 3 if epoch == 1 else 1, shuffle=seed, last="drop")

    assert 2 == len(quiet(loader.steps(2)))
    assert (2, 2) == (loader.epoch, loader.step)


def test_samples_left_out_count_on_after_an_interruption():
    """`resume` goes on with the epoch and keeps what is known of bad samples."""
    loader = Loader(ArrayDataSource([np.arange(12)]).map(failing_at_three), 4, on_error="skip", max_skipped=1)
    with pytest.warns(UserWarning, match="left out"):
        next(iter(loader))
    rest = [x.tolist() for (x,) in loader.resume()]

    assert ([3], 8) == ([each.sample for each in loader.skipped], sum(map(len, rest)))


def failing_at_three(x):
    if 3 in x:
        raise ValueError("3 is bad")
    return (x,)


def test_two_errors_that_pass():
    """A batch that can be fetched at the third attempt loses no sample."""
    left = [2]

    def fails_twice(x):
        if left[0]:
            left[0] -= 1
            raise OSError("busy")
        return (x,)

    loader = Loader(ArrayDataSource([np.arange(4)]).map(fails_twice), 4, on_error="skip")
    with pytest.warns(UserWarning, match="attempt"):
        found = [x.tolist() for (x,) in loader]

    assert ([[0, 1, 2, 3]], []) == (found, loader.skipped)


def test_a_rank_without_good_samples_goes_on():
    """It has the number of steps of the others, filled from the next epoch."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        loaders = [
            Loader(
                ArrayDataSource([np.arange(8)]).map(failing_below_four), 4, shuffle=22, shard=(i, 2), on_error="skip"
            )
            for i in range(2)
        ]
        found = [[x.tolist() for (x,) in loader] for loader in loaders]

    assert [[[7, 6]], [[4, 5, 7, 6]]] == found
    assert [4, 0] == [len(loader.skipped) for loader in loaders]


def failing_below_four(x):
    if (x < 4).any():
        raise ValueError("bad")
    return (x,)
