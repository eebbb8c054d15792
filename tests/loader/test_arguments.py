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
        ({"num_workers": 4}, "pool=4) has four threads; four processes are pool='processes', workers=4"),
        ({"worker_init_fn": print}, "worker_init=fn is called in each process"),
        ({"drop_last": True}, 'last="drop"'),
        ({"collate_fn": list}, "source.map(fn) collates the samples"),
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
        ({"pool": True}, TypeError, ["pool should be None, 'threads', 'processes', 'auto', a number of", "True"]),
        ({"pool": "process"}, TypeError, ["pool should be None, 'threads', 'processes'", "'process'"]),
        ({"pool": 2.0}, TypeError, ["pool should be None", "2.0"]),
        ({"workers": 0, "pool": "threads"}, ValueError, ["workers should be an integer of at least 1", "0"]),
        ({"workers": 2.5, "pool": "auto"}, TypeError, ["workers should be an integer of at least 1", "2.5"]),
        ({"workers": 2}, TypeError, ["workers should come with pool='threads', 'processes' or 'auto'", "None"]),
        ({"workers": 2, "pool": 3}, TypeError, ["workers should come with pool='threads'", "pool=3"]),
        ({"worker_init": 3, "pool": "processes"}, TypeError, ["worker_init should be a function", "3"]),
        ({"worker_init": print, "pool": "threads"}, TypeError, ["worker_init should come with pool='processes'"]),
        ({"worker_init": print}, TypeError, ["worker_init should come with pool='processes', not with pool=None"]),
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
