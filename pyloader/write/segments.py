"""Rows put aside on disk until their chunk is written: one file for each unit of the dump.

A file is a series of frames, each of rows of one bucket, with an index at its end.  A bucket is an output, and in a
shuffled split one range of the rows' random keys: a chunk takes all frames of its buckets, from the files of all units.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, NamedTuple

import numpy as np
import xxhash

from pyloader.errors import SplitError
from pyloader.files.no_room import no_room
from pyloader.write.rows import Rows, ordered_rows

__all__ = ["Frame", "Frames", "SegmentWriter", "bucket_of", "row_keys", "sorted_rows"]

_SHUFFLE = 17  # purpose of this randomness: apart from the orders of chunks and rows while training
_FOOT = struct.Struct("<QQ")  # frames, checksum of the index


class Frame(NamedTuple):
    """One frame.

    Attributes:
      bucket: What its rows have in common.
      num_rows: How many.
      offset: Where it begins in the file.
      num_bytes: Of the frame.
      checksum: Of these bytes, XXH3.
    """

    bucket: int
    num_rows: int
    offset: int
    num_bytes: int
    checksum: int


def row_keys(seed: int, unit: tuple[int, int, int], first_row: int, num_rows: int) -> np.ndarray:
    """Return uint64 array of shape [num_rows]: the random keys of the rows first_row, ... of an output of a unit.

    The order of a shuffled split is that of the keys.  They are a pure function of seed, output, unit, piece and place
    in it: Philox (Salmon and others, "Parallel random numbers: as easy as 1, 2, 3", 2011) is a function of a key and
    of a counter of four words, and gives four numbers for each.
    """
    derived = np.random.SeedSequence(seed, spawn_key=(_SHUFFLE,))
    key = derived.generate_state(2, np.uint64)
    first, skipped = divmod(first_row, 4)
    random = np.random.Philox(key=key, counter=np.array([first, *unit], np.uint64))
    return np.asarray(random.random_raw(skipped + num_rows), np.uint64)[skipped:]


def bucket_of(keys: np.ndarray, num_buckets: int) -> np.ndarray:
    """Return the bucket of each key, int64 array of the same shape: ranges of keys of the same size, ascending."""
    # The upper 32 bits: no product overflows, and there are far fewer buckets than that.
    return ((keys >> np.uint64(32)) * np.uint64(num_buckets) >> np.uint64(32)).astype(np.int64)


def sorted_rows(found: Sequence[tuple[Rows, np.ndarray]], start: int, stop: int) -> Rows:
    """Return rows [start, stop) in the order of their keys; those of the same key in that of units and places."""
    order = np.argsort(np.concatenate([keys for _, keys in found]), kind="stable")
    return ordered_rows([rows for rows, _ in found], order[start:stop])


class SegmentWriter:
    """Writes the rows of a unit.

    Args:
      path: The file; it is there when `close` has returned.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = open(path, "wb")  # noqa: SIM115 (closed by `close` and `abandon`)
        self._frames: list[Frame] = []

    def append(self, bucket: int, rows: Rows, keys: np.ndarray | None = None) -> None:
        """Add rows to a bucket; all rows of a file have keys, or none has.

        Raises:
          WriteError: the disk is full.
        """
        parts: list[bytes | memoryview] = [] if keys is None else [keys.astype("<u8").tobytes()]
        parts += [np.int64(rows.width).tobytes()]
        parts += [] if rows.width else [rows.lengths().astype("<i8").tobytes()]
        parts.append(rows.data)
        digest = xxhash.xxh3_64()
        for part in parts:
            digest.update(part)
        offset = self._file.tell()
        try:
            self._file.writelines(parts)
        except OSError as exc:
            raise no_room(self._path, exc) or exc from exc
        size = sum(map(len, parts))
        self._frames.append(Frame(bucket, len(rows), offset, size, digest.intdigest()))

    def close(self, *, by_bucket: bool) -> None:
        """Write the index, which lists the frames, with `by_bucket` bucket by bucket.

        Frames of a bucket are then read one after another, and lie so on disk where they are few.
        """
        frames = sorted(self._frames, key=lambda frame: frame.bucket) if by_bucket else self._frames
        index = np.array(frames, np.uint64).astype("<u8").tobytes()
        try:
            with self._file as file:
                file.write(index)
                file.write(_FOOT.pack(len(frames), xxhash.xxh3_64_intdigest(index)))
        except OSError as exc:
            raise no_room(self._path, exc) or exc from exc

    def abandon(self) -> None:
        """Remove what was written."""
        self._file.close()
        self._path.unlink(missing_ok=True)


class Frames:
    """Reads a file that `SegmentWriter` wrote.

    Args:
      path: The file.
      is_keyed: Whether its rows have keys.

    Raises:
      SplitError: it is damaged.
    """

    def __init__(self, path: Path, *, is_keyed: bool) -> None:
        self._path, self._is_keyed = path, is_keyed
        try:
            self._file: IO[bytes] = open(path, "rb")  # noqa: SIM115 (closed by `close`)
            size = self._file.seek(0, os.SEEK_END)
            self._file.seek(max(0, size - _FOOT.size))
            number, checksum = _FOOT.unpack(self._file.read(_FOOT.size))
            num_bytes = number * 8 * len(Frame._fields)
            self._file.seek(size - _FOOT.size - num_bytes)
            index = self._file.read(num_bytes)
        except (OSError, struct.error, ValueError, OverflowError, MemoryError) as exc:
            raise _damaged(path) from exc
        if xxhash.xxh3_64_intdigest(index) != checksum:
            raise _damaged(path)
        table = np.frombuffer(index, "<u8").reshape(-1, len(Frame._fields)).tolist()
        self.frames = [Frame(*row) for row in table]

    def read(self, bucket: int, start: int = 0, stop: int | None = None) -> Iterator[tuple[Rows, np.ndarray]]:
        """Yield rows [start, stop) of a bucket, frame by frame, with their keys; other frames are not read."""
        first = 0
        for frame in self.frames:
            if frame.bucket != bucket:
                continue
            low, high = max(0, start - first), frame.num_rows if stop is None else min(frame.num_rows, stop - first)
            first += frame.num_rows
            if low < high:
                rows, keys = self._frame(frame)
                yield rows.slice(low, high), keys[low:high]

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _frame(self, frame: Frame) -> tuple[Rows, np.ndarray]:
        num_keys = frame.num_rows if self._is_keyed else 0
        self._file.seek(frame.offset)
        head = self._file.read(8 * num_keys + 8)
        width = int.from_bytes(head[-8:], "little")
        head += b"" if width else self._file.read(8 * frame.num_rows)
        data = self._file.read(max(0, frame.num_bytes - len(head)))
        digest = xxhash.xxh3_64(head)
        digest.update(data)
        if digest.intdigest() != frame.checksum:
            raise _damaged(self._path)
        keys = np.frombuffer(head, "<u8", num_keys)
        if width:
            return Rows.of_width(data, width), keys
        return Rows(data, np.cumsum(np.frombuffer(head, "<i8", frame.num_rows, 8 * num_keys + 8))), keys


def _damaged(path: Path) -> SplitError:
    remedy = "Give the same command again: it begins anew"
    return SplitError(str(path), "is damaged; it holds rows put aside.", remedy)
