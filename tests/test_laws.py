"""The laws of the architecture, but for 9, which is that nothing is left behind: see conftest and promises."""

import contextlib
import itertools
import json
import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batchup import Loader, errors
from batchup.data_source import ArrayDataSource
from batchup.engine.pools import SerialPool
from batchup.sampling import StandardSampler, SubsetSampler, WeightedSampler
from batchup.testing import batch_sizes, lengths, named_sources, plain, rngs, samplers, shuffles, sources
from batchup.work_pool import AbstractWorkerPool, WorkerThreadPool

pytestmark = pytest.mark.timeout(120)
depths = st.integers(1, 25)
SOME = 15  # batches to compare, where there may be no end


class WorkerSerialPool(AbstractWorkerPool):
    """The front of a pool without workers."""

    def __init__(self):
        self._engine = SerialPool()

    @property
    def engine(self):
        return self._engine


@pytest.fixture(scope="module")
def pools(kept_processes):
    """One pool of each kind, and more; None is a loader without one."""
    with WorkerThreadPool() as thread, WorkerThreadPool(3) as threads:
        yield {
            "none": None,
            "serial": WorkerSerialPool(),
            "one thread": thread,
            "threads": threads,
            "one process": kept_processes(1),
            "processes": kept_processes(2),
        }


@pytest.fixture(scope="module", params=["serial", "threads", "processes"])
def any_pool(request, pools):
    """A pool of each kind; what is resumed goes on with any of the others, too."""
    return pools[request.param]


def some(batches):
    with contextlib.closing(batches) if hasattr(batches, "close") else contextlib.nullcontext():
        return [plain(batch) for batch in itertools.islice(batches, SOME)]


def inverse(x):
    return 1 / x


def outcome(call):
    """What a call gives, or the kind of error and its message."""
    try:
        return call()
    except Exception as error:
        return type(error), str(error)


def outcomes(results):
    """What each call of `next` gives, until the end."""
    seen = []
    while (last := outcome(lambda: next(results, "end"))) != "end":
        seen.append(last)
    return seen


# 1. A stream is `map`: same results, same order, errors in their place, for any pool and any depth.


@given(xs=st.lists(st.integers(-3, 3), max_size=60), depth=depths)
@settings(max_examples=30)
def test_law_1_a_stream_is_map(any_pool, xs, depth):
    """Same results, same order, errors in their place."""
    stream = any_pool.work_stream(((inverse, (x,)) for x in xs), depth)

    assert [outcome(lambda: inverse(x)) for x in xs] == outcomes(stream)  # noqa: B023


@given(ds=sources(), batch_size=batch_sizes(), fresh=shuffles(), depth=depths)
@settings(max_examples=30)
def test_law_1_a_parallel_source_is_its_source(any_pool, ds, batch_size, fresh, depth):
    """The batches of any random-access source are the same on any pool, at any depth."""
    parallel = any_pool.parallel_data_source(ds, depth)

    assert some(ds.batch_iterator(batch_size, shuffle=fresh())) == some(
        parallel.batch_iterator(batch_size, shuffle=fresh())
    )


# 2. Never more than `depth` picks are in flight or ready.


@given(n=st.integers(0, 40), depth=depths, takes=st.integers(0, 40))
@settings(max_examples=30)
def test_law_2_never_more_than_depth_in_flight(any_pool, n, depth, takes):
    """What was drawn from the plan and not delivered is `depth`, or what is left of the plan."""
    drawn = []

    def tasks():
        for x in range(1, n + 1):
            drawn.append(x)
            yield inverse, (x,)

    stream = any_pool.work_stream(tasks(), depth)
    ahead = [len(drawn)]
    for delivered, _ in enumerate(itertools.islice(stream, takes), start=1):
        ahead.append(len(drawn) - delivered)
    stream.close()

    assert [min(depth, n - delivered) for delivered in range(min(n, takes) + 1)] == ahead


@given(n=st.integers(1, 30), depth=st.integers(1, 5))
@settings(max_examples=20)
def test_law_2_holds_where_tasks_fail(any_pool, n, depth):
    """An error takes the place of its result in the count, and nothing else."""
    drawn = []

    def tasks():
        for x in range(n):
            drawn.append(x)
            yield inverse, (x % 2,)

    stream = any_pool.work_stream(tasks(), depth)
    ahead = []
    for delivered in range(n):
        ahead.append(len(drawn) - delivered)
        outcome(lambda: next(stream))

    assert [min(depth, n - delivered) for delivered in range(n)] == ahead


# 3. For every random-access source, list(batch_iterator(...)) == [fetch(p) for p in plan].


@given(sources(), batch_sizes(), shuffles())
def test_law_3_batches_are_fetched_picks(ds, batch_size, fresh):
    """In order and shuffled."""
    plan = ds.batch_indices_iterator(batch_size, shuffle=fresh())

    assert some(map(ds.samples_by_indices_nomapping, plan)) == some(ds.batch_iterator(batch_size, shuffle=fresh()))


@given(sources(weighted=True), batch_sizes(), rngs())
def test_law_3_holds_with_weights(ds, batch_size, fresh):
    """Also where samples are drawn by weight."""
    plan = ds.batch_indices_iterator(batch_size, shuffle=fresh())

    assert some(map(ds.samples_by_indices_nomapping, plan)) == some(ds.batch_iterator(batch_size, shuffle=fresh()))


@given(st.data(), batch_sizes(), shuffles(in_order=False))
def test_law_3_holds_with_random_transforms(data, batch_size, fresh):
    """Also with random transforms, and with weights of a choice: their random numbers follow from the pick."""
    ds = data.draw(sources(random=True, batch_size=batch_size) | named_sources())
    plan = ds.batch_indices_iterator(batch_size, shuffle=fresh())

    assert some(map(ds.samples_by_indices_nomapping, plan)) == some(ds.batch_iterator(batch_size, shuffle=fresh()))


# 4. One shuffled epoch is a permutation; the concatenation of its batches does not depend on the batch size.


@given(lengths(200), batch_sizes(), rngs())
def test_law_4_an_epoch_is_a_permutation(n, batch_size, fresh):
    """Every sample comes once."""
    batches = StandardSampler(n).shuffled_indices_batch_iterator(batch_size, fresh())

    assert list(range(n)) == sorted(int(i) for batch in batches for i in batch)


@given(st.data(), st.integers(1, 30), batch_sizes(), batch_sizes(), rngs())
def test_law_4_the_order_does_not_depend_on_the_batch_size(data, n, one_size, other_size, fresh):
    """Batches are cut from one order, which is drawn without them; so are draws by weight."""
    sampler = data.draw(samplers(n))
    one, other = (
        [
            int(i)
            for batch in itertools.islice(sampler.shuffled_indices_batch_iterator(size, fresh()), 200 // size + 1)
            for i in batch
        ][:200]
        for size in (one_size, other_size)
    )

    assert one == other


# 5. SubsetSampler(idx) is idx[StandardSampler(len(idx))], for RandomState and for Generator.


@given(st.lists(st.integers(0, 1000), max_size=40), st.integers(1, 3), batch_sizes(), rngs())
def test_law_5_a_subset_is_a_selection_from_its_positions(indices, repeats, batch_size, fresh):
    """The same order is drawn for the indices as for their positions."""
    idx = np.array(indices, dtype=np.intp)
    subset = SubsetSampler(idx, repeats).shuffled_indices_batch_iterator(batch_size, fresh())
    positions = StandardSampler(len(idx), repeats).shuffled_indices_batch_iterator(batch_size, fresh())

    assert [idx[batch].tolist() for batch in positions] == [batch.tolist() for batch in subset]


@given(st.lists(st.integers(0, 1000), max_size=40), st.integers(1, 3), batch_sizes())
def test_law_5_holds_in_order(indices, repeats, batch_size):
    """Without a generator, too."""
    idx = np.array(indices, dtype=np.intp)
    subset = SubsetSampler(idx, repeats).in_order_indices_batch_iterator(batch_size)
    positions = StandardSampler(len(idx), repeats).in_order_indices_batch_iterator(batch_size)

    assert [idx[batch].tolist() for batch in positions] == [batch.tolist() for batch in subset]


# 6. ds.map(f).map(g) is ds.map(g after f).


def with_its_length(*batch):
    return (len(batch), *batch)


def backwards(*batch):
    return batch[::-1]


def in_a_tuple(*batch):
    return (batch,)


functions = st.sampled_from([with_its_length, backwards, in_a_tuple])


@given(sources(), functions, functions, batch_sizes(), shuffles())
def test_law_6_maps_compose(ds, f, g, batch_size, fresh):
    """Two maps are the map of both functions, one after the other."""
    one_by_one = ds.map(f).map(g).batch_iterator(batch_size, shuffle=fresh())
    at_once = ds.map(lambda *batch: g(*f(*batch))).batch_iterator(batch_size, shuffle=fresh())

    assert some(at_once) == some(one_by_one)


# 7. A run is its head plus the run resumed there, at every step, on every pool, with any change of worker count.


seeds = st.none() | st.integers(0, 2**70) | st.builds(np.random.SeedSequence, st.lists(st.integers(0, 9), min_size=1))
shards = st.none() | st.sampled_from([(rank, world) for world in (1, 2, 3) for rank in range(world)])
lasts = st.sampled_from(["keep", "drop", "pad", "wrap"])
remainders = st.sampled_from(["drop", "pad", "uneven"])
EPOCHS = 3  # to compare, of at most SOME batches together


@st.composite
def runs(draw):
    """What makes a `Loader`, but for its pool and depth."""
    batch_size, seed, shard = draw(batch_sizes(25)), draw(seeds), draw(shards)
    weighted = seed is not None  # draws by weight have no order to keep
    chance = weighted or shard is None  # what ranks share has a seed
    source = sources(weighted=weighted, random=chance, batch_size=batch_size)
    return {
        "source": draw(source | named_sources()),
        "batch_size": batch_size,
        "shuffle": seed,
        "last": draw(lasts),
        "shard": shard,
        "remainder": draw(remainders),
    }


def loader_of(run, **options):
    """The loader of a run; one without a seed draws it from NumPy's generator, the same for each."""
    np.random.seed(5)
    return Loader(**run, **options)


def delivered(loader, n=SOME):
    """The next batches, with the place of each: at most `n`, of the first epochs."""
    found = []
    while len(found) < n and loader.epoch < EPOCHS:
        for batch in itertools.islice(loader, n - len(found)):
            found.append((loader.epoch, loader.step, plain(batch)))
    return found


@given(run=runs(), cut=st.integers(0, SOME), data=st.data())
@settings(max_examples=25)
def test_law_7_a_run_is_its_head_and_the_run_resumed_there(any_pool, pools, run, cut, data):
    """Any run, left anywhere on any pool, goes on with another pool and depth as if it had not been left."""
    head = loader_of(run, pool=any_pool, depth=data.draw(depths))
    tail = Loader(**run, pool=pools[data.draw(st.sampled_from([*pools]))], depth=data.draw(depths))
    found = delivered(head, cut)
    tail.load_state_dict(json.loads(json.dumps(head.state_dict())))
    found += delivered(tail, SOME - len(found))

    assert delivered(loader_of(run)) == found


@pytest.mark.parametrize("last", ["keep", "drop", "pad", "wrap"])
def test_law_7_holds_at_every_step(any_pool, last):
    """Before the first batch, behind each one, and at both sides of an epoch's end."""
    ds = ArrayDataSource([np.arange(10)]).random_map(with_noise)
    whole = delivered(Loader(ds, 3, shuffle=5, last=last), 9)
    found = []
    for cut in range(10):
        head, tail = (Loader(ds, 3, shuffle=5, last=last, pool=any_pool) for _ in range(2))
        first = delivered(head, cut)
        tail.load_state_dict(head.state_dict())
        found.append(first + delivered(tail, 9 - cut))

    assert [whole] * 10 == found


@given(run=runs(), n=st.integers(1, SOME), cut=st.integers(0, SOME))
@settings(max_examples=20)
def test_law_7_holds_for_runs_counted_in_steps(any_pool, run, n, cut):
    """`steps(n)` is the head of `steps(n + m)`, and a run resumed there gives the rest."""
    loader, head, tail = loader_of(run), loader_of(run, pool=any_pool), Loader(**run)
    expected = outcome(lambda: [plain(batch) for batch in loader.steps(cut + n)])
    if isinstance(expected, tuple):  # an epoch without batches
        return
    found = [plain(batch) for batch in head.steps(cut)] if cut else []
    tail.load_state_dict(head.state_dict())

    assert expected == found + [plain(batch) for batch in tail.steps(n)]


# 8. With random_map, batches do not depend on pool or worker count.


def with_noise(*batch, rng):
    return *batch, rng.random(len(batch[0]))


@given(run=runs(), depth=depths)
@settings(max_examples=25)
def test_law_8_batches_do_not_depend_on_the_pool(any_pool, run, depth):
    """Nor on the number of its workers, or the depth."""
    assert delivered(loader_of(run)) == delivered(loader_of(run, pool=any_pool, depth=depth))


@given(st.data(), batch_sizes(), shuffles(in_order=False), depths)
@settings(max_examples=30)
def test_law_8_holds_for_parallel_sources(any_pool, data, batch_size, fresh, depth):
    """With a seed or a generator, the noise is that of the source itself."""
    ds = data.draw(sources(random=True, batch_size=batch_size))
    parallel = any_pool.parallel_data_source(ds, depth)

    assert some(ds.batch_iterator(batch_size, shuffle=fresh())) == some(
        parallel.batch_iterator(batch_size, shuffle=fresh())
    )


@given(st.data(), batch_sizes(), st.integers(0, 2**70))
@settings(max_examples=30)
def test_law_8_the_first_epoch_is_that_of_the_seed(data, batch_size, seed):
    """A loader and a plain loop with one seed give the same batches, noise and all."""
    ds = data.draw(sources(weighted=True, random=True, batch_size=batch_size))

    assert some(ds.batch_iterator(batch_size, shuffle=seed)) == some(iter(Loader(ds, batch_size, shuffle=seed)))


# 10. Whatever crosses to a worker pickles.


@given(sources(weighted=True), batch_sizes(), rngs())
def test_law_10_sources_and_picks_pickle(ds, batch_size, fresh):
    """What was pickled fetches the same batches, and draws the same plan."""
    plan = list(itertools.islice(ds.batch_indices_iterator(batch_size, shuffle=fresh()), SOME))
    ds_there, plan_there = pickle.loads(pickle.dumps((ds, plan)))

    assert plain(plan) == plain(plan_there)
    assert [type(pick) for pick in plan] == [type(pick) for pick in plan_there]
    assert some(map(ds.samples_by_indices_nomapping, plan)) == some(
        map(ds_there.samples_by_indices_nomapping, plan_there)
    )
    assert some(ds.batch_iterator(batch_size, shuffle=fresh())) == some(
        ds_there.batch_iterator(batch_size, shuffle=fresh())
    )


def test_law_10_picks_are_small():
    """A pick has the indices of its batch, not of the epoch that it was cut from."""
    plans = [
        ArrayDataSource([np.arange(100_000)]).batch_indices_iterator(10, shuffle=0),
        ArrayDataSource([np.arange(100_000)], indices=np.arange(100_000)).batch_indices_iterator(10, shuffle=0),
        ArrayDataSource([np.zeros(100_000)], sampler=WeightedSampler(np.ones(100_000))).batch_indices_iterator(
            10, shuffle=0
        ),
    ]

    assert [True] * 3 == [len(pickle.dumps(next(plan))) < 1000 for plan in plans]


@pytest.mark.parametrize("name", [name for name in errors.__all__ if isinstance(getattr(errors, name), type)])
def test_law_10_errors_pickle(name):
    """An error that crosses keeps its message, its attributes and its notes."""
    error = getattr(errors, name)("what went wrong")
    if isinstance(error, (errors.WorkerError, errors.WorkerDiedError, errors.BatchTimeoutError)):
        errors.located(error, 3, np.array([7, 8]))
    error.add_note("and where")
    there_and_back = pickle.loads(pickle.dumps(error))

    assert (type(error), str(error), error.__notes__) == (
        type(there_and_back),
        str(there_and_back),
        there_and_back.__notes__,
    )
    assert plain(error.__dict__) == plain(there_and_back.__dict__)
