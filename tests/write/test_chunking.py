"""Rows are cut into chunks: none lost, none in another place, and no chunk larger than was asked for."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyloader.write.chunking import ChunkCutter
from pyloader.write.rows import Rows, join_rows
from pyloader.write.sizes import ChunkSizes


def cut(parts: list[list[int]], sizes: ChunkSizes, *, evens_out: bool) -> list[list[bytes]]:
    """Cut rows of these lengths, which come in parts; each row is made of letters of its own."""
    letters = iter(range(10**6))
    cutter = ChunkCutter(sizes, evens_out=evens_out)
    chunks = []
    for lengths in parts:
        rows = Rows.of_pieces([b"%06d" % next(letters) + b"." * length for length in lengths])
        chunks += [join_rows(chunk).pieces() for chunk in cutter.add(rows)]
    return chunks + [join_rows(chunk).pieces() for chunk in cutter.end()]


lengths = st.lists(st.lists(st.integers(0, 60) | st.integers(0, 300), min_size=1, max_size=12), max_size=6)


@pytest.mark.slow
@given(lengths, st.integers(6, 200), st.booleans())
def test_no_chunk_is_larger_than_was_asked_for_unless_it_is_one_row(
    parts: list[list[int]], limit: int, evens_out: bool
) -> None:
    chunks = cut(parts, ChunkSizes(chunk_bytes=limit), evens_out=evens_out)
    flat = [row for chunk in chunks for row in chunk]
    assert [int(row[:6]) for row in flat] == list(range(sum(map(len, parts))))
    assert all(chunks)
    assert [chunk for chunk in chunks if len(chunk) > 1 and sum(map(len, chunk)) > limit] == []


@pytest.mark.slow
@given(st.integers(1, 400), st.integers(2, 90))
def test_the_last_chunk_is_not_a_crumb(num_rows: int, samples: int) -> None:
    chunks = cut([[4] * num_rows], ChunkSizes(chunk_bytes=10 * samples), evens_out=True)
    assert len(chunks) == -(-num_rows // samples)
    assert len(chunks) == 1 or min(map(len, chunks)) >= samples // 2
