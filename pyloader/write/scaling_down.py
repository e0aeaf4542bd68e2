"""An image that is larger than it is needed becomes a smaller JPEG, once, while it is split."""

from __future__ import annotations

import io
import warnings
from typing import Any

from pyloader.columns import Columns
from pyloader.errors import import_optional
from pyloader.files.image_headers import IMAGE_FORMATS, read_image_header
from pyloader.write.media import MEDIA, MediaOptions

__all__ = ["scaled_down", "scaled_down_rows"]

_MOST_PIXELS = 178_956_970  # at which Pillow refuses, 0.5 GB as RGB; above half of it, it warns
_GREY = ("L", "1")
_AS_THEY_ARE = ("L", "RGB", "CMYK", "YCbCr")  # modes whose pixels can be scaled


def scaled_down_rows(columns: Columns, options: MediaOptions) -> tuple[Columns, dict[int, str]]:
    """Return columns whose images are as large as `options` allows, and what is wrong with those that stay as they are.

    Raises:
      MissingDependencyError: Pillow is not installed.
    """
    name = MEDIA["images"].column
    if options.max_side is None or name not in columns:
        return columns, {}
    made, faults = list[bytes](), dict[int, str]()
    for row, data in enumerate(columns[name]):
        try:
            made.append(scaled_down(data, options.max_side, options.quality))
        except ValueError as exc:
            made.append(data)
            faults[row] = str(exc)
    return {**columns, name: made}, faults


def scaled_down(data: bytes, max_side: int, quality: int) -> bytes:
    """Return an image of which no side is longer than `max_side` pixels.

    One that is small enough stays as it is, byte for byte.  Any other becomes a JPEG, grey or RGB, upright where EXIF
    says that it is turned; without its EXIF and colour profile, and without transparency.  Of several frames it is the
    first.  The same version of Pillow gives the same bytes.

    Args:
      data: The encoded image.
      max_side: In pixels, at least 1.
      quality: Of the JPEG, 1 to 95.

    Raises:
      MissingDependencyError: Pillow is not installed.
      ValueError: it cannot be decoded; the message is the rest of a sentence.
    """
    header = read_image_header(data)
    pixels = header.width * header.height
    if max(header.width, header.height) <= max_side:
        return data
    if pixels > _MOST_PIXELS:
        raise ValueError(f"has {header.width:,} x {header.height:,} pixels, and {_MOST_PIXELS:,} are decoded at most")
    module = import_optional("PIL.Image", wanted_by="--max-side")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of large images, which are bounded above, and of odd EXIF
            return _made_anew(module, data, max_side, quality)
    except MemoryError:
        raise
    except module.UnidentifiedImageError as exc:  # its text has an address in memory
        raise ValueError(f"cannot be decoded (Pillow finds no {header.format} in it)") from exc
    except Exception as exc:  # Pillow raises almost anything for a damaged file
        raise ValueError(f"cannot be decoded ({exc or type(exc).__name__})") from exc


def _made_anew(module: Any, data: bytes, max_side: int, quality: int) -> bytes:
    operations = import_optional("PIL.ImageOps", wanted_by="--max-side")
    with module.open(io.BytesIO(data), formats=IMAGE_FORMATS) as image:
        if image.mode not in _AS_THEY_ARE:
            image = _as_shown(image)
        image.thumbnail((max_side, max_side), module.Resampling.LANCZOS)  # a JPEG is decoded at about that size
        upright = operations.exif_transpose(image)
        shown = upright if upright.mode in ("L", "RGB") else upright.convert("RGB")
        made = io.BytesIO()
        shown.save(made, "JPEG", quality=quality)
        return made.getvalue()


def _as_shown(image: Any) -> Any:
    """Return an image of any mode as grey or RGB of 8 bits, as it looks."""
    if image.mode.startswith("I"):  # 16 bits of grey
        return image.convert("I").point(lambda value: value * (1 / 256)).convert("L")
    return image.convert("L" if image.mode in _GREY else "RGB")
