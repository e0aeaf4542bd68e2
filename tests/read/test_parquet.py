"""Parquet and Arrow: numbers as arrays, text as lists, and no null made a number."""

from __future__ import annotations

import datetime
from pathlib import Path

import numpy as np
import pytest

from pyloader.errors import ChunkReadError
from pyloader.read.parquet import ParquetReader
from pyloader.testing import check_reader

pa = pytest.importorskip("pyarrow")


def write(table, path) -> str:
    import pyarrow.feather
    import pyarrow.parquet

    if path.suffix == ".parquet":
        pyarrow.parquet.write_table(table, path, row_group_size=7)
    elif path.suffix == ".feather":
        pyarrow.feather.write_feather(table, path)
    else:  # as Hugging Face writes it
        with pa.OSFile(str(path), "wb") as file, pa.ipc.new_stream(file, table.schema) as stream:
            stream.write_table(table, max_chunksize=7)
    return str(path)


TABLE = pa.table(
    {
        "text": pa.array([f"text {n} é" for n in range(20)]),
        "n": pa.array(range(20), pa.int32()),
        "x": pa.array([n / 7 for n in range(20)], pa.float64()),
        "good": pa.array([n % 3 == 0 for n in range(20)]),
        "vector": pa.array([[n, n + 0.5] for n in range(20)], pa.list_(pa.float32(), 2)),
        "tokens": pa.array([list(range(n)) for n in range(20)]),
        "day": pa.array([datetime.date(2026, 1, 1 + n) for n in range(20)]),
        "kind": pa.array(["a", "b"] * 10).dictionary_encode(),
        "raw": pa.array([b"\xff" * n for n in range(20)]),
    }
)


@pytest.mark.parametrize("suffix", [".parquet", ".arrow", ".feather"])
def test_the_contract_holds_for_every_form(tmp_path, suffix):
    columns = check_reader(ParquetReader(), write(TABLE, tmp_path / f"a{suffix}"))
    assert {name: getattr(column, "dtype", list) for name, column in columns.items()} == {
        "text": list,
        "n": np.int32,
        "x": np.float64,
        "good": np.bool_,
        "vector": np.float32,
        "tokens": list,
        "day": np.dtype("datetime64[D]"),
        "kind": list,
        "raw": list,
    }
    assert columns["vector"].tolist() == [[n, n + 0.5] for n in range(20)]
    for name, column in columns.items():
        assert name == "vector" or list(column) == TABLE[name].to_pylist()


@pytest.mark.parametrize("suffix", [".parquet", ".arrow"])
def test_columns_are_those_named_in_that_order(tmp_path, suffix):
    path = write(TABLE, tmp_path / f"a{suffix}")
    assert list(ParquetReader(columns=["n", "text"]).read_file(path)[0]) == ["n", "text"]
    with pytest.raises(ChunkReadError, match=rf"a\{suffix}: has columns \['text', .*\], and no 'nn'"):
        ParquetReader(columns=["nn"]).read_file(path)


def test_a_column_with_a_null_is_a_list_or_filled(tmp_path):
    path = write(pa.table({"n": [1, None, 3], "text": ["a", None, "c"]}), tmp_path / "a.parquet")
    columns = check_reader(ParquetReader(), path)
    assert columns == {"n": [1, None, 3], "text": ["a", None, "c"]}
    columns, _ = ParquetReader(fill={"n": 7}).read_file(path)
    assert columns["n"].tolist() == [1, 7, 3]
    with pytest.raises(ChunkReadError, match=r"a\.parquet: row 2: 'n' is null \(None\), not a number"):
        ParquetReader(dtypes={"n": "int64"}).read_file(path)


def test_a_vector_with_a_null_is_a_list(tmp_path):
    is_old = int(pa.__version__.partition(".")[0]) <= 15  # it cannot read a missing vector that it wrote
    for vector in ([1, None],) if is_old else ([1, None], None):
        table = pa.table({"v": pa.array([[1, 2], vector], pa.list_(pa.float32(), 2))})
        columns, _ = ParquetReader().read_file(write(table, tmp_path / "a.parquet"))
        assert columns["v"] == [[1, 2], vector]


@pytest.mark.slow
def test_dtypes_are_those_named_and_object_stays_a_list(tmp_path):
    path = write(TABLE, tmp_path / "a.parquet")
    dtypes = {"n": "float64", "x": object, "vector": ("float64", 2), "good": "bool"}
    columns = check_reader(ParquetReader(dtypes=dtypes), path)
    assert (columns["n"].dtype, columns["n"].tolist()) == (np.float64, list(range(20)))
    assert columns["x"] == TABLE["x"].to_pylist()
    assert (columns["vector"].dtype, columns["good"].dtype) == (np.float64, np.bool_)
    for name, dtype, match in (
        ("x", "int64", r"row 2: 'x' is 0\.14285714285714285, which int64 cannot hold"),
        ("text", "int64", r"row 1: 'text' is a str \('text 0 é'\), not a number"),
        ("nn", "int64", r"has columns \['text', .*\], and dtypes names \['nn'\]"),
    ):
        with pytest.raises(ChunkReadError, match=r"a\.parquet: " + match):
            ParquetReader(dtypes={name: dtype}).read_file(path)


def test_a_file_without_rows_has_its_columns(tmp_path):
    columns, num_samples = ParquetReader().read_file(write(TABLE.slice(0, 0), tmp_path / "a.parquet"))
    assert num_samples == 0
    assert list(columns) == TABLE.column_names
    assert (columns["vector"].shape, columns["n"].dtype) == ((0, 2), np.int32)


@pytest.mark.parametrize("suffix", [".parquet", ".arrow", ".feather"])
def test_a_cut_file_is_an_error(tmp_path, suffix):
    path = tmp_path / f"a{suffix}"
    write(TABLE, path)
    whole = path.read_bytes()
    for length in range(0, len(whole) - 8, 97):
        path.write_bytes(whole[:length])
        with pytest.raises(
            ChunkReadError, match=rf"a\{suffix}: is damaged, or of another format \(.+\)\. Fetch it again"
        ):
            ParquetReader().read_file(str(path))


def test_a_missing_file_is_the_error_of_open(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"none\.parquet"):
        ParquetReader().read_file(str(tmp_path / "none.parquet"))


@pytest.mark.parametrize("value", ["", [], {}, 2**70, object()])
def test_what_fills_gaps_must_be_of_the_columns_kind(tmp_path, value):
    pa.parquet.write_table(pa.table({"n": [1, None]}), tmp_path / "a.parquet")
    with pytest.raises(ChunkReadError, match=r"a\.parquet: has 'n' as int64, which cannot hold fill's "):
        ParquetReader(fill={"n": value}).read_file(str(tmp_path / "a.parquet"))


def test_text_that_is_not_utf8_is_an_error(tmp_path):
    text = pa.array([b"good", b"caf\xe9"]).view(pa.string())
    write(pa.table({"text": text}), tmp_path / "a.parquet")
    with pytest.raises(ChunkReadError, match=r"a\.parquet: holds text that is not UTF-8: b'caf\\xe9'\. Write that"):
        ParquetReader().read_file(str(tmp_path / "a.parquet"))


def test_a_footer_that_pyarrow_cannot_take_apart_is_damage_and_no_error_of_the_disk(tmp_path):
    path = Path(write(pa.table({"a": range(10)}), tmp_path / "chunk.parquet"))
    content = bytearray(path.read_bytes())
    footer = int.from_bytes(content[-8:-4], "little")
    content[-8 - footer : -8] = b"\xff" * footer
    path.write_bytes(content)
    for find in (ParquetReader().read_file, lambda path: ParquetReader().find_parts(path, chunk_bytes=100)):
        with pytest.raises(ChunkReadError, match=r"is damaged, or .*thrift"):
            find(str(path))
