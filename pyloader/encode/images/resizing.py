"""Resizing: a part of an image -> pixels of one shape, by Pillow's bilinear filter, which widens where it shrinks.

cykooz.resizer does it in vector instructions, in integers: the same on all processors, and within 1 of Pillow.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TypeAlias

import numpy as np

from pyloader.errors import import_optional

__all__ = ["Resize", "image_resizing", "seen_part"]

_Box: TypeAlias = "tuple[float, float, float, float]"  # left, top, width, height
# Pixels, uint8 [height, width, 3], and a box in them -> the pixels resized, to be read before the next call.
Resize: TypeAlias = "Callable[[np.ndarray, _Box], np.ndarray]"


def seen_part(box: _Box, shape: tuple[int, int], *, sees_around: bool) -> tuple[int, int, int, int]:
    """Return the part of an image that resizing of a box to this height and width sees.

    Returns:
      Left, top, right and bottom; the last two may lie beyond the image.
    """
    left, top, box_width, box_height = box
    around_x, around_y = (_reach(box_width, shape[1]), _reach(box_height, shape[0])) if sees_around else (0, 0)
    return (
        max(0, math.floor(left) - around_x),
        max(0, math.floor(top) - around_y),
        math.ceil(left + box_width) + around_x,
        math.ceil(top + box_height) + around_y,
    )


def image_resizing(shape: tuple[int, int], *, turbo: bool, sees_around: bool) -> Resize:
    """Return a function that resizes, for one thread.

    Args:
      shape: Height and width of the result.
      turbo: Whether cykooz.resizer does it, instead of Pillow.
      sees_around: Whether pixels around a box are mixed in at its edges, as where the whole image is resized first and
        cropped then; otherwise the image is cropped first.
    """
    height, width = shape
    resize = _resize_with_cykooz(height, width) if turbo else _resize_with_pillow(height, width)

    def resize_box(pixels: np.ndarray, box: _Box) -> np.ndarray:
        left, top, box_width, box_height = box
        first_x, first_y, stop_x, stop_y = seen_part(box, shape, sees_around=sees_around)
        part = pixels[first_y:stop_y, first_x:stop_x]
        rows, columns = part.shape[:2]
        x, y = left - first_x, top - first_y
        inside = (x, y, min(box_width, columns - x), min(box_height, rows - y))
        if inside == (0, 0, width, height) == (0, 0, columns, rows):
            return part
        return resize(part, inside)

    return resize_box


def _reach(side: float, resized: int) -> int:
    """Return how many pixels beside a box the filter reaches."""
    return math.ceil(side / resized) + 1


def _resize_with_cykooz(height: int, width: int) -> Resize:
    cykooz = import_optional("cykooz_resizer", wanted_by="ImageDataset(decoder='turbo')")
    resizer = cykooz.Resizer()
    options = cykooz.ResizeOptions(cykooz.ResizeAlg.convolution(cykooz.FilterType.bilinear))
    target = cykooz.ImageData(width, height, cykooz.PixelType.U8x3)

    def resize(pixels: np.ndarray, box: _Box) -> np.ndarray:
        source = cykooz.ImageData(pixels.shape[1], pixels.shape[0], cykooz.PixelType.U8x3, pixels.tobytes())
        options.crop_box = cykooz.CropBox(*box)
        resizer.resize(source, target, options)
        return np.frombuffer(target.get_buffer(), np.uint8).reshape(height, width, 3)

    return resize


def _resize_with_pillow(height: int, width: int) -> Resize:
    pillow = import_optional("PIL.Image", wanted_by="ImageDataset")

    def resize(pixels: np.ndarray, box: _Box) -> np.ndarray:
        left, top, box_width, box_height = box
        corners = (left, top, left + box_width, top + box_height)
        image = pillow.fromarray(np.ascontiguousarray(pixels))
        return np.asarray(image.resize((width, height), pillow.Resampling.BILINEAR, box=corners))

    return resize
