"""Functions that make functions of items."""

from __future__ import annotations

import functools
import pickle
import random

import numpy as np
import pytest

from batchup.batch_iter import apply_at, multiply, random_apply, sample_args, unpack_args, zip_apply
from batchup.batch_iter.functions import ItemFunction
from batchup.batch_iter.item_rng import ItemRng, use_item_rng
from batchup.engine.rng import SeedPath


def plus(x, y=1, *, z=0):
    return x + y + z


def drawing(x, rng):
    return x + rng.random()


MADE = {
    "unpack_args(plus, z=3)": unpack_args(plus, z=3),
    "multiply(plus, 2)": multiply(plus, 2),
    "apply_at(0, plus)": apply_at(0, plus),
    "apply_at([0, -1], plus, y=2)": apply_at([0, -1], plus, y=2),
    "zip_apply(plus, abs, z=1)": zip_apply(plus, abs, z=1),
    "random_apply(0.5, apply_at(1, plus))": random_apply(0.5, apply_at(1, plus)),
    "sample_args(plus, y=random)": sample_args(plus, y=random.random),
    "sample_args(plus, partial(normal, 0, 5))": sample_args(plus, functools.partial(np.random.normal, 0, 5)),
}


@pytest.mark.parametrize(("text", "made"), MADE.items(), ids=MADE)
def test_they_print_as_they_are_written(text, made):
    """Functions print by their names."""
    assert text == repr(made).replace("Random.", "")


@pytest.mark.parametrize("made", MADE.values(), ids=MADE)
def test_they_pickle(made):
    """Ordinary pickle is enough if their functions and arguments pickle."""
    assert repr(made) == repr(pickle.loads(pickle.dumps(made)))


def test_a_function_in_a_pipe_prints_as_its_user_wrote_it():
    """By its name; with further arguments, as a `functools.partial`."""
    assert "plus" == repr(ItemFunction(plus))
    assert "partial(plus, 1, z=2)" == repr(ItemFunction(plus, 1, z=2))


def test_unpack_args():
    """The parts of an item are the first arguments."""
    assert 3 == unpack_args(plus)((1, 2))
    assert 13 == unpack_args(plus, 2, z=10)([1])
    assert 13 == unpack_args(plus)([1, 2], z=10)


def test_multiply():
    """The function is applied to all parts."""
    assert (2, 3) == multiply(plus)([1, 2])
    assert (6, 7) == multiply(plus, 5)((1, 2))


@pytest.mark.parametrize(
    ("index", "expected"),
    [
        (0, (2, 2, 3)),
        (-1, (1, 2, 4)),
        ([0, 2], (2, 2, 4)),
        ((0, -3), (2, 2, 3)),
        (np.array([1]), (1, 3, 3)),
        ([], (1, 2, 3)),
    ],
    ids=repr,
)
def test_apply_at(index, expected):
    """The index may be one or several integers, also negative; each chosen part is changed once."""
    assert expected == apply_at(index, plus)([1, 2, 3])


@pytest.mark.parametrize("index", [3, -4, [0, 3]])
def test_apply_at_a_part_that_is_not_there(index):
    """An index out of range raises an IndexError."""
    with pytest.raises(IndexError, match="item of 3 parts"):
        apply_at(index, plus)([1, 2, 3])


@pytest.mark.parametrize("index", ["0", 1.0, None, [1.5]])
def test_apply_at_wants_integers(index):
    """Anything else raises a TypeError when the function is made."""
    with pytest.raises(TypeError, match="index should be"):
        apply_at(index, plus)


def test_zip_apply():
    """Each part has a function of its own; the numbers of parts and functions have to agree."""
    assert (2, 1) == zip_apply(plus, abs)([1, -1])
    assert (12,) == zip_apply(plus, z=10)([1])
    with pytest.raises(ValueError, match="2 parts"):
        zip_apply(plus, abs)([1, 2, 3])


def test_random_apply_applies_as_often_as_p_says():
    """It never applies at 0, always at 1, and with frequency `p` between."""
    assert 1 == random_apply(0, plus)(1)
    assert 2 == random_apply(1, plus)(1)
    assert (1, 2) == random_apply(0, plus)(1, 2)
    assert 800 < sum(random_apply(0.3, plus)(0) for _ in range(3000)) < 1000


@pytest.mark.parametrize("p", [-0.1, 1.1, float("nan")])
def test_random_apply_wants_a_probability(p):
    """`p` outside 0 to 1 raises a ValueError."""
    with pytest.raises(ValueError, match="p should be a probability"):
        random_apply(p, plus)


def test_sample_args_draws_anew_each_time():
    """Positional and keyword arguments are drawn at each call."""
    numbers = iter(range(10))

    def following():
        return next(numbers)

    assert [10, 11] == [sample_args(plus, following)(10) for _ in range(2)]
    assert 4 + 1 + 2 == sample_args(plus, z=following)(4)


def test_they_take_functions():
    """Anything else raises a TypeError when they are made."""
    for make in [unpack_args, multiply, zip_apply, lambda f: apply_at(0, f), lambda f: random_apply(0.5, f)]:
        with pytest.raises(TypeError, match="should be a function"):
            make(3)
    with pytest.raises(TypeError, match="should be a function"):
        sample_args(plus, 3)


def test_they_draw_from_the_generator_of_the_item():
    """Each of them draws the same again for the same item, and something else outside of a pipe."""
    functions = [
        apply_at(0, drawing),
        multiply(drawing),
        unpack_args(lambda x, y, rng: x + rng.random()),
        zip_apply(drawing, drawing),
        sample_args(plus, lambda rng: rng.random()),
        sample_args(plus, y=np.random.random),
        random_apply(1, drawing),
    ]
    for function in functions:
        item = 1.0 if isinstance(function, (sample_args, random_apply)) else (1.0, 2.0)
        drawn = []
        for number in (3, 3, 4):
            with use_item_rng(ItemRng(SeedPath(7, (1,)), number)):
                drawn.append(function(item))
        drawn.append(function(item))

        assert drawn[0] == drawn[1]
        assert 3 == len({repr(each) for each in drawn})


def test_outside_of_a_pipe_numpy_random_is_numpy_random():
    """``numpy.random.seed`` decides what is drawn outside of a pipe."""
    np.random.seed(3)

    assert 1 + np.random.RandomState(3).normal() == sample_args(plus, np.random.normal)(1)
