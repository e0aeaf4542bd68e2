"""Chunks of litdata: what its index says of them, item for item; what it packs in pieces or nests is refused."""

from __future__ import annotations

import json
import pickle
import shutil
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from shards import SHARDS, WritesAFile, assert_parts_are_the_whole, rows_of, write_fresh

from pyloader import DataLoader, LitDataReader, PaddingDataCollator, Ragged, reader_for
from pyloader.errors import ChunkReadError, DataDirError
from pyloader.part import Part
from pyloader.testing import check_reader

PLAIN, PACKED, TOKENS = SHARDS / "litdata", SHARDS / "litdata-zstd", SHARDS / "litdata-tokens"


def chunks_of(directory: Path) -> list[Path]:
    return sorted(directory.glob("*.bin"), key=lambda path: int(path.name.partition(".")[0].rpartition("-")[2]))


def read_all(directory: Path) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Return the samples of all chunks, and the columns of the last one."""
    rows: list[dict[str, Any]] = []
    columns: dict[str, Any] = {}
    for path in chunks_of(directory):
        columns = check_reader(reader_for(path), path)
        rows += [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]
    return rows, columns


def assert_rows(found: list[dict[str, Any]], rows: list[dict[str, Any]]) -> None:
    for sample, row in zip(found, rows, strict=True):
        assert pickle.loads(sample.pop("inner.any")) == row["inner"]["any"]
        expected = row | {"inner.ids": row["inner"]["ids"], "inner.grid": row["grid"]}
        for name, value in sample.items():
            np.testing.assert_equal(value, expected[name])
            assert getattr(value, "dtype", None) == getattr(expected[name], "dtype", getattr(value, "dtype", None)), (
                name
            )


def chunk(directory: Path, formats: list[str], samples: list[list[bytes]], **config: Any) -> Path:
    """Write a chunk by hand, of samples that are tuples, and its index."""
    leaf = {"type": None, "context": None, "children_spec": []}
    tree = {"type": "builtins.tuple", "context": "null", "children_spec": [leaf] * len(formats)}
    said = {"data_format": formats, "data_spec": json.dumps([1, tree]), "item_loader": "PyTreeLoader"} | config
    (directory / "index.json").write_text(json.dumps({"chunks": [], "config": said}))
    bodies = [struct.pack(f"<{len(s)}I", *map(len, s)) + b"".join(s) for s in samples]
    offsets = 4 * (2 + len(bodies)) + np.cumsum([0, *map(len, bodies)])
    path = directory / "chunk-0-0.bin"
    path.write_bytes(struct.pack("<I", len(bodies)) + offsets.astype("<u4").tobytes() + b"".join(bodies))
    return path


@pytest.mark.parametrize("directory", [PLAIN, PACKED], ids=["plain", "zstd"])
def test_what_litdata_wrote_comes_back_bit_for_bit(directory):
    rows, columns = read_all(directory)
    assert_rows(rows, rows_of("litdata"))
    ragged = [name for name, values in columns.items() if isinstance(values, Ragged)]
    assert ragged == ["image", "tokens", "inner.ids", "inner.any"]


@pytest.mark.frameworks
@pytest.mark.parametrize("options", [{}, {"compression": "zstd", "compression_level": "chunk"}], ids=["plain", "zstd"])
def test_fresh_chunks_of_litdata_come_back(tmp_path, options):
    rows = write_fresh(tmp_path / "c", "litdata", num_rows=100, seed=4, **options)
    assert_rows(read_all(tmp_path / "c")[0], rows)


def test_documents_for_its_tokens_loader_are_rows():
    rows, _ = read_all(TOKENS)
    assert [row["tokens"].tolist() for row in rows] == [row["tokens"].tolist() for row in rows_of("litdata-tokens")]


@pytest.mark.parametrize("sizes", [{"chunk_bytes": 1}, {"chunk_bytes": 600}, {"chunk_samples": 4}, {}])
@pytest.mark.parametrize("directory", [PLAIN, TOKENS], ids=["plain", "tokens"])
def test_parts_joined_are_the_whole_chunk(tmp_path, directory, sizes):
    for path in chunks_of(directory):
        assert_parts_are_the_whole(LitDataReader(), path, tmp_path, **sizes)


def test_a_part_that_is_none_of_these_chunks_is_refused():
    path = str(chunks_of(PLAIN)[0])
    with pytest.raises(ChunkReadError, match=r"has a part that is not one of litdata .* Index the file again"):
        LitDataReader().read_part(path, Part(0, 1, ((0, 8),), {"formats": [1]}))


def test_a_packed_chunk_is_not_cut():
    assert LitDataReader().find_parts(str(chunks_of(PACKED)[0]), chunk_bytes=1) is None


def test_a_loader_reads_a_directory_of_chunks():
    options = {"datareader": LitDataReader(columns=["id", "tokens"]), "datacollator": PaddingDataCollator(pad_value=0)}
    with DataLoader(data_dir=PLAIN, batch_size=4, shuffle=True, num_epochs=1, **options) as loader:
        assert sorted(number for batch in loader for number in batch["id"].tolist()) == list(range(-5, 7))


def test_what_is_pickled_arrives_as_bytes_and_is_never_opened(tmp_path):
    made = tmp_path / "made"
    pickled = pickle.dumps(WritesAFile(str(made)))
    columns = check_reader(LitDataReader(), chunk(tmp_path, ["pickle", "int"], [[pickled, bytes(8)]]))
    assert (list(columns["0"]), columns["1"].tolist()) == ([pickled], [0])
    assert not made.exists()


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ({"compression": "zstd", "compression_level": "batch"}, "is packed in pieces, says its index.json, which pyl"),
        ({"compression": "lz4"}, "is packed with 'lz4'"),
        ({"encryption": {"level": "chunk"}}, "is encrypted"),
        ({"item_loader": "ParquetLoader"}, "is for 'ParquetLoader'"),
        ({"data_spec": "[1, {}]"}, r"has samples of a form that is not known \('type'\)"),
        ({"data_spec": '[1, {"type": "os.system", "context": "x", "children_spec": []}]'}, r"form .* \('os\.system'\)"),
    ],
)
def test_what_is_not_read_is_an_error_that_says_so(tmp_path, config, expected):
    path = chunk(tmp_path, ["int"], [[bytes(8)]], **config)
    with pytest.raises(ChunkReadError, match=expected):
        LitDataReader().read_file(str(path))


@pytest.mark.parametrize(
    ("encoding", "value", "expected"),
    [
        ("int", b"123", "sample 1 has '0' that is no int"),
        ("no_header_numpy:3", b"123", "'0' is no no_header_numpy:3"),
        ("no_header_tensor:10", b"12", "'0' is of a dtype that NumPy does not have, 10"),
        ("no_header_numpy:x", b"", "is damaged: '0' is no no_header_numpy:x"),
        ("numpy", struct.pack("<III", 3, 1, 9), "its numbers do not fill its shape"),
        ("tensor", struct.pack(">II", 17, 2**20), "it says that it has 1,048,576 axes"),
        ("str", b"\xff", "'0' is no str"),
    ],
)
def test_a_value_that_is_not_of_its_format_is_named(tmp_path, encoding, value, expected):
    good = {"int": bytes(8), "numpy": struct.pack("<III", 3, 1, 0), "tensor": struct.pack(">III", 17, 1, 0)}
    path = chunk(tmp_path, [encoding], [[good.get(encoding, b"")], [value]])
    with pytest.raises(ChunkReadError, match=expected):
        LitDataReader().read_file(str(path))


def test_rows_that_litdata_keeps_behind_its_samples_are_an_error(tmp_path):
    path = chunk(tmp_path, ["int"], [[bytes(8)]])
    path.write_bytes(path.read_bytes() + b"ARROW1")
    for ask in (LitDataReader().read_file, lambda p: LitDataReader().find_parts(p, chunk_bytes=1)):
        with pytest.raises(ChunkReadError, match=r"goes on after its last sample.*litdata keeps nested rows there"):
            ask(str(path))


@pytest.mark.parametrize("size", [0, 6, 30, 500, -1])
def test_a_chunk_that_was_cut_is_an_error_and_no_end(tmp_path, size):
    copy = shutil.copytree(PLAIN, tmp_path / "c")
    path = chunks_of(copy)[0]
    path.write_bytes(path.read_bytes()[:size])
    for ask in (LitDataReader().read_file, lambda p: LitDataReader().find_parts(p, chunk_bytes=1)):
        with pytest.raises(ChunkReadError, match=r"(is no chunk of litdata, or was cut|was cut: it has)"):
            ask(str(path))


def test_without_its_index_a_chunk_is_any_file_of_bytes(tmp_path):
    path = Path(shutil.copy(chunks_of(PLAIN)[0], tmp_path))
    with pytest.raises(DataDirError, match=r"ends in '\.bin', which no reader knows"):
        reader_for(path)
    with pytest.raises(ChunkReadError, match=r"has no index\.json of litdata beside it"):
        LitDataReader().read_file(str(path))
