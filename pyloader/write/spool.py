"""Rows put aside on disk until their chunk is written.

Each output has segments, files of frames.  Shuffled rows carry a random key: the final order is that of the keys, a
segment holds one range of them, and so the order does not depend on how many segments there are.
"""

from __future__ import annotations

import itertools
import os
import struct
from collections.abc import Container, Iterable, Iterator
from pathlib import Path
from typing import IO

import msgspec
import numpy as np
import xxhash

from pyloader.errors import SplitError
from pyloader.write.rows import Rows, join_rows

__all__ = ["Segment", "Spool", "cut", "row_keys", "segment_of"]

_SHUFFLE = 16  # purpose of this randomness: apart from the orders of chunks and rows while training
_HEAD = struct.Struct("<QQQ")  # rows, bytes that follow, their checksum


class Segment(msgspec.Struct):
    """What a segment holds, as far as it is valid.

    Attributes:
      num_rows: Rows.
      raw_bytes: Their bytes.
      file_bytes: How much of the file is valid; what follows was written by a run that was killed.
    """

    num_rows: int = 0
    raw_bytes: int = 0
    file_bytes: int = 0


def row_keys(seed: int, first_row: int, num_rows: int) -> np.ndarray:
    """Return uint64 array of shape [num_rows]: the places of rows first_row, first_row + 1, ... in the shuffled order.

    They are a pure function of seed and row.
    """
    random = np.random.PCG64(np.random.SeedSequence(seed, spawn_key=(_SHUFFLE,)))
    random.advance(first_row)
    return np.asarray(random.random_raw(num_rows), np.uint64)


def segment_of(keys: np.ndarray, bits: int) -> np.ndarray:
    """Return the segment of each key when there are 2**bits segments: int64 array of the same shape."""
    if bits == 0:
        return np.zeros(len(keys), np.int64)
    return (keys >> np.uint64(64 - bits)).astype(np.int64)


class Spool:
    """The segments of one output.

    Args:
      directory: Where their files are.
      segments: What they hold; appended to and changed in place.
      is_keyed: Whether rows carry keys.
    """

    def __init__(self, directory: Path, segments: list[Segment], *, is_keyed: bool) -> None:
        self._directory, self.segments, self._is_keyed = directory, segments, is_keyed
        self._num_removed = 0

    @property
    def num_rows(self) -> int:
        """Rows in all segments."""
        return sum(segment.num_rows for segment in self.segments)

    @property
    def raw_bytes(self) -> int:
        """Their bytes."""
        return sum(segment.raw_bytes for segment in self.segments)

    def append(self, index: int, rows: Rows, keys: np.ndarray | None = None) -> None:
        """Add rows to a segment, as one frame."""
        parts: list[bytes | memoryview] = [] if keys is None else [keys.astype("<u8").tobytes()]
        parts += [np.int64(rows.width).tobytes()]
        parts += [] if rows.width else [rows.lengths().astype("<i8").tobytes()]
        parts.append(rows.data)
        digest = xxhash.xxh3_64()
        for part in parts:
            digest.update(part)
        segment = self.segments[index]
        with open(self._path(index), "ab") as file:
            file.write(_HEAD.pack(len(rows), sum(map(len, parts)), digest.intdigest()))
            file.writelines(parts)
            end = file.tell()
        segment.num_rows += len(rows)
        segment.raw_bytes += len(rows.data)
        segment.file_bytes = end

    def restore(self, done: Container[int]) -> bool:
        """Undo what was appended after the segments were recorded; return False when some of that is lost.

        Segments that are `done` are in chunks already, and need not be there.
        """
        known = {self._path(index): segment for index, segment in enumerate(self.segments) if index not in done}
        for path in sorted(self._directory.iterdir()):
            if path not in known:
                path.unlink()
        for path, segment in known.items():
            if (path.stat().st_size if path.exists() else 0) < segment.file_bytes:
                return False
            if path.exists():
                os.truncate(path, segment.file_bytes)
        return True

    def rows_from(self, start: int, *, max_bytes: int) -> Iterator[Rows]:
        """Yield all rows from row `start` on in their final order; segments before it are not opened, and may be gone.

        At most about `max_bytes` of a segment are in memory at a time.
        """
        for index, segment in enumerate(self.segments):
            left = segment.num_rows
            if start >= left:
                start -= left
                continue
            for rows in self.parts(index, max_bytes):
                left -= len(rows)
                if start < len(rows):
                    yield rows.slice(start, len(rows))
                start = max(0, start - len(rows))
                if not left:
                    break  # before the file is opened once more: it may be removed by now

    def parts(self, index: int, max_bytes: int) -> Iterator[Rows]:
        """Yield a segment's rows in their final order, at most about `max_bytes` of them in memory at a time."""
        if not self._is_keyed:
            yield from (rows for rows, _ in self._frames(index))
            return
        # An unusually large segment is read several times, for one range of its keys after the other.
        turns = -(-self.segments[index].raw_bytes // max_bytes)
        for turn in range(turns):
            found = []
            for rows, keys in self._frames(index):
                if turns > 1:
                    chosen = np.flatnonzero(_turn_of(keys, turns, len(self.segments)) == turn)
                    rows, keys = rows.take(chosen), keys[chosen]
                found.append((rows, keys))
            if not found:
                continue
            # Stable: rows with the same key stay in the order of the input.
            order = np.argsort(np.concatenate([keys for _, keys in found]), kind="stable")
            rows = join_rows([rows for rows, _ in found])
            del found
            yield rows.take(order)

    def remove(self, index: int) -> None:
        """Remove a segment's file; its rows are in chunks."""
        self._path(index).unlink(missing_ok=True)

    def remove_before(self, row: int) -> None:
        """Remove the segments that end at `row` or before; called with larger and larger rows."""
        ends = itertools.accumulate(segment.num_rows for segment in self.segments)
        for index, end in enumerate(ends):
            if end > row:
                break
            if index >= self._num_removed:
                self.remove(index)
                self._num_removed = index + 1

    def _path(self, index: int) -> Path:
        return self._directory / f"{index:06d}"

    def _frames(self, index: int) -> Iterator[tuple[Rows, np.ndarray]]:
        path, left = self._path(index), self.segments[index].file_bytes
        if not left:
            return
        with open(path, "rb") as file:
            while left:
                frame, num_bytes = self._frame(file, path)
                left -= num_bytes
                yield frame

    def _frame(self, file: IO[bytes], path: Path) -> tuple[tuple[Rows, np.ndarray], int]:
        head = file.read(_HEAD.size)
        num_rows, num_bytes, checksum = _HEAD.unpack(head) if len(head) == _HEAD.size else (0, 0, -1)
        body = file.read(num_bytes)
        if xxhash.xxh3_64_intdigest(body) != checksum:
            remedy = "Give the same command again: it begins anew"
            raise SplitError(str(path), "is damaged; it holds rows put aside.", remedy)
        start = 8 * num_rows if self._is_keyed else 0
        keys = np.frombuffer(body, "<u8", num_rows if self._is_keyed else 0)
        width = int(np.frombuffer(body, "<i8", 1, start)[0])
        start += 8
        if width:
            return (Rows.of_width(memoryview(body)[start:], width), keys), len(head) + num_bytes
        ends = np.cumsum(np.frombuffer(body, "<i8", num_rows, start))
        return (Rows(memoryview(body)[start + 8 * num_rows :], ends), keys), len(head) + num_bytes


def _turn_of(keys: np.ndarray, turns: int, num_segments: int) -> np.ndarray:
    """Return which of `turns` equal parts of its segment's range each key is in."""
    bits = num_segments.bit_length() - 1
    within = (keys << np.uint64(bits)) >> np.uint64(32)  # the next 32 bits: no product below overflows
    return ((within * np.uint64(turns)) >> np.uint64(32)).astype(np.int64)


def cut(parts: Iterator[Rows], counts: Iterable[int]) -> Iterator[Rows]:
    """Yield the rows of `parts`, which must be enough, `counts` of them at a time."""
    rest: list[Rows] = []

    def pieces(count: int) -> Iterator[Rows]:
        while count:
            part = rest.pop() if rest else next(parts)
            piece = part.slice(0, count)
            if len(piece) < len(part):
                rest.append(part.slice(len(piece), len(part)))
            count -= len(piece)
            yield piece

    for count in counts:
        yield join_rows(list(pieces(count)))
