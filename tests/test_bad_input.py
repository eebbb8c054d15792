"""Every wrong argument is refused, at the call that has it, by a message that says what was given and what may be."""

import inspect
import traceback
import types
from pathlib import Path

import numpy as np
import pytest

from batchup.data_source import (
    ArrayDataSource,
    CallableDataSource,
    ChoiceBatch,
    ChoiceDataSource,
    CompositeDataSource,
    ConcatDataSource,
    IteratorDataSource,
    MapDataSource,
    RandomAccessDataSource,
    coerce_data_source,
    pad,
)
from batchup.errors import WorkerError
from batchup.sampling import BucketSampler, StandardSampler, SubsetSampler, WeightedSampler, WeightedSubsetSampler
from batchup.work_pool import WorkerProcessPool, WorkerThreadPool

X = np.arange(5)


class TorchDataset:
    """Has no more of PyTorch's than where it says it is from."""

    __module__ = "torch.utils.data.dataset"

    def __len__(self):
        return 3

    def __getitem__(self, index):
        return X, index


def same(*batch):
    return batch


def array_source(**kwargs):
    return ArrayDataSource([X], **kwargs)


SOURCES = {
    "array": array_source,
    "map": lambda: array_source().map(same),
    "composite": lambda: CompositeDataSource([array_source(), array_source().map(same)]),
    "choice": lambda: ChoiceDataSource([array_source(), array_source()]),
    "stratified choice": lambda: ChoiceDataSource([array_source(), array_source()], stratified=True),
    "nested": lambda: CompositeDataSource([ChoiceDataSource([array_source()]).map(same), array_source()]).map(same),
}
every_source = pytest.mark.parametrize("make", SOURCES.values(), ids=SOURCES.keys())


def refused(error, said, call):
    """`call` raises `error`, whose message has all of `said` in it."""
    with pytest.raises(error) as caught:
        call()
    message = str(caught.value)
    assert [] == [words for words in said if words not in message], message
    return caught.value


# Batch sizes.

BATCH_SIZES = [
    (0, ValueError),
    (-1, ValueError),
    (-64, ValueError),
    (np.int64(0), ValueError),
    (True, TypeError),
    (False, TypeError),
    (np.True_, TypeError),
    (2.0, TypeError),
    (np.float64(2), TypeError),
    ("3", TypeError),
    (None, TypeError),
    ([3], TypeError),
]
every_batch_size = pytest.mark.parametrize(("batch_size", "error"), BATCH_SIZES)


@every_source
@every_batch_size
@pytest.mark.parametrize("call", ["batch_iterator", "batch_indices_iterator"])
@pytest.mark.parametrize("shuffle", [None, 7])
def test_batch_size_of_a_source(make, call, batch_size, error, shuffle):
    """A batch size is a positive integer."""
    ds = make()
    said = ["batch_size should be an integer of at least 1", repr(batch_size)]
    refused(error, said, lambda: getattr(ds, call)(batch_size, shuffle=shuffle))


@every_batch_size
@pytest.mark.parametrize(
    "sampler",
    [StandardSampler(5), SubsetSampler([1, 2]), WeightedSampler([1, 2]), WeightedSubsetSampler([1, 2], [3, 4])],
    ids=repr,
)
def test_batch_size_of_a_sampler(sampler, batch_size, error):
    """A batch size is a positive integer."""
    rng = np.random.RandomState(0)
    said = ["batch_size should be an integer of at least 1", repr(batch_size)]
    refused(error, said, lambda: sampler.shuffled_indices_batch_iterator(batch_size, rng))
    if not isinstance(sampler, (WeightedSampler, WeightedSubsetSampler)):
        refused(error, said, lambda: sampler.in_order_indices_batch_iterator(batch_size))


@every_batch_size
@pytest.mark.parametrize("call", ["batch_map_concat", "batch_map_mean"])
def test_batch_size_of_a_map_over_batches(call, batch_size, error):
    """A batch size is a positive integer."""
    refused(error, ["batch_size", repr(batch_size)], lambda: getattr(array_source(), call)(abs, batch_size))


@every_batch_size
@pytest.mark.parametrize("call", ["work_stream", "parallel_data_source"])
def test_buffer_sizes(call, batch_size, error):
    """A buffer holds at least one."""
    given = {"work_stream": [], "parallel_data_source": array_source()}[call]
    with WorkerThreadPool(1) as pool:
        refused(error, ["buffer_size", "at least 1", repr(batch_size)], lambda: getattr(pool, call)(given, batch_size))


@every_batch_size
@pytest.mark.parametrize("pool", [WorkerThreadPool, WorkerProcessPool])
def test_numbers_of_workers(pool, batch_size, error):
    """A pool has at least one worker."""
    refused(error, ["processes", "at least 1", repr(batch_size)], lambda: pool(batch_size))


def test_batch_size_of_a_parallel_source():
    """A batch size is a positive integer, in parallel too."""
    with WorkerThreadPool(1) as pool:
        refused(ValueError, ["batch_size", "0"], lambda: pool.parallel_data_source(array_source()).batch_iterator(0))


@pytest.mark.parametrize(("n_batches", "error"), [(-1, ValueError), (2.0, TypeError), (True, TypeError)])
def test_numbers_of_batches(n_batches, error):
    """So many batches as there are, or fewer."""
    refused(error, ["n_batches", repr(n_batches)], lambda: array_source().batch_map_concat(abs, 2, n_batches=n_batches))


# Keywords.


@every_source
@pytest.mark.parametrize("call", ["batch_iterator", "batch_indices_iterator"])
def test_misspelt_keywords(make, call):
    """A keyword that nothing takes is an error, and a similar one is suggested."""
    ds = make()
    error = refused(TypeError, ["'shufle'"], lambda: getattr(ds, call)(2, shufle=True))

    assert "did you mean 'shuffle'?" in str(error)


@every_source
def test_unknown_keywords(make):
    """Where no keyword is similar, the message lists those that there are."""
    ds = make()
    refused(TypeError, ["'colour'", "batch_size", "shuffle"], lambda: ds.batch_iterator(2, colour="red"))


@every_source
@pytest.mark.parametrize("call", ["batch_map_concat", "batch_map_mean"])
def test_keywords_through_maps_over_batches(make, call):
    """Keywords for `batch_iterator` are checked there too."""
    ds = make()
    refused(TypeError, ["'shufle'"], lambda: getattr(ds, call)(lambda *batch: None, 2, n_batches=1, shufle=True))


def test_keywords_of_a_parallel_source():
    """A pool does not swallow them."""
    with WorkerThreadPool(1) as pool:
        ds = pool.parallel_data_source(SOURCES["nested"]())
        refused(TypeError, ["'shufle'"], lambda: ds.batch_iterator(2, shufle=True))


def test_keywords_that_the_function_of_a_source_does_not_take():
    """The user's function says so itself."""
    ds = CallableDataSource(lambda batch_size, shuffle=None: iter([]))
    refused(TypeError, ["shufle"], lambda: ds.batch_iterator(2, shufle=True))


# Shuffling.


@every_source
@pytest.mark.parametrize(
    ("shuffle", "error"),
    [
        ("yes", TypeError),
        (1.5, TypeError),
        ([1], TypeError),
        (np.random.default_rng, TypeError),
        (-1, ValueError),
        (np.int64(-1), ValueError),
    ],
)
@pytest.mark.parametrize("call", ["batch_iterator", "batch_indices_iterator"])
def test_shuffle(make, call, shuffle, error):
    """`shuffle` is None, a bool, a seed of 0 or more, or a generator."""
    ds = make()
    said = ["shuffle", "0 or more" if error is ValueError else "a RandomState or a Generator", str(shuffle)]
    refused(error, said, lambda: getattr(ds, call)(2, shuffle=shuffle))


@pytest.mark.parametrize("sampler", [WeightedSampler([1, 2, 3, 4, 5]), WeightedSubsetSampler([1, 2], [3, 4])], ids=repr)
@pytest.mark.parametrize("shuffle", [None, False])
def test_weighted_samplers_have_no_order(sampler, shuffle):
    """Asked for an order, a weighted sampler says at once that it has none, and what to give."""
    ds = array_source(sampler=sampler)
    said = [type(sampler).__name__, "no order", "shuffle=True"]
    for call in (
        lambda: sampler.in_order_indices_batch_iterator(2),
        lambda: ds.batch_indices_iterator(2, shuffle=shuffle),
        lambda: ds.batch_iterator(2, shuffle=shuffle),
        lambda: ds.map(same).batch_iterator(2, shuffle=shuffle),
        lambda: CompositeDataSource([array_source(), ds]).batch_iterator(2, shuffle=shuffle),
        lambda: ChoiceDataSource([array_source(), ds]).batch_iterator(2, shuffle=shuffle),
    ):
        refused(NotImplementedError, said, call)


@pytest.mark.parametrize("sampler", [[1, 2], iter([3])], ids=["list", "iterator"])
def test_what_is_no_sampler(sampler):
    """Such as one of PyTorch's, which gives indices without batches."""
    said = ["sampler should have the methods of AbstractSampler", "WeightedSampler(weights)", type(sampler).__name__]
    refused(TypeError, said, lambda: array_source(sampler=sampler))


def test_a_sampler_of_ranks():
    """Such as PyTorch's DistributedSampler: the error says what shares samples out here."""

    class DistributedSampler:
        num_replicas, rank = 2, 0

    said = ["not be a DistributedSampler", 'Loader(..., shard="auto")']
    refused(TypeError, said, lambda: array_source(sampler=DistributedSampler()))


# Repeats.


@pytest.mark.parametrize(
    ("repeats", "error"),
    [
        (0, ValueError),
        (-2, ValueError),
        (-1.0, TypeError),
        (1.0, TypeError),
        (np.float64(-1), TypeError),
        (True, TypeError),
        ("2", TypeError),
        (None, TypeError),
    ],
)
@pytest.mark.parametrize(
    "make",
    [
        lambda repeats: StandardSampler(5, repeats),
        lambda repeats: SubsetSampler([1, 2], repeats),
        lambda repeats: array_source(repeats=repeats),
        lambda repeats: array_source(indices=[1, 2], repeats=repeats),
    ],
    ids=["StandardSampler", "SubsetSampler", "ArrayDataSource", "ArrayDataSource of a subset"],
)
def test_repeats(make, repeats, error):
    """Repeats are -1, or 1 and more."""
    refused(error, ["repeats should be -1 (for ever) or at least 1", repr(repeats)], lambda: make(repeats))


@pytest.mark.parametrize(
    "make",
    [
        lambda: StandardSampler(0, repeats=-1),
        lambda: SubsetSampler([], repeats=-1),
        lambda: ArrayDataSource([[]], repeats=-1),
        lambda: array_source(indices=[], repeats=-1),
        lambda: RandomAccessDataSource(0, repeats=-1),
    ],
)
def test_no_samples_for_ever(make):
    """Going through no samples for ever would never give a batch."""
    refused(ValueError, ["repeats=-1", "no samples"], make)


@pytest.mark.parametrize(("length", "error"), [(-1, ValueError), (2.0, TypeError), (True, TypeError), ("3", TypeError)])
@pytest.mark.parametrize("make", [StandardSampler, RandomAccessDataSource])
def test_lengths(make, length, error):
    """A length is an integer of 0 or more."""
    refused(error, ["length should be an integer of at least 0", repr(length)], lambda: make(length))


# Data.


@pytest.mark.parametrize("data", [X, (X, X), {X.size}, iter([X]), None, "abc", 3], ids=lambda x: type(x).__name__)
def test_data_is_a_list(data):
    """A single array is the mistake that is made most; the message shows the list around it."""
    refused(TypeError, ["data should be a list", type(data).__name__, "[X]"], lambda: ArrayDataSource(data))


def test_data_is_not_empty():
    """A list of no arrays has no length."""
    refused(ValueError, ["data", "at least one", "empty"], lambda: ArrayDataSource([]))


@pytest.mark.parametrize("array", [3, None, iter([1]), {1, 2}], ids=lambda x: type(x).__name__)
def test_data_is_array_like(array):
    """Each has a length and items, and the message says which has not."""
    refused(TypeError, ["data[1]", "length", type(array).__name__], lambda: ArrayDataSource([X, array]))


@pytest.mark.parametrize(
    "samples",
    [
        ["0.jpg", "10.jpg"],
        [b"01", b"12"],
        [Path("0.jpg"), Path("1.jpg")],
        [{"x": X, "y": 0}, {"x": X, "y": 1}],
        [(X, 0), (X, 1)],
        [("0.jpg", np.int64(0)), ("1.jpg", np.int64(1))],
        [0, 1, 2],
    ],
    ids=["str", "bytes", "Path", "dict", "arrays and labels", "paths and labels", "numbers"],
)
def test_data_is_not_a_list_of_samples(samples):
    """As it is elsewhere; the message shows the list around it, which is right."""
    said = ["list of array-likes", "data[0] is", "a list of samples goes into another list, ArrayDataSource([samples])"]
    refused(TypeError, said, lambda: ArrayDataSource(samples))
    assert [(samples[1:],)] == list(ArrayDataSource([samples], indices=range(1, len(samples))).batch_iterator(9))


@pytest.mark.parametrize("data", [[(1, 2.5), (3, 4.5)], [range(3), (1, 2, 3)], [["a", 1], ["b", 2]]], ids=str)
def test_data_may_be_tuples_and_lists(data):
    """Of numbers, of other things, or of what counts."""
    assert [tuple(map(list, data))] == list(ArrayDataSource(data).batch_iterator(9))


def test_data_is_of_one_length():
    """The message says which is longer or shorter, and by how much."""
    refused(ValueError, ["data[0] has 5", "data[2] 4"], lambda: ArrayDataSource([X, X, X[:4]]))


@pytest.mark.parametrize("x", [3, None, X, {3}, 2.5], ids=["int", "None", "ndarray", "set", "float"])
def test_what_is_no_data_source(x):
    """The message says what can be made into one."""
    said = ["a data source", "list of array-likes", "iterator", "function"]
    for call in (
        lambda: coerce_data_source(x),
        lambda: CompositeDataSource([array_source(), x]),
        lambda: ChoiceDataSource([x]),
    ):
        refused(TypeError, said, call)
    refused(TypeError, ["source should be a data source, not"], lambda: MapDataSource(x, same))


class Stream:
    def __iter__(self):
        return iter([(X, X)])


@pytest.mark.parametrize(
    ("x", "hint"),
    [
        (X, "put it into a list: [X] or [X, y]"),
        (TorchDataset(), "ArrayDataSource([dataset]).map(collate)"),
        (types.MappingProxyType({"x": X}), '{"x": x["x"], "y": x["y"]}'),
        (Stream(), "if samples, use batchup.batch_iter.Infinite(x, …)"),
    ],
    ids=["array", "Dataset", "mapping", "iterable"],
)
def test_what_to_do_with_what_is_no_data_source(x, hint):
    """What is meant can often be told."""
    refused(TypeError, [hint], lambda: coerce_data_source(x))


@pytest.mark.parametrize("kind", [CompositeDataSource, ChoiceDataSource])
def test_no_members(kind):
    """A composite or choice of nothing has no batches."""
    refused(ValueError, ["datasets", "at least one"], lambda: kind([]))


@pytest.mark.parametrize("fn", [None, 3, "abs", (X,)], ids=lambda x: type(x).__name__)
def test_what_is_no_function(fn):
    """`map` takes a function, and a callable source too."""
    refused(TypeError, ["fn should be a function", repr(fn)], lambda: array_source().map(fn))
    refused(TypeError, ["batch_iterator_fn should be a function", repr(fn)], lambda: CallableDataSource(fn))


@pytest.mark.parametrize(("n", "error"), [(-1, ValueError), (2.5, TypeError), (True, TypeError), ("5", TypeError)])
def test_numbers_of_samples(n, error):
    """None, an integer of 0 or more, or infinity."""
    refused(error, ["n_samples", repr(n)], lambda: IteratorDataSource(iter([]), n))
    refused(error, ["num_samples_fn", repr(n)], lambda: CallableDataSource(same, n))


# Indices.

INDICES = [
    pytest.param([0, 5], IndexError, ["below 5", "not 5"], id="past the end"),
    pytest.param(np.array([2**40]), IndexError, ["below 5", str(2**40)], id="far past the end"),
    pytest.param(np.array([2**63 + 3], dtype=np.uint64), IndexError, [], id="past what an index may be"),
    pytest.param([0, -1], IndexError, ["0 or more", "not -1"], id="negative"),
    pytest.param(np.array([-1, 0]), IndexError, ["0 or more", "not -1"], id="negative array"),
    pytest.param(np.array([True, False, True, False, True]), TypeError, ["boolean mask", "flatnonzero"], id="mask"),
    pytest.param([True, False], TypeError, ["boolean mask", "flatnonzero"], id="list of bools"),
    pytest.param(np.array([0.0, 1.0]), TypeError, ["integers", "float64"], id="floats"),
    pytest.param([0.5], TypeError, ["integers", "float64"], id="list of floats"),
    pytest.param(["a"], TypeError, ["integers"], id="strings"),
    pytest.param([[0, 1], [2, 3]], IndexError, ["1-D", "2-D", "(2, 2)"], id="2-D"),
    pytest.param(np.zeros((0, 2), int), IndexError, ["1-D", "2-D", "(0, 2)"], id="2-D and empty"),
]
of_one_sample = pytest.mark.parametrize(
    ("index", "error", "said"),
    [
        (5, IndexError, ["below 5", "not 5"]),
        (-1, IndexError, ["0 or more", "not -1"]),
        (np.int64(-1), IndexError, ["0 or more"]),
        (True, TypeError, ["integers"]),
        (1.0, TypeError, ["integers", "float64"]),
        ("1", TypeError, ["integers"]),
        (None, TypeError, ["integers"]),
    ],
)


@pytest.mark.parametrize(("indices", "error", "said"), INDICES)
def test_indices_of_a_source(indices, error, said):
    """The subset of a source is of its samples: refused when the source is made."""
    refused(error, ["indices", *said], lambda: array_source(indices=indices))


@pytest.mark.parametrize(("indices", "error", "said"), INDICES)
@pytest.mark.parametrize("call", ["samples_by_indices", "samples_by_indices_nomapping"])
def test_indices_of_a_fetch(call, indices, error, said):
    """A fetch is of samples that there are: no negative index counts from the end, no mask is taken for indices."""
    refused(error, ["indices", *said], lambda: getattr(array_source(), call)(indices))
    refused(error, ["indices", *said], lambda: getattr(array_source().map(same), call)(indices))
    refused(error, ["indices"], lambda: getattr(CompositeDataSource([array_source()]), call)((indices,)))
    pick = ChoiceBatch(indices, 0)
    refused(error, ["indices"], lambda: getattr(ChoiceDataSource([array_source()]), call)(pick))


@of_one_sample
@pytest.mark.parametrize("call", ["samples_by_indices", "samples_by_indices_nomapping"])
def test_the_index_of_one_sample(call, index, error, said):
    """A single sample is there, or an IndexError."""
    refused(error, said, lambda: getattr(array_source(), call)(index))


def test_a_position_past_a_subset():
    """Positions are those of the subset, which is shorter than the data."""
    ds = array_source(indices=[4, 2])
    with pytest.raises(IndexError):
        ds.samples_by_indices([2])


@pytest.mark.parametrize(
    ("indices", "error"),
    [([-1], IndexError), ([True], TypeError), ([0.5], TypeError), ([[1]], IndexError), (3, IndexError)],
)
def test_indices_of_a_sampler(indices, error):
    """A sampler is over integers of 0 or more, in one dimension."""
    refused(error, ["indices"], lambda: SubsetSampler(indices))
    refused(error, ["indices"], lambda: WeightedSubsetSampler([1.0], indices))


@pytest.mark.parametrize(
    "sampler",
    [StandardSampler(6), SubsetSampler([0, 5]), WeightedSampler([1] * 6), WeightedSampler([1] * 4),
     WeightedSubsetSampler([1], [5])],
    ids=repr,
)  # fmt: skip
def test_a_sampler_that_does_not_fit_the_data(sampler):
    """A sampler over other data is refused when the source is made."""
    with pytest.raises((ValueError, IndexError)) as caught:
        array_source(sampler=sampler)
    assert "5" in str(caught.value)


def test_a_sampler_beside_indices_or_repeats():
    """One of them says which samples."""
    refused(ValueError, ["indices", "sampler"], lambda: array_source(sampler=StandardSampler(5), indices=[1]))
    refused(ValueError, ["repeats", "sampler"], lambda: array_source(sampler=StandardSampler(5), repeats=2))


def test_picks_of_composites_and_choices():
    """A pick has the form that the plan gives."""
    two = CompositeDataSource([array_source(), array_source()])
    choice = ChoiceDataSource([array_source(), array_source()])
    refused(ValueError, ["a pick for each of the 2 sources", "3"], lambda: two.samples_by_indices(([1], [2], [3])))
    refused(TypeError, ["ChoiceBatch(sample_indices, ds_index)"], lambda: choice.samples_by_indices(np.array([1, 2])))


# Weights and labels.

WEIGHTS = [
    pytest.param([1, -1, 1, 1, 1], ["0 or more", "index 1", "-1"], id="negative"),
    pytest.param([1.0, 1.0, np.nan, 1.0, 1.0], ["finite", "index 2"], id="NaN"),
    pytest.param([1.0, np.inf, 1.0, 1.0, 1.0], ["finite", "index 1"], id="infinite"),
    pytest.param([0, 0, 0, 0, 0], ["not all be 0"], id="all zero"),
    pytest.param([], ["1-D array of numbers"], id="none"),
    pytest.param([[1, 2], [3, 4]], ["1-D array of numbers"], id="2-D"),
    pytest.param(["a", "b"], ["1-D array of numbers"], id="strings"),
    pytest.param([1j, 1, 1, 1, 1], ["1-D array of numbers"], id="complex"),
    pytest.param(3.0, ["1-D array of numbers", "3.0"], id="a number"),
]


@pytest.mark.parametrize(("weights", "said"), WEIGHTS)
def test_weights(weights, said):
    """Weights are finite numbers of 0 or more, not all 0."""
    refused(ValueError, ["weights", *said], lambda: WeightedSampler(weights))
    refused(ValueError, ["sub_weights", *said], lambda: WeightedSubsetSampler(weights, [0, 1, 2, 3, 4]))


def test_one_weight_for_each():
    """As many weights as indices, or as samples."""
    refused(ValueError, ["2 weights", "3 indices"], lambda: WeightedSubsetSampler([1, 2], [3, 4, 5]))
    refused(ValueError, ["2 weights", "5 samples"], lambda: array_source(sampler=WeightedSampler([1, 2])))


BALANCED = [
    WeightedSampler.class_balancing_sampler,
    WeightedSampler.class_balancing_sample_weights,
    WeightedSubsetSampler.class_balancing_sample_weights,
    lambda y, n_classes=None: WeightedSubsetSampler.class_balancing_sampler(y, [0], n_classes),
]
every_balancing = pytest.mark.parametrize("balanced", BALANCED)


@every_balancing
@pytest.mark.parametrize(
    ("y", "said"),
    [
        ([0, -1, 1], ["classes from 0", "index 1", "-1"]),
        ([0.0, 1.0], ["integers"]),
        (["cat", None], ["index 1", "None"]),
        ([[0, 1]], ["1-D"]),
        ([], ["1-D"]),
    ],
)
def test_labels(balanced, y, said):
    """Labels are integers from 0, strings or other values, one for each sample."""
    refused(ValueError, ["y should be", *said], lambda: balanced(y))


@every_balancing
@pytest.mark.parametrize(
    ("n_classes", "error"), [(2, ValueError), (0, ValueError), (-1, ValueError), (3.0, TypeError), (True, TypeError)]
)
def test_numbers_of_classes(balanced, n_classes, error):
    """There are more classes than the largest label."""
    refused(error, ["n_classes", "at least", repr(n_classes)], lambda: balanced([0, 1, 2], n_classes))


def test_the_subset_of_labels():
    """The indices are those of labels."""
    refused(IndexError, ["indices"], lambda: WeightedSubsetSampler.class_balancing_sampler([0, 1], [2]))


# Functions of the user's.


def nothing(x):
    pass


@pytest.mark.parametrize(
    ("fn", "said"),
    [
        (nothing, ["nothing should return a batch", "not None", "does it lack a return?"]),
        (lambda x: x, ["should return a batch", "ndarray", "return (array,)"]),
        (lambda x: 3, ["should return a batch", "int"]),
        (lambda x: "abc", ["should return a batch", "str"]),
    ],
    ids=["None", "an array", "an int", "a string"],
)
def test_what_a_map_function_returns(fn, said):
    """A batch is a tuple; a function that forgets to return one is told so."""
    mapped = array_source().map(fn)
    refused(TypeError, said, lambda: next(mapped.batch_iterator(2)))
    refused(TypeError, said, lambda: mapped.samples_by_indices([0]))
    sequential = CallableDataSource(lambda batch_size: iter([(X,)])).map(fn)
    refused(TypeError, said, lambda: next(sequential.batch_iterator(2)))


def test_what_a_function_over_batches_returns():
    """Arrays, numbers, tuples of them or None."""
    for call in ("batch_map_concat", "batch_map_mean"):
        refused(TypeError, ["should return an array", "str"], lambda: getattr(array_source(), call)(lambda x: "a", 2))  # noqa: B023
    refused(TypeError, ["result per sample"], lambda: array_source().batch_map_concat(lambda x: x.sum(), 2))


# Sources without indices.

SEQUENTIAL = {
    "function": lambda: CallableDataSource(lambda batch_size, shuffle=None: iter([])),
    "iterator": lambda: IteratorDataSource(iter([])),
    "map": lambda: IteratorDataSource(iter([])).map(same),
    "composite": lambda: CompositeDataSource([array_source(), iter([])]),
    "choice": lambda: ChoiceDataSource([iter([]), array_source()]),
}
every_sequential = pytest.mark.parametrize("make", SEQUENTIAL.values(), ids=SEQUENTIAL.keys())


@every_sequential
def test_a_parallel_source_needs_indices(make):
    """Batches that come one after the other cannot be fetched in parallel; the message says of what source."""
    ds = make()
    with WorkerThreadPool(1) as pool:
        said = [type(ds).__name__, "cannot fetch by index", "give a random-access source"]
        refused(TypeError, said, lambda: pool.parallel_data_source(ds))


@every_sequential
def test_a_source_without_indices_has_no_plan(make):
    """Neither plan nor fetch, and saying so does not wait for the first pick."""
    ds = make()
    for call in (
        lambda: ds.batch_indices_iterator(2),
        lambda: ds.samples_by_indices(np.array([0])),
        lambda: ds.samples_by_indices_nomapping(np.array([0])),
    ):
        with pytest.raises((TypeError, NotImplementedError), match=r"index|indices"):
            call()


# Errors inside the user's data and functions.


class Fragile:
    """Ten samples; number 5 cannot be read."""

    def __init__(self, error):
        self.error = error

    def __len__(self):
        return 10

    def __getitem__(self, indices):
        if 5 in indices:
            raise self.error
        return indices * 10


class DiskError(Exception):
    """The user's own."""

    def __init__(self, path, code):
        super().__init__(path, code)
        self.path = path


def fragile_source(error):
    return ArrayDataSource([Fragile(error)])


def fragile_map(error):
    source = Fragile(error)
    return ArrayDataSource([np.arange(10)]).map(lambda x: (source[x],))


def fragile_composite(error):
    return CompositeDataSource([ArrayDataSource([np.arange(10)]), fragile_source(error)]).map(lambda a, b: (b,))


fragile = pytest.mark.parametrize("make", [fragile_source, fragile_map, fragile_composite])


@fragile
def test_the_users_error_stays_what_it_is(make):
    """Type, attributes and traceback are the user's; a note says which batch it was, and its first indices."""
    batches = make(DiskError("/data/5.png", 7)).batch_iterator(2)
    next(batches)
    next(batches)
    with pytest.raises(DiskError) as caught:
        next(batches)

    assert "/data/5.png" == caught.value.path
    assert "__getitem__" in [frame.name for frame in traceback.extract_tb(caught.value.__traceback__)]
    notes = caught.value.__notes__
    assert (1, True, True) == (len(notes), "batch 2" in notes[0], "4, 5" in notes[0])


@fragile
def test_an_error_costs_its_own_batch_only(make):
    """The loop can go on: the batches behind the failing one come."""
    batches = make(OSError("broken file")).batch_iterator(2)
    seen = []
    for _ in range(6):
        try:
            seen.append(next(batches, ("end",))[0])
        except OSError:
            seen.append("error")

    assert [[0, 10], [20, 30], "error", [60, 70], [80, 90], "end"] == [
        x if isinstance(x, str) else x.tolist() for x in seen
    ]


@fragile
def test_stopiteration_from_data_is_not_the_end(make):
    """A StopIteration would end the epoch in silence: it becomes a WorkerError, and the rest of the epoch comes."""
    batches = make(StopIteration()).batch_iterator(2)
    next(batches)
    next(batches)
    with pytest.raises(WorkerError, match="StopIteration") as caught:
        next(batches)

    assert ("StopIteration", 2) == (caught.value.type_name, caught.value.batch_number)
    assert isinstance(caught.value.__cause__, StopIteration)
    assert 2 == len(list(batches))


def test_a_long_pick_is_not_all_in_the_note():
    """The first indices only."""
    batches = fragile_source(OSError("broken file")).batch_iterator(10)
    with pytest.raises(OSError, match="broken file") as caught:
        next(batches)

    assert ["while fetching batch 0 (samples 0, 1, 2, 3, 4, 5, 6, 7, …)"] == caught.value.__notes__


@pytest.mark.timeout(60)
@fragile
def test_errors_in_a_pool(make, pool):
    """From a pool, an error has its type, its traceback as text, and the note; and the epoch goes on."""
    batches = pool.parallel_data_source(make(DiskError("/data/5.png", 7))).batch_iterator(2)
    next(batches)
    next(batches)
    with pytest.raises(DiskError) as caught:
        next(batches)
    behind = len(list(batches))

    assert 2 == behind
    assert ("/data/5.png", True) == (caught.value.path, any("batch 2" in note for note in caught.value.__notes__))
    assert "__getitem__" in "".join(traceback.format_exception(caught.value))


def test_calls_that_are_wrong_are_no_generators():
    """No method that checks its arguments is a generator function, which would check them at the first batch only."""
    methods = ("batch_iterator", "batch_indices_iterator")
    kinds = [ArrayDataSource, CompositeDataSource, ChoiceDataSource, MapDataSource]

    assert [] == [f"{k.__name__}.{m}" for k in kinds for m in methods if inspect.isgeneratorfunction(getattr(k, m))]


# What newcomers write.


@pytest.mark.parametrize(
    ("keyword", "said"),
    [
        ("n_jobs", "workers=4"),
        ("prefetch", "depth=8"),
        ("rank", "shard=(rank, world_size)"),
        ("drop_remainder", 'last="drop"'),
        ("indices", "ArrayDataSource(data, indices=indices)"),
        ("repeats", "ArrayDataSource(data, repeats=2)"),
        ("transform", "source.map(fn)"),
        ("epochs", "one epoch"),
        ("device", "to_torch(device)"),
    ],
)
def test_keywords_of_other_libraries(keyword, said):
    """The message says what to write here."""
    refused(TypeError, [keyword, said], lambda: array_source().batch_iterator(2, **{keyword: 1}))


def test_the_class_in_place_of_a_sampler():
    """Such as ``sampler=WeightedSampler``."""
    refused(TypeError, ["sampler", "WeightedSampler(weights)"], lambda: array_source(sampler=WeightedSampler))


@pytest.mark.parametrize("kind", [CompositeDataSource, ChoiceDataSource, ConcatDataSource])
def test_two_sources_that_are_not_in_a_list(kind):
    """Such as ``ConcatDataSource(a, b)``."""
    refused(TypeError, ["datasets", "[a, b]"], lambda: kind(array_source(), array_source()))


def test_pad_that_was_not_called():
    """``map(pad)`` instead of ``map(pad())``."""
    ds = ArrayDataSource([[X, X[:2]]]).map(pad)

    refused(TypeError, ["source.map(pad())"], lambda: next(ds.batch_iterator(2)))


@pytest.mark.parametrize("samples", [[X, X[:2]], [X, X]], ids=["unequal", "equal"])
def test_samples_in_place_of_lengths(samples):
    """The message says how to get the lengths."""
    refused(ValueError, ["lengths", "[len(x) for x in samples]"], lambda: BucketSampler(samples))


def test_a_source_without_a_fetch():
    """The message names the method to define."""
    ds = type("Mine", (RandomAccessDataSource,), {})(5)

    refused(NotImplementedError, ["Mine", "samples_by_indices_nomapping"], lambda: next(ds.batch_iterator(2)))


def test_a_progress_bar_that_is_no_function():
    """Such as True."""
    call = lambda: array_source().batch_map_mean(np.sum, 2, progress_iter_func=True)  # noqa: E731

    refused(TypeError, ["progress_iter_func", "tqdm.tqdm", "True"], call)


@pytest.mark.timeout(60)
def test_arguments_of_a_task_that_are_no_tuple():
    """``(fn, x)`` instead of ``(fn, (x,))``."""
    with WorkerThreadPool(1) as pool:
        refused(TypeError, ["(fn, (x,))", "not 3"], lambda: list(pool.work_stream([(abs, 3)])))


@pytest.mark.parametrize(
    ("y", "remedy"),
    [(np.array([0.0, 1.0]), "y.astype(int)"), (np.eye(2), "y.argmax(axis=1)")],
    ids=["float", "one-hot"],
)
def test_labels_that_are_numbers_or_one_hot(y, remedy):
    """The message says how to make classes of them."""
    refused(ValueError, ["y should be 1-D", remedy], lambda: WeightedSampler.class_balancing_sampler(y))


def test_a_table_in_an_error_is_on_one_line():
    """Its repr has several lines."""
    with pytest.raises(TypeError) as caught:
        coerce_data_source(np.eye(2))

    assert "\n" not in str(caught.value)
