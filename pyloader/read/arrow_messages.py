"""Where the record batches of an Arrow stream lie in its file, found without reading them.

A stream is messages: a mark of four bytes, the length of the metadata, the metadata (a FlatBuffer), a body.  The
metadata says how long the body is, and of a record batch how many rows it has.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import BinaryIO, NamedTuple

from pyloader.errors import ChunkReadError

__all__ = ["Batch", "batches_of_stream"]

_MARK = b"\xff\xff\xff\xff"
_SCHEMA, _DICTIONARY, _BATCH = 1, 2, 3
_METADATA_BYTES = 2**28
_AGAIN = "Fetch it again, or max_skipped=1 to go on without it"


class Batch(NamedTuple):
    """A record batch in a file."""

    start: int  # of its message, in bytes
    stop: int
    num_rows: int


def batches_of_stream(file: BinaryIO, path: str, size: int) -> tuple[int, list[Batch], bool]:
    """Return where the schema ends in a stream, where its batches are, and whether it has dictionaries.

    Args:
      file: Open for reading.
      path: Named in errors.
      size: How many bytes the file has.

    Raises:
      ChunkReadError: it is no stream, cut, or damaged, as far as it was looked at.
    """
    schema_stop, batches, has_dictionaries = 0, [], False
    try:
        for start, stop, kind, num_rows in _messages(file, path, size):
            if (kind == _SCHEMA) != (start == 0):
                raise ValueError("a schema where none should be, or none at its start")
            if kind == _SCHEMA:
                schema_stop = stop
            has_dictionaries |= kind == _DICTIONARY
            if kind == _BATCH:
                batches.append(Batch(start, stop, num_rows))
    except (struct.error, ValueError) as exc:
        raise ChunkReadError(path, f"is damaged, or no Arrow stream ({exc}).", _AGAIN) from exc
    return schema_stop, batches, has_dictionaries


def _messages(file: BinaryIO, path: str, size: int) -> Iterator[tuple[int, int, int, int]]:
    """Yield (start, stop, kind, rows) of each message, up to the mark of the stream's end."""
    start = 0
    while True:
        file.seek(start)
        head = file.read(8)
        if len(head) < 8:
            what = f"ends early: at {start:,} of {size:,} bytes neither a batch begins nor the stream ends."
            raise ChunkReadError(path, what, _AGAIN)
        if head[:4] != _MARK:
            raise ValueError(f"no message at {start:,}")
        (length,) = struct.unpack("<i", head[4:])
        if length == 0:
            if start == 0:
                raise ValueError("no schema")
            return
        if not 0 < length <= min(size, _METADATA_BYTES):
            raise ValueError(f"metadata of {length:,} bytes at {start:,}")
        kind, num_rows, body = _said(file.read(length))
        stop = start + 8 + length + body
        if stop > size:
            what = f"ends early: {size:,} bytes found, {stop:,} expected."
            raise ChunkReadError(path, what, _AGAIN)
        yield start, stop, kind, num_rows
        start = stop


def _said(metadata: bytes) -> tuple[int, int, int]:
    """Return the kind of a message, its rows (of a record batch), and how long its body is."""
    message = struct.unpack_from("<I", metadata)[0]
    kind = _field(metadata, message, 1, "<B")
    body = _field(metadata, message, 3, "<q")
    num_rows = 0
    if kind == _BATCH:
        at = _place(metadata, message, 2)
        if not at:
            raise ValueError("a batch that says nothing")
        num_rows = _field(metadata, at + struct.unpack_from("<I", metadata, at)[0], 0, "<q")
    if body < 0 or num_rows < 0:
        raise ValueError("a length below 0")
    return kind, num_rows, body


def _place(metadata: bytes, table: int, field: int) -> int:
    """Return where a field of a FlatBuffer's table is; 0: it is not there."""
    fields = table - struct.unpack_from("<i", metadata, table)[0]
    if fields < 0:
        raise ValueError("a table outside of its message")
    if 4 + 2 * field >= struct.unpack_from("<H", metadata, fields)[0]:
        return 0
    offset: int = struct.unpack_from("<H", metadata, fields + 4 + 2 * field)[0]
    return table + offset if offset else 0


def _field(metadata: bytes, table: int, field: int, form: str) -> int:
    at = _place(metadata, table, field)
    return int(struct.unpack_from(form, metadata, at)[0]) if at else 0
