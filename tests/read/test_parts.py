"""Parts of files: joined they are the file, whatever it holds and however it is cut."""

from __future__ import annotations

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st
from products import examples

from pyloader import (
    DataReader,
    DelimitedReader,
    JsonlReader,
    TextReader,
)
from pyloader.datareader import parts_of_file, read_chunk
from pyloader.errors import ChunkReadError
from pyloader.read import line_parts
from pyloader.testing import check_reader

READERS: dict[str, DataReader] = {".txt": TextReader(), ".jsonl": JsonlReader(), ".csv": DelimitedReader()}


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """A row, a quote and a border of parts come to lie across the borders of blocks."""
    monkeypatch.setattr(line_parts, "_BLOCK_BYTES", 16)


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


@pytest.mark.parametrize("suffix", LINES)
@settings(max_examples=examples(240))
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
