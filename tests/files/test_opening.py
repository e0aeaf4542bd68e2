"""Opening chunk files: text as it stands there, and errors that name the line."""

from __future__ import annotations

import zlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyloader.errors import ChunkReadError
from pyloader.files.compressors import COMPRESSORS, open_packed
from pyloader.files.opening import line_blocks, open_chunk, suffix_of

DATA = Path(__file__).resolve().parents[1] / "data"
every_packing = pytest.mark.parametrize("packing", ["", *COMPRESSORS])

lines_of_text = st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\n"), max_size=20), max_size=30)


def write(path: Path, data: bytes) -> Path:
    with open_packed(path, "wb") as file:
        file.write(data)
    return path


@pytest.mark.slow
@every_packing
@given(lines=lines_of_text)
def test_lines_end_with_newlines_only(tmp_path_factory, packing, lines):
    path = tmp_path_factory.mktemp("lines") / f"a.txt{packing}"
    expected = [f"{line}\n" for line in ["a\r\u2028b\x0b\x85", *lines]]
    write(path, "".join(expected).encode())
    with open_chunk(path) as file:
        assert list(file) == expected
    with open_chunk(path) as file:
        assert file.read() == "".join(expected)
    with open_chunk(path, "rb") as file:
        assert file.read() == "".join(expected).encode()


def test_it_is_read_like_any_text_file(tmp_path):
    path = write(tmp_path / "a.txt.gz", b"one\ntwo\nthree\nfour")
    with open_chunk(path) as file:
        assert next(file) == "one\n"
        assert file.readline() == "two\n"
        for line in file:
            assert line == "three\n"
            break
        assert file.readlines() == ["four"]
        with pytest.raises(StopIteration):
            next(file)
    assert file.closed


def test_a_byte_order_mark_is_left_out_of_text(tmp_path):
    path = write(tmp_path / "a.csv.zst", b"\xef\xbb\xbfname\n")
    with open_chunk(path) as file:
        assert file.read() == "name\n"
    with open_chunk(path, "rb") as file:
        assert file.read() == b"\xef\xbb\xbfname\n"
    assert list(line_blocks(path)) == [b"name\n"]


@pytest.mark.slow
@given(lines=lines_of_text, last=st.text("ab", max_size=5), block_bytes=st.integers(1, 200))
def test_blocks_are_whole_lines_and_all_of_them(tmp_path_factory, lines, last, block_bytes):
    data = "".join(f"{line}\n" for line in lines).encode() + last.encode()
    path = write(tmp_path_factory.mktemp("blocks") / "a.txt", data)
    data = data.removeprefix(b"\xef\xbb\xbf")
    blocks = list(line_blocks(path, block_bytes=block_bytes))
    assert b"".join(blocks) == data
    assert all(block.endswith(b"\n") for block in blocks[:-1])
    assert all(blocks)


def long_gzip(tmp_path: Path) -> tuple[Path, list[str]]:
    lines = [f"line {number} {number * 2654435761 % 2**32:x}\n" for number in range(9000)]
    return write(tmp_path / "part-3.jsonl.gz", "".join(lines).encode()), lines


@pytest.mark.parametrize("how", ["iterate", "read", "next", "blocks"])
def test_a_file_that_ends_early_names_the_line(tmp_path, how):
    path, lines = long_gzip(tmp_path)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    left = zlib.decompressobj(31).decompress(path.read_bytes())
    number = left.count(b"\n") + 1
    match = rf"part-3\.jsonl\.gz: ends early, inside line {number:,}\. Fetch it again, or max_skipped=1 to go on"
    with pytest.raises(ChunkReadError, match=match):
        if how == "blocks":
            list(line_blocks(path))
        else:
            with open_chunk(path) as file:
                if how == "iterate":
                    list(file)
                elif how == "read":
                    file.read()
                else:
                    while next(file):
                        pass
    assert 1000 < number < len(lines)


def test_the_good_lines_before_a_cut_are_read_first(tmp_path):
    path, lines = long_gzip(tmp_path)
    path.write_bytes(path.read_bytes()[:-1])
    got: list[str] = []
    with pytest.raises(ChunkReadError, match="ends early, inside line 9,001"), open_chunk(path) as file:
        for line in file:
            got.append(line)
    assert got == lines[: len(got)]
    assert len(got) > 8000


def test_an_empty_packed_file_ends_early_without_a_line(tmp_path):
    (tmp_path / "a.jsonl.gz").write_bytes(b"")
    with pytest.raises(ChunkReadError, match=r"a\.jsonl\.gz: ends early\. Fetch it again"):
        open_chunk(tmp_path / "a.jsonl.gz")


@pytest.mark.parametrize("how", ["iterate", "read"])
def test_bytes_that_are_not_utf8_name_the_line(tmp_path, how):
    path = write(tmp_path / "a.txt.zst", b"good\n" * 5000 + b"caf\xe9\n" + b"good\n" * 10)
    with (
        pytest.raises(
            ChunkReadError, match=r"zst:5001: is not UTF-8: byte 0xe9 at place 4 of the line\. Convert it: zstd -dc"
        ),
        open_chunk(path) as file,
    ):
        file.read() if how == "read" else list(file)


def test_a_real_cut_download_is_an_error():
    path = DATA / "truncated-mnist-images.gz"
    with pytest.raises(ChunkReadError, match=r"truncated-mnist-images\.gz: ends early"), open_chunk(path, "rb") as file:
        while file.read(2**20):
            pass


def test_writing_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r'mode must be "r" or "rb", got \'w\'; chunks are written with ChunkWriter'):
        open_chunk(tmp_path / "a.jsonl", "w")


def test_a_directory_is_the_error_of_open(tmp_path):
    with pytest.raises(IsADirectoryError, match=str(tmp_path)):
        open_chunk(tmp_path)


@pytest.mark.parametrize(
    ("path", "suffix"),
    [
        ("chunks/a.jsonl.zst", ".jsonl"),
        ("a.jsonl", ".jsonl"),
        ("a.part-1.JSONL.GZ", ".jsonl"),
        ("a.columns/", ".columns"),
        (Path("a.npy"), ".npy"),
        ("a.zst", ""),
        ("dir.jsonl/a", ""),
        ("a", ""),
    ],
)
def test_the_suffix_says_what_a_file_is_apart_from_its_packing(path, suffix):
    assert suffix_of(path) == suffix
