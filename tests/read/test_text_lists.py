"""Text and bytes of Parquet and Arrow files become lists batch by batch, and are what whole columns would be."""

from __future__ import annotations

import numpy as np
import pytest

from pyloader.errors import ChunkReadError
from pyloader.read.nulls import Nulls
from pyloader.read.parquet import ParquetReader

pa = pytest.importorskip("pyarrow")
parquet = pytest.importorskip("pyarrow.parquet")

ROWS = 5000  # of several batches

TEXT = [None if i % 7 == 3 else f"text {i} é" for i in range(ROWS)]
RAW = [bytes([i % 256]) * (i % 5) for i in range(ROWS)]
TABLE = pa.table(
    {
        "text": pa.array(TEXT),
        "n": np.arange(ROWS),
        "raw": pa.array(RAW, pa.large_binary()),
        "large": pa.array(TEXT, pa.large_string()),
        "nothing": pa.array([None] * ROWS, pa.string()),
        "coded": pa.array(TEXT).dictionary_encode(),
    }
)


def write(table, path) -> str:
    if path.suffix == ".parquet":
        parquet.write_table(table, path, row_group_size=1500)
    else:
        with pa.OSFile(str(path), "wb") as file, pa.ipc.new_stream(file, table.schema) as stream:
            stream.write_table(table, max_chunksize=900)
    return str(path)


@pytest.fixture
def left(monkeypatch):
    """The tables that are left of files, for what does not become a list while it is decoded."""
    tables, columns_of = [], ParquetReader.columns_of

    def noting(self, path, table, *made):
        tables.append(table)
        return columns_of(self, path, table, *made)

    monkeypatch.setattr(ParquetReader, "columns_of", noting)
    return tables


@pytest.mark.parametrize("suffix", [".parquet", ".arrow"])
def test_text_is_taken_out_of_each_batch_and_comes_in_order(tmp_path, left, suffix):
    columns, num_rows = ParquetReader().read_file(write(TABLE, tmp_path / f"a{suffix}"))
    assert num_rows == ROWS
    assert list(columns) == TABLE.column_names
    assert columns["text"] == TEXT == columns["coded"] == columns["large"]
    assert columns["raw"] == RAW
    assert columns["nothing"] == [None] * ROWS
    assert columns["n"].tolist() == list(range(ROWS))
    assert {name for name in TABLE.column_names if pa.types.is_null(left[0].column(name).type)} == {
        "text",
        "raw",
        "large",
        "nothing",
    }


@pytest.mark.parametrize("suffix", [".parquet", ".arrow"])
def test_text_that_something_is_done_to_is_left_in_the_table(tmp_path, left, suffix):
    path = write(TABLE, tmp_path / f"a{suffix}")
    columns, _ = ParquetReader(columns=["text", "raw"], fill={"text": "none"}, ragged=["raw"]).read_file(path)
    assert columns["text"] == ["none" if text is None else text for text in TEXT]
    assert columns["raw"].to_list() == RAW
    reader = ParquetReader(columns=["text"])
    reader.nulls = Nulls({"text": "none"})
    assert reader.read_file(path)[0]["text"] == TEXT, "the DataLoader fills what the reader cannot"
    assert not any(pa.types.is_null(field.type) for table in left for field in table.schema)


@pytest.mark.parametrize("suffix", [".parquet", ".arrow"])
def test_two_columns_of_text_of_one_name_are_an_error(tmp_path, suffix):
    table = pa.table([TABLE["text"], TABLE["text"]], ["text", "text"])
    with pytest.raises(ChunkReadError, match="has two columns called 'text'"):
        ParquetReader().read_file(write(table, tmp_path / f"a{suffix}"))
