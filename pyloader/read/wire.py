"""Messages of protocol buffers, many at once: where their fields lie, and the integers in them, found by array."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

__all__ = ["BYTES", "FIXED32", "VARINT", "Fields", "WireError", "fields_of", "packed_integers", "varints_at"]

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5  # how a field is written

_FEW = 32  # messages: below it, one after another costs less than arrays
_MOST_BYTES = 10  # of a varint
_MOST_FIELDS = 2**20  # of a message


class WireError(ValueError):
    """A message is damaged.

    Attributes:
      message: Which of those that were given.
    """

    def __init__(self, message: int, what: str) -> None:
        super().__init__(message, what)
        self.message, self.what = message, what

    def __str__(self) -> str:
        return self.what


class Fields(NamedTuple):
    """Fields of messages, in the order of their bytes; arrays of one length, int64."""

    message: np.ndarray  # which message it is of
    number: np.ndarray
    kind: np.ndarray  # VARINT, BYTES ...
    start: np.ndarray  # of its value; of BYTES after their length
    stop: np.ndarray

    def where(self, chosen: np.ndarray) -> Fields:
        """Return some of them: those where `chosen` (bool, or int64) says so."""
        return Fields(*(column[chosen] for column in self))


def fields_of(data: np.ndarray, starts: np.ndarray, stops: np.ndarray) -> Fields:
    """Return the fields of messages.

    The first fields of all messages are found together, then the second ones, and so on; a few long messages, one by
    one.

    Args:
      data: uint8; the messages lie in it.
      starts: int64, where each message begins; ascending.
      stops: int64, where each ends.

    Raises:
      WireError: a field goes beyond its message, or is a group, which nobody writes any more; or a message has more
        than a million fields.
    """
    found: list[tuple[np.ndarray, ...]] = []
    active = np.flatnonzero(starts < stops)
    at = starts[active]
    while len(active) >= _FEW:
        limit = stops[active]
        tag, begin = varints_at(data, at, limit, active)
        kind = tag & 7
        if (kind == BYTES).all():
            length, begin = varints_at(data, begin, limit, active)
            end = _added(begin, length, limit)
        else:
            begin, end = _values_of_kinds(data, kind, begin, limit, active)
        _check(end <= limit, active, "a field goes beyond its message")
        _check(tag > 7, active, "a field has no number")
        found.append((active, tag >> 3, kind, begin, end))
        left = end < limit
        active, at = active[left], end[left]
    for message, start in zip(active.tolist(), at.tolist(), strict=True):
        rows = _fields_of_one(data, message, start, int(stops[message]))
        found.append((np.full(len(rows), message), *np.array(rows, np.int64).reshape(-1, 4).T))
    if not found:
        return Fields(*(np.empty(0, np.int64) for _ in Fields._fields))
    columns = [np.concatenate(column) for column in zip(*found, strict=True)]
    order = np.argsort(columns[3], kind="stable")
    return Fields(*(column[order] for column in columns))


def varints_at(
    data: np.ndarray, at: np.ndarray, limit: np.ndarray, messages: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return the varints that begin at these places, and where each ends.

    Returns:
      Two int64 arrays; a number beyond int64 is -1, which is no tag and no length.

    Raises:
      WireError: one does not end before its limit; `messages` say which are named.
    """
    if not len(at):
        return at, at
    last = len(data) - 1
    byte = data[np.minimum(at, last)].astype(np.int64)
    end = at + 1
    more = np.flatnonzero(byte > 0x7F)
    value = byte & 0x7F
    for place in range(1, _MOST_BYTES):
        if not len(more):
            break
        byte = data[np.minimum(end[more], last)].astype(np.int64)
        value[more] |= (byte & 0x7F) << (7 * place)
        end[more] += 1
        more = more[byte > 0x7F]
    _check(end <= limit, messages, "a number goes beyond its message")
    if len(more):
        raise WireError(int(messages[more[0]]), f"a number has more than {_MOST_BYTES} bytes")
    return np.maximum(value, -1), end


def packed_integers(data: np.ndarray, bounds: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the integers that lie end to end in rows of varints.

    Args:
      data: uint8.
      bounds: int64 of shape [rows + 1]: row i is data[bounds[i]:bounds[i + 1]].

    Returns:
      The numbers of all rows, int64, and where those of each row begin, int64 of shape [rows + 1].

    Raises:
      WireError: a number goes beyond its row, or has too many bytes.
    """
    used = data[bounds[0] : bounds[-1]]
    bounds = bounds - bounds[0]
    is_last = used < 0x80
    counts = np.zeros(len(used) + 1, np.int64)
    np.cumsum(is_last, out=counts[1:])
    row_ends = bounds[1:][bounds[1:] > bounds[:-1]] - 1
    if not is_last[row_ends].all():
        row = int(np.searchsorted(bounds, row_ends[~is_last[row_ends]][0], side="right")) - 1
        raise WireError(row, "a number goes beyond its list")
    if is_last.all():
        return used.astype(np.int64), counts[bounds]
    ends = np.flatnonzero(is_last)
    starts = np.concatenate([np.zeros(1, np.int64), ends[:-1] + 1])
    longest = int((ends - starts).max()) + 1
    if longest > _MOST_BYTES:
        place = int(starts[(ends - starts).argmax()])
        row = int(np.searchsorted(bounds, place, side="right")) - 1
        raise WireError(row, f"a number has more than {_MOST_BYTES} bytes")
    values = (used[starts] & 0x7F).astype(np.uint64)
    longer = np.arange(len(starts))
    for place in range(1, longest):
        longer = longer[starts[longer] + place <= ends[longer]]
        values[longer] |= (used[starts[longer] + place] & np.uint8(0x7F)).astype(np.uint64) << np.uint64(7 * place)
    return values.view(np.int64), counts[bounds]


def _values_of_kinds(
    data: np.ndarray, kind: np.ndarray, begin: np.ndarray, limit: np.ndarray, messages: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return where values of several kinds begin and end."""
    begin, end = begin.copy(), np.full(len(begin), -1)
    for each in (VARINT, BYTES):
        rows = np.flatnonzero(kind == each)
        number, after = varints_at(data, begin[rows], limit[rows], messages[rows])
        if each == BYTES:
            begin[rows], end[rows] = after, _added(after, number, limit[rows])
        else:
            end[rows] = after
    for each, width in ((FIXED64, 8), (FIXED32, 4)):
        rows = np.flatnonzero(kind == each)
        end[rows] = begin[rows] + width
    _check(end >= 0, messages, "a field is of a kind that is not known")
    return begin, end


def _added(begin: np.ndarray, length: np.ndarray, limit: np.ndarray) -> np.ndarray:
    """Return begin + length, and what is beyond the limit where that is no length, or would overflow."""
    return np.where((length < 0) | (length > limit - begin), limit + 1, begin + length)


def _check(right: np.ndarray, messages: np.ndarray, what: str) -> None:
    if not right.all():
        raise WireError(int(messages[int((~right).argmax())]), what)


def _fields_of_one(data: np.ndarray, message: int, start: int, stop: int) -> list[tuple[int, int, int, int]]:
    found = []
    buffer, at = data.data, start
    while at < stop:
        tag, at = _varint(buffer, at, stop, message)
        kind, begin = tag & 7, at
        if kind == VARINT:
            _, at = _varint(buffer, at, stop, message)
        elif kind == BYTES:
            length, begin = _varint(buffer, at, stop, message)
            at = begin + length
        elif kind in (FIXED32, FIXED64):
            at += 4 if kind == FIXED32 else 8
        else:
            raise WireError(message, "a field is of a kind that is not known")
        if at > stop or tag < 8:
            what = "a field goes beyond its message" if at > stop else "a field has no number"
            raise WireError(message, what)
        found.append((tag >> 3, kind, begin, at))
        if len(found) > _MOST_FIELDS:
            raise WireError(message, f"a message has more than {_MOST_FIELDS:,} fields")
    return found


def _varint(buffer: memoryview, at: int, stop: int, message: int) -> tuple[int, int]:
    value = 0
    for place in range(_MOST_BYTES):
        if at >= stop:
            raise WireError(message, "a number goes beyond its message")
        byte = buffer[at]
        at += 1
        value |= (byte & 0x7F) << (7 * place)
        if byte < 0x80:
            return value, at
    raise WireError(message, f"a number has more than {_MOST_BYTES} bytes")
