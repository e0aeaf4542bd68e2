"""The two tasks that find rows with the same key: the first, in the order of units and of places in them, stays.

Of each unit the keys alone are put aside, by ranges of keys.  Then the keys of some of these ranges meet, from all
units, one range after another.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from pathlib import Path

import numpy as np

from pyloader.files import chunk_bytes
from pyloader.files.no_room import no_room
from pyloader.write.joining import go_past
from pyloader.write.kept_keys import contained
from pyloader.write.receipts import KeysReceipt
from pyloader.write.rows import Rows
from pyloader.write.segments import Frames, SegmentWriter, bucket_of
from pyloader.write.unique import RowKeys
from pyloader.write.units import Unit
from pyloader.write.work import Work

__all__ = ["find_duplicates", "put_keys_aside"]

_PENDING_BYTES = 2**24  # of keys of a unit that wait to be written


def put_keys_aside(work: Work, name: str, unit: Unit, num_buckets: int) -> KeysReceipt:
    """Put the keys of a unit's rows aside, those of a bucket together.

    Args:
      work: What all tasks have in common.
      name: The task's.
      unit: What is read.
      num_buckets: Ranges of keys.

    Raises:
      SplitError: the unit cannot be read, or a row has no such column.
    """
    keys = RowKeys()
    _, preparation = work.preparation(go_past, keys)
    path = work.made / f"{name}-{uuid.uuid4().hex[:12]}.rows"
    writer = SegmentWriter(path)
    try:
        for source, span in unit.spans:
            with closing(source.blocks(span)) as blocks:
                for block in blocks:
                    preparation.rows(block, source.name)
                    if _num_bytes(keys.found) >= _PENDING_BYTES:
                        _put_aside(writer, keys.found, num_buckets)
        _put_aside(writer, keys.found, num_buckets)
        writer.close(by_bucket=True)
    except BaseException:
        writer.abandon()
        raise
    return KeysReceipt(name=name, files={path.name: chunk_bytes(path)}, num_rows=keys.num_rows)


def find_duplicates(
    work: Work, name: str, files: Sequence[str], earlier: Sequence[str], first: int, stop: int
) -> KeysReceipt:
    """Compare the keys of buckets [first, stop); list the rows that are dropped, by unit, and the keys that are new.

    Args:
      work: What all tasks have in common.
      name: The task's.
      files: The keys of each unit, in the order of units.
      earlier: The keys of rows that are there already.
      first: The first bucket.
      stop: The one after the last.

    Raises:
      SplitError: a file is damaged.
    """
    path = work.made / f"{name}-{uuid.uuid4().hex[:12]}.rows"
    new = path.with_suffix(".keys")
    writer = SegmentWriter(path)
    try:
        waiting: list[np.ndarray] = []
        for bucket in range(first, stop):
            dropped, keys = _compared(work, files, earlier, bucket)
            waiting.append(dropped)
            _append(new, keys)
            if _num_bytes(waiting) >= _PENDING_BYTES:
                _list(writer, waiting)
        _list(writer, waiting)
        writer.close(by_bucket=True)
    except BaseException:
        writer.abandon()
        raise
    return KeysReceipt(name=name, files={file.name: chunk_bytes(file) for file in (path, new)})


def _compared(work: Work, files: Sequence[str], earlier: Sequence[str], bucket: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the rows of a bucket whose key an earlier row has, and the keys that no row had before, sorted.

    Both are uint64 arrays: of shape [rows, 2], unit and place; of shape [keys, 2].
    """
    found = [np.empty((0, 4), np.uint64)]  # key, key, place, unit
    for unit, file in enumerate(files):
        frames = Frames(work.made / file, is_keyed=True)
        try:
            for rows, keys in frames.read(bucket):
                rest = np.frombuffer(rows.data, "<u8").reshape(-1, 2)
                found.append(np.column_stack([keys, rest, np.full(len(keys), unit, np.uint64)]))
        finally:
            frames.close()
    every = np.concatenate(found)
    every = every[np.lexsort((every[:, 1], every[:, 0]))]  # stable: equal keys stay in the order of units and places
    is_first = np.concatenate([np.ones(min(1, len(every)), np.bool_), (every[1:, :2] != every[:-1, :2]).any(axis=1)])
    first = every[is_first][:, :2]
    known = np.zeros(len(first), np.bool_)
    for path in earlier:
        known |= contained(path, first)
    dropped = ~is_first | known[np.cumsum(is_first) - 1]
    return every[dropped][:, [3, 2]], first[~known]


def _append(path: Path, keys: np.ndarray) -> None:
    try:
        with open(path, "ab") as file:
            file.write(keys.astype("<u8").tobytes())
    except OSError as exc:
        raise no_room(path, exc) or exc from exc


def _put_aside(writer: SegmentWriter, waiting: list[np.ndarray], num_buckets: int) -> None:
    for bucket, found in _grouped(waiting, lambda found: bucket_of(found[:, 0], num_buckets)):
        writer.append(bucket, Rows.of_width(found[:, 1:].astype("<u8").tobytes(), 16), found[:, 0])


def _list(writer: SegmentWriter, waiting: list[np.ndarray]) -> None:
    for unit, found in _grouped(waiting, lambda found: found[:, 0].astype(np.int64)):
        writer.append(unit, Rows.of_width(found[:, 1].astype("<u8").tobytes(), 8))


def _grouped(
    waiting: list[np.ndarray], group_of: Callable[[np.ndarray], np.ndarray]
) -> Iterator[tuple[int, np.ndarray]]:
    """Yield (group, rows) of what waits, the rows of a group in their order; nothing waits afterwards."""
    if not _num_bytes(waiting):
        return
    found = np.concatenate(waiting)
    waiting.clear()
    groups = group_of(found)
    order = np.argsort(groups, kind="stable")
    found, groups = found[order], groups[order]
    starts = np.flatnonzero(np.diff(groups, prepend=-1)).tolist()
    for start, stop in zip(starts, [*starts[1:], len(found)], strict=True):
        yield int(groups[start]), found[start:stop]


def _num_bytes(waiting: Sequence[np.ndarray]) -> int:
    return sum(found.nbytes for found in waiting)
