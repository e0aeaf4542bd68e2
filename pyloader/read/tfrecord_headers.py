"""The headers of TFRecord files, many at a time: where records begin, and whether their lengths are damaged."""

from __future__ import annotations

import functools
import struct
from typing import Any

import numpy as np

__all__ = ["first_damaged", "masked", "record_starts"]

_HEADER_BYTES, _FOOTER_BYTES = 12, 4
_LENGTH_BYTES = 8  # of a header; the rest is their checksum
_MASK = 0xA282EAD8
_FEW = 16  # records that are looked at one by one
_LENGTH = struct.Struct("<Q")


def record_starts(data: bytes | memoryview) -> tuple[np.ndarray, int]:
    """Follow the lengths of records, the first of which `data` begins with.

    Returns:
      Where in `data` each record begins whose header lies in it, int64, and where the next one would: perhaps after its
      end.  A length is not compared with its checksum here.
    """
    starts, at, last, length_at = [], 0, len(data) - _HEADER_BYTES, _LENGTH.unpack_from
    while at <= last:
        starts.append(at)
        at += length_at(data, at)[0] + _HEADER_BYTES + _FOOTER_BYTES
    return np.array(starts, np.int64), at


def first_damaged(data: bytes | memoryview, starts: np.ndarray, crc: Any) -> int:
    """Return which is the first record whose length differs from its checksum; -1 where none does.

    Args:
      data: Bytes of a file.
      starts: Where records begin, as `record_starts` gives it; one at least.
      crc: The module google_crc32c.
    """
    if len(starts) < _FEW:
        spans = enumerate(struct.unpack_from("<8sI", data, at) for at in starts.tolist())
        return next((number for number, (length, said) in spans if masked(crc.value(length)) != said), -1)
    # Words that begin at any byte.
    lengths = np.ndarray(len(data) - 7, "<u8", data, strides=(1,))[starts]
    said = np.ndarray(len(data) - 3, "<u4", data, strides=(1,))[starts + _LENGTH_BYTES]
    constant, tables = _tables(crc)
    found = np.full(len(starts), constant, np.uint32)
    for place in range(-(-int(lengths.max()).bit_length() // 8)):  # zero bytes change nothing
        found ^= tables[place][(lengths >> np.uint64(8 * place)) & np.uint64(255)]
    damaged = masked(found) != said
    first = int(damaged.argmax())
    return first if damaged[first] else -1


def masked(checksums: Any) -> Any:
    """Return a checksum, or an array of them, uint32, as TFRecord files have them."""
    return ((checksums >> 15 | checksums << 17) + _MASK) & 0xFFFFFFFF


@functools.cache
def _tables(crc: Any) -> tuple[int, np.ndarray]:
    """Return the checksum of eight zero bytes, and what each byte changes in it, by place and value.

    A cyclic redundancy check is linear: the changes of all bytes are joined by exclusive or.
    """
    constant = crc.value(bytes(_LENGTH_BYTES))
    changes = [
        [crc.value(bytes(place) + bytes([byte]) + bytes(_LENGTH_BYTES - 1 - place)) ^ constant for byte in range(256)]
        for place in range(_LENGTH_BYTES)
    ]
    return constant, np.array(changes, np.uint32)
