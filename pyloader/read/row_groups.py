"""Parts of Parquet files: runs of row groups, which are unpacked one by one, and never in pieces."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Any

from pyloader.errors import ChunkReadError
from pyloader.part import INDEX_AGAIN, Part, joined_ranges

__all__ = ["KeptFooter", "groups_of_part", "parts_of_groups"]

_MAGIC_BYTES, _TAIL_BYTES = 4, 8


class KeptFooter:
    """The footer of the file that was read last, since its next part wants it again; a copy by pickle begins with none.

    A footer grows with the row groups and columns: to read it takes longer than a part of some megabytes.  Parts of an
    object in a store are files of their own, with the same footer.  Several threads may use one.
    """

    def __init__(self) -> None:
        self._kept: tuple[tuple[Any, ...], bytes, Any] | None = None

    def __reduce__(self) -> tuple[type[KeptFooter], tuple[()]]:
        return KeptFooter, ()

    def of(self, path: str, read: Callable[[str], Any]) -> Any:
        """Return what `read` returned for this file as it is now."""
        status = os.stat(path)
        identity = path, status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns
        kept = self._kept
        if kept is None or kept[0] != identity:
            said = _footer_bytes(path, status.st_size)
            is_same = kept is not None and said != b"" and said == kept[1]
            kept = self._kept = identity, said, kept[2] if kept is not None and is_same else read(path)
        return kept[2]


def _footer_bytes(path: str, file_bytes: int) -> bytes:
    """Return what a file ends with: its footer, and how long that is; b"" where it is none of Parquet."""
    with open(path, "rb") as file:
        file.seek(max(0, file_bytes - _TAIL_BYTES))
        tail = file.read()
        length = int.from_bytes(tail[:4], "little")
        if tail[4:] != b"PAR1" or length + _TAIL_BYTES > file_bytes:
            return b""
        file.seek(file_bytes - _TAIL_BYTES - length)
        return file.read()


def parts_of_groups(footer: Any, file_bytes: int, chunk_bytes: int, chunk_samples: int | None) -> list[Part]:
    """Return runs of row groups, each as long as the sizes allow, and of one group at least.

    Args:
      footer: What the end of the file says, as pyarrow gives it.
      file_bytes: The size of the file.
      chunk_bytes: The most that a run unpacks to.
      chunk_samples: The most rows that it has instead; None goes by bytes.
    """
    ends = [(0, _MAGIC_BYTES), (file_bytes - footer.serialized_size - _TAIL_BYTES, file_bytes)]
    most = chunk_bytes if chunk_samples is None else chunk_samples
    parts: list[Part] = []
    begin = first = rows = held = 0
    ranges = [*ends]
    for number in range(footer.num_row_groups):
        group = footer.row_group(number)
        size = group.total_byte_size if chunk_samples is None else group.num_rows
        if rows and held + size > most:
            parts.append(Part(first, rows, joined_ranges(ranges), {"groups": [begin, number]}))
            begin, first, rows, held, ranges = number, first + rows, 0, 0, [*ends]
        rows, held = rows + group.num_rows, held + size
        ranges += _ranges_of(group)
    if rows:
        parts.append(Part(first, rows, joined_ranges(ranges), {"groups": [begin, footer.num_row_groups]}))
    return parts


def groups_of_part(footer: Any, path: str, part: Part) -> Sequence[int]:
    """Return the numbers of a part's row groups.

    Raises:
      ChunkReadError: the file has no such groups, or they have other rows.
    """
    match part.detail:
        case {"groups": [int(begin), int(stop)]} if 0 <= begin < stop <= footer.num_row_groups:
            rows = [footer.row_group(number).num_rows for number in range(stop)]
            if (sum(rows[:begin]), sum(rows)) == (part.first, part.stop):
                return list(range(begin, stop))
    what = f"has no row groups of rows {part.first:,} to {part.stop:,}, as its index says."
    raise ChunkReadError(path, what, INDEX_AGAIN)


def _ranges_of(group: Any) -> list[tuple[int, int]]:
    """Return the bytes of a row group's columns."""
    ranges = []
    for number in range(group.num_columns):
        column = group.column(number)
        places = [column.data_page_offset]
        if column.has_dictionary_page and column.dictionary_page_offset:
            places.append(column.dictionary_page_offset)
        ranges.append((min(places), min(places) + column.total_compressed_size))
    return ranges
