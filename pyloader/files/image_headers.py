"""Headers of encoded images: which format, and how large; and whether the file is there up to its end.

Nothing is decoded, and no library is needed: an image of 10^9 pixels is known before memory is taken for it.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import NamedTuple

__all__ = ["IMAGE_FORMATS", "IMAGE_SUFFIXES", "ImageHeader", "ImageHeaderError", "read_image_header"]

# Of the files that an input of images is made of.
IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff")

_ENDS_EARLY = "ends early"
_SIZES_OF_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}  # JPEG's markers of frames, which say how large
_ALONE = frozenset([0x01, *range(0xD0, 0xD9)])  # JPEG's markers without a segment
_TIFF_WIDTH, _TIFF_HEIGHT = 256, 257
_MOST_MARKERS = 2**16  # before a JPEG's pixels: few files have a hundred
_MOST_TAGS = 4096


class ImageHeader(NamedTuple):
    """What the header of an image says.

    Attributes:
      format: "JPEG", "PNG", "WebP", "GIF", "BMP" or "TIFF".
      width: In pixels, as the image is stored: before an orientation of EXIF turns it.
      height: In pixels.
    """

    format: str
    width: int
    height: int


class ImageHeaderError(ValueError):
    """These bytes are no image; the message says why, as the rest of a sentence."""


def read_image_header(data: bytes) -> ImageHeader:
    """Return what the header of an encoded image says.

    Args:
      data: The whole file.

    Raises:
      ImageHeaderError: it is of no known format, it is damaged, or it ends early: a JPEG without its end marker, a PNG
        without its last block, a WebP shorter than it says.
    """
    found = next(((name, size_in) for magic, name, size_in in _FORMATS if data.startswith(magic)), None)
    if found is None:
        raise ImageHeaderError("is empty" if not data else f"is no image: it begins with {data[:8]!r}")
    name, size_in = found
    if name == "WebP" and data[8:12] != b"WEBP":
        raise ImageHeaderError(f"is no image: it is of the kind {data[8:12]!r}")
    try:
        width, height = size_in(data)
    except (struct.error, IndexError) as exc:
        raise ImageHeaderError(_ENDS_EARLY) from exc
    if width < 1 or height < 1:
        raise ImageHeaderError(f"is a {name} of {width:,} x {height:,} pixels")
    return ImageHeader(name, width, height)


def _jpeg(data: bytes) -> tuple[int, int]:
    place, size = 2, (0, 0)
    for _ in range(_MOST_MARKERS):
        if data[place] != 0xFF:
            raise ImageHeaderError("is a damaged JPEG: there is no marker where one must be")
        marker = data[place + 1]
        if marker == 0xFF or marker in _ALONE:
            place += 1 if marker == 0xFF else 2
            continue
        if marker == 0xDA:  # the pixels begin, and nothing is known of their length
            if data.rfind(b"\xff\xd9", place) < 0:
                raise ImageHeaderError(_ENDS_EARLY)
            return size
        if marker == 0xD9:
            raise ImageHeaderError("is a JPEG without an image")
        (length,) = struct.unpack_from(">H", data, place + 2)
        if marker in _SIZES_OF_FRAMES:
            height, width = struct.unpack_from(">HH", data, place + 5)
            size = width, height
        place += 2 + max(2, length)
    raise ImageHeaderError("is a damaged JPEG: it has markers without end")


def _png(data: bytes) -> tuple[int, int]:
    width, height = struct.unpack_from(">II", data, 16)
    place = 8
    while True:
        (length,) = struct.unpack_from(">I", data, place)
        if data[place + 4 : place + 8] == b"IEND":
            return width, height
        place += 12 + length


def _webp(data: bytes) -> tuple[int, int]:
    (length,) = struct.unpack_from("<I", data, 4)
    if len(data) < 8 + length:
        raise ImageHeaderError(_ENDS_EARLY)
    kind = data[12:16]
    if kind == b"VP8X":
        return 1 + int.from_bytes(data[24:27], "little"), 1 + int.from_bytes(data[27:30], "little")
    if kind == b"VP8L":
        (bits,) = struct.unpack_from("<I", data, 21)
        return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    width, height = struct.unpack_from("<HH", data, 26)
    return width & 0x3FFF, height & 0x3FFF


def _gif(data: bytes) -> tuple[int, int]:
    width, height = struct.unpack_from("<HH", data, 6)
    return width, height


def _bmp(data: bytes) -> tuple[int, int]:
    (header,) = struct.unpack_from("<I", data, 14)
    width, height = struct.unpack_from("<HH" if header == 12 else "<ii", data, 18)
    return width, abs(height)


def _tiff(data: bytes) -> tuple[int, int]:
    order = "<" if data[:1] == b"I" else ">"
    (place,) = struct.unpack_from(f"{order}I", data, 4)
    (number,) = struct.unpack_from(f"{order}H", data, place)
    found = {}
    for at in range(place + 2, place + 2 + 12 * min(number, _MOST_TAGS), 12):
        tag, kind = struct.unpack_from(f"{order}HH", data, at)
        if tag in (_TIFF_WIDTH, _TIFF_HEIGHT):
            (found[tag],) = struct.unpack_from(f"{order}{'H' if kind == 3 else 'I'}", data, at + 8)
    return found.get(_TIFF_WIDTH, 0), found.get(_TIFF_HEIGHT, 0)


_FORMATS: tuple[tuple[bytes, str, Callable[[bytes], tuple[int, int]]], ...] = (
    (b"\xff\xd8\xff", "JPEG", _jpeg),
    (b"\x89PNG\r\n\x1a\n", "PNG", _png),
    (b"RIFF", "WebP", _webp),
    (b"GIF8", "GIF", _gif),
    (b"BM", "BMP", _bmp),
    (b"II*\0", "TIFF", _tiff),
    (b"MM\0*", "TIFF", _tiff),
)

# What Pillow is to open, and nothing else: some of its other formats run programs.
IMAGE_FORMATS = tuple(dict.fromkeys(name for _, name, _ in _FORMATS))
