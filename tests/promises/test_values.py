"""Values of items and results are unchanged, in value and kind, on each way through batchup; or there is an error."""

from __future__ import annotations

from collections import OrderedDict, UserDict

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batchup import Loader, ParallelItems, WorkerProcessPool, WorkerThreadPool
from batchup.batch_iter import combine_batches
from batchup.data_source import ArrayDataSource, CompositeDataSource, batch_map_concat, batch_map_mean
from batchup.data_source.rows import gather
from batchup.testing import plain

MASKED = np.ma.array([1.0, 2.0, 3.0, 100.0, 5.0], mask=[False, False, False, True, False])


def over(*columns):
    """The batches of columns: one batch for each element."""
    return iter([(part,) for part in columns])


# Results over all batches.


def test_results_keep_their_masks():
    """A masked result is masked in what `batch_map_concat` returns."""
    (found,) = ArrayDataSource([MASKED]).batch_map_concat(lambda x: x * 2, 2)

    assert [2, 4, 6, None, 10] == found.tolist()
    (mixed,) = batch_map_concat(lambda x: x, over(np.zeros(1), MASKED[2:4]))
    assert [0, 3, None] == mixed.tolist()


@pytest.mark.parametrize("n_first", [1, 2, 4])
def test_means_leave_masked_values_out(n_first):
    """With ``sum_axis=0``, the mean is over the values that are not masked; an entry without any is masked."""
    batches = over(MASKED[:n_first], MASKED[n_first:])
    (mean,) = batch_map_mean(lambda x: x, batches, sum_axis=0)
    assert 2.75 == mean

    rows = np.ma.array([[1.0, 9.0], [3.0, 9.0], [9.0, 9.0]], mask=[[False, True], [False, True], [True, True]])
    (columns,) = batch_map_mean(lambda x: x, over(rows[:n_first], rows[n_first:]), sum_axis=(0,))
    assert [2.0, None] == columns.tolist()
    (mixed,) = batch_map_mean(lambda x: x, over(np.array([[5.0, 6.0]]), rows), sum_axis=0)
    assert [3.0, 6.0] == mixed.tolist()


@pytest.mark.parametrize(
    ("func", "sum_axis"),
    [
        (lambda x: x.sum(axis=0), None),
        (lambda x: x, (0, 1)),
        (lambda x: x, 1),
        (lambda x: x[:1], 0),
        (lambda x: np.ma.masked, None),
    ],
    ids=["sums", "both axes", "other axis", "fewer results", "masked"],
)
def test_masked_sums_are_refused(func, sum_axis):
    """Of a sum, nobody knows how many values were masked."""
    rows = np.ma.array(np.ones((3, 2)), mask=[[False, True], [False, False], [True, False]])

    with pytest.raises(TypeError, match=r"masked array only with sum_axis=0.*: fill the array, or return the sum"):
        batch_map_mean(func, over(rows), sum_axis=sum_axis)


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        (np.array([2**63 + 1], np.uint64), np.array([5]), [2**63 + 1, 5]),
        (np.array([1, 2]), np.array([0.5]), [1.0, 2.0, 0.5]),
        ([b"a\0"], [b"bc"], [b"a\0", b"bc"]),
        (["a\0"], ["bc"], ["a\0", "bc"]),
        (np.array(["a"]), np.array(["bc"]), ["a", "bc"]),
        (np.array([None]), np.array([1.5]), [None, 1.5]),
    ],
    ids=str,
)
def test_results_are_unchanged(one, other, expected):
    """Integers, bytes and words of several batches are joined as they are."""
    (found,) = batch_map_concat(lambda x: (x,), over(one, other))

    assert [*map(repr, expected)] == [*map(repr, found.tolist())]


@pytest.mark.parametrize(
    ("one", "other", "match"),
    [
        (np.array(["cat"]), np.array([3]), r"'cat' \(str\) and 3 \(number\)"),
        (np.array([True]), np.array([3]), r"True \(bool\) and 3 \(number\)"),
        (np.array([2**53 + 1]), np.array([0.5]), "9007199254740993 .* and 0.5"),
        (np.array(["2020"], "M8[Y]"), np.array(["2020-01-01"], "M8[D]"), r"datetime64\[Y\].*datetime64\[D\]"),
        (["cat", 3], ["dog", 4], r"'cat' \(str\) and 3 \(number\)"),
    ],
    ids=str,
)
def test_results_of_unlike_kinds_are_refused(one, other, match):
    """The error names both kinds."""
    with pytest.raises(TypeError, match=match):
        batch_map_concat(lambda x: (x,), over(one, other))


def test_results_of_pandas():
    """The values of a series, whatever its dtype."""
    pandas = pytest.importorskip("pandas")
    moments = pandas.Series(pandas.to_datetime(["2020-01-01", "2021-01-01"]).tz_localize("UTC"))
    kinds = pandas.Series(["a", None], dtype="category")

    for series in (moments, kinds, pandas.Series([1, 2])):
        (found,) = batch_map_concat(lambda x: x, over(series[:1], series[1:]))
        assert [*map(repr, series.tolist())] == [*map(repr, found.tolist())]


def test_a_result_that_is_no_array():
    """The error says what it is."""
    sparse = pytest.importorskip("scipy.sparse")

    with pytest.raises(TypeError, match="not a csr_array"):
        batch_map_concat(lambda x: (x,), over(sparse.csr_array(np.eye(2))))


# What functions of a batch return.


class Encoding(UserDict):
    """A mapping, as tokenizers return it."""


def encoded(x, rng=None):
    return Encoding(ids=x + 1, mask=x > 0)


METHODS = pytest.mark.parametrize("method", ["map", "random_map"])


@METHODS
@pytest.mark.parametrize("kind", [Encoding, OrderedDict, dict])
def test_a_mapping_of_any_class_is_a_batch(method, kind):
    """It becomes a dict, for the next function, for padding and for results over all batches."""
    ds = getattr(ArrayDataSource([np.arange(5)]), method)(lambda x, rng=None: kind(encoded(x)))
    (*_, last) = Loader(ds, 3, last="pad")

    assert [1, 2, 3] == next(ds.batch_iterator(3))["ids"].tolist()
    assert {"ids": [4, 5, 5], "mask": [1, 1, 1], "valid": [1, 1, 0]} == {key: x.tolist() for key, x in last.items()}
    assert (3.0,) == ds.batch_map_mean(lambda batch: batch["ids"], 2, sum_axis=0)
    assert isinstance(next(ds.batch_iterator(3)), dict)


@METHODS
def test_a_mapping_may_be_a_field(method):
    """Its arrays are trimmed like others, and count as samples."""
    ds = getattr(ArrayDataSource([np.arange(5)]), method)(lambda x, rng=None: (encoded(x), x))
    short = ArrayDataSource([np.arange(3)])
    batches = list(CompositeDataSource([ds, short]).batch_iterator(2))

    assert [[1, 2], [3]] == [encoding["ids"].tolist() for encoding, _, _ in batches]
    assert (3.0,) == ds.batch_map_mean(lambda encoding, x: encoding["ids"], 2, sum_axis=0)


def test_batches_that_are_mappings():
    """Of an iterator of batches, too; their length is that of their arrays, not the number of their keys."""
    batches = [Encoding(a=np.arange(3.0)), Encoding(a=np.arange(3.0) + 3)]

    assert (2.5,) == batch_map_mean(lambda batch: batch["a"], iter(batches), sum_axis=0)
    assert {"a": [1, 2]} == combine_batches([Encoding(a=1), Encoding(a=2)])


@pytest.mark.parametrize(
    ("method", "data", "write"),
    [
        ("map", [np.arange(4)], r"\.map\(lambda x: \(single\(x\),\)\)"),
        ("map", [np.arange(4)] * 2, r"\.map\(lambda x, y: \(single\(x, y\),\)\)"),
        ("map", [np.arange(4)] * 3, r"\.map\(lambda \*batch: \(single\(\*batch\),\)\)"),
        ("map", {"x": np.arange(4)}, r"\.map\(lambda batch: \(single\(batch\),\)\)"),
        ("random_map", [np.arange(4)], r"\.random_map\(lambda x, rng: \(single\(x, rng=rng\),\)\)"),
    ],
)
def test_a_function_that_returns_a_single_array(method, data, write):
    """The error shows the code to write, which works. Functions over all batches may return a single array."""

    def single(*batch, rng=None):
        return batch[0]["x"] if isinstance(data, dict) else batch[0]

    with pytest.raises(TypeError, match=write):
        next(getattr(ArrayDataSource(data), method)(single).batch_iterator(2))

    code = write.replace("\\", "")
    ds = eval("source" + code, {"source": ArrayDataSource(data), "single": single})
    assert [0, 1] == next(ds.batch_iterator(2))[0].tolist()
    assert [0, 1, 2, 3] == ArrayDataSource(data).batch_map_concat(single, 2)[0].tolist()


def test_torch_over_a_batch_of_one_field():
    """`torch.from_numpy` returns no tuple, so it is to be put into one."""
    torch = pytest.importorskip("torch")
    ds = ArrayDataSource([np.arange(4)])

    with pytest.raises(TypeError, match=r"not a Tensor; .*: \.map\(lambda x: \(from_numpy\(x\),\)\)"):
        next(ds.map(torch.from_numpy).batch_iterator(2))
    assert [0, 1, 2, 3] == ds.batch_map_concat(torch.from_numpy, 2)[0].tolist()


# Samples that are fetched one by one.


def table(kind):
    columns = {"a": [1, 2, 3], "b": [4.0, 5.0, 6.0], "c": ["x", "y", "z"]}
    if kind == "pandas":
        return pytest.importorskip("pandas").DataFrame(columns)
    arrow = pytest.importorskip("pyarrow")
    return arrow.table(columns) if kind == "table" else arrow.record_batch(columns)


@pytest.mark.parametrize("kind", ["pandas", "table", "record batch"])
def test_a_table_is_not_fetched_one_by_one(kind):
    """Its items are columns; the advice to pass the columns works."""
    columns = table(kind)
    with pytest.raises(TypeError, match=r"is indexed by column: pass arrays of its columns, ArrayDataSource"):
        ParallelItems(columns, workers=1)

    options = {"zero_copy_only": False} if kind == "record batch" else {}
    ds = ArrayDataSource({name: columns[name].to_numpy(**options) for name in ("a", "b", "c")})
    (batch,) = ds.batch_iterator(3)
    assert [[1, 2, 3], [4, 5, 6], ["x", "y", "z"]] == [x.tolist() for x in batch.values()]


class Refusing:
    """Data that takes no array of indices."""

    def __len__(self):
        return 2

    def __getitem__(self, indices):
        raise TypeError("an index must be an integer")


class Table(Refusing):
    __module__ = "pyarrow.lib"
    column_names = ("a", "b")


class Sparse(Refusing):
    def tocsr(self):
        """Rows of a matrix."""


class ByKey(Refusing, UserDict):
    """A mapping."""


@pytest.mark.parametrize(
    ("data", "advice"),
    [
        (Table(), "it is indexed by column: pass arrays of its columns, ArrayDataSource({name:"),
        (Sparse(), "tocsr() makes one that is indexed by row"),
        (ByKey(), "it is indexed by key: pass its values by name, ArrayDataSource(dict(it))"),
        (Refusing(), "if it gives one sample for one index, ParallelItems(it, workers=1) asks it so"),
    ],
    ids=["table", "sparse matrix", "mapping", "one by one"],
)
def test_the_advice_for_data_that_take_no_array_of_indices(data, advice):
    """`ParallelItems` is for what gives one sample for one index, and for nothing else."""
    with pytest.raises(TypeError) as caught:
        gather([data], np.array([1]), 2)

    (note,) = caught.value.__notes__
    assert f"is asked for an array of indices; {advice}" in note


def test_samples_of_a_pandas_column_go_by_position():
    """Their labels are not positions."""
    pandas = pytest.importorskip("pandas")
    items = ParallelItems(pandas.Series([10, 11, 12], index=[2, 1, 0]), workers=1)

    assert ([10, 11], 12) == (items[np.array([0, 1])], items[2])


@pytest.mark.parametrize(
    ("samples", "expected"),
    [
        ([b"a\0", b"b"], [b"b", b"a\0"]),
        ([2**63 + 1, 5], [5, 2**63 + 1]),
        ([MASKED[2:4], MASKED[:2]], [[1, 2], [3, None]]),
    ],
    ids=["bytes", "integers", "masked"],
)
def test_stacked_samples_are_unchanged(samples, expected):
    """`combine=np.stack` keeps NULs, integers and masks."""
    assert expected == ParallelItems(samples, workers=1, combine=np.stack)[np.array([1, 0])].tolist()


def test_stacked_samples_of_unlike_kinds_are_refused():
    """Words and numbers make no array."""
    with pytest.raises(TypeError, match=r"3 \(number\) and 'cat' \(str\)"):
        ParallelItems(["cat", 3], workers=1, combine=np.stack)[np.array([1, 0])]


# Pools.


def same(x):
    return x


odd_values = st.sampled_from(
    [
        *[0, 2**63 + 1, 2**70, -1, 0.5, 1j, True, None, "a\0", b"a\0", b"", np.bytes_(b"a\0"), np.str_("a\0")],
        *[
            np.uint64(2**63),
            np.float16(0.5),
            np.datetime64("2020"),
            np.datetime64("2020", "ns"),
            np.timedelta64(1, "D"),
        ],
        *[
            np.ma.array([1, 2], mask=[True, False]),
            np.ma.masked,
            np.array([b"a\0", "x"], object),
            np.array([b"a", b"bc"]),
        ],
        *[np.zeros(1, "M8[ns]"), np.zeros(1, ">i4"), np.zeros(1, "i4,U2"), np.zeros((0, 2)), np.array(5, np.uint64)],
        *[OrderedDict(a=1), Encoding(a=b"a\0")],
    ]
)


@pytest.fixture(scope="module", params=[WorkerThreadPool, WorkerProcessPool])
def pool(request):
    with request.param(1) as pool:
        yield pool


@pytest.mark.timeout(60)
@settings(max_examples=20, deadline=None)
@given(values=st.lists(odd_values, min_size=1, max_size=20))
def test_values_go_through_a_pool_unchanged(pool, values):
    """To a worker and back, each is what it was, in value, kind and class."""
    back = list(pool.work_stream((same, (value,)) for value in values).retrieve_iter())

    assert [*map(type, values)] == [*map(type, back)]
    assert [*map(plain, values)] == [*map(plain, back)]
    assert [len(each) for each in values if isinstance(each, (str, bytes))] == [
        len(each) for each in back if isinstance(each, (str, bytes))
    ]
