"""Rows -> a chunk at its place, with its entry for the manifest; and the manifest."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pyloader.columns import ColumnSpec
from pyloader.errors import OutputDirError, SplitError
from pyloader.files import (
    MANIFEST_NAME,
    ChunkEntry,
    Manifest,
    byte_difference,
    checksum_of,
    chunk_bytes,
    read_manifest,
    write_manifest,
)
from pyloader.write.atomic import WRITING, remove, sync, written_whole
from pyloader.write.formats import ChunkFormat
from pyloader.write.forms import Form
from pyloader.write.kinds import joined_specs
from pyloader.write.rows import Rows
from pyloader.write.unfit import UnfitColumnsError

__all__ = ["finish", "first_free_index", "is_whole", "remove_chunks", "write_chunk"]

_NAME = re.compile(r"\.?chunk-(\d{5})(\.[a-z.]+)")
_MAX_CHUNKS = 10**5


def write_chunk(directory: Path, index: int, rows: Rows, *, chunks: ChunkFormat, form: Form) -> ChunkEntry:
    """Write chunk `index`, whole or not at all.  The names of chunks sort as their indices do.

    Raises:
      SplitError: the disk is full, there are too many chunks, or the format cannot hold the rows.
    """
    path = directory / f"chunk-{index:05d}{chunks.suffix}"
    if index >= _MAX_CHUNKS:
        raise SplitError(str(path), f"would be one of more than {_MAX_CHUNKS:,} chunks.", "Make them larger")
    with written_whole(path) as beside:
        try:
            chunks.write(beside, rows, form)
        except UnfitColumnsError as exc:
            row = "" if exc.row is None else f"row {exc.row + 1:,} "
            raise SplitError(str(path), f"cannot be written: {row or 'it '}{exc}.", exc.hint) from exc
        num_bytes, checksum = chunk_bytes(beside), checksum_of(beside)
    return ChunkEntry(
        file=path.name, num_samples=len(rows), num_bytes=num_bytes, raw_bytes=len(rows.data), checksum=checksum
    )


def finish(
    directory: Path,
    kept: Sequence[ChunkEntry],
    entries: Sequence[ChunkEntry],
    *,
    columns: Sequence[ColumnSpec],
    chunks: ChunkFormat,
    made_by: Mapping[str, Any],
) -> None:
    """Write a directory's manifest.

    Args:
      directory: Where the chunks are.
      kept: Chunks that were there before, with a manifest, and are added to.
      entries: The new ones.
      columns: What is in the new ones.
      chunks: Their format.
      made_by: For the manifest.

    Raises:
      OutputDirError: the new chunks do not fit the kept ones.
    """
    try:
        if kept:
            before = read_manifest(directory / MANIFEST_NAME)
            if before.reader != chunks.reader:
                raise ValueError(f"are {chunks.reader}, not {before.reader}")
            columns = joined_specs(before.columns, columns)
    except ValueError as exc:
        what = f"cannot be added to: the new samples {exc}."
        raise OutputDirError(f"{directory}/", what, "Write them into another directory") from exc
    manifest = Manifest(columns=tuple(columns), reader=chunks.reader, chunks=(*kept, *entries), made_by=dict(made_by))
    write_manifest(directory / MANIFEST_NAME, manifest)
    sync(directory)


def is_whole(directory: Path, entry: ChunkEntry) -> bool:
    """Tell whether a chunk is as its entry says, to the last bit."""
    path = directory / entry.file
    return path.exists() and not byte_difference(path, entry)


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
