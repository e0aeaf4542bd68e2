"""Lines that are counted in blocks at even places: what lies over their borders, and what is an error."""

from __future__ import annotations

import numpy as np
import pytest

from pyloader import JsonlReader, Part, TextReader
from pyloader.errors import ChunkReadError, MemoryBoundError
from pyloader.files import LineFile, open_lines
from pyloader.read import line_counts


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(line_counts, "_BLOCK_BYTES", 16)
    monkeypatch.setattr(line_counts, "_PLACE_BYTES", 48)


def opened(path) -> LineFile:
    file = open_lines(str(path))
    assert file is not None
    return file


def test_rows_are_named_by_their_places_and_lines(tmp_path):
    path = tmp_path / "x.jsonl"
    lines = [b'{"a":1}', b"", b" " * 40, b'  {"a":2}', b"\t" * 15 + b"\r", b'{"a":"' + b"x" * 50 + b'"}', b"\x0b\x0c"]
    path.write_bytes(b"\xef\xbb\xbf" + b"\n".join(lines))
    with opened(path) as file:
        rows = line_counts.counted_rows(file, str(path), "jsonl", blank=b" \t\n\r\x0b\x0c", in_order=map)
        found = [block.starts() for block in rows if block.num_rows]
    offsets, numbers = np.concatenate([each[0] for each in found]), np.concatenate([each[1] for each in found])
    assert numbers.tolist() == [1, 4, 6]
    content = path.read_bytes()
    assert [content[at:].split(b"\n")[0] for at in offsets] == [lines[0], lines[3], lines[5]]


def test_a_block_is_read_again_once_for_all_parts_that_begin_in_it(tmp_path, monkeypatch):
    path, read = tmp_path / "x.txt", []
    path.write_bytes(b"a\n" * 100)
    look = line_counts._Block._look
    monkeypatch.setattr(
        line_counts._Block, "_look", lambda block, start, stop: read.append(start) or look(block, start, stop)
    )
    parts = TextReader().find_parts(str(path), chunk_bytes=1, chunk_samples=2)
    assert parts is not None
    assert parts[7] == Part(14, 2, ((28, 32),), {"line": 15})
    assert sorted(read) == sorted([*range(0, 200, 16)] * 2)


def test_a_line_that_is_too_long_is_an_error(tmp_path, monkeypatch):
    path = tmp_path / "x.jsonl"
    path.write_bytes(b'{"a":1}\n' + b'{"a":"' + b"x" * 200 + b'"}\n')
    monkeypatch.setattr(line_counts, "longest_line", lambda: 300)
    assert JsonlReader().find_parts(str(path), chunk_bytes=1000)
    monkeypatch.setattr(line_counts, "longest_line", lambda: 100)
    with pytest.raises(MemoryBoundError, match=r"x\.jsonl: has a line of more than 100 B"):
        JsonlReader().find_parts(str(path), chunk_bytes=1000)


def test_a_file_that_becomes_shorter_meanwhile_is_an_error(tmp_path):
    path = tmp_path / "x.txt"
    path.write_bytes(b"line\n" * 40)

    def cut_before_the_second(look, places):
        for number, place in enumerate(places):
            if number:
                path.write_bytes(b"line\n" * 5)
            yield look(place)

    with pytest.raises(ChunkReadError, match="has become shorter since it was opened"):
        TextReader().find_parts(str(path), chunk_bytes=50, in_order=cut_before_the_second)


@pytest.mark.parametrize("length", [0, 3, 7, 40, 200])
@pytest.mark.parametrize("seed", range(3))
def test_blank_lines_are_found_among_short_lines_and_long_ones(tmp_path, monkeypatch, length, seed):
    monkeypatch.setattr(line_counts, "_BLOCK_BYTES", 1 << 9)
    monkeypatch.setattr(line_counts, "_PLACE_BYTES", 1 << 11)
    random = np.random.default_rng(seed)
    lines = [
        b" \r\t"[: random.integers(4)] + (b"x" * random.integers(length + 1) if random.random() < 0.9 else b"")
        for _ in range(300)
    ]
    path = tmp_path / "x.jsonl"
    path.write_bytes(b"\n".join(lines))
    with opened(path) as file:
        rows = line_counts.counted_rows(file, str(path), None, blank=b" \t\n\r", in_order=map)
        found = np.concatenate([block.starts()[1] for block in rows])
    assert found.tolist() == [number for number, line in enumerate(lines, 1) if line.strip()]


def num_rows_of(path, content):
    path.write_bytes(content)
    with opened(path) as file:
        rows = line_counts.counted_rows(file, str(path), None, blank=b" ", in_order=map)
        return sum(block.num_rows for block in rows)


def test_a_line_that_goes_on_behind_its_block_is_blank_where_all_of_it_is(tmp_path):
    path = tmp_path / "x.txt"
    for before in (0, 1, 13, 15, 16):
        begin, is_row = b"a" * before + b"\n", before > 0
        for num_blank in range(35):
            assert num_rows_of(path, begin + b" " * num_blank + b"\nb") == is_row + 1
            assert num_rows_of(path, begin + b" " * num_blank + b"x\nb") == is_row + 2
        assert num_rows_of(path, begin + b" " * 40 + b"x") == is_row + 1
        assert num_rows_of(path, begin + b" " * 20 + b"x" + b" " * 5000 + b"\nb") == is_row + 2


def test_one_byte_less_is_less_and_a_mark_alone_is_no_line(tmp_path):
    path = tmp_path / "x.txt"
    path.write_bytes(b"line\n" * 40)
    with opened(path) as file:
        block = line_counts._Block(file, str(path), b"", b"")
        path.write_bytes(b"line\n" * 39 + b"line")
        with pytest.raises(ChunkReadError, match="has become shorter"):
            block.count(192, 200, None)
    path.write_bytes(b"\xef\xbb\xbf")
    with opened(path) as file:
        (rows,) = line_counts.counted_rows(file, str(path), None, blank=b"", in_order=map)
    assert rows.num_rows == 0


def test_lines_are_as_long_as_they_are_wherever_they_begin(tmp_path, monkeypatch):
    path = tmp_path / "x.txt"
    path.write_bytes(b"a\n" * 100 + b"b" * 60 + b"\n")
    monkeypatch.setattr(line_counts, "longest_line", lambda: 100)
    assert TextReader().find_parts(str(path), chunk_bytes=1000)


def test_whoever_stops_early_lets_go_of_the_places(tmp_path):
    path, begun, closed = tmp_path / "x.txt", [], []
    path.write_bytes(b"a\n" * 100)

    def looked(look, places):
        try:
            yield from map(look, places)
        finally:
            closed.append(True)

    def in_order(look, places):
        begun.append(looked(look, places))
        return begun[0]

    with opened(path) as file:
        rows = line_counts.counted_rows(file, str(path), None, blank=b"", in_order=in_order)
        next(rows)
        rows.close()
    assert closed
