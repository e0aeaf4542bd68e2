"""Opening: what an encoded image is, from its header; and its pixels, upright and in RGB.

JPEG is decoded by simplejpeg; all else by Pillow, and JPEG too that simplejpeg does not take.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeAlias

import numpy as np

from pyloader.encode.images.jpeg_header import read_jpeg_header
from pyloader.errors import import_optional

__all__ = ["ImageFault", "OpenedImage", "open_image"]

_Decode: TypeAlias = "Callable[[int], np.ndarray]"

_JPEG = b"\xff\xd8\xff"
_MOST_SCANS = 100  # each of them goes over all pixels, and takes but a few bytes; encoders write about ten
_ORIENTATION = 0x0112
# No others: some of Pillow's start programs, or are seldom looked after.
_FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF")


class ImageFault(Exception):
    """Bytes are no image that can be decoded; the text says why."""


@dataclass(frozen=True, slots=True)
class OpenedImage:
    """An image whose header was read."""

    width: int  # in pixels, upright
    height: int
    orientation: int  # EXIF's, 1 to 8: how the pixels lie
    # makes the pixels, uint8 [height, width, 3], each side divided by 1; of a JPEG by 2, 4 or 8 too, rounded up
    decode: _Decode
    is_jpeg: bool

    def pixels(self, divisor: int = 1) -> np.ndarray:
        """Return the pixels upright: uint8 of shape [height / divisor, width / divisor, 3], a view maybe.

        Raises:
          ImageFault: they cannot be decoded.
        """
        pixels = _upright(self.decode(divisor), self.orientation)
        if pixels.shape != (-(-self.height // divisor), -(-self.width // divisor), 3):
            raise ImageFault(f"is {self.width} x {self.height} by its header, and holds other pixels")
        return pixels


def open_image(data: bytes, *, turbo: bool, max_pixels: int) -> OpenedImage:
    """Read the header of an image.

    Args:
      data: The encoded image.
      turbo: Whether simplejpeg decodes JPEG.
      max_pixels: An image with more is refused, before any memory is taken for it.

    Raises:
      ImageFault: it is no JPEG, PNG, WebP, GIF, BMP or TIFF, or too large.
    """
    if not isinstance(data, bytes):
        raise ImageFault(f"is {type(data).__name__}, not the bytes of an image")
    header = read_jpeg_header(data) if data.startswith(_JPEG) else None
    if header is not None and header.num_scans > _MOST_SCANS:
        raise ImageFault(f"has {header.num_scans:,} scans, more than {_MOST_SCANS}")
    found = _opened_by_simplejpeg(data, header.has_exif) if header is not None and turbo else None
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


def _opened_by_simplejpeg(data: bytes, has_exif: bool) -> tuple[int, int, int, _Decode] | None:
    """Return width, height, orientation and what decodes; None for what Pillow is to open."""
    simplejpeg = import_optional("simplejpeg", wanted_by="ImageDataset")
    try:
        height, width, space, _ = simplejpeg.decode_jpeg_header(data)
    except ValueError:
        return None
    if space not in ("YCbCr", "Gray", "RGB"):
        return None
    orientation = _orientation(_open_with_pillow(data)) if has_exif else 1
    return width, height, orientation, partial(_decode_jpeg, simplejpeg, data, width, height)


def _open_with_pillow(data: bytes) -> Any:
    pillow = import_optional("PIL.Image", wanted_by="ImageDataset")
    try:
        return pillow.open(io.BytesIO(data), formats=_FORMATS)
    except pillow.UnidentifiedImageError as exc:
        found = f"begins with {data[:4]!r}" if data else "is empty"
        raise ImageFault(f"{found}, which is no {', '.join(_FORMATS[:-1])} or {_FORMATS[-1]}") from exc
    except MemoryError:
        raise
    except Exception as exc:  # Pillow's plugins raise whatever damaged bytes lead to
        raise ImageFault(f"cannot be opened as an image ({_said(exc)})") from exc


def _decode_jpeg(simplejpeg: Any, data: bytes, width: int, height: int, divisor: int) -> np.ndarray:
    shape = {"min_height": -(-height // divisor), "min_width": -(-width // divisor)} if divisor > 1 else {}
    try:
        pixels: np.ndarray = simplejpeg.decode_jpeg(data, "RGB", **shape)
        return pixels
    except ValueError:
        # Bytes too many between two markers are a fault here, and none to Pillow, as to most who look at images.
        return _decode_with_pillow(_open_with_pillow(data), divisor)


def _decode_with_pillow(image: Any, divisor: int) -> np.ndarray:
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
