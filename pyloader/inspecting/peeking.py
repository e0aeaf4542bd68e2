"""A look at chunks, or at the beginning of a dump: what `pyloader peek` shows."""

from __future__ import annotations

import contextlib
import shlex
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from pyloader.columns import Columns, columns_bytes, row_count
from pyloader.datareader import DataReader, read_chunk
from pyloader.deliver import Pauses
from pyloader.errors import ChunkReadError
from pyloader.files import ChunkList, FetchTerms, as_listed
from pyloader.inspecting.beginnings import first_rows
from pyloader.inspecting.classes import count_classes
from pyloader.inspecting.contents import ColumnSummary, is_sorted_by_class, tally_columns
from pyloader.inspecting.media import MediaSummary, MediaTally
from pyloader.options import format_bytes
from pyloader.plan import ClassSpread, class_spread
from pyloader.read import reader_for, reader_name

__all__ = ["Peek", "peek_chunks", "rows_apart"]

_LARGEST_BYTES = 2**30
_CHUNKS_APART = 8

Progress: TypeAlias = Callable[[Sequence[int]], Iterable[int]]


@dataclass(frozen=True, kw_only=True)
class Peek:
    """Summary of a list of chunks, or of the beginning of a dump, as `pyloader peek` shows it."""

    chunks: ChunkList  # the chunks
    first: int  # the first chunk with a sample, as an index
    rows: Columns  # its first rows
    is_whole: bool  # whether they are all of its rows
    is_everything: bool  # whether every row of every chunk was looked at
    columns: tuple[ColumnSummary, ...]  # what the rows looked at hold, sorted by name
    num_samples: int | None  # how many samples all chunks hold; None when there is nothing to tell by
    is_counted: bool  # whether that is exact; otherwise it is estimated from sizes on disk
    row_bytes: float  # about how many bytes of memory a row takes
    # columns by whose value the rows seem to be sorted, as seen in chunks far apart
    sorted_columns: tuple[ColumnSummary, ...]
    # how classes lie in the chunks looked at, of columns whose values seem to be classes; {} where that is one chunk
    spreads: dict[str, ClassSpread]
    media: tuple[MediaSummary, ...] = ()  # what the columns of images and sounds hold, of the rows looked at


def peek_chunks(
    chunks: ChunkList,
    *,
    read_all: bool = False,
    progress: Progress = iter,
    make_reader: Callable[..., DataReader] = reader_for,
) -> Peek:
    """Look at the first chunk, at its beginning when it is large, or at all chunks.

    Args:
      chunks: The chunks; a dump is a list of one.
      read_all: Read every chunk, one after another.
      progress: Wraps the indices of the chunks when all are read.
      make_reader: Called as `reader_for` is.

    Raises:
      ChunkReadError: a chunk is damaged, or has more than 1 GiB and was to be read whole, or fetched.
    """
    first = 0
    if chunks.counts is not None and chunks.counts.any():
        first = int((chunks.counts > 0).argmax())
    if read_all and chunks.sizes.max() > _LARGEST_BYTES:
        largest = int(chunks.sizes.argmax())
        what = f"has {format_bytes(int(chunks.sizes[largest]))}, too much to be read whole."
        raise ChunkReadError(chunks.path(largest), what, "Find its parts first: pyloader index; or leave out --all")
    if chunks.stored is not None and chunks.sizes[first] > _LARGEST_BYTES and not chunks.stored.is_here(first):
        what = f"has {format_bytes(int(chunks.sizes[first]))}, too much to be fetched for a look."
        where = chunks.path(first)
        raise ChunkReadError(where, what, f"Find its parts, or split it: pyloader index {shlex.quote(where)}")
    reader = make_reader(chunks.file(first), manifest=chunks.manifest)
    rows, share = _first_rows(chunks, first, reader)
    media = MediaTally()
    sample = {} if read_all else _far_apart(chunks, reader, first, rows, is_whole=share == 1.0)
    if read_all:
        parts = (_whole(chunks, index, reader) for index in progress(range(len(chunks))))
        columns = tally_columns(media.watch(parts))
        num_samples: int | None = columns[0].num_rows if columns else 0
        is_counted = True
    else:
        columns = tally_columns(media.watch([rows]))
        num_samples, is_counted = _num_samples(chunks, first, row_count(rows), share)
    return Peek(
        chunks=chunks,
        first=first,
        rows=rows,
        is_whole=share == 1.0,
        is_everything=read_all or (share == 1.0 and len(chunks) == 1),
        columns=columns,
        num_samples=num_samples,
        is_counted=is_counted,
        row_bytes=columns_bytes(rows) / max(1, row_count(rows)),
        sorted_columns=tuple(filter(is_sorted_by_class, columns if read_all else tally_columns(sample.values()))),
        spreads=_spreads(sample),
        media=media.summaries(),
    )


def rows_apart(
    chunks: ChunkList, names: Sequence[str], num_rows: int, *, make_reader: Callable[..., DataReader] = reader_for
) -> Iterator[dict[str, Any]]:
    """Yield some rows of some chunks, both far apart: a dataset that is sorted by label shows several.

    Args:
      chunks: The chunks.
      names: The columns that are wanted.
      num_rows: How many rows, at most.
      make_reader: Called as `reader_for` is.

    Raises:
      ChunkReadError: one of these chunks is damaged.
    """
    reader = make_reader(chunks.file(0), manifest=chunks.manifest)
    few = num_rows if chunks.counts is None else max(1, int(chunks.counts.min()))
    num_places = max(_CHUNKS_APART, -(-num_rows // few))  # more where chunks are small
    places = sorted({index * len(chunks) // num_places for index in range(num_places)})
    each = -(-num_rows // len(places))
    for index in places:
        rows, _ = _first_rows(chunks, index, reader)
        there = row_count(rows)
        for row in sorted({number * there // each for number in range(each)} if there else ()):
            yield {name: rows[name][row] for name in names}


def _first_rows(chunks: ChunkList, index: int, reader: DataReader) -> tuple[Columns, float | None]:
    with _held(chunks, index) as path:
        return first_rows(path, reader, reader_name=reader_name(reader), part=chunks.part(index))


def _whole(chunks: ChunkList, index: int, reader: DataReader) -> Columns:
    with _held(chunks, index) as path:
        return read_chunk(reader, path, chunks.part(index))


@contextlib.contextmanager
def _held(chunks: ChunkList, index: int) -> Iterator[str]:
    """Give the path of a chunk; one of a store is fetched into the cache before."""
    if chunks.stored is None:
        yield chunks.file(index)
    else:
        with chunks.held(index, FetchTerms(wait=Pauses())) as path, as_listed(chunks, index, path):
            yield path


def _num_samples(chunks: ChunkList, first: int, num_rows: int, share: float | None) -> tuple[int | None, bool]:
    if chunks.counts is not None:
        return int(chunks.counts.sum()), True
    if share is None:
        return None, False
    if len(chunks) == 1 and share == 1.0:
        return num_rows, True
    seen_bytes = share * float(chunks.sizes[first])
    return (round(num_rows * float(chunks.sizes.sum()) / seen_bytes) if seen_bytes else None), False


def _far_apart(
    chunks: ChunkList, reader: DataReader, first: int, rows: Columns, *, is_whole: bool
) -> dict[int, Columns]:
    """Return the columns by which chunks may be sorted, of three chunks far apart, by chunk.

    None where there is no such column: with a chunk of several classes whose rows lie together, or, where it was seen
    whole, of classes at all.
    """
    suspects = {column.name for column in tally_columns([rows]) if (column.equal_neighbours or 0) > 0.5}
    if is_whole and chunks.stored is None:
        suspects |= count_classes([rows]).keys()
    if not suspects:
        return {}
    found = {first: {name: rows[name] for name in suspects}}
    for index in sorted({len(chunks) // 2, len(chunks) - 1} - {first}):
        columns, _ = _first_rows(chunks, index, reader)
        found[index] = {name: columns[name] for name in suspects if name in columns}
    return found


def _spreads(sample: dict[int, Columns]) -> dict[str, ClassSpread]:
    parts = [columns for columns in sample.values() if row_count(columns)]
    return {name: class_spread(table) for name, table in count_classes(parts).items()} if len(parts) > 1 else {}
