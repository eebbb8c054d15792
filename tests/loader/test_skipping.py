"""Samples that cannot be fetched are left out of their batches."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from batchup import ArrayDataSource, ChoiceDataSource, CompositeDataSource, Loader
from batchup.data_source import ChoiceBatch, RandomAccessDataSource
from batchup.errors import TooManySkipped
from batchup.loader import Skipped
from batchup.testing import plain
from batchup.work_pool import WorkerProcessPool, WorkerThreadPool

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
    if request.param == "serial":
        yield None
    else:
        with {"threads": WorkerThreadPool, "processes": WorkerProcessPool}[request.param](2) as pool:
            yield pool


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
@settings(deadline=None, max_examples=100)
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
    """Noise included."""

    def make(pool):
        return skipping(Files(60, [3, 4, 17, 40, 41, 42, 43]).random_map(with_noise), 4, shuffle=5, pool=pool)

    loader, serial = make(any_pool), make(None)
    found = [quiet(loader) for _ in range(2)]

    assert [quiet(serial) for _ in range(2)] == found
    assert serial.skipped == loader.skipped
    assert 14 == len(loader.skipped)


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

    assert ["in fn", "while fetching batch 0 of epoch 0 (samples 0, 1)"] == notes_of(loader)
    assert [] == loader.skipped


def test_a_failure_that_passes_is_raised():
    """The second time it would have worked: that is for the program to decide."""
    failed = []

    def fn(x):
        if not failed:
            failed.append(x)
            raise OSError("the network")
        return (x,)

    with pytest.raises(OSError, match="the network"):
        list(skipping(arrays(4).map(fn), 2))


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
    """What was skipped before is not known to it; what comes is the same."""
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
