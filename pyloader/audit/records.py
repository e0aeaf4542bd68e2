"""Records: how a step is written down in a receipt, by itself or, of a mixture, source by source."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np

from pyloader.audit.digests import WIDTH

__all__ = [
    "StepOfSources",
    "are_whole",
    "digests_in",
    "packed_record",
    "record_of_sources",
    "record_type",
    "steps_of_sources",
]

_RECORD = np.dtype(
    [
        ("epoch", "<u4"),
        ("step", "<u4"),
        ("samples", "<u4"),
        ("stand_ins", "<u4"),
        ("sums", "<u8", 2),
        ("centiseconds", "<u4"),  # since the receipt was begun
        ("checksum", "<u4"),  # CRC-32 of what is before it
    ]
)
_PACKED = struct.Struct("<IIIIQQI")

_OF_SOURCE = np.dtype(
    [
        ("row", "<u8"),  # how many rows every stream had got of it before the step
        ("count", "<u4"),  # how many it gets with the step
        ("samples", "<u4"),
        ("stand_ins", "<u4"),
        ("sums", "<u8", 2),
    ]
)
_TOO_FAR = 2**61  # rows and steps, farther than any run comes


@dataclass(frozen=True, slots=True)
class StepOfSources:
    """Where a step of a mixture stands."""

    steps_done: int  # how many steps are done with it, over all epochs
    rows: Sequence[int]  # how many rows every stream had got of each source before it
    rows_after: Sequence[int]  # how many after it


@cache  # making one takes longer than writing a record
def record_type(num_sources: int | None) -> np.dtype:
    """Return the type of a record of so many sources; None where there is no mixture."""
    if num_sources is None:
        return _RECORD
    head = [("epoch", "<u4"), ("step", "<u4"), ("steps_done", "<u8"), ("sources", _OF_SOURCE, (num_sources,))]
    return np.dtype([*head, ("centiseconds", "<u4"), ("checksum", "<u4")])


def packed_record(epoch: int, step: int, digest: np.ndarray, centiseconds: int) -> bytes:
    """Return the record of a step; `digest` is uint64 of shape [4]."""
    fields = _PACKED.pack(epoch, step, *digest.tolist(), centiseconds)
    return fields + zlib.crc32(fields).to_bytes(4, "little")


def record_of_sources(epoch: int, step: int, digests: np.ndarray, centiseconds: int, place: StepOfSources) -> bytes:
    """Return the record of a step of a mixture; `digests` is uint64 of shape [sources, 4]."""
    record = np.zeros((), record_type(len(digests)))
    record["epoch"], record["step"], record["steps_done"] = epoch, step, place.steps_done
    record["centiseconds"] = centiseconds
    slots = record["sources"]
    slots["row"], slots["count"] = place.rows, np.subtract(place.rows_after, place.rows)
    slots["samples"], slots["stand_ins"], slots["sums"] = digests[:, 0], digests[:, 1], digests[:, 2:]
    fields = record.tobytes()[:-4]
    return fields + zlib.crc32(fields).to_bytes(4, "little")


def are_whole(records: np.ndarray) -> np.ndarray:
    """Return which records have the checksum that they say, bool of shape [len(records)]."""
    data, size = memoryview(records.tobytes()), records.dtype.itemsize
    sums = (zlib.crc32(data[at : at + size - 4]) for at in range(0, len(data), size))
    agree: np.ndarray = np.fromiter(sums, np.uint32, len(records)) == records["checksum"]
    return agree


def digests_in(records: np.ndarray) -> np.ndarray:
    """Return the digests in records, or in what those of a mixture say of each source: uint64 of shape [..., 4]."""
    digests = np.empty((*records.shape, WIDTH), np.uint64)
    digests[..., 0], digests[..., 1], digests[..., 2:] = records["samples"], records["stand_ins"], records["sums"]
    return digests


def steps_of_sources(records: np.ndarray, share: int, num_streams: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the steps of a mixture's records, counted over all epochs from 0, and which of them can be.

    Args:
      records: The records.
      share: How many rows a step takes of each stream.
      num_streams: How many streams there are.

    Returns:
      int64 and bool arrays of shape [len(records)].
    """
    row, count = records["sources"]["row"], records["sources"]["count"].astype(np.uint64)
    far = np.uint64(_TOO_FAR // num_streams)
    can_be = (records["steps_done"] - np.uint64(1) < np.uint64(_TOO_FAR)) & (row < far).all(axis=1)
    can_be &= (count <= share).all(axis=1) & (count.sum(axis=1) <= share)
    can_be &= records["step"] < records["steps_done"]
    return np.where(can_be, records["steps_done"] - np.uint64(1), 0).astype(np.int64), can_be
