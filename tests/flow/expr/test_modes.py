"""Values are replaced, appended to, extended or updated."""

from __future__ import annotations

import pytest

from batchup.flow import B, Batch, D, Dataset, L
from batchup.flow.expr.expressions import mode_letter, written_value


class Names(list):
    """A list with an attribute."""


@pytest.mark.parametrize(
    ("mode", "letter"), [("w", "w"), ("write", "w"), ("append", "a"), ("e", "e"), ("extend", "e"), ("update", "u")]
)
def test_a_mode_has_a_letter_and_a_name(mode, letter):
    """Both mean the same."""
    assert letter == mode_letter(mode)


def test_an_unknown_mode_is_refused():
    """With the modes that there are."""
    with pytest.raises(ValueError, match=r"mode should be w \(write\), .*, not 'add'"):
        mode_letter("add")


@pytest.mark.parametrize(
    ("old", "mode", "value", "expected"),
    [
        ([1], "w", 2, 2),
        (None, "a", 2, [2]),
        ([1], "a", [2], [1, [2]]),
        ({"x": 1}, "a", {"y": 2}, {"x": 1, "y": 2}),
        ({1}, "a", [2], {1, 2}),
        (None, "e", [2], [2]),
        ([1], "e", [2, 3], [1, 2, 3]),
        (None, "u", {"x": 1}, {"x": 1}),
        ({"x": 1}, "u", {"x": 2}, {"x": 2}),
        ({1}, "u", 2, {1, 2}),
        ({1}, "u", [2, 3], {1, 2, 3}),
    ],
)
def test_what_each_mode_writes(old, mode, value, expected):
    """Nothing there is an empty list, or an empty dict for an update; what has no `append` is updated."""
    assert expected == written_value(old, mode, value)


@pytest.mark.parametrize(
    ("where", "value", "expected"),
    [
        (B.found[0], "b", ["a", "b"]),
        (B.found[0].names, "b", ["a", "b"]),
        (B.level, "b", ["a", "b"]),
        (D.names, "b", ["a", "b"]),
        (L("found").names, ["b", "c"], [["a", "b"], ["a", "c"]]),
    ],
)
def test_each_place_knows_the_modes(where, value, expected):
    """An item of a component and an attribute of an item are appended to, as a component is."""
    batch = Batch(2, dataset=Dataset(2, names=["a"]))
    batch.level, batch.found = ["a"], [Names("a"), Names("a")]
    for each in batch.found:
        each.names = ["a"]

    where.set(value, mode="a", batch=batch)

    assert expected == where.get(batch)
