"""Data sources: the contracts over all of them, and what each promises beyond it."""

import itertools
import pickle

import numpy as np
import pytest

from batchup import data_source
from batchup.data_source import (
    AbstractDataSource,
    ArrayDataSource,
    BatchIterator,
    CallableDataSource,
    ChoiceBatch,
    ChoiceDataSource,
    CompositeDataSource,
    IteratorDataSource,
    MapDataSource,
    RandomAccessDataSource,
    coerce_data_source,
)
from batchup.sampling import StandardSampler, WeightedSampler
from batchup.testing import AccessorContract, RandomAccessSourceContract, SequentialSourceContract, plain


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


class Squares(RandomAccessDataSource):
    def samples_by_indices_nomapping(self, indices):
        return (indices**2,)


class TestWords(AccessorContract):
    def make(self):
        return Words(5)


class TestArrays(RandomAccessSourceContract):
    def make(self):
        return arrays()


class TestSubset(RandomAccessSourceContract):
    def make(self):
        return arrays(indices=[7, 2, 3, 9], include_indices=True)


class TestNoSamples(RandomAccessSourceContract):
    def make(self):
        return arrays(0)


class TestForEver(RandomAccessSourceContract):
    def make(self):
        return arrays(4, repeats=-1)

    @pytest.mark.parametrize("batch_size", [1, 3, 1000])
    def test_batches_are_full(self, batch_size):
        """Without an end there is no short batch."""
        batches = itertools.islice(self.make().batch_iterator(batch_size), 5)

        assert [batch_size] * 5 == [len(x) for x, _ in batches]


class TestAccessors(RandomAccessSourceContract):
    def make(self):
        return ArrayDataSource([Words(8), list("abcdefgh"), np.arange(8)])


class TestSourceOfOnesOwn(RandomAccessSourceContract):
    def make(self):
        return Squares(10, indices=[1, 5, 3, 3])


class TestMapped(RandomAccessSourceContract):
    def make(self):
        return arrays().map(doubled)


class TestMappedToDicts(RandomAccessSourceContract):
    def make(self):
        return arrays().map(as_dict)


class TestComposite(RandomAccessSourceContract):
    def make(self):
        return CompositeDataSource([arrays(3, repeats=-1), arrays(10).map(doubled)])


class TestStructuredComposite(RandomAccessSourceContract):
    def make(self):
        return CompositeDataSource([arrays(3, repeats=2), arrays(6)], flatten=False)


class TestChoice(RandomAccessSourceContract):
    def make(self):
        return ChoiceDataSource([arrays(7), arrays(10)], stratified=True)


class TestNested(RandomAccessSourceContract):
    def make(self):
        choice = ChoiceDataSource([arrays(9), CompositeDataSource([arrays(6), arrays(8)])], stratified=True)
        return CompositeDataSource([choice.map(doubled), arrays(5, repeats=-1)], flatten=False)


class TestCallable(SequentialSourceContract):
    def make(self):
        return CallableDataSource(counted, 10)


class TestIterator(SequentialSourceContract):
    def make(self):
        return IteratorDataSource(iter([(np.array([1]),), (np.array([3]),)]), 2)


class TestMappedCallable(SequentialSourceContract):
    def make(self):
        return CallableDataSource(counted).map(doubled)


class TestCompositeOfBothKinds(SequentialSourceContract):
    def make(self):
        return CompositeDataSource([arrays(8), CallableDataSource(counted, 10)])


class TestChoiceOfBothKinds(SequentialSourceContract):
    def make(self):
        return ChoiceDataSource([arrays(10), CallableDataSource(counted, lambda: 10)], stratified=True)


# Arrays.


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("dtype", ["u1", "f4", "c16", "M8[s]", "U3", "O"])
def test_samples_of_any_array_are_array_indexed(order, dtype):
    """Whatever the layout and the dtype, a batch is `array[indices]`."""
    array = np.asarray(np.arange(24).reshape(6, 4).astype(dtype), order=order)
    indices = np.array([5, 0, 0, 3])

    for each in (array, array[:, ::2], array[::-1]):
        assert plain(each[indices]) == plain(ArrayDataSource([each]).samples_by_indices(indices)[0])


def test_a_memory_map_is_data(tmp_path):
    """Batches of a file mapped to memory are plain arrays of its samples."""
    np.save(tmp_path / "x.npy", np.arange(20.0).reshape(10, 2))
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    (batch,) = ArrayDataSource([mapped]).samples_by_indices(np.array([9, 1]))

    assert [[18.0, 19.0], [2.0, 3.0]] == batch.tolist()


def test_batches_are_copies():
    """Writing to a batch does not change the data."""
    data = np.arange(5)
    for (x,) in ArrayDataSource([data]).batch_iterator(2):
        x[:] = -1

    assert [0, 1, 2, 3, 4] == data.tolist()


def test_writing_to_included_indices_changes_no_later_epoch():
    """The array of indices in a batch belongs to the consumer."""
    ds = arrays(indices=[4, 3, 2], include_indices=True)
    for indices, *_ in ds.batch_iterator(2):
        indices[:] = 0

    assert [4, 3, 2] == [int(i) for indices, *_ in ds.batch_iterator(2) for i in indices]


def test_one_sample_by_its_index():
    """An int gives one sample of each array, without an axis for the batch; a slice gives a batch."""
    ds = ArrayDataSource([np.arange(10) * 2, list("abcdefghij")], indices=[7, 3])

    assert (14, "h") == ds.samples_by_indices(0)
    assert (6, "d") == ds.samples_by_indices(np.int64(1))
    assert ([0, 2], ["a", "b"]) == (lambda x, y: (x.tolist(), y))(*ds.samples_by_indices_nomapping(slice(0, 2)))


def test_no_indices_are_a_batch_without_samples():
    """An empty array or list of indices gives arrays of length 0."""
    ds = arrays()

    for none in ([], np.array([], dtype=int)):
        assert [(0,), (0, 2)] == [part.shape for part in ds.samples_by_indices(none)]


def test_indices_may_be_of_any_integer_type():
    """Lists, and arrays of small and of unsigned integers, are indices."""
    for indices in ([3, 1], np.array([3, 1], dtype=np.uint8), np.array([3, 1], dtype=np.int16)):
        assert [3, 1] == arrays().samples_by_indices(indices)[0].tolist()


def test_a_column_of_pandas_goes_by_position():
    """Samples of a Series are those at the positions, whatever its labels are."""

    class Column:  # as much of pandas.Series as is used
        def __init__(self, values):
            self.values, self.iloc = values, values

        def __len__(self):
            return len(self.values)

        def __getitem__(self, labels):
            raise KeyError(labels)

    assert [20, 10] == ArrayDataSource([Column(np.array([10, 20]))]).samples_by_indices(np.array([1, 0]))[0].tolist()


def test_a_sampler_may_be_any_object_with_its_methods():
    """A sampler need not be derived from AbstractSampler."""

    class Backwards:
        def num_indices_generated(self):
            return 4

        def in_order_indices_batch_iterator(self, batch_size):
            return iter([np.array([3, 2]), np.array([1, 0])])

    ds = ArrayDataSource([np.arange(4) * 10], sampler=Backwards())

    assert [30, 20, 10, 0] == [int(x) for (batch,) in ds.batch_iterator(2) for x in batch]


# Iterating.


def test_nothing_is_fetched_before_it_is_asked_for():
    """Making an iterator touches no data; each batch is fetched on its own."""
    asked = []

    class Watched(Words):
        def __getitem__(self, index):
            asked.append(index.tolist())
            return super().__getitem__(index)

    batches = ArrayDataSource([Watched(5)]).batch_iterator(2)
    before = list(asked)
    next(batches)

    assert ([], [[0, 1]]) == (before, asked)


def test_a_closed_iterator_ends():
    """After `close` there are no more batches."""
    batches = arrays().batch_iterator(2)
    next(batches)
    batches.close()

    assert isinstance(batches, BatchIterator)
    assert [] == list(batches)


def test_iterators_of_one_source_are_independent():
    """Two loops over one source, side by side, each see all of it."""
    ds = arrays(6)
    pairs = zip(ds.batch_iterator(2), ds.batch_iterator(2), strict=True)

    assert [([0, 1], [0, 1]), ([2, 3], [2, 3]), ([4, 5], [4, 5])] == [(a[0].tolist(), b[0].tolist()) for a, b in pairs]


@pytest.mark.parametrize("seed", [7, np.random.SeedSequence(7), np.int64(7)])
def test_a_seed_is_the_same_order_each_time(seed):
    """`shuffle=7` is the order of epoch 0 of seed 7."""
    once, again = ([x.tolist() for x, _ in arrays().batch_iterator(4, shuffle=seed)] for _ in range(2))

    assert once == again == [x.tolist() for x, _ in arrays().batch_iterator(4, shuffle=7)]
    assert once != [x.tolist() for x, _ in arrays().batch_iterator(4)]


@pytest.mark.parametrize("shuffle", [None, False, np.False_])
def test_no_shuffle_is_in_order(shuffle):
    """None and False keep the order."""
    assert [0, 1, 2] == next(arrays().batch_iterator(3, shuffle=shuffle))[0].tolist()


def test_a_seed_shuffles_the_members_of_a_composite_apart():
    """One generator is made from the seed and shared: two equal members get different orders."""
    ds = CompositeDataSource([ArrayDataSource([np.arange(30)])] * 2)
    left, right = next(ds.batch_iterator(30, shuffle=7))

    assert left.tolist() != right.tolist()
    assert left.tolist() == next(ds.batch_iterator(30, shuffle=7))[0].tolist()


# Composites and choices.


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


def test_a_choice_counts_those_that_know():
    """A choice has as many samples as those of its members that can say so."""
    assert 10 == ChoiceDataSource([arrays(), CallableDataSource(counted)]).num_samples()


def test_sources_may_be_given_as_what_they_are_made_from():
    """Composites and choices take lists of arrays, iterators and functions."""
    ds = CompositeDataSource([[np.arange(4)], iter([(np.array([7, 8]),)]), counted])

    assert [ArrayDataSource, IteratorDataSource, CallableDataSource] == [type(member) for member in ds.datasets]
    assert ([0, 1], [7, 8], [0, 1]) == tuple(part.tolist() for part in next(ds.batch_iterator(2)))


def test_coercion():
    """A source stays itself; a list or tuple of arrays, an iterator and a function become one."""
    ds = arrays()

    assert ds is coerce_data_source(ds)
    assert [ArrayDataSource, ArrayDataSource, IteratorDataSource, CallableDataSource] == [
        type(coerce_data_source(x)) for x in ([np.arange(3)], (np.arange(3),), iter([]), counted)
    ]


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


def test_keywords_go_to_those_that_take_them():
    """A function in a composite gets the user's keywords; the arrays beside it do not, and do not mind."""
    got = []

    def remembering(batch_size, **kwargs):
        got.append(kwargs)
        return counted(batch_size)

    ds = CompositeDataSource([arrays(), CallableDataSource(remembering)])
    next(ds.batch_iterator(2, subset="train"))

    assert [{"subset": "train"}] == got


# Maps.


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


# Results over a whole source.


def test_means_are_over_samples_not_over_batches():
    """A short last batch weighs less."""
    ds = ArrayDataSource([np.array([0.0, 0.0, 3.0])])

    assert (1.0,) == ds.batch_map_mean(lambda x: x.sum(), 2)
    assert (1.0,) == ds.batch_map_mean(lambda x: x, 2, sum_axis=0)


def test_means_of_single_precision_are_in_double():
    """Sums of float32 are carried in float64."""
    ds = ArrayDataSource([np.full(3, 16777217.0, dtype=np.float64)])
    (mean,) = ds.batch_map_mean(lambda x: np.float32(0.1), 1)

    assert (np.float64, float(np.float32(0.1))) == (type(mean), pytest.approx(float(mean), abs=1e-15))


def test_means_of_arrays():
    """A sum may be an array, and a tuple gives several."""
    ds = ArrayDataSource([np.arange(10.0).reshape(5, 2)])
    whole, per_column = ds.batch_map_mean(lambda x: (x.sum(), x.sum(axis=0)), 2)

    assert (9.0, [4.0, 5.0]) == (whole, per_column.tolist())


def test_no_samples_have_no_results():
    """Neither mean nor concatenation: None."""
    assert arrays(0).batch_map_mean(lambda x, y: x.sum(), 2) is None
    assert arrays(0).batch_map_concat(lambda x, y: x, 2) is None


def test_the_rest_of_an_iterator_stays_in_it():
    """`n_batches` takes so many and no more."""
    batches = arrays(10).batch_iterator(2)
    data_source.batch_map_concat(lambda x, y: x, batches, n_batches=2)

    assert [4, 5] == next(batches)[0].tolist()


def test_an_endless_source_needs_n_batches():
    """With it, the results of so many batches come."""
    ds = arrays(3, repeats=-1)

    assert [0, 1, 2, 0] == ds.batch_map_concat(lambda x, y: x, 2, n_batches=2)[0].tolist()
    with pytest.raises(ValueError, match="n_batches"):
        ds.batch_map_concat(lambda x, y: x, 2)


def test_a_progress_bar_knows_the_smaller_number():
    """The total is `n_batches`, or the batches of the source where it has fewer."""
    totals = []

    def progress(batches, total, leave):
        totals.append(total)
        return batches

    for n_batches in (2, 9, None):
        arrays(10).batch_map_concat(lambda x, y: x, 3, progress_iter_func=progress, n_batches=n_batches)

    assert [2, 4, 4] == totals


def test_a_sampler_takes_the_place_of_indices():
    """Weights and repeats come by the sampler."""
    ds = arrays(6, sampler=StandardSampler(4, repeats=2))
    weighted = arrays(3, sampler=WeightedSampler([0, 1, 0]))

    assert (8, np.inf) == (ds.num_samples(), weighted.num_samples())
    assert [1, 1, 1] == next(weighted.batch_iterator(3, shuffle=0))[0].tolist()


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


def test_shuffle_by_position_reaches_a_function_by_name():
    """And without one, the function gets none."""
    given = []
    ds = CallableDataSource(lambda batch_size, **kwargs: given.append(kwargs) or iter(()))
    ds.batch_iterator(4, 7)
    ds.map(lambda x: (x,)).batch_iterator(4, 7)
    ds.batch_iterator(4)

    assert [{"shuffle": 7}, {"shuffle": 7}, {}] == given


class Short:
    """Gives too few samples, whatever it is asked for."""

    def __init__(self, some):
        self.some = some

    def __len__(self):
        return 10

    def __getitem__(self, indices):
        return self.some


@pytest.mark.parametrize("some", [np.zeros((3, 2)), [1, 2, 3], np.array(3)], ids=["array", "list", "number"])
def test_an_array_like_gives_one_sample_for_each_index(some):
    """Fewer, or more, would stand beside the samples of others."""
    batches = ArrayDataSource([np.arange(10), Short(some)]).batch_iterator(4)
    if np.ndim(some):
        with pytest.raises(ValueError, match="a Short should give one sample for each index: 4 indices, 3 samples"):
            next(batches)
    else:
        assert 3 == next(batches)[1]


@pytest.mark.parametrize(
    ("some", "fits"),
    [
        ((np.zeros((4, 2)), (np.zeros(4), [1, 2, 3, 4])), True),
        ((1, 2, 3, 4), True),
        ((np.zeros((3, 2)), np.zeros(4)), False),
        ((np.zeros((4, 2)), [1, 2, 3]), False),
    ],
)
def test_fields_of_an_array_like_fit_its_indices(some, fits):
    """It may give several, as a tuple."""
    batches = ArrayDataSource([Short(some)]).batch_iterator(4)
    if fits:
        assert (some,) == next(batches)
    else:
        with pytest.raises(ValueError, match=r"4 indices, 3 samples; if it gives one sample .* ParallelItems"):
            next(batches)


class Pairs:
    """Such as one that is written for PyTorch: an image and its label for one index, never for many."""

    def __init__(self, n=6):
        self.images = np.arange(n * 4).reshape(n, 2, 2)
        self.names = [f"{i}.jpg" for i in range(n)]

    def __len__(self):
        return len(self.images)

    def __getitem__(self, i):
        return self.images[i][:, ::-1], self.names[i]


class TorchPairs(Pairs):
    """Has no more of PyTorch's ``Dataset`` than where it says it is from."""

    __module__ = "torch.utils.data.dataset"


def test_a_dataset_of_pytorch_gives_sample_by_sample():
    """It does not get an array of indices, for which its transforms are not made."""
    pairs = TorchPairs()
    (samples,) = next(ArrayDataSource([pairs]).batch_iterator(3, shuffle=np.random.RandomState(1)))

    np.testing.assert_equal(samples, [pairs[i] for i in np.random.RandomState(1).permutation(6)[:3]])


def test_an_array_like_for_one_index_is_told_what_to_do():
    """The error is its own, with a note."""
    with pytest.raises(TypeError) as caught:
        next(ArrayDataSource([Pairs()]).batch_iterator(3))

    assert "a Pairs is asked for an array of indices; if it gives one sample for one index, ParallelItems(it, " in str(
        caught.value.__notes__[0]
    )


def test_a_range_is_an_array_like():
    """Of the numbers in it."""
    assert [([5, 4, 3],), ([2, 1],)] == list(ArrayDataSource([range(5, 0, -1)]).batch_iterator(3))


def pairs():
    return ArrayDataSource([np.arange(10), np.arange(10) % 3])


@pytest.mark.parametrize(
    ("call", "note"),
    [
        (lambda: pairs().map(lambda batch: batch), "gets the arrays of a batch, here 2, as so many arguments"),
        (lambda: ArrayDataSource({"x": range(9)}).map(lambda x, y: x), "gets a batch, here a dict, as one argument"),
        (
            lambda: pairs().random_map(lambda x, y: (x, y)),
            "gets the arrays of a batch, here 2, as so many arguments, and a generator as rng",
        ),
        (lambda: CallableDataSource(lambda: iter(())), "gets what batch_iterator gets, fn(batch_size, "),
        (lambda: pairs().map(lambda x, y: len(3)), None),
        (lambda: pairs().map(range), None),
    ],
    ids=["map", "map of a dict", "random_map", "callable", "another error", "a function in C"],
)
def test_a_function_that_takes_other_arguments_is_told_which_it_gets(call, note):
    """The error is its own, with a note; an error of another kind has none."""
    with pytest.raises(TypeError) as caught:
        next(call().batch_iterator(3))

    notes = getattr(caught.value, "__notes__", [])
    assert note is None or "<lambda> " + note in notes[0]
    assert (note is None) == (not any("gets" in each for each in notes))


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
