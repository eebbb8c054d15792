"""Columns of pyarrow as arrays."""

import datetime

import numpy as np
import pytest

from batchup.storage import ArrowColumn


@pytest.mark.parametrize("form", ["parquet", "feather"])
def test_nulls_and_strings_of_a_column(tmp_path, form):
    """Nulls are NaN, NaT and None, and refused among integers; strings are objects."""
    pa = pytest.importorskip("pyarrow")
    table = pa.table({"f": [1.5, None], "s": ["a", None], "i": [1, None], "t": pa.array([0, None], pa.timestamp("ms"))})
    module = pytest.importorskip(f"pyarrow.{form}")
    (module.write_table if form == "parquet" else module.write_feather)(table, str(tmp_path / "x"))

    assert np.isnan(ArrowColumn(tmp_path / "x", "f")[1])
    assert ["a", None] == ArrowColumn(tmp_path / "x", "s")[:].tolist()
    assert np.isnat(ArrowColumn(tmp_path / "x", "t")[[1, 0]]).tolist() == [True, False]
    with pytest.raises(ValueError, match="column 'i' should have no nulls"):
        ArrowColumn(tmp_path / "x", "i")[[0, 1]]


@pytest.mark.parametrize("form", ["parquet", "feather"])
def test_dates_of_a_column(tmp_path, form):
    """Days take four bytes there, and eight in an array."""
    pa = pytest.importorskip("pyarrow")
    days = [datetime.date(2000, 1, day) for day in (1, 2, 3)]
    table = pa.table({"day": days, "second": pa.array([5, 6, 7], pa.timestamp("s")), "half": np.arange(3, dtype="f2")})
    if form == "parquet":
        pytest.importorskip("pyarrow.parquet").write_table(table, str(tmp_path / "x"))
    else:
        pytest.importorskip("pyarrow.feather").write_feather(table, str(tmp_path / "x"), compression="uncompressed")

    assert days == ArrowColumn(tmp_path / "x", "day")[:].tolist()
    assert [7, 5] == ArrowColumn(tmp_path / "x", "second")[[2, 0]].astype("M8[s]").astype(int).tolist()
    assert np.arange(3).tolist() == ArrowColumn(tmp_path / "x", "half")[:].tolist()
