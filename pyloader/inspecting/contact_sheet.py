"""A contact sheet: small pictures of some images of a dataset, with their labels, as one PNG."""

from __future__ import annotations

import io
import warnings
from collections.abc import Sequence
from typing import Any

from pyloader.errors import import_optional
from pyloader.files.image_headers import IMAGE_FORMATS

__all__ = ["CELLS", "contact_sheet"]

_COLUMNS, _ROWS = 8, 5
CELLS = _COLUMNS * _ROWS  # images on a sheet

_SIDE, _TEXT, _GAP = 120, 18, 8  # pixels: of a picture, of the line below it, between them
_PAPER, _INK, _EMPTY = (255, 255, 255), (36, 41, 47), (225, 228, 232)
_LONGEST = 18  # characters of a caption


def contact_sheet(images: Sequence[tuple[bytes, str]]) -> bytes:
    """Return a PNG of images with captions, at most CELLS of them, in rows of eight.

    An image that cannot be decoded is a grey square with a word that says so.

    Args:
      images: (encoded image, caption) of each.

    Raises:
      MissingDependencyError: Pillow is not installed.
    """
    module = import_optional("PIL.Image", wanted_by="--sheet")
    drawing = import_optional("PIL.ImageDraw", wanted_by="--sheet")
    images = images[:CELLS]
    columns, rows = min(_COLUMNS, len(images)), -(-len(images) // _COLUMNS)
    size = (_GAP + columns * (_SIDE + _GAP), _GAP + rows * (_SIDE + _TEXT + _GAP))
    sheet = module.new("RGB", size, _PAPER)
    draw = drawing.Draw(sheet)
    for index, (data, caption) in enumerate(images):
        left = _GAP + index % _COLUMNS * (_SIDE + _GAP)
        top = _GAP + index // _COLUMNS * (_SIDE + _TEXT + _GAP)
        small = _small(module, data)
        if small is None:
            draw.rectangle([left, top, left + _SIDE, top + _SIDE], fill=_EMPTY)
            _write(draw, (left + 4, top + _SIDE // 2 - 6), "not decoded")
        else:
            sheet.paste(small, (left + (_SIDE - small.width) // 2, top + (_SIDE - small.height) // 2))
        _write(draw, (left, top + _SIDE + 3), caption)
    made = io.BytesIO()
    sheet.save(made, "PNG", optimize=True)
    return made.getvalue()


def _small(module: Any, data: bytes) -> Any:
    operations = import_optional("PIL.ImageOps", wanted_by="--sheet")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of large images; those above 178,956,970 pixels are refused
            with module.open(io.BytesIO(data), formats=IMAGE_FORMATS) as image:
                image.draft("RGB", (2 * _SIDE, 2 * _SIDE))
                shown = operations.exif_transpose(image).convert("RGB")
                shown.thumbnail((_SIDE, _SIDE))
                return shown
    except Exception:  # Pillow raises almost anything for a damaged file
        return None


def _write(draw: Any, place: tuple[int, int], text: str) -> None:
    shown = text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"
    try:
        draw.text(place, shown, fill=_INK)
    except UnicodeEncodeError:  # the font of a Pillow without FreeType has Latin letters alone
        draw.text(place, shown.encode("ascii", "replace").decode(), fill=_INK)
