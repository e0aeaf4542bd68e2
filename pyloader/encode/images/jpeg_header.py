"""What a JPEG says before its pixels: whether EXIF is there, in how many scans the pixels come, and its height."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable
from typing import NamedTuple, TypeAlias

import numpy as np

__all__ = ["HasMarker", "JpegHeader", "MarkerSearch", "read_jpeg_header", "with_fewer_rows"]

# (start, stop) in the bytes of a JPEG -> whether there is a marker other than those within a scan.
HasMarker: TypeAlias = "Callable[[int, int], bool]"

_MOST_SEGMENTS = 1_000  # cameras write about twenty
_FRAMES = {0xC0, 0xC1, 0xC2}
_PROGRESSIVE, _SCAN, _END, _APP1 = 0xC2, 0xDA, 0xD9, 0xE1
_END_MARKER = bytes([0xFF, _END])
_RESTARTS = range(0xD0, 0xD8)
_ALONE = {0x01, *_RESTARTS}  # markers that nothing follows, which have no place before a scan
_PIECE_BYTES = 2**18  # looked through at once, in the processor's cache


class JpegHeader(NamedTuple):
    """Of a JPEG."""

    has_exif: bool  # whether EXIF is in it
    num_scans: int  # in how many parts all of its pixels come; 1 where the first has all of each
    height_at: int  # where its height stands, two bytes; 0 unless num_scans is 1
    scan_at: int  # where that scan begins; 0 unless num_scans is 1


def read_jpeg_header(data: bytes | memoryview) -> JpegHeader:
    """Walk over the segments of a JPEG up to its first scan; what is damaged ends the walk."""
    place, has_exif, sequential, num_components, height_at = 2, False, False, 0, 0
    for _ in range(_MOST_SEGMENTS):
        if place + 10 > len(data) or data[place] != 0xFF or data[place + 1] in _ALONE:
            break
        marker = data[place + 1]
        if marker == _SCAN:
            if sequential and data[place + 4] == num_components:
                return JpegHeader(has_exif, 1, height_at, place)
            break
        if marker == _APP1:
            has_exif = has_exif or data[place + 4 : place + 10] == b"Exif\0\0"
        elif marker in _FRAMES:
            sequential, num_components, height_at = marker != _PROGRESSIVE, data[place + 9], place + 5
        # A marker may be filled up with bytes of 0xFF before it.
        place += 1 if marker == 0xFF else 2 + int.from_bytes(data[place + 2 : place + 4], "big")
    # In what is encoded 0xFF never stands before 0xDA: these are scans, or bytes beside the pixels.
    values = np.frombuffer(data, np.uint8)
    return JpegHeader(has_exif, int(((values[:-1] == 0xFF) & (values[1:] == _SCAN)).sum()), 0, 0)


class MarkerSearch:
    """Finds markers other than those within a scan in the bytes of JPEGs, of a batch all at once.

    Each call of NumPy lets go of the interpreter's lock, and waits for it: of one image that would be some calls.

    Args:
      values: The bytes, uint8 of one dimension; they are looked through when that is first asked.
    """

    def __init__(self, values: np.ndarray) -> None:
        self._values = values
        self._found: list[int] | None = None

    def has_marker(self, start: int, stop: int) -> bool:
        """Tell whether one lies in the bytes from `start` to `stop`."""
        if self._found is None:
            self._found = [
                at for start in range(0, len(self._values), _PIECE_BYTES) for at in self._markers_from(start)
            ]
        at = bisect_left(self._found, start)
        return at < len(self._found) and self._found[at] + 2 <= stop

    def _markers_from(self, start: int) -> list[int]:
        piece = self._values[start : start + _PIECE_BYTES + 1]
        at = np.flatnonzero(piece[:-1] == 0xFF)
        kinds = piece[1:][at]
        found: list[int] = (start + at[(kinds != 0) & (kinds - _RESTARTS[0] >= len(_RESTARTS))]).tolist()
        return found


def with_fewer_rows(
    data: bytes | memoryview, header: JpegHeader, num_rows: int, has_marker: HasMarker | None = None
) -> bytes | None:
    """Return the JPEG with another height, after which a decoder stops.

    None where rows cannot be left out: its pixels come in several scans, or something is wrong with it that a decoder
    of all rows might find: after the scan's beginning there is another marker than those within a scan and its end.

    Args:
      data: The JPEG.
      header: What it says.
      num_rows: Its height to be.
      has_marker: Tells where markers are; None looks for them.
    """
    if not header.scan_at or data[-2:] != _END_MARKER:
        return None
    has_marker = has_marker or MarkerSearch(np.frombuffer(data, np.uint8)).has_marker
    if has_marker(header.scan_at + 2, len(data) - 1):
        return None
    return b"".join((data[: header.height_at], num_rows.to_bytes(2, "big"), data[header.height_at + 2 :]))
