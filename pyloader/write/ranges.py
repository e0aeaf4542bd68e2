"""In how many rounds the rows of a shuffled split are put aside, and what the tasks of the later rounds take; pure.

Each round puts rows aside by a range of their keys, and the next one parts each of these ranges.  A file then has few
ranges, so that what is read of it is long, and the last ranges are small enough for the memory of one task.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from pyloader.write.receipts import RangeReceipt, UnitReceipt

__all__ = ["Put", "RangeTask", "by_range", "fan_outs", "num_ranges", "put_by_ranges", "put_by_units", "range_tasks"]

RANGE_BYTES = 2**23  # of one range, over all units, as long as these are few
MAX_RANGE_BYTES = 2**24
MAX_RANGES = 2**11  # of a file, where one round is enough: a range of a block of rows has some kilobytes
FAN_OUT = 2**8  # of each round, where one is not
_UNKNOWN_BYTES = 2**32  # what standard input is taken to hold


class Put(NamedTuple):
    """Rows of an output that were put aside in one file.

    Attributes:
      file: Its name.
      bucket: The number that the first of the ranges has in the file.
      first: The first of the ranges, among all of the round.
      counts: The rows of each of them.
    """

    file: str
    bucket: int
    first: int
    counts: Sequence[int]


class RangeTask(NamedTuple):
    """Rows of one range, to be put aside by the smaller ranges in it.

    Attributes:
      name: The task's.
      files: Where the rows are.
      bucket: Their number in these.
      first: The first of the smaller ranges, among all of the round.
      level: The round, counted from 0; the first is 1 here.
    """

    name: str
    files: tuple[str, ...]
    bucket: int
    first: int
    level: int


def fan_outs(raw_bytes: int) -> tuple[int, ...]:
    """Return into how many ranges each round parts those before it.  It costs time or memory, never order.

    Args:
      raw_bytes: Of the dump, unpacked; 0 when unknown.
    """
    num_bytes = raw_bytes or _UNKNOWN_BYTES
    if num_bytes <= MAX_RANGES * MAX_RANGE_BYTES:
        return (min(MAX_RANGES, max(1, -(-num_bytes // RANGE_BYTES))),)
    before: tuple[int, ...] = ()
    while (number := -(-num_bytes // (MAX_RANGE_BYTES * FAN_OUT ** len(before)))) > FAN_OUT:
        before += (FAN_OUT,)
    return (*before, number)


def put_by_units(receipts: Sequence[UnitReceipt], index: int, output: str) -> list[Put]:
    """Return what the units have put aside of the output of that index."""
    return [
        Put(receipt.file, index * len(counts), 0, counts)
        for receipt in receipts
        if any(counts := receipt.buckets.get(output, ()))
    ]


def put_by_ranges(tasks: Sequence[RangeTask], receipts: Mapping[str, object]) -> list[Put]:
    """Return what tasks of this module have put aside."""
    found = [(task, receipts[task.name]) for task in tasks]
    return [Put(done.file, 0, task.first, done.counts) for task, done in found if isinstance(done, RangeReceipt)]


def range_tasks(
    index: int, put: Sequence[Put], fans: Sequence[int], level: int, *, max_rows: int
) -> Iterator[RangeTask]:
    """Yield the tasks of a later round of an output.

    Args:
      index: The output's.
      put: What the round before has put aside, in the order of units.
      fans: As `fan_outs` returns them.
      level: The round: 1 is the second.
      max_rows: Of one task, about.
    """
    for bucket_range, found in by_range(put).items():
        files: list[str] = []
        num_rows = group = 0
        for number, (file, bucket, count) in enumerate(found, start=1):
            files.append(file)
            num_rows += count
            if num_rows >= max_rows or number == len(found):
                name = f"range-{index}-{level}-{bucket_range:06d}-{group:06d}"
                yield RangeTask(name, tuple(files), bucket, bucket_range * fans[level], level)
                files, num_rows, group = [], 0, group + 1


def by_range(put: Sequence[Put]) -> dict[int, list[tuple[str, int, int]]]:
    """Return range -> the files that have rows of it, its number there, and the number of rows; ascending."""
    found: dict[int, list[tuple[str, int, int]]] = {}
    for file, bucket, first, counts in put:
        for number, count in enumerate(counts):
            if count:
                found.setdefault(first + number, []).append((file, bucket + number, count))
    return dict(sorted(found.items()))


def num_ranges(fans: Sequence[int], level: int) -> int:
    """Return how many ranges there are over all, after the round of that level."""
    return math.prod(fans[: level + 1])
