"""The global generators: seeded by position, and left as they were."""

from __future__ import annotations

import random
import sys
import types

import numpy as np
import pytest

from batchup.engine.global_rng import (
    drawn_seed,
    global_rng,
    globals_kept,
    marks_of_globals,
    restore_globals,
    seed_globals,
    states_of_globals,
)


class OfTorch(random.Random):
    """What PyTorch's default generator can do."""

    manual_seed, get_state, set_state = random.Random.seed, random.Random.getstate, random.Random.setstate


def test_the_generator_of_pytorch_is_seeded_where_pytorch_is_there(monkeypatch):
    """By the place, as those of NumPy and Python are; and it is where it was after `globals_kept`."""
    torch = types.SimpleNamespace(default_generator=OfTorch(1))
    monkeypatch.setitem(sys.modules, "torch", torch)
    drawn = []
    with globals_kept():
        for place in [(0, 0), (0, 1), (0, 0)]:
            seed_globals(7, *place)
            drawn.append(torch.default_generator.random())

    assert drawn[0] == drawn[2] != drawn[1]
    assert random.Random(1).random() == torch.default_generator.random()


def test_pytorch_need_not_be_there(monkeypatch):
    """Nor need it be whole: it may be in the midst of its import."""
    for torch in [None, types.SimpleNamespace()]:
        monkeypatch.setitem(sys.modules, "torch", torch)
        with globals_kept():
            seed_globals(7, 0)
            drawn = random.random()
            seed_globals(7, 0)
            assert drawn == random.random()


def test_the_global_generator_is_the_one_that_numpy_random_seed_seeds():
    """And a seed that is drawn from it follows from its state."""
    with globals_kept():
        np.random.seed(5)
        first = drawn_seed()
        np.random.seed(5)
        assert first == drawn_seed() != drawn_seed()
        np.random.seed(5)
        assert np.random.RandomState(5).random_sample() == global_rng().random_sample()

    assert 0 <= first < 2**128


@pytest.mark.parametrize("other", [(8, 0, 0), (7, 0, 1), (7, 1, 0), (7, 0)])
def test_each_position_has_a_seed_of_its_own(other):
    """The same one each time, for NumPy and for Python."""
    with globals_kept():
        drawn = []
        for place in [(7, 0, 0), other, (7, 0, 0)]:
            seed_globals(*place)
            drawn.append((np.random.random(), random.random()))

    assert drawn[0] == drawn[2]
    assert drawn[0][0] != drawn[1][0]
    assert drawn[0][1] != drawn[1][1]


def test_the_globals_are_kept_when_an_error_ends_the_context():
    """Their states are as before."""
    before = np.random.get_state()[1].tolist(), random.getstate()

    def failing():
        with globals_kept():
            seed_globals(7, 0)
            raise OSError("no such file")

    with pytest.raises(OSError, match="no such file"):
        failing()

    assert before == (np.random.get_state()[1].tolist(), random.getstate())


@pytest.mark.parametrize("draw", [lambda: np.random.rand(), lambda: np.random.bytes(1), lambda: random.random()])
def test_marks_change_with_each_draw(draw):
    """Without one, they stay. States that are restored have the marks that they had."""
    with globals_kept():
        states, before = states_of_globals(), marks_of_globals()
        again = marks_of_globals()
        seen = {before}
        for _ in range(700):  # more than there are words in the state
            draw()
            seen.add(marks_of_globals())
        restore_globals(states)

        assert (before, before) == (again, marks_of_globals())
        assert 701 == len(seen)


def test_marks_of_another_bit_generator():
    """A program may set its own."""
    before = np.random.get_bit_generator()
    np.random.set_bit_generator(np.random.PCG64(5))
    try:
        first, again, _, other = marks_of_globals(), marks_of_globals(), np.random.rand(), marks_of_globals()
    finally:
        np.random.set_bit_generator(before)

    assert first == again != other
