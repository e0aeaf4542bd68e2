"""Parts of files: joined they are the file, whatever it holds and however it is cut."""

from __future__ import annotations

import pickle
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st
from products import examples

from pyloader import (
    ArrayRecordReader,
    DataReader,
    DelimitedReader,
    JsonlReader,
    NumpyReader,
    ParquetReader,
    Part,
    TextReader,
    TokenReader,
)
from pyloader.datareader import parts_of_file, read_chunk, read_damaged_chunk
from pyloader.errors import ChunkReadError
from pyloader.files import line_files, open_packed
from pyloader.read import csv_parts, line_blocks, line_counts, parquet
from pyloader.testing import check_reader

READERS: dict[str, DataReader] = {".txt": TextReader(), ".jsonl": JsonlReader(), ".csv": DelimitedReader()}


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """A row, a quote and a border of parts come to lie across the borders of blocks."""
    monkeypatch.setattr(line_blocks, "_BLOCK_BYTES", 16)
    monkeypatch.setattr(line_files, "_PLACE_BYTES", 40)
    monkeypatch.setattr(line_counts, "_BLOCK_BYTES", 16)
    monkeypatch.setattr(line_counts, "_PLACE_BYTES", 40)


def framed(data: bytes, size: int) -> bytes:
    """Return data in frames of so many bytes, which end anywhere in a line."""
    return b"".join(zstandard.compress(data[at : at + size]) for at in range(0, len(data), size))


LINES = {
    ".txt": st.lists(st.sampled_from(["", "a", "bc\r", "ä" * 9, " "]), max_size=40),
    ".jsonl": st.lists(st.sampled_from(['{"x":1}', "", " \r", ' {"x":2.5}', '{"x":null}', '{"x": "long text"}'])),
    ".csv": st.lists(
        st.sampled_from(["1,a", '"2",b', "", "\r", '3,"x\n\ny"', '4,"say ""hi"""', "5,c\r", '6,5" pipe', '7,"\r\n"']),
        max_size=40,
    ).map(lambda rows: ["n,s", *rows]),
}


@pytest.mark.slow
@pytest.mark.parametrize("suffix", LINES)
@settings(max_examples=examples(90))
@given(data=st.data(), frame=st.integers(0, 60), share=st.integers(1, 9), ends=st.booleans(), mark=st.booleans())
def test_the_parts_of_lines_are_the_file(tmp_path_factory, suffix, data, frame, share, ends, mark):
    lines = data.draw(LINES[suffix])
    mark &= not 0 < frame < 3  # a mark in several frames is none
    content = ("\ufeff" * mark + "\n".join(lines) + "\n" * ends).encode()
    path = tmp_path_factory.mktemp("lines") / f"x{suffix}{'.zst' if frame else ''}"
    path.write_bytes(framed(content, frame) if frame else content)
    reader = READERS[suffix]
    try:
        whole = read_chunk(reader, path)
    except ChunkReadError:
        return
    if whole:
        check_reader(reader, path)
    else:
        assert parts_of_file(reader, str(path), chunk_bytes=share) in ([], None)


def whole_and_parts(reader: DataReader, path: Path, **sizes: Any) -> tuple[Any, list[Part], list[Any]]:
    """Return what a reader reads of a file, its parts, and what it reads of each."""
    parts = parts_of_file(reader, str(path), **{"chunk_bytes": 1000, **sizes})
    assert parts is not None
    return read_chunk(reader, path), parts, [read_chunk(reader, path, part) for part in parts]


@pytest.mark.slow
def test_rows_of_an_array_are_found_by_its_header(tmp_path):
    path = tmp_path / "x.npy"
    np.save(path, np.arange(3000, dtype=">i4").reshape(1000, 3))
    check_reader(NumpyReader(), path)
    check_reader(NumpyReader(mmap=True), path)
    _, parts, read = whole_and_parts(NumpyReader(), path, chunk_bytes=5000)
    assert [part.num_samples for part in parts] == [333, 333, 334]
    assert parts[1] == Part(333, 333, ((0, 128), (128 + 333 * 12, 128 + 666 * 12)))
    assert read[0]["data"].flags.writeable
    assert read[0]["data"].dtype == np.dtype("i4")


def test_what_rows_of_an_array_cannot_be_cut_out_of_is_one_chunk(tmp_path):
    np.save(tmp_path / "fortran.npy", np.asfortranarray(np.ones((90, 20))))
    np.savez(tmp_path / "several.npz", a=np.ones(1000))
    (tmp_path / "packed.npy.zst").write_bytes(zstandard.compress((tmp_path / "fortran.npy").read_bytes()))
    (tmp_path / "x.columns").mkdir()
    for path in tmp_path.iterdir():
        assert parts_of_file(NumpyReader(), str(path), chunk_bytes=100) is None


@pytest.mark.parametrize("stride", [None, 3, 16])
@pytest.mark.parametrize("mmap", [False, True])
def test_windows_of_tokens_are_found_by_the_size(tmp_path, stride, mmap):
    tokens = np.arange(1003, dtype="<u2")
    tokens.tofile(tmp_path / "x.bin")
    np.save(tmp_path / "x.npy", tokens)
    for name in ("x.bin", "x.npy"):
        check_reader(TokenReader(window=17, stride=stride, dtype="u2", mmap=mmap), tmp_path / name)


@pytest.mark.slow
def test_row_groups_are_found_by_the_footer_and_never_cut(tmp_path):
    path = tmp_path / "x.parquet"
    table = pa.table(
        {"n": range(1000), "s": [str(row) * 3 for row in range(1000)], "l": [[row] for row in range(1000)]}
    )
    pq.write_table(table, path, row_group_size=90)
    check_reader(ParquetReader(), path)
    check_reader(ParquetReader(columns=["s"]), path)
    _, parts, _ = whole_and_parts(ParquetReader(), path, chunk_samples=200)
    assert [part.num_samples for part in parts] == [180] * 5 + [100]
    assert parts[1].detail == {"groups": [2, 4]}
    _, parts, _ = whole_and_parts(ParquetReader(), path, chunk_bytes=1)
    assert {part.num_samples for part in parts} == {90, 10}
    footer = pq.read_metadata(path).serialized_size + 8
    assert all(part.ranges[-1][1] == path.stat().st_size and part.ranges[0][0] == 0 for part in parts)
    assert parts[0].num_bytes < footer + 4 + path.stat().st_size / 5


def test_a_footer_is_read_once_for_the_parts_of_a_file_and_again_when_it_has_changed(tmp_path, monkeypatch):
    path, read = tmp_path / "x.parquet", []
    monkeypatch.setattr(parquet, "read_footer", lambda path: read.append(path) or pq.read_metadata(path))
    pq.write_table(pa.table({"n": range(100)}), path, row_group_size=10)
    reader = ParquetReader()
    _, parts, found = whole_and_parts(reader, path, chunk_samples=10)
    assert [columns["n"][0] for columns in found] == list(range(0, 100, 10))
    assert len(read) == 2  # to find them, and to read them
    pq.write_table(pa.table({"n": range(100, 1, -1)}), path, row_group_size=10)
    assert read_chunk(reader, path, parts[1])["n"].tolist() == list(range(90, 80, -1))
    assert len(read) == 3
    assert read_chunk(pickle.loads(pickle.dumps(reader)), path, parts[1])["n"][0] == 90


def test_copies_of_parts_share_the_footer_that_they_end_with(tmp_path, monkeypatch):
    path, read = tmp_path / "x.parquet", []
    monkeypatch.setattr(parquet, "read_footer", lambda path: read.append(path) or pq.read_metadata(path))
    pq.write_table(pa.table({"n": range(100)}), path, row_group_size=10)
    reader = ParquetReader()
    parts = parts_of_file(reader, str(path), chunk_bytes=1)
    for number, part in enumerate(parts):
        copy = tmp_path / str(number) / "x.parquet"
        copy.parent.mkdir()
        copy.write_bytes(path.read_bytes())
        assert read_chunk(reader, copy, part)["n"].tolist() == list(range(10 * number, 10 * number + 10))
    assert len(read) == 2  # to find them, and to read them
    pq.write_table(pa.table({"n": range(1000, 1100)}), copy, row_group_size=10)
    assert read_chunk(reader, copy, parts[0])["n"][0] == 1000
    assert len(read) == 3


@pytest.mark.slow
def test_groups_of_records_are_found_by_the_index(tmp_path):
    writer = pytest.importorskip("array_record.python.array_record_module").ArrayRecordWriter
    path = tmp_path / "x.ar"
    written = writer(str(path), "group_size:8")
    for row in range(1000):
        written.write(np.full(3, row, "<u4").tobytes())
    written.close()
    check_reader(ArrayRecordReader(), path)
    check_reader(ArrayRecordReader(dtype="<u4", shape=(3,)), path)
    _, parts, _ = whole_and_parts(ArrayRecordReader(), path, chunk_samples=100)
    assert all(part.first % 8 == 0 and part.ranges == () for part in parts)


def test_lines_are_cut_evenly_by_bytes_and_exactly_by_rows(tmp_path):
    path = tmp_path / "x.txt"
    path.write_text("12345678\n" * 1000)
    _, parts, _ = whole_and_parts(TextReader(), path, chunk_bytes=4000)
    assert [part.num_samples for part in parts] == [334, 333, 333]
    assert parts[1] == Part(334, 333, ((334 * 9, 667 * 9),), {"line": 335})
    _, parts, _ = whole_and_parts(TextReader(), path, chunk_samples=300)
    assert [part.num_samples for part in parts] == [300, 300, 300, 100]


@pytest.mark.parametrize("packing", [".gz", ".xz", ".bz2", ".zst"])
def test_what_is_packed_in_one_go_is_one_chunk(tmp_path, packing):
    for suffix, reader in READERS.items():
        path = tmp_path / f"x{suffix}{packing}"
        with open_packed(path, "wb") as file:
            file.write(b'{"a":"b"}\n' * 1000)
        assert parts_of_file(reader, str(path), chunk_bytes=100) is None


@pytest.mark.slow
def test_a_part_of_frames_names_the_frames_that_its_lines_lie_in(tmp_path):
    path = tmp_path / "x.txt.zst"
    path.write_bytes(framed(b"12345678\n" * 1000, 500))
    check_reader(TextReader(), path)
    _, parts, _ = whole_and_parts(TextReader(), path, chunk_bytes=3000)
    assert len(parts) == 3
    assert all(first.ranges[-1][1] > second.ranges[0][0] for first, second in pairwise(parts))  # of one line in two


@pytest.mark.slow
def test_only_the_parser_knows_what_some_quotes_mean(tmp_path, monkeypatch):
    path = tmp_path / "x.csv"
    path.write_text('n,s\n1,"a\n2,b"\n' + '3,5" pipe\n' * 50 + '4,"c\n\n"\n')
    check_reader(DelimitedReader(), path)
    monkeypatch.setattr(csv_parts, "_rows_by_quotes", csv_parts._rows_by_parser)
    check_reader(DelimitedReader(), path)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"header": False}, '1,"a\nb"\n2,c\n' * 30),
        ({"quote": "none"}, 'n,"s\n' + '1,"a\n2,c\n' * 30),
        ({"delimiter": ";", "quote": "'"}, "n;s\n" + "1;'a;\nb'\n2;\"c\n" * 30),
        ({"delimiter": "¦", "quote": "»"}, "n¦s\n" + "1¦»a¦\nb»\n2¦c\n" * 30),
        ({"columns": ["s"]}, '"n\n1",s\n' + "1,a\n2,c\n" * 30),
    ],
)
def test_parts_of_a_table_are_in_its_dialect(tmp_path, options, text):
    path = tmp_path / "x.csv"
    path.write_text(text, encoding="utf-8")
    columns = check_reader(DelimitedReader(**options), path)
    assert {len(values) for values in columns.values()} == {60}


def test_a_quote_that_is_not_closed_is_named_by_its_line(tmp_path):
    path = tmp_path / "x.csv"
    path.write_text("n,s\n" + "1,a\n" * 20 + '2,"b\n' + "3,c\n" * 20)
    with pytest.raises(ChunkReadError, match=r"x\.csv:22: "):
        parts_of_file(DelimitedReader(), str(path), chunk_bytes=50)


def test_a_mark_at_the_start_of_a_part_is_a_character_of_its_line(tmp_path):
    path = tmp_path / "x.txt"
    path.write_text("\ufeffline\n" * 50, encoding="utf-8")
    whole, parts, read = whole_and_parts(TextReader(), path, chunk_bytes=100)
    assert len(parts) > 2
    assert [text for columns in read for text in columns["text"]] == whole["text"] == ["line", *["\ufeffline"] * 49]


def test_what_the_parser_finds_in_a_part_names_the_line_of_the_file(tmp_path):
    path = tmp_path / "x.csv"
    path.write_text("n,s\n" + '1,"bb"\n' * 60)
    parts = parts_of_file(DelimitedReader(), str(path), chunk_samples=20, chunk_bytes=1)
    assert parts is not None
    path.write_text("n,s\n" + '1,"bb"\n' * 44 + '1,"b"b\n' + '1,"bb"\n' * 15)
    assert len(read_chunk(DelimitedReader(), path, parts[1])["n"]) == 20
    with pytest.raises(ChunkReadError, match=r"x\.csv:46: is not well-formed"):
        read_chunk(DelimitedReader(), path, parts[2])


BAD_LINES = {".jsonl": ('{"n": 1}', "{bad", "", JsonlReader()), ".csv": ("1,2", "1,2,3", "a,b", DelimitedReader())}


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("suffix", BAD_LINES)
def test_an_error_in_a_part_names_the_line_of_the_file(tmp_path, suffix, packed):
    good, bad, header, reader = BAD_LINES[suffix]
    text = f"{header}\n" + f"{good}\n" * 40 + f"{bad}\n" + f"{good}\n" * 40
    path = tmp_path / f"x{suffix}{'.zst' if packed else ''}"
    path.write_bytes(framed(text.encode(), 50) if packed else text.encode())
    parts = parts_of_file(reader, str(path), chunk_bytes=100)
    assert parts is not None
    assert len(parts) > 3
    (part,) = (part for part in parts if part.first <= 40 < part.stop)
    assert part.first > 0
    with pytest.raises(ChunkReadError, match=rf"x{suffix}.*:42: "):
        read_chunk(reader, path, part)
    damaged = read_damaged_chunk(reader, str(path), part)
    assert damaged is not None
    columns, bad_rows = damaged
    assert {len(values) for values in columns.values()} == {part.num_samples}
    assert list(bad_rows) == [40 - part.first]
    assert ":42: " in bad_rows[40 - part.first]


@pytest.mark.parametrize(
    "detail",
    [
        *[None, 7, {}, {"line": 0}, {"line": "1"}, {"line": 5, "header": 9}, {"line": 5, "header": -1}],
        *[{"groups": [0, 9]}, {"groups": [0, 2]}, {"groups": "ab"}, {"groups": [1, 2]}, {"groups": [-1, 0]}],
    ],
)
def test_a_strange_detail_is_an_error_that_says_what_to_do(tmp_path, detail):
    pq.write_table(pa.table({"n": range(20)}), tmp_path / "x.parquet", row_group_size=10)
    (tmp_path / "x.csv").write_text("n\n" + "1\n" * 20)
    (tmp_path / "x.jsonl").write_text('{"n": 1}\n' * 20)
    for reader, name in ((ParquetReader(), "x.parquet"), (DelimitedReader(), "x.csv"), (JsonlReader(), "x.jsonl")):
        if name == "x.jsonl" and isinstance(detail, dict) and "header" in detail:
            continue  # JSON lines have none
        part = Part(0, 10, ((0, 20),), detail)
        with pytest.raises(ChunkReadError, match="Index the file again: pyloader index --overwrite"):
            read_chunk(reader, tmp_path / name, part)


@pytest.mark.parametrize("pieces", [[[0, 5], [3, 9]], [[-1, 5]], [5], [[5, 5]], [["a", "b"]], "ab", [[0, 10**9]]])
def test_strange_pieces_of_a_packed_file_are_an_error(tmp_path, pieces):
    path = tmp_path / "x.txt.zst"
    path.write_bytes(framed(b"1234\n" * 20, 50))
    part = Part(0, 10, ((0, path.stat().st_size),), {"line": 1, "pieces": pieces})
    with pytest.raises(ChunkReadError, match=r"Index the file again|ends early"):
        read_chunk(TextReader(), path, part)


@pytest.mark.parametrize("name", ["x.npy", "x.bin", "x.ar"])
def test_rows_that_the_file_does_not_have_are_an_error(tmp_path, name):
    np.save(tmp_path / "x.npy", np.ones(20, "u2"))
    np.ones(20, "u2").tofile(tmp_path / "x.bin")
    if name == "x.ar":
        written = pytest.importorskip("array_record.python.array_record_module").ArrayRecordWriter(str(tmp_path / name))
        written.write(b"1")
        written.close()
    reader = {"x.npy": NumpyReader(), "x.bin": TokenReader(window=2, dtype="u2"), "x.ar": ArrayRecordReader()}[name]
    with pytest.raises(ChunkReadError, match=r"its index names .* to .*\. Index the file again"):
        read_chunk(reader, tmp_path / name, Part(2**62, 10, ()))


def test_a_packed_file_that_was_cut_is_an_error(tmp_path):
    path = tmp_path / "x.txt.zst"
    path.write_bytes(framed(b"1234\n" * 200, 50)[:-3])
    with pytest.raises(ChunkReadError, match="ends early"):
        parts_of_file(TextReader(), str(path), chunk_bytes=100)
