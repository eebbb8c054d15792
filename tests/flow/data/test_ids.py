"""Ids: of one kind, unchanged, and found by values that users have at hand."""

from __future__ import annotations

import datetime

import numpy as np
import pytest

from batchup.flow import Batch, Dataset, DatasetIndex, FilesIndex

NANOSECONDS = np.array(["2020-01-01", "2020-01-02T03:04:05.000000006", "NaT"], "M8[ns]")
DAYS = np.array(["2020-01-01", "2020-01-03"], "M8[D]")


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ([2**63 + 1, 5], [2**63 + 1, 5]),
        ([-1, 2**63 + 1], [-1, 2**63 + 1]),
        ([b"a\0", b"a"], [b"a\0", b"a"]),
        (["a\0", "a"], ["a\0", "a"]),
        ([None, "a"], [None, "a"]),
        (np.array([3, "b"], object), [3, "b"]),
    ],
)
def test_ids_are_unchanged(given, expected):
    """Large integers stay integers, bytes and words keep NULs at their end; each id is found."""
    index = DatasetIndex(given)

    assert [*map(repr, expected)] == [*map(repr, index.indices.tolist())]
    assert [0, 1] == [index.get_pos(each) for each in expected]
    assert expected == index.create_subset(given).indices.tolist()


@pytest.mark.parametrize(
    ("given", "match"),
    [
        (["cat", 3], r"'cat' \(str\) and 3 \(number\)"),
        ([True, 2], r"True \(bool\) and 2 \(number\)"),
        ([2**53 + 1, 0.5], "9007199254740993 .* and 0.5"),
        ([np.datetime64("2020"), np.datetime64("2020-01-01")], r"datetime64\[Y\].*datetime64\[D\]"),
        (np.ma.array([1, 2], mask=[True, False]), "not a masked array"),
    ],
)
def test_ids_of_unlike_kinds_are_refused(given, match):
    """The error names both kinds; also if two indices are joined."""
    with pytest.raises(TypeError, match=match):
        DatasetIndex(given)
    if isinstance(given, list):
        with pytest.raises(TypeError, match=match):
            DatasetIndex(given[:1] if isinstance(given[0], str) else [given[0]]) + DatasetIndex([given[1]])


def test_files_of_unlike_kinds_are_refused():
    """The ids of a mapping to paths, too."""
    with pytest.raises(TypeError, match=r"'cat' \(str\) and 3 \(number\)"):
        FilesIndex(paths={"cat": "cat.png", 3: "3.png"})


@pytest.mark.parametrize("id_type", [np.uint64, "S2"])
def test_an_id_given_twice_is_noticed(id_type):
    """Among ids that are objects, too."""
    for ids in (np.array([1, 2, 1], id_type), [None, "a", None]):
        with pytest.warns(UserWarning, match="more than once"):
            DatasetIndex(ids)


@pytest.mark.parametrize(
    "each",
    [
        np.datetime64("2020-01-01"),
        np.datetime64("2020"),
        np.datetime64("2020-01-01T00", "ns"),
        datetime.date(2020, 1, 1),
        datetime.datetime(2020, 1, 1),
    ],
    ids=repr,
)
@pytest.mark.parametrize("ids", [NANOSECONDS, DAYS, DAYS.astype("M8[s]"), NANOSECONDS.astype(">M8[us]")])
def test_times_are_found(ids, each):
    """Whatever the unit or class of the time that is asked for."""
    index = DatasetIndex(ids)

    assert 0 == index.get_pos(each)
    assert [0] == index.get_pos([each]).tolist()
    assert ids[:1] == index.create_subset([each]).indices
    assert ids.dtype.newbyteorder("=") == index.create_subset([each]).indices.dtype.newbyteorder("=")


def test_times_of_pandas_are_found():
    """With their nanoseconds."""
    pandas = pytest.importorskip("pandas")
    index = DatasetIndex(NANOSECONDS)

    assert 1 == index.get_pos(pandas.Timestamp("2020-01-02T03:04:05.000000006"))
    assert [1, 0] == index.get_pos(list(pandas.DatetimeIndex(NANOSECONDS[[1, 0]]))).tolist()
    assert 1 == DatasetIndex(np.array([5, 7], "m8[ns]")).get_pos(pandas.Timedelta(7, "ns"))
    with pytest.raises(KeyError, match="no item Timestamp"):
        index.get_pos(pandas.Timestamp("2020-01-01", tz="UTC"))


def test_durations_are_found():
    """In other units, and by those of Python."""
    index = DatasetIndex(np.array([60, 90], "m8[s]"))

    assert [0, 1] == index.get_pos([np.timedelta64(1, "m"), datetime.timedelta(seconds=90)]).tolist()


@pytest.mark.parametrize(
    "each",
    [
        1577836800000000000,
        np.datetime64("2020-01-01T00:00:00.000000001"),
        np.datetime64("3020"),
        np.timedelta64(1, "ns"),
        datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC),
        "2020-01-01",
    ],
    ids=repr,
)
def test_other_times_are_not_found(each):
    """Nor the number that stands for a time; the error shows the times."""
    with pytest.raises(KeyError, match=r"no item .* here; there are np.datetime64\('2020-01-01T00"):
        DatasetIndex(NANOSECONDS).get_pos(each)
    with pytest.raises(KeyError, match="no item"):
        DatasetIndex(5).get_pos(np.datetime64(3, "ns"))


@pytest.mark.parametrize("key", [np.datetime64, lambda each: each.item() if isinstance(each.item(), int) else each])
def test_containers_by_time(key):
    """Mappings are read and written by their times, not by numbers."""
    data = {np.datetime64(each): i for i, each in enumerate(NANOSECONDS[:2])}
    batch = Dataset(NANOSECONDS[:2], Batch, preloaded=data).create_batch(NANOSECONDS[[1, 0]], pos=False)
    target = {}
    batch.dump(dst=target)

    assert [1, 0] == batch.data.tolist()
    assert {NANOSECONDS[1]: 1, NANOSECONDS[0]: 0} == target
    dates = {datetime.date(2020, 1, 1): "a", DAYS[1]: "b"}
    assert ["a", "b"] == Batch(DAYS).load(src=dates).data.tolist()


def test_errors_show_times():
    """An error in a function shows the time of its item."""

    class Times(Batch):
        components = ("x",)

    batch = Times(NANOSECONDS[:2]).load(src=dict.fromkeys(NANOSECONDS[:2], 0), dst="x")
    with pytest.raises(RuntimeError, match=r"item np.datetime64\('2020-01-01T00:00:00.0"):
        batch.apply_parallel(lambda x: [][x], src="x", dst="x")
