"""A function gets only the keywords that it accepts."""

from __future__ import annotations

import pytest

from batchup.flow.signatures import accepts, call_with_accepted

KEYWORDS = {"src": "images", "dst": "masks"}


def told(*args, **kwargs):
    return args, kwargs


@pytest.mark.parametrize(
    ("fn", "expected"),
    [
        (lambda x: x, {}),
        (lambda x, src: x, {"src": "images"}),
        (lambda x, *, dst=None: x, {"dst": "masks"}),
        (lambda x, **others: x, KEYWORDS),
        (lambda src, /: src, {}),
        (max, {}),
    ],
    ids=["none", "one", "keyword-only", "any", "positional-only", "without a signature"],
)
def test_keywords_that_it_does_not_accept_are_left_out(fn, expected):
    """Those that it accepts are selected, whatever their kind."""
    assert expected == accepts(fn).select(KEYWORDS)


def test_a_parameter_that_is_filled_by_position_is_no_keyword():
    """It would be given twice."""
    assert {"dst": "masks"} == accepts(lambda src, dst: 0, filled=1).select(KEYWORDS)
    assert {"dst": "masks"} == accepts(lambda src, **others: 0, filled=1).select(KEYWORDS)


def test_positional_arguments_beyond_what_it_accepts_are_left_out():
    """The first ones are given."""
    assert 1 == call_with_accepted(lambda x: x, (1, 2, 3), KEYWORDS)
    assert ((1, 2, 3), KEYWORDS) == call_with_accepted(told, (1, 2, 3), KEYWORDS)
