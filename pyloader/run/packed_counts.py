"""Packed counts: how many rows and pieces each chunk's documents make, counted once and written down."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import xxhash

from pyloader.files import ChunkList
from pyloader.files.atomic import written_whole
from pyloader.files.scanning import PACKED_PREFIX
from pyloader.machine.bars import progress_bar
from pyloader.options import MOST
from pyloader.packing import Packing
from pyloader.plan import num_packed_rows

__all__ = ["GOOD_FILL", "PackedCounts", "packed_counts"]

GOOD_FILL = 0.98  # of the rows' tokens

_FORMAT = "pyloader-packed-rows"
_VERSION = 2
_TRIED_DOCUMENTS = 2**20  # of which larger chunks are tried: 8 MB of lengths


@dataclass(frozen=True, eq=False)
class PackedCounts:
    """What packing makes of the chunks.

    Attributes:
      rows: The packed rows of each chunk, int64 of shape [chunks].
      pieces: The pieces of documents of each, int64 of the same shape.
      num_tokens: How many tokens all have.
      num_documents: How many documents.
      good_chunk: How many documents a chunk needs for a fill of GOOD_FILL, found by packing the first documents so;
        0 where the fill is as good, None where no size was found that does it.
    """

    rows: np.ndarray
    pieces: np.ndarray
    num_tokens: int
    num_documents: int
    good_chunk: int | None

    def fill(self, packing: Packing) -> float:
        """Return which share of the rows' tokens are of documents; 1 where there are no rows."""
        return self.num_tokens / (int(self.rows.sum()) * packing.length or 1) if self.num_tokens else 1.0


def packed_counts(chunks: ChunkList, packing: Packing, lengths_of: Callable[[int], np.ndarray]) -> PackedCounts:
    """Return what packing makes of the chunks.

    The first that asks reads how long all documents are, and writes the numbers down: beside the chunks where it may
    write there, else in the user's cache.

    Args:
      chunks: The chunks.
      packing: How they are packed.
      lengths_of: Returns the tokens of each document of the chunk of an index.

    Raises:
      Exception: what `lengths_of` raises.
    """
    path = _place(chunks, packing)
    about = {
        "format": _FORMAT,
        "version": _VERSION,
        "length": packing.length,
        "column": packing.column,
        "max_documents": packing.max_documents,
        "fingerprint": chunks.fingerprint,
    }
    with _alone(path.parent):  # of several ranks one counts, and the others wait for it
        counts = _written(path, about, len(chunks))
        if counts is None:
            counts = _counted(len(chunks), packing, lengths_of)
            numbers = {
                "rows": counts.rows.tolist(),
                "pieces": counts.pieces.tolist(),
                "tokens": counts.num_tokens,
                "documents": counts.num_documents,
                "good_chunk": counts.good_chunk,
            }
            with written_whole(path, synced=False) as partial:
                partial.write_text(json.dumps({**about, **numbers}))
    return counts


def _counted(num_chunks: int, packing: Packing, lengths_of: Callable[[int], np.ndarray]) -> PackedCounts:
    rows, pieces = np.zeros(num_chunks, np.int64), np.zeros(num_chunks, np.int64)
    num_tokens = num_documents = num_kept = 0
    kept: list[np.ndarray] = []
    with progress_bar("packing", total=num_chunks, unit=" chunks") as bar:
        for index in range(num_chunks):
            lengths = lengths_of(index)
            rows[index] = num_packed_rows(lengths, packing.length, packing.max_documents)
            pieces[index] = (-(-lengths // packing.length)).sum()
            num_tokens += int(lengths.sum())
            num_documents += len(lengths)
            if num_kept < _TRIED_DOCUMENTS:
                kept.append(lengths[: _TRIED_DOCUMENTS - num_kept])
                num_kept += len(kept[-1])
            bar.update()
    good_chunk: int | None = 0
    if num_tokens < GOOD_FILL * packing.length * int(rows.sum()):
        good_chunk = _good_chunk(np.concatenate(kept), num_documents // num_chunks, packing)
    return PackedCounts(rows, pieces, num_tokens, num_documents, good_chunk)


def _good_chunk(lengths: np.ndarray, documents: int, packing: Packing) -> int | None:
    """Return how many documents fill the rows of a chunk well: twice as many as `documents`, or 4 times, ..."""
    size = max(1, documents)
    while size < len(lengths):
        size = min(2 * size, len(lengths))
        tried = lengths[:size]
        rows = num_packed_rows(tried, packing.length, packing.max_documents)
        if int(tried.sum()) >= GOOD_FILL * packing.length * rows:
            return size
    return None


def _place(chunks: ChunkList, packing: Packing) -> Path:
    words = packing.column if packing.max_documents is None else f"{packing.column}\0{packing.max_documents}"
    name = f"{PACKED_PREFIX}{packing.length}-{xxhash.xxh3_64(words.encode()).hexdigest()[:8]}"
    root = Path(chunks.root)
    if chunks.stored is None and root.is_dir() and os.access(root, os.W_OK):
        return root / f"{name}.json"
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "pyloader" / "packed"
    cache.mkdir(parents=True, exist_ok=True)
    return cache / f"{name[1:]}-{chunks.fingerprint}.json"


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


def _written(path: Path, about: dict[str, Any], num_chunks: int) -> PackedCounts | None:
    """Return the numbers that were written down for these very chunks; None where there are none."""
    try:
        found: Any = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return None
    if not isinstance(found, dict) or any(found.get(name) != value for name, value in about.items()):
        return None
    numbers: list[Any] = [found.get(name) for name in ("rows", "pieces", "tokens", "documents", "good_chunk")]
    rows, pieces, tokens, documents, good_chunk = numbers
    if not all(isinstance(each, list) and len(each) == num_chunks for each in (rows, pieces)):
        return None
    if not all(type(n) is int and 0 <= n <= MOST for n in (*rows, *pieces, tokens, documents, good_chunk or 0)):
        return None
    return PackedCounts(np.array(rows, np.int64), np.array(pieces, np.int64), tokens, documents, good_chunk)
