"""PolarsDataset: numbers as arrays, the rest as lists, the same in every batch."""

from __future__ import annotations

import numpy as np
import pytest

from pyloader.errors import DatasetError
from pyloader.indexed.polars_frames import PolarsDataset

pl = pytest.importorskip("polars")


@pytest.fixture
def frame():
    return pl.DataFrame(
        {
            "n": [1, 2, 3, 4],
            "half": [0.5, 1.0, None, 2.0],
            "text": ["a", "b", None, "d"],
            "flag": [True, False, True, True],
            "pair": [[1, 2], [3, 4], [5, 6], [7, 8]],
            "tags": [["x"], [], ["y", "z"], ["w"]],
        },
        schema_overrides={"pair": pl.Array(pl.Float32, 2), "n": pl.Int32},
    )


def test_rows_come_as_columns_in_any_order(frame):
    rows = PolarsDataset(frame)[[3, 0, 3]]
    expected = {
        "n": np.array([4, 1, 4], np.int32),
        "half": [2.0, 0.5, 2.0],  # a list, because of the null elsewhere
        "text": ["d", "a", "d"],
        "flag": np.array([True, True, True]),
        "pair": np.array([[7, 8], [1, 2], [7, 8]], np.float32),
        "tags": [["w"], ["x"], ["w"]],
    }
    np.testing.assert_equal(rows, expected)
    assert {name: type(values) for name, values in rows.items()} == {n: type(v) for n, v in expected.items()}
    assert rows["n"].dtype == np.int32
    rows["n"] += 1
    assert frame["n"].to_list() == [1, 2, 3, 4]


def test_a_row_is_a_dict(frame):
    dataset = PolarsDataset(frame)
    assert len(dataset) == 4
    assert dataset[-2]["text"] is None and dataset[-2]["n"] == 3
    assert [row["n"] for row in dataset.shuffle(1).filter(lambda row: row["flag"])] != []


@pytest.mark.parametrize("suffix", ["parquet", "ndjson", "arrow"])
def test_files_are_read(frame, tmp_path, suffix):
    path = tmp_path / f"x.{suffix}"
    getattr(frame, {"parquet": "write_parquet", "ndjson": "write_ndjson", "arrow": "write_ipc"}[suffix])(path)
    assert PolarsDataset(path)[1]["text"] == "b"


def test_what_is_no_frame_is_refused(frame, tmp_path):
    with pytest.raises(TypeError, match=r"write PolarsDataset\(frame.collect\(\)\)"):
        PolarsDataset(frame.lazy())
    with pytest.raises(TypeError, match=r"needs a polars.DataFrame or a file, got list"):
        PolarsDataset([1])
    with pytest.raises(DatasetError, match=r"ends in '.txt', which PolarsDataset does not read"):
        PolarsDataset(tmp_path / "x.txt")
    (tmp_path / "x.parquet").write_bytes(b"no parquet")
    with pytest.raises(DatasetError, match="is damaged, or of another kind"):
        PolarsDataset(tmp_path / "x.parquet")
