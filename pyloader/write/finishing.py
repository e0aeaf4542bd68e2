"""Rows -> a chunk at its place, with its entry for the manifest."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from pyloader.errors import SplitError
from pyloader.files.manifest import MANIFEST_NAME, ChunkEntry, checksum_of
from pyloader.files.scanning import chunk_bytes
from pyloader.write.atomic import WRITING, remove, written_whole
from pyloader.write.formats import ChunkFormat
from pyloader.write.forms import Form, UnfitColumnsError
from pyloader.write.rows import Rows

__all__ = ["chunk_name", "first_free_index", "is_whole", "remove_chunks", "write_chunk"]

_NAME = re.compile(r"\.?chunk-(\d{5})(\.[a-z.]+)")
_MAX_CHUNKS = 10**5


def chunk_name(index: int, chunks: ChunkFormat) -> str:
    """Return the name of chunk `index`; names sort as the indices do."""
    if index >= _MAX_CHUNKS:
        raise SplitError(f"chunk-{index}", f"would be one of more than {_MAX_CHUNKS:,} chunks.", "Make them larger")
    return f"chunk-{index:05d}{chunks.suffix}"


def write_chunk(directory: Path, index: int, rows: Rows, *, chunks: ChunkFormat, form: Form) -> ChunkEntry:
    """Write one chunk, whole or not at all.

    Raises:
      SplitError: the disk is full, or the format cannot hold the rows.
    """
    path = directory / chunk_name(index, chunks)
    with written_whole(path) as beside:
        try:
            chunks.write(beside, rows, form)
        except UnfitColumnsError as exc:
            raise SplitError(str(path), f"cannot be written: it {exc}.") from exc
        num_bytes, checksum = chunk_bytes(beside), checksum_of(beside)
    return ChunkEntry(
        file=path.name, num_samples=len(rows), num_bytes=num_bytes, raw_bytes=len(rows.data), checksum=checksum
    )


def is_whole(directory: Path, entry: ChunkEntry) -> bool:
    """Tell whether a chunk is as its entry says, to the last bit."""
    path = directory / entry.file
    if not path.exists() or chunk_bytes(path) != entry.num_bytes:
        return False
    return not entry.checksum or checksum_of(path) == entry.checksum


def first_free_index(entries: Sequence[ChunkEntry]) -> int:
    """Return the index after those of `entries`."""
    found = [int(match[1]) for entry in entries if (match := _NAME.fullmatch(entry.file))]
    return max(found, default=-1) + 1


def remove_chunks(directory: Path, *, but: Sequence[ChunkEntry] = ()) -> None:
    """Remove the chunks of a split that was not finished, except `but`, and what was being written."""
    keep = {entry.file for entry in but}
    for path in directory.iterdir() if directory.is_dir() else ():
        name = path.name.removesuffix(WRITING)
        if name.lstrip(".") not in keep and (_NAME.fullmatch(name) or name == f".{MANIFEST_NAME}"):
            remove(path)
