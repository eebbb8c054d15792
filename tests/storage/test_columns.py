"""Columns of pyarrow as arrays."""

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
