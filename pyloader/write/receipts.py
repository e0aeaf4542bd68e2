"""Receipts: what each task of a split leaves when it has ended; a restart passes over what has one."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from pyloader.files import ChunkEntry
from pyloader.write.left_out import BadRow
from pyloader.write.preparing import Learnt

__all__ = [
    "ChunkReceipt",
    "FileReceipt",
    "KeysReceipt",
    "RangeReceipt",
    "ReadReceipt",
    "Receipt",
    "RoundReceipt",
    "StoredReceipt",
    "UnitReceipt",
    "chunks_in",
    "files_in",
    "level_of",
]


class UnitReceipt(msgspec.Struct, kw_only=True, tag="unit"):
    """What came of a unit of the dump.

    Attributes:
      name: The task's.
      num_rows: Of each output.
      raw_bytes: Of each output.
      first_line: The number of its first line in its file, from 1; 0 when nobody has counted the lines before it.
      num_lines: Of its last source; 0 where its rows are no lines.
      digest: Of its rows, in order.
      piece: Of the bytes that it was, where these are a piece of a stream.
      learnt: What its rows have decided, and counts.
      bad: The rows that were left out, with lines counted from the unit's first.
      chunks: Of each output whose rows were cut while they were read: the chunks, under the names of their files.
      buckets: Of each other output: the rows in each bucket.
      file: The file of the rows put aside; "" when there is none.
      file_bytes: Its size.
      parts_read: For each of its spans the digest of the bytes between the span's borders; "" where only some of the
        file's bytes are read.
    """

    name: str
    num_rows: dict[str, int]
    raw_bytes: dict[str, int]
    first_line: int
    num_lines: int
    digest: str
    piece: str
    learnt: Learnt
    bad: list[BadRow]
    chunks: dict[str, list[ChunkEntry]]
    buckets: dict[str, list[int]]
    file: str = ""
    file_bytes: int = 0
    parts_read: list[str] = msgspec.field(default_factory=list)


class FileReceipt(msgspec.Struct, kw_only=True, tag="file"):
    """A file of which units read only some bytes was read through, for its digest.

    Attributes:
      name: The task's.
      digest: As `pyloader.write.file_digests` has it.
    """

    name: str
    digest: str


class ChunkReceipt(msgspec.Struct, kw_only=True, tag="chunk"):
    """A chunk that was gathered from all units.

    Attributes:
      name: The task's.
      entry: The chunk, under the name of its file.
    """

    name: str
    entry: ChunkEntry


class KeysReceipt(msgspec.Struct, kw_only=True, tag="keys"):
    """What tasks found out about keys: those of a unit's rows, or the rows of all units that are dropped for theirs.

    Attributes:
      name: The task's.
      files: What later tasks read, and the size of each.
      num_rows: Of the unit; 0 where it is of all units.
    """

    name: str
    files: dict[str, int]
    num_rows: int = 0


class RangeReceipt(msgspec.Struct, kw_only=True, tag="range"):
    """Rows of a range of keys, put aside once more by smaller ranges.

    Attributes:
      name: The task's.
      level: The round, counted from 0; the first is 1 here.
      counts: The rows in each of these.
      file: Their file.
      file_bytes: Its size.
    """

    name: str
    level: int
    counts: list[int]
    file: str
    file_bytes: int


class StoredReceipt(msgspec.Struct, kw_only=True, tag="stored"):
    """A chunk is in the store, under its last name; on this disk a sparse file is left.

    Attributes:
      name: The task's.
      file: The file that a task made.
      last: What the chunk is called in the store.
    """

    name: str
    file: str
    last: str


class ReadReceipt(msgspec.Struct, kw_only=True, tag="read"):
    """The dump has been read to its end.

    Attributes:
      name: Always the same.
      streams: Name of a file that was cut into pieces while it was read -> its digest.
    """

    name: str = "all-read"
    streams: dict[str, str] = msgspec.field(default_factory=dict)


class RoundReceipt(msgspec.Struct, kw_only=True, tag="round"):
    """All rows have been put aside once more; what they were put aside in before is not needed, and removed.

    Attributes:
      name: That of the round.
      level: The round.
    """

    name: str
    level: int


Receipt = (
    UnitReceipt | FileReceipt | RangeReceipt | ChunkReceipt | StoredReceipt | KeysReceipt | ReadReceipt | RoundReceipt
)


def level_of(receipt: Receipt) -> int:
    """Return the round in which rows were put aside; -1 where none were."""
    return 0 if isinstance(receipt, UnitReceipt) else receipt.level if isinstance(receipt, RangeReceipt) else -1


def chunks_in(receipt: Receipt) -> Iterable[ChunkEntry]:
    if isinstance(receipt, ChunkReceipt):
        return [receipt.entry]
    if isinstance(receipt, UnitReceipt):
        return [entry for entries in receipt.chunks.values() for entry in entries]
    return []


def files_in(receipt: Receipt) -> list[str]:
    files = [entry.file for entry in chunks_in(receipt)]
    if isinstance(receipt, KeysReceipt):
        return list(receipt.files)
    return [*files, receipt.file] if isinstance(receipt, UnitReceipt | RangeReceipt) and receipt.file else files
