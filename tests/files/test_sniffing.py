"""What a file is, is looked at: what it cannot be is an error that names it, and a command that helps."""

from __future__ import annotations

import gzip
import io
import lzma
import shutil
import subprocess
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zstandard

from pyloader.errors import ChunkReadError, SplitError
from pyloader.read import DelimitedReader, JsonlReader, NumpyReader, TextReader, TokenReader, reader_for
from pyloader.write import split

ROWS = b"".join(b'{"a": %d}\n' % number for number in range(100))
POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 734003200\n"
PAGE = b"<!DOCTYPE html>\n<html><body>\n<p>404 not found</p>\n</body></html>\n"


def zip_of(rows: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("inner.jsonl", rows)
    return file.getvalue()


def tar_of(rows: bytes) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        about = tarfile.TarInfo("inner.jsonl")
        about.size = len(rows)
        archive.addfile(about, io.BytesIO(rows))
    return file.getvalue()


def npy_of() -> bytes:
    file = io.BytesIO()
    np.save(file, np.zeros(3))
    return file.getvalue()


# Name, content, what is said of it, the command that helps ("" where none can be tried here), and what that makes.
FOREIGN: list[tuple[str, bytes, str, str, str]] = [
    ("a.txt", "hello\nworld\n".encode("utf-16"), "is UTF-16 text", "iconv", "a.mended.txt"),
    ("a.txt", "hello\nworld\n".encode("utf-16-be"), "is UTF-16BE text", "iconv", "a.mended.txt"),
    ("a.txt", "hello\nworld\n".encode("utf-32"), "is UTF-32 text", "iconv", "a.mended.txt"),
    ("a.csv", "a,b\nx,y\n".encode("utf-16-le"), "is UTF-16LE text", "iconv", "a.mended.csv"),
    ("a.txt.gz", gzip.compress("hello\n".encode("utf-16")), "is UTF-16 text", "gzip", "a.mended.txt"),
    ("a.jsonl", gzip.compress(ROWS), r"is packed, as \.gz", "mv", "a.jsonl.gz"),
    ("a.jsonl", zstandard.compress(ROWS), r"is packed, as \.zst", "mv", "a.jsonl.zst"),
    ("a.txt", lzma.compress(ROWS), r"is packed, as \.xz", "mv", "a.txt.xz"),
    ("a.jsonl.gz", gzip.compress(gzip.compress(ROWS)), r"is packed, as \.gz", "gzip", "a.once.jsonl.gz"),
    ("a.jsonl.gz", zstandard.compress(ROWS), r"is packed, as \.zst", "", ""),
    ("a.jsonl.gz", ROWS, "is plain text, not packed", "mv", "a.jsonl"),
    ("a.jsonl.zst", PAGE, r"is a web page \(HTML\)", "", ""),
    ("a.jsonl", zip_of(ROWS), "is a ZIP archive", "unzip", "inner.jsonl"),
    ("a.jsonl", tar_of(ROWS), "is a tar archive", "tar", "inner.jsonl"),
    ("a.jsonl", npy_of(), "is a NumPy array", "mv", "a.npy"),
    ("a.jsonl", PAGE, r"is a web page \(HTML\)\. .* fetch it again$", "", ""),
    ("a.jsonl", POINTER, r"is a pointer of Git LFS, not the data\. .*: git lfs pull$", "", ""),
    ("a.csv", POINTER, "is a pointer of Git LFS", "", ""),
    ("a.csv", PAGE, "is a web page", "", ""),
    ("a.npy", POINTER, "is a pointer of Git LFS", "", ""),
    ("a.parquet", PAGE, "is a web page", "", ""),
    ("a.npz", PAGE, "is a web page", "", ""),
    ("a.jsonl", b'[{"a": 1}, {"a": 2}]', "is one JSON array, not JSON lines", "jq", "a.mended.jsonl"),
    ("a.jsonl", b'\xef\xbb\xbf[\n  {"a": 1},\n  {"a": 2}\n]\n', "is one JSON array", "", ""),
    ("a.jsonl", b'{\n  "a": 1\n}\n{\n  "a": 2\n}\n', "is JSON laid out over several lines", "jq", "a.mended.jsonl"),
    ("a.txt", bytes(2000), "is filled with zero bytes", "", ""),
]
each_kind = pytest.mark.parametrize(("name", "content", "what", "tool", "made"), FOREIGN)


@each_kind
def test_a_reader_names_what_a_file_is(tmp_path: Path, name: str, content: bytes, what: str, tool: str, made: str):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ChunkReadError, match=what) as caught:
        reader_for(name).read_file(str(tmp_path / name))
    if tool and shutil.which(tool):
        command = caught.value.hint.partition(": ")[2]
        assert command.startswith(tool)
        subprocess.run(command, shell=True, check=True, cwd=tmp_path)
        _, num_samples = read(tmp_path / made)
        assert num_samples >= 1


@each_kind
def test_split_names_what_a_file_is(tmp_path: Path, name: str, content: bytes, what: str, tool: str, made: str):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(SplitError, match=what):
        split(tmp_path / name, tmp_path / "chunks")


def read(path: Path, **options: Any):
    return type(reader_for(path))(**options).read_file(str(path))


@pytest.mark.parametrize("content", [POINTER, PAGE])
@pytest.mark.parametrize("name", ["a.txt", "a.txt.gz"])
def test_text_that_is_a_pointer_or_a_page_is_an_error_unless_it_is_meant(tmp_path: Path, name: str, content: bytes):
    (tmp_path / name).write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
    meant = r"If it is meant as text: --from text, or TextReader\(sniff=False\)$"
    with pytest.raises(ChunkReadError, match=meant):
        TextReader().read_file(str(tmp_path / name))
    lines = content.decode().splitlines()
    assert TextReader(sniff=False).read_file(str(tmp_path / name)) == ({"text": lines}, len(lines))
    with pytest.raises(SplitError, match=meant):
        split(tmp_path / name, tmp_path / "chunks")
    assert split(tmp_path / name, tmp_path / "chunks", input_format="text").outputs[0].num_samples == len(lines)


@pytest.mark.parametrize(
    "content",
    [
        POINTER + b"x" * 1000 + b"\n",
        PAGE + b"and this is how a page looks\n",
        b"PK is a short name\n",
        b"BZh9 is how bzip2 begins\n",
        b"PAR1 too\n",
        b"[1] a footnote\n",
        b"{\n",
        b"a\0b\n",
        b"\0" * 20 + b"\n",
    ],
)
def test_text_that_only_begins_like_something_else_is_text(tmp_path: Path, content: bytes):
    (tmp_path / "a.txt").write_bytes(content)
    columns, _ = TextReader().read_file(str(tmp_path / "a.txt"))
    assert "\n".join(columns["text"]) + "\n" == content.decode()


def test_a_page_larger_than_a_block_is_known_by_its_end(tmp_path: Path):
    (tmp_path / "a.txt").write_bytes(PAGE.replace(b"<p>", b"<p>many words\n" * 200_000))
    with pytest.raises(ChunkReadError, match="is a web page"):
        TextReader().read_file(str(tmp_path / "a.txt"))


def test_a_pointer_among_files_of_tokens_is_an_error(tmp_path: Path):
    (tmp_path / "a.bin").write_bytes(POINTER)
    with pytest.raises(ChunkReadError, match="is a pointer of Git LFS"):
        TokenReader(window=8, dtype="uint16").read_file(str(tmp_path / "a.bin"))
    (tmp_path / "b.bin").write_bytes(np.arange(16, dtype="<u2").tobytes())
    assert TokenReader(window=8, dtype="uint16").read_file(str(tmp_path / "b.bin"))[1] == 2


def test_a_file_of_its_own_kind_is_damaged_and_not_something_else(tmp_path: Path):
    (tmp_path / "a.npy").write_bytes(npy_of()[:9])
    with pytest.raises(ChunkReadError, match=r"has no good \.npy header"):
        NumpyReader().read_file(str(tmp_path / "a.npy"))


def test_zstd_that_wants_a_dictionary_says_so(tmp_path: Path):
    dictionary = zstandard.train_dictionary(1024, [b'{"a": %d, "text": "words"}' % n for n in range(2000)])
    path = tmp_path / "a.jsonl.zst"
    path.write_bytes(zstandard.ZstdCompressor(dict_data=dictionary).compress(ROWS))
    match = rf"was packed with a dictionary \(number {dictionary.dict_id()}\), which is not in it\."
    with pytest.raises(ChunkReadError, match=match) as caught:
        JsonlReader().read_file(str(path))
    with pytest.raises(SplitError, match=match):
        split(path, tmp_path / "chunks")
    if shutil.which("zstd"):
        (tmp_path / "DICTIONARY").write_bytes(dictionary.as_bytes())
        command = caught.value.hint.partition(": ")[2]
        subprocess.run(command, shell=True, check=True, cwd=tmp_path)
        assert (tmp_path / "a.jsonl").read_bytes() == ROWS


@pytest.mark.parametrize(
    ("content", "hint"),
    [
        (b"caf\xe9\n", r"Convert it: iconv -f LATIN1 -t UTF-8 \S+a\.txt > \S+a\.mended\.txt$"),
        ("é\n".encode() + b"caf\xe9\n", r"It is UTF-8 up to there: mend the line, or leave out such bytes: iconv -c"),
        (bytes(range(256)), "It is a binary file, no text$"),
        ("hello\n".encode("utf-16"), "It is UTF-16 text. Convert it: iconv -f UTF-16"),
    ],
)
def test_what_is_not_utf8_gets_the_hint_that_fits(tmp_path: Path, content: bytes, hint: str):
    (tmp_path / "a.txt").write_bytes(content)
    with pytest.raises(ChunkReadError, match=hint):
        TextReader(sniff=False).read_file(str(tmp_path / "a.txt"))


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.jsonl.gz", gzip.compress(b'{"a":1}\n') + b"\0" * 17),
        ("a.jsonl.gz", gzip.compress(b'{"a":1}\n') + b"\0" * 200_000),
        ("a.jsonl.gz", gzip.compress(b'{"a":1}\n') + b"\0" * 3 + gzip.compress(b"\n")),
        ("a.jsonl.xz", lzma.compress(b'{"a":1}\n') + b"\0" * 4 + lzma.compress(b"\n") + b"\0" * 8),
        ("a.jsonl.xz", lzma.compress(b'{"a":1}\n') + b"\0" * 200_000),
    ],
)
def test_padding_that_a_format_allows_is_no_damage(tmp_path: Path, name: str, content: bytes):
    (tmp_path / name).write_bytes(content)
    assert read(tmp_path / name)[1] == 1
    assert split(tmp_path / name, tmp_path / "chunks").outputs[0].num_samples == 1


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.jsonl.gz", gzip.compress(b'{"a":1}\n') + b"\0" * 17 + b"x"),
        ("a.jsonl.gz", b"\0" * 4 + gzip.compress(b'{"a":1}\n')),
        ("a.jsonl.xz", lzma.compress(b'{"a":1}\n') + b"\0" * 3),
        ("a.jsonl.xz", lzma.compress(b'{"a":1}\n') + b"\0" * 5 + lzma.compress(b"\n")),
        ("a.jsonl.zst", zstandard.compress(b'{"a":1}\n') + b"\0" * 4),
    ],
)
def test_other_bytes_than_padding_are_an_error(tmp_path: Path, name: str, content: bytes):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ChunkReadError, match=r"goes on after its end with something else|is not packed with gzip"):
        read(tmp_path / name)


def test_a_line_that_is_not_utf8_is_the_line_in_csv_too(tmp_path: Path):
    rows = b"a,b\n" + b"".join(b"%d,hello\n" % i for i in range(3000)) + b"3000,caf\xe9\n" + b"1,bye\n" * 3000
    (tmp_path / "l.csv").write_bytes(rows)
    with pytest.raises(SplitError, match=r"l\.csv:3002: is not UTF-8: byte 0xe9 at place 9 of the line"):
        split(tmp_path / "l.csv", tmp_path / "chunks")
    with pytest.raises(ChunkReadError, match=r"l\.csv:3002: is not UTF-8"):
        DelimitedReader().read_file(str(tmp_path / "l.csv"))
