"""Functions of a batch: their names, arguments and results."""

from __future__ import annotations

import functools

import numpy as np
import pytest

from batchup.data_source import ArrayDataSource, CallableDataSource, IteratorDataSource
from batchup.data_source.functions import batch_arguments, batch_of, fields_of, function_name, giving_batches


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


def test_a_name_is_that_of_the_function_or_of_its_class():
    """Also behind `functools.partial`."""

    class Crop:
        def __call__(self, x):
            return (x,)

    assert ["pairs", "pairs", "Crop", "len"] == [
        function_name(fn) for fn in (pairs, functools.partial(pairs), Crop(), len)
    ]


@pytest.mark.parametrize("batch", [(1, 2), {"x": 1}])
def test_a_tuple_or_a_dict_is_a_batch(batch):
    """As it is; a list becomes a tuple."""
    assert batch is batch_of(pairs, batch)
    assert (1, 2) == batch_of(pairs, [1, 2])


@pytest.mark.parametrize(("result", "hint"), [(None, "does it lack a return"), (np.zeros(2), r"return \(array,\)")])
def test_anything_else_is_refused(result, hint):
    """With the name of the function, and a hint."""
    with pytest.raises(TypeError, match=f"pairs should return a batch, a tuple or a dict of arrays, .*{hint}"):
        batch_of(pairs, result)


def test_a_batch_that_is_a_dict_is_one_argument():
    """The arrays of a tuple are several."""
    assert ((1, 2), {}) == batch_arguments((1, 2))[:2]
    assert (({"x": 1},), {}) == batch_arguments({"x": 1})[:2]


def test_fields_in_a_list_are_as_many_arguments():
    """Of a source whose batches come one after the other, as PyTorch's DataLoader gives them."""
    source = IteratorDataSource([[np.arange(2), np.arange(2) * 10]])

    assert ((1, 2), {}) == batch_arguments([1, 2])[:2]
    assert ((1, [2]), (1, [2]), {"x": 1}) == (fields_of([1, [2]]), fields_of((1, [2])), fields_of({"x": 1}))
    assert [0, 11] == next(source.map(lambda x, y: (x + y,)).batch_iterator(2))[0].tolist()
    with pytest.raises(TypeError) as caught:
        next(source.map(lambda batch: (batch,)).batch_iterator(2))
    assert "<lambda> gets the arrays of a batch, here 2, as so many arguments" in caught.value.__notes__


def test_a_fetch_that_gives_batches():
    """The same result, with a warning, or an error, that names the method and the class."""

    def fetched(self, indices):
        return indices

    checked = giving_batches(fetched)

    assert ((1, 2), (1,)) == (checked(None, [1, 2]), checked(None, indices=(1,)))
    with pytest.warns(
        UserWarning, match="fetched of NoneType should return a batch, .* not an int: for a single array"
    ):
        assert 5 == checked(None, 5)
    with pytest.raises(
        TypeError, match="fetched of NoneType should return a batch, .* not None; does it lack a return"
    ):
        checked(None, None)
