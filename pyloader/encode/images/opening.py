"""Opening: what an encoded image is, from its header; and its pixels, upright and in RGB.

JPEG is decoded by simplejpeg; all else by Pillow, and JPEG too that simplejpeg does not take.
"""

from __future__ import annotations

import io
import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeAlias

import numpy as np

from pyloader.encode.images.jpeg_header import HasMarker, JpegHeader, read_jpeg_header, with_fewer_rows
from pyloader.errors import import_optional

__all__ = ["ImageFault", "ImageRoom", "OpenedImage", "open_image"]

# A divisor of each side, how many rows of the result are needed from the top, and where it may be put -> pixels, uint8
# [height, width, 3]; the rows that are not needed may be anything.
_Decode: TypeAlias = "Callable[[int, int, ImageRoom], np.ndarray]"

_JPEG = b"\xff\xd8\xff"
_MOST_SCANS = 100  # each of them goes over all pixels, and takes but a few bytes; encoders write about ten
_ORIENTATION = 0x0112
# No others: some of Pillow's start programs, or are seldom looked after.
_FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF")


class ImageFault(Exception):
    """Bytes are no image that can be decoded; the text says why."""


class ImageRoom:
    """Memory for one image after another: as much as the largest took."""

    def __init__(self) -> None:
        self._block = np.empty(0, np.uint8)

    def shaped(self, shape: tuple[int, ...]) -> np.ndarray:
        """Return an uninitialised array of uint8, in the memory of the one before."""
        num_bytes = math.prod(shape)
        if num_bytes > len(self._block):
            self._block = np.empty(0, np.uint8)  # the old block is freed before the new one is taken
            self._block = np.empty(num_bytes, np.uint8)
        return self._block[:num_bytes].reshape(shape)


@dataclass(frozen=True, slots=True)
class OpenedImage:
    """An image whose header was read."""

    width: int  # in pixels, upright
    height: int
    orientation: int  # EXIF's, 1 to 8: how the pixels lie
    decode: _Decode  # by 1, of a JPEG by 2, 4 or 8 too, rounded up
    is_jpeg: bool

    def pixels(
        self, divisor: int = 1, needed: tuple[int, int, int, int] | None = None, *, room: ImageRoom | None = None
    ) -> np.ndarray:
        """Return the pixels upright: uint8 of shape [height / divisor, width / divisor, 3], a view maybe.

        Args:
          divisor: What each side is divided by.
          needed: Left, top, right and bottom of the part that is needed, in pixels of the result; the others may be
            anything.  None is all.
          room: Where they may be put, which ends those that were put there before.  None is memory of their own.

        Raises:
          ImageFault: they cannot be decoded.
        """
        height, width = -(-self.height // divisor), -(-self.width // divisor)
        left, top, right, bottom = needed or (0, 0, width, height)
        # Rows that are decoded are columns where the image lies on its side, and begin at the end where it is reversed.
        first, stop, num_rows = (left, right, width) if self.orientation > 4 else (top, bottom, height)
        num_needed = num_rows - first if self.orientation in (3, 4, 6, 7) else min(stop, num_rows)
        pixels = _upright(self.decode(divisor, num_needed, room or ImageRoom()), self.orientation)
        if pixels.shape != (height, width, 3):
            raise ImageFault(f"is {self.width} x {self.height} by its header, and holds other pixels")
        return pixels


def open_image(
    data: bytes | memoryview, *, turbo: bool, max_pixels: int, has_marker: HasMarker | None = None
) -> OpenedImage:
    """Read the header of an image.

    Args:
      data: The encoded image.
      turbo: Whether simplejpeg decodes JPEG.
      max_pixels: An image with more is refused, before any memory is taken for it.
      has_marker: Of a JPEG, tells where markers are; None (the default) looks for them where that matters.

    Raises:
      ImageFault: it is no JPEG, PNG, WebP, GIF, BMP or TIFF, or too large.
    """
    if not isinstance(data, bytes | memoryview):
        raise ImageFault(f"is {type(data).__name__}, not the bytes of an image")
    header = read_jpeg_header(data) if data[: len(_JPEG)] == _JPEG else None
    if header is not None and header.num_scans > _MOST_SCANS:
        raise ImageFault(f"has {header.num_scans:,} scans, more than {_MOST_SCANS}")
    found = _opened_by_simplejpeg(data, header, has_marker) if header is not None and turbo else None
    if found is None:
        image = _open_with_pillow(data)
        # Pillow turns a TIFF itself.
        found = *image.size, 1 if image.format == "TIFF" else _orientation(image), partial(_decode_with_pillow, image)
    width, height, orientation, decode = found
    if width * height > max_pixels:
        raise ImageFault(f"has {width:,} x {height:,} pixels, more than max_pixels={max_pixels:,}")
    if orientation > 4:
        width, height = height, width
    return OpenedImage(width, height, orientation, decode, header is not None)


def _opened_by_simplejpeg(
    data: bytes | memoryview, header: JpegHeader, has_marker: HasMarker | None
) -> tuple[int, int, int, _Decode] | None:
    """Return width, height, orientation and what decodes; None for what Pillow is to open."""
    simplejpeg = import_optional("simplejpeg", wanted_by="ImageDataset")
    try:
        height, width, space, _ = simplejpeg.decode_jpeg_header(data)
    except ValueError:
        return None
    if space not in ("YCbCr", "Gray", "RGB"):
        return None
    orientation = _orientation(_open_with_pillow(data)) if header.has_exif else 1
    return width, height, orientation, partial(_decode_jpeg, simplejpeg, data, header, has_marker, width, height)


def _open_with_pillow(data: bytes | memoryview) -> Any:
    pillow = import_optional("PIL.Image", wanted_by="ImageDataset")
    try:
        return pillow.open(io.BytesIO(data), formats=_FORMATS)
    except pillow.UnidentifiedImageError as exc:
        found = f"begins with {bytes(data[:4])!r}" if len(data) else "is empty"
        raise ImageFault(f"{found}, which is no {', '.join(_FORMATS[:-1])} or {_FORMATS[-1]}") from exc
    except MemoryError:
        raise
    except Exception as exc:  # Pillow's plugins raise whatever damaged bytes lead to
        raise ImageFault(f"cannot be opened as an image ({_said(exc)})") from exc


def _decode_jpeg(
    simplejpeg: Any,
    data: bytes | memoryview,
    header: JpegHeader,
    has_marker: HasMarker | None,
    width: int,
    height: int,
    divisor: int,
    num_rows: int,
    room: ImageRoom,
) -> np.ndarray:
    pixels = room.shaped((-(-height // divisor), -(-width // divisor), 3))

    def is_decoded(data: bytes | memoryview, height: int, strict: bool) -> bool:
        shape = (-(-height // divisor), *pixels.shape[1:])
        smaller = {"min_height": shape[0], "min_width": shape[1]} if divisor > 1 else {}
        try:
            made = simplejpeg.decode_jpeg(data, "RGB", strict=strict, buffer=pixels, **smaller)
        except ValueError:
            return False
        return bool(made.shape == shape)

    rows = (num_rows + 2) * divisor  # to the colours of a row those beside it are mixed
    shorter = with_fewer_rows(data, header, rows, has_marker) if rows < height else None
    # What follows the last row is too much then, so not strict: what that lets pass, Pillow lets pass below.
    if (shorter is not None and is_decoded(shorter, rows, strict=False)) or is_decoded(data, height, strict=True):
        return pixels
    # Bytes too many between two markers are a fault here, and none to Pillow, as to most who look at images.
    return _decode_with_pillow(_open_with_pillow(data), divisor, num_rows, room)


def _decode_with_pillow(image: Any, divisor: int, num_rows: int, room: ImageRoom) -> np.ndarray:
    """Return all rows, whatever `num_rows`, in memory of Pillow's."""
    try:
        if divisor > 1:
            image.draft(image.mode, (image.width // divisor, image.height // divisor))
        image.load()
        if image.mode == "F":
            raise ImageFault("has floats for pixels, and nothing says which is white")
        if image.mode.startswith("I"):  # 16 bits, which Pillow's own conversion cuts off at 255
            grey = (np.asarray(image) >> 8).astype(np.uint8)
            return np.repeat(grey[..., None], 3, axis=2)
        if image.mode == "RGB":
            return np.asarray(image)  # to convert would be to copy
        if "transparency" in image.info:
            image = image.convert("RGBA")
        return np.asarray(image.convert("RGB"))
    except (ImageFault, MemoryError):
        raise
    except Exception as exc:
        raise ImageFault(f"cannot be decoded ({_said(exc)})") from exc


def _orientation(image: Any) -> int:
    try:
        found = image.getexif().get(_ORIENTATION, 1)
    except MemoryError:
        raise
    except Exception:  # what is damaged beside the pixels says nothing
        return 1
    return found if found in range(1, 9) else 1


def _upright(pixels: np.ndarray, orientation: int) -> np.ndarray:
    if orientation > 4:
        pixels = pixels.transpose(1, 0, 2)
    rows = -1 if orientation in (3, 4, 7, 8) else 1
    columns = -1 if orientation in (2, 3, 6, 7) else 1
    return pixels[::rows, ::columns]


def _said(error: Exception) -> str:
    return f"{error}" or type(error).__name__
