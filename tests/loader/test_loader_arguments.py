"""Every wrong argument of a loader is refused, where it is given, by a message that says what it should be and was."""

from __future__ import annotations

import inspect

import numpy as np
import pytest

from batchup import ArrayDataSource, CallableDataSource, ChoiceDataSource, CompositeDataSource, Loader

X = np.arange(5)


def arrays(n=5):
    return ArrayDataSource([np.arange(n)])


def one_by_one():
    return CallableDataSource(lambda n: iter(()))


def refused(error, said, call):
    """`call` raises `error`, whose message has all of `said` in it."""
    with pytest.raises(error) as caught:
        call()
    message = str(caught.value)
    assert [] == [words for words in said if words not in message], message


SIZES = [
    (0, ValueError),
    (-1, ValueError),
    (np.int64(0), ValueError),
    (True, TypeError),
    (np.True_, TypeError),
    (2.0, TypeError),
    ("3", TypeError),
    (None, TypeError),
    ([3], TypeError),
]


@pytest.mark.parametrize(("size", "error"), SIZES)
def test_a_batch_size_is_a_positive_integer(size, error):
    """Anything else is named."""
    refused(error, ["batch_size should be an integer of at least 1", repr(size)], lambda: Loader(arrays(), size))


@pytest.mark.parametrize(("size", "error"), [each for each in SIZES if each[0] is not None])
def test_a_depth_is_a_positive_integer(size, error):
    """Anything else is named."""
    refused(error, ["depth should be an integer", repr(size)], lambda: Loader(arrays(), 2, pool=1, depth=size))


def test_what_is_refused_has_started_no_workers(monkeypatch):
    """The pool is made when all else is right."""
    started = []
    monkeypatch.setattr("batchup.loader.arguments.WorkerThreadPool", started.append)
    refused(ValueError, ["depth"], lambda: Loader(arrays(), 2, pool=3, depth=0))
    refused(ValueError, ["max_skipped"], lambda: Loader(arrays(), 2, pool=3, max_skipped=-1))
    refused(TypeError, ["pool should be left out"], lambda: Loader(one_by_one(), 2, pool=3))
    assert [] == started

    Loader(arrays(), 2, pool=3)
    assert [3] == started


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"num_workers": 4}, "pool=4) has four threads, pool=WorkerProcessPool(4) has four processes"),
        ({"workers": 4}, "pool=4) has four threads"),
        ({"drop_last": True}, 'last="drop"'),
        ({"collate_fn": list}, "source.map(fn) makes a batch"),
        ({"sampler": [1]}, "ArrayDataSource(data, sampler=WeightedSampler(weights))"),
        ({"seed": 7}, "shuffle=7"),
        ({"shufle": 7}, "did you mean 'shuffle'?"),
        ({"colour": 7}, "it takes shuffle, pool, depth, last, shard, remainder, on_error, max_skipped, timeout"),
    ],
)
def test_a_keyword_that_it_does_not_take(given, said):
    """One of PyTorch's loader, or a misspelt one: the message says what is in its place."""
    (name,) = given
    refused(TypeError, [f"Loader() does not take {name!r}; ", said], lambda: Loader(arrays(), 2, **given))


@pytest.mark.parametrize(
    ("given", "error", "said"),
    [
        ({"shuffle": -1}, ValueError, ["a seed for shuffle should be 0 or more", "-1"]),
        ({"shuffle": 1.5}, TypeError, ["shuffle should be None, a bool, a seed", "1.5"]),
        ({"shuffle": "yes"}, TypeError, ["shuffle should be None, a bool, a seed", "'yes'"]),
        ({"pool": 0}, ValueError, ["pool should be an integer of at least 1", "0"]),
        ({"pool": True}, TypeError, ["pool should be None, 'threads', 'processes', a number of threads", "True"]),
        ({"pool": "process"}, TypeError, ["pool should be None, 'threads', 'processes'", "'process'"]),
        ({"pool": 2.0}, TypeError, ["pool should be None", "2.0"]),
        ({"last": "pads"}, ValueError, ["last should be 'keep', 'drop', 'pad' or 'wrap', not 'pads'"]),
        ({"last": None}, ValueError, ["last should be 'keep', 'drop', 'pad' or 'wrap', not None"]),
        ({"remainder": "keep"}, ValueError, ["remainder should be 'drop', 'pad' or 'uneven', not 'keep'"]),
        ({"on_error": "ignore"}, ValueError, ["on_error should be 'raise' or 'skip', not 'ignore'"]),
        ({"max_skipped": -1}, ValueError, ["max_skipped should be an integer of at least 0", "-1"]),
        ({"max_skipped": None}, TypeError, ["max_skipped should be an integer of at least 0", "None"]),
        ({"timeout": 0}, ValueError, ["timeout should be None or more than 0 seconds", "0"]),
        ({"timeout": "10"}, TypeError, ["timeout should be None or a number of seconds", "'10'"]),
        ({"shard": 3}, TypeError, ["shard should be (rank, world_size)", "3"]),
        ({"shard": (0, 1, 2)}, TypeError, ["shard should be (rank, world_size)", "(0, 1, 2)"]),
        ({"shard": (2, 2)}, ValueError, ["the rank of shard should be below its world size, 2, not 2"]),
        ({"shard": (-1, 2)}, ValueError, ["the rank of shard should be an integer of at least 0", "-1"]),
        ({"shard": (0, 0)}, ValueError, ["the world size of shard should be an integer of at least 1", "0"]),
        ({"shard": (0.5, 2)}, TypeError, ["the rank of shard should be an integer", "0.5"]),
    ],
)
def test_a_wrong_argument_is_named(given, error, said):
    """With what it should be, and what it was."""
    refused(error, said, lambda: Loader(arrays(), 2, **given))


@pytest.mark.parametrize("source", [X, 7, None, "files"])
def test_a_source_is_a_source(source):
    """Or what one can be made of."""
    refused(TypeError, ["a data source"], lambda: Loader(source, 2))


def test_the_parts_of_a_batch_have_the_batch_size_as_their_sum():
    """Wherever in the source they are."""
    parts = CompositeDataSource([arrays(), arrays()], batch_sizes=(1, 2))
    for source in (
        parts,
        parts.map(lambda *b: b),
        parts.random_map(lambda *b, rng: b),
        ChoiceDataSource([arrays(), parts]),
        CompositeDataSource([parts, arrays()], trim=False),
    ):
        said = ["batch_size should be 3, the sum of batch_sizes=(1, 2), not 4"]
        refused(ValueError, said, lambda: Loader(source, 4))  # noqa: B023


@pytest.mark.parametrize(
    ("name", "value"), [("pool", 1), ("last", "drop"), ("shard", (0, 2)), ("on_error", "skip"), ("pool", "threads")]
)
def test_what_needs_indices_is_refused_without(name, value):
    """A source that gives its batches one after the other can only be looped over."""
    said = [f"{name} should be left out", "CallableDataSource gives its batches one after the other"]
    refused(TypeError, said, lambda: Loader(one_by_one(), 2, **{name: value}))


def test_options_are_given_by_name():
    """All but the source and the batch size."""
    kinds = {name: each.kind for name, each in inspect.signature(Loader).parameters.items()}

    assert {"source", "batch_size"} == {
        name for name, kind in kinds.items() if kind is inspect.Parameter.POSITIONAL_OR_KEYWORD
    }


@pytest.mark.parametrize(("n", "error"), [each for each in SIZES if each[0] != 0])
def test_a_number_of_steps_is_an_integer_of_0_or_more(n, error):
    """Anything else is named."""
    refused(error, ["n should be an integer of at least 0", repr(n)], lambda: Loader(arrays(), 2).steps(n))


@pytest.mark.parametrize(
    "source",
    [arrays(), ChoiceDataSource([arrays(), arrays()], weights=[1, 1])],
    ids=["shuffled", "by weight"],
)
@pytest.mark.parametrize("shuffle", [np.random.RandomState(1), np.random.default_rng(1), True, None])
def test_what_ranks_share_follows_from_a_seed(source, shuffle):
    """Each of them might have another generator, or have it elsewhere. In order, there is nothing to agree on."""
    if shuffle is None and isinstance(source, ArrayDataSource):
        assert 1 == len(Loader(source, 2, shuffle=shuffle, shard=(0, 2)))
    else:
        said = ["with a shard, shuffle should be a seed (an int or a SeedSequence)", repr(shuffle)]
        refused(ValueError, said, lambda: Loader(source, 2, shuffle=shuffle, shard=(0, 2)))


@pytest.mark.parametrize(
    ("place", "error", "said"),
    [
        ((-1, 0), ValueError, ["epoch should be an integer of at least 0", "-1"]),
        ((0, -1), ValueError, ["step should be an integer of at least 0", "-1"]),
        ((0, 1.0), TypeError, ["step should be an integer of at least 0", "1.0"]),
        ((0, 3), IndexError, ["step should be below 3, the number of batches in epoch 0, not 3"]),
    ],
)
def test_the_place_of_a_batch_is_named(place, error, said):
    """Where there is none."""
    refused(error, said, lambda: Loader(arrays(), 2).batch(*place))


# Sources made of several.


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
    refused(error, said, lambda: CompositeDataSource([arrays(), arrays()], batch_sizes=sizes))


def test_parts_of_unequal_length_are_not_trimmed():
    """A composite of a composite with batch sizes would be cut to its smallest part."""
    parts = CompositeDataSource([arrays(), arrays()], batch_sizes=(1, 2))
    for source in (parts, parts.map(lambda *b: b), parts.random_map(lambda *b, rng: b), ChoiceDataSource([parts])):
        said = ["trim should be False: one of the sources has batch_sizes"]
        refused(ValueError, said, lambda: CompositeDataSource([source, arrays()]))  # noqa: B023


@pytest.mark.parametrize("call", ["batch_iterator", "batch_indices_iterator"])
def test_the_batch_size_of_a_composite_is_the_sum_of_its_parts(call):
    """Also in a plain loop."""
    parts = CompositeDataSource([arrays(), arrays()], batch_sizes=(1, 2))

    refused(
        ValueError, ["batch_size should be 3, the sum of batch_sizes=(1, 2), not 2"], lambda: getattr(parts, call)(2)
    )
    refused(TypeError, ["batch_size should be an integer", "'3'"], lambda: getattr(parts, call)("3"))


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
    refused(ValueError, said, lambda: ChoiceDataSource([arrays(), arrays()], weights=weights))


def test_weights_and_strata_exclude_each_other():
    """It says why."""
    said = ["stratified should be False when there are weights: they say how often each source comes"]
    refused(ValueError, said, lambda: ChoiceDataSource([arrays(), arrays()], stratified=True, weights=[1, 1]))


# Random transforms.


def test_a_random_transform_is_over_a_source_with_indices():
    """Only there has a batch a place."""
    said = ["random_map should be over a source that fetches by index, not a CallableDataSource"]
    refused(TypeError, said, lambda: one_by_one().random_map(lambda x, rng: (x,)))


@pytest.mark.parametrize(
    ("fn", "seed", "error", "said"),
    [
        (7, None, TypeError, ["fn should be a function fn(*batch, rng) that returns a batch, not 7"]),
        (max, -1, ValueError, ["seed should be an integer of at least 0", "-1"]),
        (max, 1.0, TypeError, ["seed should be an integer of at least 0", "1.0"]),
        (max, True, TypeError, ["seed should be an integer of at least 0", "True"]),
    ],
)
def test_a_random_transform_has_a_function_and_a_seed(fn, seed, error, said):
    """A seed is a whole number."""
    refused(error, said, lambda: arrays().random_map(fn, seed))


@pytest.mark.parametrize(("result", "was"), [(None, "None"), (X, "a ndarray")])
def test_a_random_transform_returns_a_batch(result, was):
    """Otherwise it is named."""

    def jitter(x, rng):
        return result

    said = [f"jitter should return a batch, a tuple or a dict of arrays, not {was}"]
    refused(TypeError, said, lambda: list(Loader(arrays().random_map(jitter), 2)))


# Sources of dicts.


@pytest.mark.parametrize(
    ("data", "error", "said"),
    [
        ({}, ValueError, ["data should hold at least one array-like"]),
        ({"x": X, "y": X[:3]}, ValueError, ["data should be of one length: data['x'] has 5, data['y'] 3"]),
        ({"x": 7}, TypeError, ["data['x'] should have a length and items"]),
        (X, TypeError, ["data should be a list of array-likes, or a dict of them by name, not a ndarray"]),
    ],
)
def test_named_data_are_array_likes_of_one_length(data, error, said):
    """The one that is not is named."""
    refused(error, said, lambda: ArrayDataSource(data))


def test_the_name_of_the_indices_is_taken_once():
    """By data, or by `include_indices`."""
    said = ["include_indices gives each batch a field 'indices', but data has one of that name"]
    refused(ValueError, said, lambda: ArrayDataSource({"indices": X}, include_indices=True))


def test_fields_side_by_side_have_names_of_their_own():
    """Two of one name cannot be in one dict."""
    pair = CompositeDataSource([ArrayDataSource({"x": X}), ArrayDataSource({"x": X})])
    said = ["fields of different names: 'x' twice"]
    refused(ValueError, said, lambda: next(pair.batch_iterator(2)))
