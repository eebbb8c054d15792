"""The workers of an iterable dataset take turns."""

from __future__ import annotations

import itertools

import pytest

pytest.importorskip("torch")

from batchup.interop.torch.fetch import ENDED
from batchup.interop.torch.turns import Turns, counts_of, turn_of


def stream(name, n, begin=0):
    """Results as a worker gives them, and `ENDED` for ever behind the last one."""
    results = ((f"{name}{i}", 0, 99) for i in range(begin, n))
    return itertools.chain(results, itertools.repeat(ENDED))


def test_turns():
    """One of each that has more; the steps are those of the whole epoch."""
    lengths = [3, 1, 2]
    turns = Turns([stream(name, n) for name, n in zip("abc", lengths, strict=True)], 0, [None] * 3)

    assert [("a0", 0), ("b0", 1), ("c0", 2), ("a1", 3), ("c1", 4), ("a2", 5)] == [(b, step) for b, _, step in turns]
    assert lengths == turns.ended


@pytest.mark.parametrize("known", [False, True])
def test_turns_go_on_from_any_step(known):
    """Whether or not it is known already how many results the streams have."""
    lengths = [3, 0, 2]
    whole = list(Turns([stream(name, n) for name, n in zip("abc", lengths, strict=True)], 0, [None] * 3))
    for step in range(len(whole) + 1):
        ended = lengths if known or step else [None] * 3
        begun = counts_of(step, ended)
        streams = [stream(name, n, begin) for name, n, begin in zip("abc", lengths, begun, strict=True)]

        assert whole[step:] == list(Turns(streams, step, list(ended)))


def test_an_error_is_a_turn():
    """The others go on, and so does the stream that raised."""

    class Raises:
        n = 0

        def __next__(self):
            self.n += 1
            if self.n == 1:
                raise ValueError("bad")
            return ("b", 0, 99) if self.n == 2 else ENDED

    turns = Turns([stream("a", 2), Raises()], 0, [None] * 2)
    first = next(turns)
    with pytest.raises(ValueError, match="bad"):
        next(turns)

    assert [("a0", 0, 0), ("a1", 0, 2), ("b", 0, 3)] == [first, *turns]


def test_whose_turn_it_is():
    """It is that of the next stream, which is passed over if it has ended; the counts end with the streams."""
    assert [0, 1, 2, 0, 1, 0] == [turn_of(step, [None, 1, None]) for step in range(6)]
    assert [2, 1] == counts_of(10, [2, 1])


def test_closing_closes_the_streams():
    """Those that can be."""
    closed = []

    class Closes:
        def close(self):
            closed.append(self)

    streams = [Closes(), iter(())]
    Turns(streams, 0, [None] * 2).close()

    assert streams[:1] == closed
