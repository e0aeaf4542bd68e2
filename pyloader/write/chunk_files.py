"""Rows -> a chunk, with its entry for the manifest; and the manifest that lists it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from pyloader.columns import ColumnSpec, difference
from pyloader.errors import OutputDirError, SplitError
from pyloader.files import (
    MANIFEST_NAME,
    ChunkEntry,
    Manifest,
    Origin,
    byte_difference,
    checksum_of,
    chunk_bytes,
    origins_of,
    read_manifest,
)
from pyloader.files.atomic import written_whole
from pyloader.write.formats import ChunkFormat
from pyloader.write.forms import Form
from pyloader.write.kinds import joined_specs
from pyloader.write.rows import Rows
from pyloader.write.unfit import UnfitColumnsError

__all__ = [
    "check_number",
    "check_same_columns",
    "chunk_name",
    "is_whole",
    "new_manifest",
    "write_chunk",
]

_MAX_CHUNKS = 10**5


def chunk_name(index: int, chunks: ChunkFormat, version: int = 1) -> str:
    """Return the name of chunk `index` that a version adds.  The names of chunks sort as versions and indices do.

    Raises:
      SplitError: there are too many chunks.
    """
    if index >= _MAX_CHUNKS:
        raise SplitError("the chunks", f"would be more than {_MAX_CHUNKS:,}.", "Make them larger")
    return f"chunk-{f'v{version:05d}-' if version > 1 else ''}{index:05d}{chunks.suffix}"


def write_chunk(
    path: Path, parts: Sequence[Rows], *, chunks: ChunkFormat, form: Form, synced: bool = True
) -> ChunkEntry:
    """Write a chunk, whole or not at all.

    Args:
      path: Where; the entry has its name.
      parts: Its rows.
      chunks: Its format.
      form: The form of its rows.
      synced: As `written_whole` has it.

    Raises:
      WriteError: the disk is full.
      SplitError: the format cannot hold the rows.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with written_whole(path, synced=synced) as beside:
        try:
            chunks.write(beside, parts, form)
        except UnfitColumnsError as exc:
            row = "" if exc.row is None else f"row {exc.row + 1:,} "
            raise SplitError(str(path), f"cannot be written: {row or 'it '}{exc}.", exc.hint) from exc
        num_bytes, checksum = chunk_bytes(beside), checksum_of(beside)
    return ChunkEntry(
        file=path.name,
        num_samples=sum(map(len, parts)),
        num_bytes=num_bytes,
        raw_bytes=sum(len(rows.data) for rows in parts),
        checksum=checksum,
    )


def new_manifest(
    directory: Path,
    kept: Sequence[ChunkEntry],
    entries: Sequence[ChunkEntry],
    *,
    columns: Sequence[ColumnSpec],
    chunks: ChunkFormat,
    made_by: Mapping[str, Any],
    version: int = 1,
    removed: Sequence[ChunkEntry] = (),
    is_mending: bool = False,
) -> Manifest:
    """Return the manifest of a directory with its new chunks.

    Args:
      directory: Where the chunks will be.
      kept: Chunks that are there already, with a manifest, and are added to.
      entries: The new ones.
      columns: What is in the new ones.
      chunks: Their format.
      made_by: How they were made.
      version: The number of the version that the new ones make.
      removed: Chunks that are there already, and are not in that version any more.
      is_mending: Whether the new ones take the places of damaged ones: then all else stays as the manifest has it.

    Raises:
      OutputDirError: the new chunks do not fit the kept ones, or these are others by now.
    """
    path = directory / MANIFEST_NAME
    before = read_manifest(path) if path.is_file() else None
    listed = {entry.file for entry in before.chunks} if before is not None else set()
    if listed != {entry.file for entry in (*kept, *(entries if is_mending else removed))}:
        if is_mending:
            what = "cannot be mended: the same command makes other chunks now."
            raise OutputDirError(f"{directory}/", what, "Put the damaged ones back from a copy")
        what = "holds other chunks than when this was begun."
        raise OutputDirError(f"{directory}/", what, "Nothing was changed. Give the same command again")
    if before is not None and is_mending:
        return msgspec.structs.replace(before, chunks=(*kept, *entries))
    if before is not None and removed:
        what_it_was = {**before.made_by, "set_sizes": made_by.get("set_sizes", {})}
        origins = {"origins": _origins(before, kept, made_by, len(entries))}
        return msgspec.structs.replace(
            before, chunks=(*kept, *entries), made_by={**what_it_was, **origins}, data_version=version
        )
    if before is not None:
        check_same_columns(directory, before, columns, chunks)
        columns = joined_specs(before.columns, columns)
        names = ("labels", "unique", "set_sizes")
        carried: dict[str, Any] = {name: before.made_by[name] for name in names if name in before.made_by}
        made_by = {**carried, **made_by, "origins": _origins(before, kept, made_by, len(entries))}
    return Manifest(
        columns=tuple(columns),
        reader=chunks.reader,
        reader_options=dict(chunks.reader_options),
        chunks=(*kept, *entries),
        made_by=dict(made_by),
        data_version=version if version > 1 else msgspec.UNSET,
        part_sizes=msgspec.UNSET if before is None else before.part_sizes,
    )


def check_same_columns(
    directory: Path, before: Manifest, columns: Sequence[ColumnSpec], chunks: ChunkFormat, *, names_only: bool = False
) -> None:
    """See to it that new chunks are like those that a manifest lists.

    Raises:
      OutputDirError: they are not.
    """
    try:
        if before.reader != chunks.reader:
            raise ValueError(f"is read by {chunks.reader!r}, not by {before.reader!r}")
        if chunks.reader_options and chunks.reader_options != before.reader_options:
            raise ValueError(f"is read with {dict(chunks.reader_options)}, not with {before.reader_options}")
        if not names_only or {spec.name for spec in columns} != {spec.name for spec in before.columns}:
            joined = joined_specs(before.columns, columns)
            # JSON and Parquet are read as the manifest says; arrays on disk have a type of their own.
            if chunks.name == "columns" and (
                other := difference(joined, before.columns) or difference(columns, joined)
            ):
                raise ValueError(other)
    except ValueError as exc:
        what = f"cannot be added to: what is new {exc}."
        raise OutputDirError(f"{directory}/", what, "Write them into another directory") from exc


def check_number(shown: str, entries: Iterable[ChunkEntry], num_rows: int) -> None:
    """Compare the rows in new chunks with the rows taken, before a manifest lists them.

    Raises:
      SplitError: the numbers differ.
    """
    found = sum(entry.num_samples for entry in entries)
    if found != num_rows:
        what = f"the chunks hold {found:,} samples, and {num_rows:,} were taken. This should never happen."
        raise SplitError(shown, what, "Nothing was put in its place. Give the same command again")


def _origins(
    before: Manifest, kept: Sequence[ChunkEntry], made_by: Mapping[str, Any], num_chunks: int
) -> list[dict[str, Any]]:
    last = msgspec.convert({**made_by, "num_chunks": num_chunks}, Origin)
    files, start, origins = {entry.file for entry in kept}, 0, []
    for origin in origins_of(before):
        made = before.chunks[start : start + origin.num_chunks]
        start += len(made)
        left = sum(entry.file in files for entry in made)
        if left or not made:
            is_partial = origin.is_partial or left < len(made)
            origins.append(msgspec.structs.replace(origin, num_chunks=left, is_partial=is_partial))
    return [msgspec.to_builtins(origin) for origin in (*origins, last)]


def is_whole(directory: Path, entry: ChunkEntry) -> bool:
    """Tell whether a chunk is as its entry says, to the last bit."""
    path = directory / entry.source
    return path.exists() and not byte_difference(path, entry)
