"""What a JPEG says before its pixels: whether EXIF is there, in how many scans the pixels come, and its height."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

__all__ = ["JpegHeader", "read_jpeg_header", "with_fewer_rows"]

_MOST_SEGMENTS = 1_000  # cameras write about twenty
_FRAMES = {0xC0, 0xC1, 0xC2}
_PROGRESSIVE, _SCAN, _END, _APP1 = 0xC2, 0xDA, 0xD9, 0xE1
_RESTARTS = range(0xD0, 0xD8)
_ALONE = {0x01, *_RESTARTS}  # markers that nothing follows, which have no place before a scan


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


def with_fewer_rows(data: bytes | memoryview, header: JpegHeader, num_rows: int) -> bytes | None:
    """Return the JPEG with another height, after which a decoder stops.

    None where rows cannot be left out: its pixels come in several scans, or something is wrong with it that a decoder
    of all rows might find: after the scan's beginning there is another marker than those within a scan and its end.
    """
    if not header.scan_at:
        return None
    values = np.frombuffer(data, np.uint8)[header.scan_at + 2 :]
    if values[-2:].tolist() != [0xFF, _END]:
        return None
    following = values[1:-1]
    is_marker = (values[:-2] == 0xFF) & (following != 0)
    if is_marker.any():  # as in few files
        markers = following[is_marker]
        if markers.min() < _RESTARTS[0] or markers.max() > _RESTARTS[-1]:
            return None
    return b"".join((data[: header.height_at], num_rows.to_bytes(2, "big"), data[header.height_at + 2 :]))
