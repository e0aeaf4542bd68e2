"""What a JPEG's header says before its pixels: whether EXIF is there, and in how many scans the pixels come."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

__all__ = ["JpegHeader", "read_jpeg_header"]

_MOST_SEGMENTS = 1_000  # cameras write about twenty
_FRAMES = {0xC0, 0xC1, 0xC2}
_PROGRESSIVE, _SCAN, _APP1 = 0xC2, 0xDA, 0xE1


class JpegHeader(NamedTuple):
    """Of a JPEG."""

    has_exif: bool  # whether EXIF is in it
    num_scans: int  # in how many parts all of its pixels come; 1 where the first has all of each


def read_jpeg_header(data: bytes) -> JpegHeader:
    """Walk over the segments of a JPEG up to its first scan; what is damaged ends the walk."""
    place, has_exif, all_in_one, num_components = 2, False, False, 0
    for _ in range(_MOST_SEGMENTS):
        if place + 10 > len(data) or data[place] != 0xFF:
            break
        marker = data[place + 1]
        if marker == _SCAN:
            all_in_one = all_in_one and data[place + 4] == num_components
            break
        if marker == _APP1:
            has_exif = has_exif or data[place + 4 : place + 10] == b"Exif\0\0"
        elif marker in _FRAMES:
            all_in_one, num_components = marker != _PROGRESSIVE, data[place + 9]
        # A marker may be filled up with bytes of 0xFF before it.
        place += 1 if marker == 0xFF else 2 + int.from_bytes(data[place + 2 : place + 4], "big")
    if all_in_one:
        return JpegHeader(has_exif, 1)
    # In what is encoded 0xFF never stands before 0xDA: these are scans, or bytes beside the pixels.
    values = np.frombuffer(data, np.uint8)
    return JpegHeader(has_exif, int(((values[:-1] == 0xFF) & (values[1:] == _SCAN)).sum()))
