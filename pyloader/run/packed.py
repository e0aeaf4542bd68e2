"""Packed chunks: how many rows each chunk's documents make, counted once, and the packing of a chunk that is read."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import xxhash

from pyloader.columns import Columns
from pyloader.datareader import DataReader, read_chunk
from pyloader.deliver import Pauses
from pyloader.errors import ReadFileError
from pyloader.files import ChunkList, as_listed
from pyloader.files.atomic import written_whole
from pyloader.files.fetching import FetchTerms
from pyloader.machine.bars import progress_bar
from pyloader.options import MOST
from pyloader.packing import PackedColumnsError, Packing, pack_columns, packed_lengths
from pyloader.plan import Pieces, num_packed_rows, pack, pack_generator, pieces_of
from pyloader.read import NumpyReader
from pyloader.read.numpy_files import can_be_mapped

__all__ = ["mean_tokens", "packed", "packed_chunks", "packing_in_order", "pieces_of_rows"]

_FORMAT = "pyloader-packed-rows"
_VERSION = 1


def packed_chunks(chunks: ChunkList, reader: DataReader, packing: Packing) -> ChunkList:
    """Return the chunks with the number of packed rows that each gives.

    The first loader with this packing reads how long all documents are, and writes the numbers down: beside the chunks
    where it may write there, else in the user's cache.

    Raises:
      ReadFileError: a chunk has no documents to pack.
      Exception: a chunk cannot be read.
    """
    path = _place(chunks, packing)
    with _alone(path.parent):  # of several ranks one counts, and the others wait for it
        rows = _written(path, chunks, packing)
        if rows is None:
            rows = _counted(chunks, reader, packing)
            about = {"format": _FORMAT, "version": _VERSION, "length": packing.length, "column": packing.column}
            with written_whole(path, synced=False) as partial:
                partial.write_text(json.dumps({**about, "fingerprint": chunks.fingerprint, "rows": rows.tolist()}))
    return replace(chunks, made_rows=rows)


def packed(columns: Columns, packing: Packing, *, path: str, seed: int | None, epoch: int, chunk: int) -> Columns:
    """Return the packed rows of a chunk, which is a function of its documents, the seed and the epoch.

    Raises:
      ReadFileError: it has no documents to pack.
    """
    try:
        return pack_columns(columns, packing, _generator(seed, epoch, chunk))
    except PackedColumnsError as exc:
        raise ReadFileError(path, *_what_and_hint(exc)) from exc


def pieces_of_rows(
    chunks: ChunkList, reader: DataReader, packing: Packing, rows: np.ndarray, *, seed: int | None, epoch: int
) -> list[tuple[str, int, int, int]]:
    """Return the pieces of documents in packed rows: chunk, document in it, first token in that, and the one after.

    Args:
      chunks: The chunks.
      reader: Reads one.
      packing: How they are packed.
      rows: Chunk and packed row of each, int64 of shape [rows, 2].
      seed: Of the rows' order; None where it is kept.
      epoch: Counted from 0.
    """
    of_chunk: dict[int, tuple[Pieces, np.ndarray, np.ndarray]] = {}
    for chunk in np.unique(rows[:, 0]).tolist():
        pieces = pieces_of(_lengths_of_chunk(chunks, reader, packing, chunk), packing.length)
        of_chunk[chunk] = pieces, *pack(pieces, packing.length, _generator(seed, epoch, chunk))
    found = []
    for chunk, row in rows.tolist():
        pieces, order, row_of = of_chunk[chunk]
        for piece in order[slice(*np.searchsorted(row_of, [row, row + 1]))].tolist():
            start = int(pieces.start[piece])
            found.append((chunks.names[chunk], int(pieces.document[piece]), start, start + int(pieces.length[piece])))
    return found


def packing_in_order(packing: Packing, chunks: ChunkList) -> str:
    """Return what the order of the samples depends on: the packing, and a digest of the rows that it gives."""
    assert chunks.made_rows is not None
    digest = xxhash.xxh3_64(chunks.made_rows.astype("<i8").tobytes()).hexdigest()
    return f"length={packing.length}, column={packing.column!r}; {digest}"


def mean_tokens(chunks: ChunkList, reader: DataReader, packing: Packing | None) -> Fraction:
    """Return how many tokens a row of the chunks has on the average; the lengths of all documents are read.

    Args:
      chunks: The chunks; packed, where there is a packing.
      reader: Reads one.
      packing: How they are packed; None where a document is a row, its tokens in the column "tokens".

    Raises:
      ReadFileError: there are no documents of tokens.
    """
    of_tokens = Packing(length=1) if packing is None else packing
    lengths = (_lengths_of_chunk(chunks, reader, of_tokens, index) for index in range(len(chunks)))
    assert chunks.counts is not None
    return Fraction(sum(int(each.sum()) for each in lengths), int(chunks.counts.sum()))


def _generator(seed: int | None, epoch: int, chunk: int) -> np.random.Generator | None:
    return None if seed is None else pack_generator(seed=seed, epoch=epoch, chunk=chunk)


def _counted(chunks: ChunkList, reader: DataReader, packing: Packing) -> np.ndarray:
    rows = np.zeros(len(chunks), np.int64)
    with progress_bar("packing", total=len(chunks), unit=" chunks") as bar:
        for index in range(len(chunks)):
            rows[index] = num_packed_rows(_lengths_of_chunk(chunks, reader, packing, index), packing.length)
            bar.update()
    return rows


def _lengths_of_chunk(chunks: ChunkList, reader: DataReader, packing: Packing, index: int) -> np.ndarray:
    with chunks.held(index, FetchTerms(wait=Pauses())) as path, as_listed(chunks, index, path):
        if type(reader) is NumpyReader and can_be_mapped(path):  # then only what says the lengths is read
            reader = NumpyReader(mmap=True, name=reader.name)
        try:
            return packed_lengths(read_chunk(reader, path, chunks.part(index)), packing)
        except PackedColumnsError as exc:
            raise ReadFileError(path, *_what_and_hint(exc)) from exc


def _what_and_hint(error: PackedColumnsError) -> tuple[str, str]:
    what, _, hint = str(error).partition(". ")
    return f"{what}.", hint


def _place(chunks: ChunkList, packing: Packing) -> Path:
    name = f"packed-{packing.length}-{xxhash.xxh3_64(packing.column.encode()).hexdigest()[:8]}"
    root = Path(chunks.root)
    if chunks.stored is None and root.is_dir() and os.access(root, os.W_OK):
        return root / f".{name}.json"
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "pyloader" / "packed"
    cache.mkdir(parents=True, exist_ok=True)
    return cache / f"{name}-{chunks.fingerprint}.json"


@contextlib.contextmanager
def _alone(directory: Path) -> Iterator[None]:
    """Hold a directory's own lock, where it can be locked: no file is left behind."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_CLOEXEC)
    try:
        with contextlib.suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _written(path: Path, chunks: ChunkList, packing: Packing) -> np.ndarray | None:
    """Return the numbers that were written down for these very chunks; None where there are none."""
    try:
        found: Any = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return None
    wanted = {
        "format": _FORMAT, "version": _VERSION, "length": packing.length, "column": packing.column,
        "fingerprint": chunks.fingerprint,
    }  # fmt: skip
    if not isinstance(found, dict) or any(found.get(name) != value for name, value in wanted.items()):
        return None
    rows = found.get("rows")
    if not isinstance(rows, list) or len(rows) != len(chunks):
        return None
    if not all(type(number) is int and 0 <= number <= MOST for number in rows):
        return None
    return np.array(rows, np.int64)
