"""A loader: its epochs and steps, their order and seed, single batches, and its pool."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchup import (
    ArrayDataSource,
    CallableDataSource,
    ChoiceDataSource,
    CompositeDataSource,
    IteratorDataSource,
    Loader,
)
from batchup.errors import PoolClosedError
from batchup.testing import batch_sizes, plain, sources
from batchup.work_pool import WorkerThreadPool


def arrays(n=10, **kwargs):
    return ArrayDataSource([np.arange(n)], **kwargs)


def epoch_of(loader):
    return [x.tolist() for (x,) in loader]


def in_order_of_index(epoch):
    return sorted(i for batch in epoch for i in batch)


def with_noise(x, rng):
    return x, rng.random(len(x))


def test_an_epoch_has_an_order_of_its_own():
    """Every sample comes once; another epoch, and another seed, has another order."""
    loader = Loader(arrays(100), 7, shuffle=5)
    epochs = [epoch_of(loader) for _ in range(4)] + [epoch_of(Loader(arrays(100), 7, shuffle=6))]

    assert [list(range(100))] * 5 == [in_order_of_index(epoch) for epoch in epochs]
    assert 5 == len({str(epoch) for epoch in epochs})


def test_an_order_depends_on_seed_and_epoch_alone():
    """Epoch 2 is the same, whatever became of those before."""
    whole, hasty = Loader(arrays(), 3, shuffle=5), Loader(arrays(), 3, shuffle=5)
    for _ in range(2):
        epoch_of(whole)
        next(iter(hasty))

    assert epoch_of(whole) == epoch_of(hasty)


@pytest.mark.parametrize("shuffle", [None, False])
def test_without_a_shuffle_the_order_is_kept(shuffle):
    """In every epoch."""
    loader = Loader(arrays(5), 2, shuffle=shuffle)

    assert [[[0, 1], [2, 3], [4]]] * 2 == [epoch_of(loader) for _ in range(2)]


def test_a_loader_says_where_it_is():
    """`epoch` and `step` are those of the next batch while one is in hand, and of the next epoch at its end."""
    loader = Loader(arrays(5), 2)
    before = loader.epoch, loader.step
    places = [[(loader.epoch, loader.step) for _ in loader] for _ in range(2)]

    assert ((0, 0), [[(0, 1), (0, 2), (0, 3)], [(1, 1), (1, 2), (1, 3)]]) == (before, places)
    assert (2, 0) == (loader.epoch, loader.step)


@given(st.data(), batch_sizes(20), st.integers(0, 99), st.integers(1, 12), st.integers(1, 12))
def test_steps_go_across_epochs(data, batch_size, seed, some, more):
    """`steps` gives the batches of one epoch after the other, and goes on where it stopped."""
    ds = data.draw(sources(weighted=True, random=True, batch_size=batch_size))
    by_epochs, by_steps = (Loader(ds, batch_size, shuffle=seed) for _ in range(2))
    epochs = [plain(list(itertools.islice(by_epochs, some + more))) for _ in range(3)]
    expected = [batch for epoch in epochs for batch in epoch][: some + more]
    if not epochs[0] or len(expected) < some + more:
        return

    assert expected == [plain(batch) for n in (some, more) for batch in by_steps.steps(n)]


def test_no_steps_are_none():
    """And the loader stays where it is."""
    loader = Loader(arrays(), 3)
    next(iter(loader))

    assert ([], (0, 1)) == (list(loader.steps(0)), (loader.epoch, loader.step))


def test_a_loader_shows_where_it_is():
    """With its source, batch size, seed, pool and shard."""
    source = arrays()
    in_order, shuffled = Loader(source, 3), Loader(source, 3, shuffle=7, pool=2, shard=(1, 2))
    next(iter(in_order))
    first = f"<Loader over {source!r}: batch_size=3, in order, epoch=0, step=1, no pool"
    second = f"<Loader over {source!r}: batch_size=3, seed=7, epoch=0, step=0, WorkerThreadPool of 2 threads"

    assert (f"{first}>", f"{second}, shard=(1, 2)>") == (repr(in_order), repr(shuffled))
    in_order.close()
    shuffled.close()
    assert (f"{first}, closed>", f"{second}, closed, shard=(1, 2)>") == (repr(in_order), repr(shuffled))


def test_a_loader_over_a_pool_that_is_closed_says_so():
    """Also where only the pool is closed, or only the loader."""
    with WorkerThreadPool(1) as pool:
        left, closed = Loader(arrays(), 3, pool=pool), Loader(arrays(), 3, pool=pool)
        closed.close()

        assert repr(left).endswith("WorkerThreadPool of 1 threads>")
        assert repr(closed).endswith("WorkerThreadPool of 1 threads, closed>")
    assert repr(left).endswith("WorkerThreadPool of 1 threads, closed>")


def test_a_loader_that_is_to_choose_its_pool_says_so():
    """Until it has chosen."""
    with Loader(arrays(), 3, pool="auto") as loader:
        assert ', pool="auto">' in repr(loader)


def test_steps_over_no_samples_are_refused():
    """They would never end."""
    with pytest.raises(ValueError, match=r"steps\(\) should be over a source with batches, but epoch 0 has none"):
        next(Loader(arrays(0), 3).steps(1))


@given(st.data(), batch_sizes(20), st.none() | st.integers(0, 99), st.sampled_from(["keep", "drop", "pad", "wrap"]))
def test_any_batch_can_be_had_at_once(data, batch_size, seed, last):
    """`batch(epoch, step)` is what a loop gives there, noise and all; the loader stays where it is."""
    ds = data.draw(sources(weighted=seed is not None, random=True, batch_size=batch_size))
    loader = Loader(ds, batch_size, shuffle=seed, last=last)
    found = {}
    for epoch in range(2):
        for step, batch in enumerate(itertools.islice(loader, 5)):
            found[epoch, step] = plain(batch)
    here = loader.epoch, loader.step

    assert found == {place: plain(loader.batch(*place)) for place in found}
    assert here == (loader.epoch, loader.step)


@pytest.mark.parametrize(
    ("source", "shuffle", "n"),
    [(arrays(), None, 4), (arrays(0), None, 0), (ChoiceDataSource([arrays(4), arrays(9)]), 1, 4)],
    ids=["arrays", "nothing", "of unknown length"],
)
def test_a_batch_that_is_not_there_is_refused(source, shuffle, n):
    """The error says how many there are."""
    with pytest.raises(IndexError, match=f"step should be below {n}, the number of batches in epoch 0, not {n}"):
        Loader(source, 3, shuffle=shuffle).batch(0, n)


def test_a_generator_gives_one_seed_when_the_loader_is_made():
    """Epochs differ, but follow from the generator as it was then, and draw nothing more from it."""
    rngs = np.random.default_rng(3), np.random.default_rng(3)
    loaders = [Loader(arrays(), 3, shuffle=rng) for rng in rngs]
    drawn = rngs[0].bit_generator.state
    rngs[1].random(1000)
    first, second = [[epoch_of(loader) for _ in range(2)] for loader in loaders]

    assert first == second
    assert first[0] != first[1]
    assert drawn == rngs[0].bit_generator.state != np.random.default_rng(3).bit_generator.state


@pytest.mark.parametrize("make", [np.random.RandomState, np.random.default_rng])
def test_a_generator_gives_another_seed_each_time(make):
    """Two loaders in a row have different orders; generators with the same seed, the same."""
    first, again = make(3), make(3)
    orders = [epoch_of(Loader(arrays(100), 9, shuffle=rng)) for rng in (first, first, again)]

    assert orders[0] != orders[1]
    assert orders[0] == orders[2]


def test_true_is_the_global_generator():
    """What `numpy.random.seed` decides."""
    orders = []
    for seed in (3, 3, 4):
        np.random.seed(seed)
        orders.append(epoch_of(Loader(arrays(100), 9, shuffle=True)))

    assert orders[0] == orders[1] != orders[2]


def test_a_seed_sequence_is_a_seed():
    """That of an int is the int; one that was spawned has orders of its own, and is not advanced."""
    sequence = np.random.SeedSequence(5)
    child = sequence.spawn(1)[0]
    orders = [epoch_of(Loader(arrays(100), 9, shuffle=seed)) for seed in (5, sequence, child, child)]

    assert orders[0] == orders[1] != orders[2] == orders[3]


def test_nothing_is_drawn_from_the_global_generators():
    """Neither with a seed, nor where nothing is random."""
    before = repr(np.random.get_state())
    for ds, shuffle in [(arrays(), None), (arrays(), 5), (arrays().random_map(with_noise), 5)]:
        loader = Loader(ds, 3, shuffle=shuffle)
        list(loader)
        loader.batch(0, 1)

    assert before == repr(np.random.get_state())


def test_the_end_of_with_closes():
    """Also without a pool."""
    with Loader(arrays(), 3) as loader:
        assert 4 == len(list(loader))

    with pytest.raises(PoolClosedError):
        iter(loader)


def test_a_pool_of_the_users_stays_open():
    """It serves another loader when the first is closed, and two side by side."""
    with WorkerThreadPool(2) as pool:
        with Loader(arrays(), 3, shuffle=5, pool=pool) as loader:
            expected = epoch_of(loader)
        one, two = (Loader(arrays(), 3, shuffle=5, pool=pool) for _ in range(2))
        found = [[x.tolist() for (x,) in each] for each in zip(*zip(one, two, strict=True), strict=True)]

    assert [expected, expected] == found


@pytest.mark.timeout(60)
@pytest.mark.usefixtures("kept_workers")
@pytest.mark.parametrize("pool", [None, 3, "threads", "processes"])
def test_every_kind_of_pool_gives_the_same(pool):
    """None, a number of threads, and what there are cores for."""
    with Loader(arrays().random_map(with_noise), 3, shuffle=5, pool=pool) as loader:
        found = plain(list(loader))

    assert plain(list(Loader(arrays().random_map(with_noise), 3, shuffle=5))) == found


@pytest.mark.slow
@pytest.mark.timeout(60)
def test_a_source_that_has_changed_is_sent_again(two_processes):
    """Workers see at each loop what the program sees then."""

    class Scaled(ArrayDataSource):
        factor = 1

        def samples_by_indices_nomapping(self, indices):
            (x,) = super().samples_by_indices_nomapping(indices)
            return (x * self.factor,)

    source = Scaled([np.arange(4)])
    loader, found = Loader(source, 4, pool=two_processes), []
    for source.factor in (1, 10, 10, 100):
        found += epoch_of(loader)
    source.data[0][0] = 5
    found += epoch_of(loader)

    assert [[0, 1, 2, 3], [0, 10, 20, 30], [0, 10, 20, 30], [0, 100, 200, 300], [500, 100, 200, 300]] == found


@pytest.mark.parametrize("depth", [1, 2, 7])
def test_no_more_than_depth_are_drawn_ahead(depth):
    """Also across loops."""
    drawn = []

    class Noted(ArrayDataSource):
        def batch_indices_iterator(self, batch_size, shuffle=None, **kwargs):
            for pick in super().batch_indices_iterator(batch_size, shuffle, **kwargs):
                drawn.append(pick)
                yield pick

    taken, ahead = 0, []
    with Loader(Noted([np.arange(20)]), 1, pool=2, depth=depth) as loader:
        for _ in range(2):
            for _ in loader:
                taken += 1
                ahead.append(len(drawn) - taken)

    assert 2 * [min(depth, 20 - delivered) for delivered in range(1, 21)] == ahead


# Sources that give their batches one after the other.


def counted(batch_size, shuffle=None):
    order = np.arange(6) if shuffle is None else shuffle.permutation(6)
    for first in range(0, 6, batch_size):
        yield (order[first : first + batch_size],)


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda loader: loader.state_dict(), "has no state to resume from"),
        (lambda loader: loader.load_state_dict({}), "has no state to resume from"),
        (lambda loader: loader.batch(0, 0), "fetches no single batches"),
        (lambda loader: loader.steps(3), r"has no steps\(\)"),
    ],
)
@pytest.mark.parametrize(
    ("source", "name"),
    [
        (CallableDataSource(counted), "CallableDataSource"),
        (IteratorDataSource(iter([])), "IteratorDataSource"),
        (CompositeDataSource([arrays(), CallableDataSource(counted)]), "CompositeDataSource"),
    ],
)
def test_what_cannot_be_gone_through_again_says_so(source, name, call, said):
    """States, single batches and steps are for sources that fetch by index."""
    with pytest.raises(TypeError, match=f"a loader over {name} {said}.*give a source that fetches by index"):
        call(Loader(source, 2))


@pytest.mark.parametrize("name", ["threads", "processes"])
def test_the_number_of_workers(name):
    """`workers` says how many there are, and the loader ends them."""
    with Loader([np.arange(5)], 2, pool=name, workers=3) as loader:
        assert 3 == loader.stats().workers
        assert [[0, 1], [2, 3], [4]] == [x.tolist() for (x,) in loader]
    with pytest.raises(PoolClosedError):
        next(iter(loader))


def test_what_processes_do_first():
    """Each worker calls `worker_init` before it makes a batch."""

    def begin():
        np.begun_by_a_test = 7

    def begun(x):
        return (np.full_like(x, np.begun_by_a_test),)

    source = ArrayDataSource([np.arange(4)]).map(begun)
    with Loader(source, 2, pool="processes", workers=1, worker_init=begin) as loader:
        assert [[7, 7], [7, 7]] == [x.tolist() for (x,) in loader]
    assert not hasattr(np, "begun_by_a_test")


@pytest.mark.parametrize("taken", range(4))
@pytest.mark.parametrize("pool", [None, 2])
def test_resume(taken, pool):
    """After a loop that was left, `resume` gives what was not delivered; with and without iterating what it returns."""
    whole = [x.tolist() for (x,) in Loader([np.arange(7)], 2, shuffle=7)]
    for idiom in ("returned", "next loop"):
        with Loader([np.arange(7)], 2, shuffle=7, pool=pool) as loader:
            head = [x.tolist() for _, (x,) in zip(range(taken), loader, strict=False)]
            rest = loader.resume()
            tail = [x.tolist() for (x,) in (rest if idiom == "returned" else loader)]

            assert whole == head + tail
            assert (1, 0) == (loader.epoch, loader.step)


def test_resume_between_epochs():
    """There, it is the next epoch."""
    loader = Loader([np.arange(5)], 2, shuffle=7)
    list(loader)

    expected = [x.tolist() for (x,) in Loader([np.arange(5)], 2, shuffle=7).steps(6)]
    assert expected[3:] == [x.tolist() for (x,) in loader.resume()]


def test_resume_keeps_what_was_left_out():
    """The samples that could not be fetched are still listed."""

    def broken(x):
        if 1 in x:
            raise OSError("broken")
        return (x,)

    loader = Loader(ArrayDataSource([np.arange(6)]).map(broken), 2, on_error="skip")
    with pytest.warns(UserWarning, match="left out"):
        next(iter(loader))
    list(loader.resume())

    assert [1] == [each.sample for each in loader.skipped]
