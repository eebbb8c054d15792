"""What programs for batchup 0.2 rely on. The draws are those of batchup 0.2.2, written down."""

import itertools

import numpy as np
import pytest

from batchup import data_source, sampling, work_pool
from batchup.data_source import (
    AbstractDataSource,
    ArrayDataSource,
    CallableDataSource,
    ChoiceBatch,
    ChoiceDataSource,
    CompositeDataSource,
    IteratorDataSource,
    MapDataSource,
)
from batchup.sampling import (
    AbstractSampler,
    StandardSampler,
    SubsetSampler,
    WeightedSampler,
    WeightedSubsetSampler,
)

SUBSET = [40, 7, 23, 11, 3]
WEIGHTS = [0.0, 1.0, 2.0, 3.0, 0.0, 4.0]
LABELS = [0, 0, 0, 1, 2, 2, 0, 0]


@pytest.fixture
def rng():
    return np.random.RandomState(12345)


def lists(x):
    """The same tree, with lists for arrays and tuples for picks."""
    if isinstance(x, tuple):
        return tuple(lists(part) for part in x)
    return x.tolist() if isinstance(x, np.ndarray) else x


def first(n, batches):
    return [lists(batch) for batch in itertools.islice(batches, n)]


def seven():
    return ArrayDataSource([np.arange(7) * 10, np.arange(7) % 2])


def labelled_and_unlabelled(**kwargs):
    labelled = ArrayDataSource([np.arange(3), np.arange(3) % 2], repeats=-1)
    return CompositeDataSource([labelled, ArrayDataSource([np.arange(100, 107)])], **kwargs)


def six_or_ten(**kwargs):
    return ChoiceDataSource([ArrayDataSource([np.arange(6)]), ArrayDataSource([np.arange(100, 110)])], **kwargs)


# Samplers: the draws for RandomState(12345).


@pytest.mark.parametrize(
    ("sampler", "batch_size", "expected"),
    [
        pytest.param(StandardSampler(7), 3, [[6, 3, 4], [0, 1, 5], [2]], id="all"),
        pytest.param(
            StandardSampler(7, repeats=2), 3, [[6, 3, 4], [0, 1, 5], [2, 4, 0], [3, 1, 2], [5, 6]], id="all, twice"
        ),
        pytest.param(
            StandardSampler(7, repeats=-1),
            3,
            [[6, 3, 4], [0, 1, 5], [2, 4, 0], [3, 1, 2], [5, 6, 4], [0, 2, 5], [6, 3, 1], [0, 4, 6]],
            id="all, for ever",
        ),
        pytest.param(
            StandardSampler(3, repeats=-1),
            8,
            [[0, 1, 2, 0, 2, 1, 2, 1], [0, 1, 0, 2, 2, 0, 1, 0], [2, 1, 0, 1, 2, 0, 1, 2]],
            id="fewer samples than batch_size",
        ),
        pytest.param(SubsetSampler(SUBSET), 2, [[40, 3], [11, 7], [23]], id="a subset"),
        pytest.param(
            SubsetSampler(SUBSET, repeats=2), 4, [[40, 3, 11, 7], [23, 11, 40, 23], [7, 3]], id="a subset, twice"
        ),
        pytest.param(
            SubsetSampler(SUBSET, repeats=-1),
            4,
            [[40, 3, 11, 7], [23, 11, 40, 23], [7, 3, 3, 40], [11, 7, 23, 40]],
            id="a subset, for ever",
        ),
        pytest.param(WeightedSampler(WEIGHTS), 5, [[5, 3, 2, 2, 3], [3, 5, 5, 5, 5], [5, 5, 1, 2, 2]], id="weighted"),
        pytest.param(WeightedSampler([3, 1, 4, 1, 5]), 10, [[4, 2, 0, 0, 2, 3, 4, 4, 4, 4]], id="weighted by integers"),
        pytest.param(
            WeightedSampler(np.array([1, 2, 3, 4], dtype=np.float32)),
            10,
            [[3, 2, 1, 1, 2, 2, 3, 3, 3, 3]],
            id="weighted by float32",
        ),
        pytest.param(
            WeightedSubsetSampler(WEIGHTS[:5], SUBSET),
            5,
            [[11, 23, 23, 23, 11], [11, 11, 11, 11, 11], [11, 11, 7, 7, 23]],
            id="a weighted subset",
        ),
        pytest.param(
            WeightedSampler.class_balancing_sampler(LABELS),
            6,
            [[6, 3, 2, 3, 4, 4], [7, 4, 5, 4, 5, 7]],
            id="balanced classes",
        ),
        pytest.param(
            WeightedSubsetSampler.class_balancing_sampler(LABELS, [0, 3, 4, 5, 6]),
            6,
            [[6, 3, 3, 3, 4, 4], [6, 4, 5, 4, 5, 6], [0, 0, 3, 4, 5, 6]],
            id="balanced classes of a subset",
        ),
    ],
)
def test_shuffled_indices(sampler, batch_size, expected, rng):
    """A sampler draws from a RandomState what it drew in 0.2."""
    assert expected == first(len(expected), sampler.shuffled_indices_batch_iterator(batch_size, rng))


@pytest.mark.parametrize("n", [200_000])
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int64])
def test_many_weights(n, dtype, rng):
    """Two hundred thousand weights draw what they drew in 0.2."""
    weights = (np.random.RandomState(0).rand(n) * 1000).astype(dtype)
    batches = WeightedSampler(weights).shuffled_indices_batch_iterator(6, rng)

    assert [
        [185958, 63622, 37037, 41164, 113718, 119279],
        [192945, 130807, 149965, 130886, 149721, 192304],
    ] == first(2, batches)


@pytest.mark.parametrize(
    ("sampler", "batch_size", "expected"),
    [
        (StandardSampler(7, repeats=2), 3, [[0, 1, 2], [3, 4, 5], [6, 0, 1], [2, 3, 4], [5, 6]]),
        (StandardSampler(3, repeats=-1), 8, [[0, 1, 2, 0, 1, 2, 0, 1], [2, 0, 1, 2, 0, 1, 2, 0]]),
        (SubsetSampler(SUBSET, repeats=2), 4, [[40, 7, 23, 11], [3, 40, 7, 23], [11, 3]]),
    ],
)
def test_indices_in_order(sampler, batch_size, expected):
    """In order, batches run across the joints of the repeats."""
    assert expected == first(len(expected), sampler.in_order_indices_batch_iterator(batch_size))


def test_class_balancing_weights():
    """A sample weighs one by the number of samples of its class, by the number of classes."""
    assert [1 / 15, 1 / 15, 1 / 15, 1 / 3, 1 / 6, 1 / 6, 1 / 15, 1 / 15] == pytest.approx(
        WeightedSampler.class_balancing_sample_weights(LABELS)
    )
    assert [0.25, 0.25, 0.5] == WeightedSampler.class_balancing_sample_weights([0, 0, 2]).tolist()


def test_num_batches():
    """A last, short batch counts."""
    assert [0, 1, 1, 3] == [sampling.num_batches(n, size) for n, size in [(0, 3), (1, 3), (3, 3), (10, 4)]]


def test_a_permutation_is_drawn_when_the_first_batch_is_asked_for(rng):
    """Making an iterator draws nothing."""
    batches = seven().batch_iterator(3, shuffle=rng)
    before = rng.get_state()[2]
    next(batches)

    assert (624, True) == (before, before != rng.get_state()[2])


# Sources: the batches for RandomState(12345).


def test_shuffled_batches(rng):
    """Batches are tuples of arrays, all in the one order that was drawn."""
    assert [([60, 30, 40], [0, 1, 0]), ([0, 10, 50], [0, 1, 1]), ([20], [0])] == first(
        9, seven().batch_iterator(3, shuffle=rng)
    )


def test_a_generator_advances_from_epoch_to_epoch(rng):
    """The second epoch has an order of its own."""
    ds = seven()

    assert [([60, 30, 40, 0], [0, 1, 0, 0]), ([10, 50, 20], [1, 1, 0])] == first(9, ds.batch_iterator(4, shuffle=rng))
    assert [([40, 0, 30, 10], [0, 0, 1, 1]), ([20, 50, 60], [0, 1, 0])] == first(9, ds.batch_iterator(4, shuffle=rng))


def test_a_numpy_generator_shuffles():
    """A numpy.random.Generator does, too."""
    batches = ArrayDataSource([np.arange(7)]).batch_iterator(3, shuffle=np.random.default_rng(5))

    assert [([1, 4, 2],), ([3, 6, 5],), ([0],)] == first(9, batches)


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (seven, [([60, 30, 40], [0, 1, 0]), ([0, 10, 50], [0, 1, 1]), ([20], [0])]),
        (
            labelled_and_unlabelled,
            [([0, 1, 2], [0, 1, 0], [103, 100, 102]), ([2, 0, 1], [0, 0, 1], [106, 104, 101]), ([0], [0], [105])],
        ),
    ],
)
def test_shuffle_true_is_the_global_generator(make, expected):
    """`numpy.random.seed` seeds `shuffle=True`."""
    state = np.random.get_state()
    np.random.seed(12345)
    batches = first(9, make().batch_iterator(3, shuffle=True))
    np.random.set_state(state)

    assert expected == batches


def test_include_indices_puts_them_first(rng):
    """The first array of a batch is the indices of its samples."""
    ds = ArrayDataSource([np.arange(7) * 10, np.arange(7) % 2], include_indices=True)

    assert [
        ([6, 3, 4], [60, 30, 40], [0, 1, 0]),
        ([0, 1, 5], [0, 10, 50], [0, 1, 1]),
        ([2], [20], [0]),
    ] == first(9, ds.batch_iterator(3, shuffle=rng))


def test_a_subset_of_arrays(rng):
    """`indices` restricts a source; the indices that it includes are those of the arrays."""
    ds = ArrayDataSource([np.arange(7) * 10, np.arange(7) % 2], indices=np.array([5, 1, 4, 2]), include_indices=True)

    assert [([5, 2, 1], [50, 20, 10], [1, 0, 1]), ([4], [40], [0])] == first(9, ds.batch_iterator(3, shuffle=rng))


def test_samples_by_indices_go_by_the_subset_and_nomapping_by_the_data():
    """Position 0 of a subset is its first sample; without mapping, 0 is the first sample of the data."""
    ds = ArrayDataSource([np.arange(7) * 10], indices=np.array([5, 1, 4]))

    assert ([50, 40],) == lists(ds.samples_by_indices(np.array([0, 2])))
    assert ([0, 20],) == lists(ds.samples_by_indices_nomapping(np.array([0, 2])))


def test_a_weighted_source(rng):
    """A sampler given to a source draws its indices."""
    ds = ArrayDataSource([np.arange(6) * 10], sampler=WeightedSampler(WEIGHTS))

    assert [([50, 30, 20, 20, 30],), ([30, 50, 50, 50, 50],)] == first(2, ds.batch_iterator(5, shuffle=rng))


def test_map(rng):
    """The function of `map` gets the arrays of a batch, after shuffling."""
    ds = ArrayDataSource([np.arange(7) * 10], indices=np.array([5, 1, 4]), repeats=2).map(lambda x: (x + 1,))

    assert [([51, 11, 41, 51],), ([41, 11],)] == first(9, ds.batch_iterator(4, shuffle=rng))
    assert isinstance(ds, MapDataSource)


@pytest.mark.parametrize(
    ("kwargs", "expected"),
    [
        ({}, [([0, 1, 2], [0, 1, 0], [103, 100, 102]), ([2, 0, 1], [0, 0, 1], [106, 104, 101]), ([0], [0], [105])]),
        (
            {"flatten": False},
            [
                (([0, 1, 2], [0, 1, 0]), ([103, 100, 102],)),
                (([2, 0, 1], [0, 0, 1]), ([106, 104, 101],)),
                (([0], [0]), ([105],)),
            ],
        ),
        (
            {"trim": False},
            [
                ([0, 1, 2], [0, 1, 0], [103, 100, 102]),
                ([2, 0, 1], [0, 0, 1], [106, 104, 101]),
                ([0, 2, 1], [0, 0, 1], [105]),
            ],
        ),
    ],
    ids=["flat, trimmed", "not flat", "not trimmed"],
)
def test_a_composite_draws_from_its_members_in_order(kwargs, expected, rng):
    """A composite asks its members in turn, and ends with the first to end."""
    assert expected == first(9, labelled_and_unlabelled(**kwargs).batch_iterator(3, shuffle=rng))


def test_the_plan_of_a_composite_is_a_tuple_of_index_arrays(rng):
    """One index array for each member."""
    assert [([0, 1, 2], [3, 0, 2]), ([2, 0, 1], [6, 4, 1]), ([0], [5])] == first(
        9, labelled_and_unlabelled().batch_indices_iterator(3, shuffle=rng)
    )


def test_a_composite_flattens_its_members_one_level(rng):
    """A flat composite of a flat composite is flat; one that is not flat keeps each member apart."""
    labelled = ArrayDataSource([np.arange(3), np.arange(3) % 2], repeats=-1)
    ds = CompositeDataSource([CompositeDataSource(six_or_ten().datasets), labelled], flatten=False)

    assert [
        (([5, 3, 4, 0], [100, 104, 107, 108]), ([1, 0, 2, 0], [1, 0, 0, 0])),
        (([1, 2], [103, 106]), ([1, 2], [1, 0])),
    ] == first(9, ds.batch_iterator(4, shuffle=rng))


def test_a_choice_inside_a_composite(rng):
    """Batch by batch, one of the members of the choice, beside the other members of the composite."""
    ds = CompositeDataSource([six_or_ten(), ArrayDataSource([np.arange(200, 204)], repeats=-1)])

    assert [
        ([107, 100], [200, 203]),
        ([4, 5], [202, 201]),
        ([1, 2], [203, 200]),
        ([103, 106], [201, 202]),
        ([102, 109], [202, 200]),
        ([0, 3], [201, 203]),
    ] == first(9, ds.batch_iterator(2, shuffle=rng))


def test_a_choice_in_order_takes_turns():
    """In order, one batch from each, until the one whose turn it is has no more."""
    expected = [([0, 1],), ([100, 101],), ([2, 3],), ([102, 103],), ([4, 5],), ([104, 105],)]

    assert expected == first(9, six_or_ten().batch_iterator(2))


def test_a_shuffled_choice_goes_through_its_members_in_rounds(rng):
    """Shuffled, each round has an order of its own."""
    assert [([107, 100],), ([0, 4],), ([5, 2],), ([103, 106],), ([102, 109],), ([3, 1],), ([108, 104],)] == first(
        9, six_or_ten().batch_iterator(2, shuffle=rng)
    )


def test_a_stratified_choice_in_order():
    """All batches of all members, spread evenly."""
    assert [
        ([0, 1],), ([100, 101],), ([102, 103],), ([2, 3],), ([104, 105],), ([106, 107],), ([4, 5],), ([108, 109],)
    ] == first(9, six_or_ten(stratified=True).batch_iterator(2))  # fmt: skip


def test_a_stratified_choice_shuffled(rng):
    """All batches of all members, in an order drawn over the whole epoch."""
    assert [
        ([100, 104],), ([107, 108],), ([103, 106],), ([4, 5],), ([3, 1],), ([101, 109],), ([102, 105],), ([2, 0],)
    ] == first(9, six_or_ten(stratified=True).batch_iterator(2, shuffle=rng))  # fmt: skip


def test_the_plan_of_a_choice_says_which_member(rng):
    """A pick of a choice is the indices and the number of the member."""
    plan = list(six_or_ten().batch_indices_iterator(2, shuffle=rng))

    assert [([7, 0], 1), ([0, 4], 0), ([5, 2], 0), ([3, 6], 1), ([2, 9], 1), ([3, 1], 0), ([8, 4], 1)] == first(9, plan)
    assert all(isinstance(pick, ChoiceBatch) for pick in plan)


def test_a_plain_tuple_is_no_pick_of_a_choice():
    """As in batchup 0.2.3: which number is which cannot be told from a tuple."""
    choice = six_or_ten()

    for pick in [(1, np.array([0])), (np.array([0]), 1)]:
        with pytest.raises(TypeError, match=r"ChoiceBatch\(sample_indices, ds_index\)"):
            choice.samples_by_indices_nomapping(pick)


def test_how_many_samples():
    """Endless is infinity; a composite has as many as its shortest member, a choice as many as all together."""
    labelled, unlabelled = labelled_and_unlabelled().datasets

    assert [np.inf, 7, 7, 16, np.inf] == [
        ds.num_samples()
        for ds in [
            labelled, unlabelled, labelled_and_unlabelled(), six_or_ten(), ChoiceDataSource([labelled, unlabelled])
        ]
    ]  # fmt: skip


def test_batch_map(rng):
    """Results per sample are joined, sums are divided by the number of samples."""
    ds = ArrayDataSource([np.arange(5)])

    assert ([0, 1, 2, 3, 4],) == lists(ds.batch_map_concat(lambda x: x, 2))
    assert ([0, 4, 3, 1, 2],) == lists(ds.batch_map_concat(lambda x: x, 2, shuffle=rng))
    assert ([0, 3, 6, 9],) == lists(ds.batch_map_concat(lambda k, x: x * k, 2, prepend_args=(3,), n_batches=2))
    assert ds.batch_map_concat(lambda x: None, 2) is None
    assert (30.0, 3 / 7) == seven().batch_map_mean(lambda x, y: (x.sum(), y.sum()), 3)
    assert (30.0,) == seven().batch_map_mean(lambda x, y: x, 3, sum_axis=0)


def test_progress_is_reported_in_batches():
    """A function in the style of tqdm gets the batches and their number."""
    seen = []

    def progress(batches, total=None, leave=None):
        seen.append((total, leave))
        return batches

    ArrayDataSource([np.arange(5)]).batch_map_concat(lambda x: x, 2, progress_iter_func=progress)

    assert [(3, False)] == seen


def test_sources_over_functions_and_iterators():
    """A function gets the batch size and the keywords; an iterator gives what it gives."""
    called = CallableDataSource(lambda batch_size, **kwargs: iter([(np.arange(batch_size), kwargs)]), lambda **kw: 5)
    iterated = IteratorDataSource(iter([(np.arange(2),)]), n_samples=2)

    assert (5, [([0, 1, 2], {"shuffle": None})]) == (
        called.num_samples(),
        first(9, called.batch_iterator(3, shuffle=None)),
    )
    assert (2, [([0, 1],)]) == (iterated.num_samples(), first(9, iterated.batch_iterator(64)))
    assert not called.is_random_access
    assert not iterated.is_random_access


# Abstract classes, and names with an underscore that programs call.


@pytest.mark.parametrize(
    "call",
    [
        lambda: AbstractDataSource().num_samples(),
        lambda: AbstractDataSource().batch_iterator(3),
        lambda: AbstractDataSource().batch_indices_iterator(3),
        lambda: AbstractDataSource().samples_by_indices(np.arange(3)),
        lambda: AbstractDataSource().samples_by_indices_nomapping(np.arange(3)),
        lambda: data_source.RandomAccessDataSource(3).samples_by_indices_nomapping(np.arange(3)),
        lambda: AbstractSampler().num_indices_generated(),
        lambda: AbstractSampler().in_order_indices_batch_iterator(3),
        lambda: AbstractSampler().shuffled_indices_batch_iterator(3, np.random.RandomState(0)),
        lambda: work_pool.AbstractWorkerPool().work_stream([]),
        lambda: work_pool.AbstractWorkerPool().shared_constant(3),
    ],
)
def test_abstract_classes_can_be_made_and_their_methods_raise_when_called(call):
    """An abstract class is no error until one of its methods is called."""
    with pytest.raises(NotImplementedError):
        call()


def test_what_an_abstract_class_answers():
    """A source has no indices unless it says so, and a sampler maps indices to themselves."""
    assert AbstractDataSource().is_random_access is False
    assert [0, 1, 2] == AbstractSampler().map_indices(np.arange(3)).tolist()


def test_names_with_an_underscore():
    """Programs for 0.2 call these."""
    batch = (np.arange(7) * 10, (np.arange(7) % 2,))

    assert 7 == data_source._length_of_batch(batch)
    assert ([0, 10], ([0, 1],)) == lists(data_source._trim_batch(batch, 2))


def test_the_turns_of_a_stratified_choice(rng):
    """Whose turn it is, given how many batches each has."""
    assert [0, 1, 1, 0, 1, 1, 0, 1] == ChoiceDataSource._ds_indices_stratified_in_order(np.array([3, 5])).tolist()
    assert [1, 1, 1, 0, 0, 1, 1, 0] == ChoiceDataSource._ds_indices_stratified_shuffled(np.array([3, 5]), rng).tolist()


@pytest.mark.parametrize(
    ("stratified", "shuffled", "expected"),
    [
        (False, False, [("a", 0), ("d", 1), ("b", 0), ("e", 1), ("c", 0), ("f", 1)]),
        (False, True, [("d", 1), ("a", 0), ("b", 0), ("e", 1), ("c", 0), ("f", 1)]),
        (
            True,
            True,
            [("d", 1), ("e", 1), ("f", 1), ("a", 0), ("b", 0), ("g", 1), ("h", 1), ("c", 0)],
        ),
    ],
)
def test_the_items_of_a_choice_turn_by_turn(stratified, shuffled, expected, rng):
    """`_ds_iterator` gives a ChoiceBatch for each: the item, and the number of the member, as in batchup 0.2.3."""
    turns = six_or_ten(stratified=stratified)._ds_iterator(2, [iter("abc"), iter("defgh")], rng if shuffled else None)

    assert expected == list(turns)


# Pools.


def test_a_stream_ends_with_none():
    """`retrieve` gives the results in order, then None, again and again."""
    with work_pool.WorkerThreadPool(2) as pool:
        stream = pool.work_stream((pow, (n, 2)) for n in range(4))

        assert [0, 1, 4, 9, None, None] == [stream.retrieve() for _ in range(6)]


def test_a_stream_begins_at_once():
    """The first `task_buffer_size` tasks are started when the stream is made, and one more for each result."""
    drawn = []

    def tasks():
        for n in range(50):
            drawn.append(n)
            yield pow, (n, 2)

    with work_pool.WorkerThreadPool(2) as pool:
        stream = pool.work_stream(tasks(), task_buffer_size=5)
        at_first = len(drawn)
        stream.retrieve()

    assert (5, 6) == (at_first, len(drawn))


def test_a_parallel_source_gives_the_same_batches(rng):
    """Prepared elsewhere, the batches are the same."""
    with work_pool.WorkerThreadPool(2) as pool:
        parallel = pool.parallel_data_source(ArrayDataSource([np.arange(7) * 10]), batch_buffer_size=2)

        assert [([60, 30, 40],), ([0, 10, 50],), ([20],)] == first(9, parallel.batch_iterator(3, shuffle=rng))
        assert (7, False) == (parallel.num_samples(), parallel.is_random_access)
