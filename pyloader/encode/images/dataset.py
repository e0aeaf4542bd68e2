"""ImageDataset: a column of encoded images -> pixels, one array a batch."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterable
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np

from pyloader.columns import Column, Columns
from pyloader.dataset import Dataset
from pyloader.encode.images.boxes import NUMBERS_A_BOX, center_boxes, random_boxes, whole_boxes
from pyloader.encode.images.jpeg_header import HasMarker, MarkerSearch
from pyloader.encode.images.opening import ImageFault, ImageRoom, OpenedImage, open_image
from pyloader.encode.images.resizing import image_resizing, seen_part
from pyloader.encode.needed import needed_column, needed_keys, refuse_rows
from pyloader.errors import import_optional
from pyloader.machine.memory import RecycledMemory
from pyloader.plan import uniform_numbers
from pyloader.ragged import Ragged
from pyloader.thread_safety import is_thread_safe

__all__ = ["ImageDataset"]

_TURBO = ("simplejpeg", "cykooz_resizer")
_DTYPES = ("uint8", "float32")


class ImageDataset(Dataset):
    """Makes pixels of a column of encoded images, as bytes: JPEG, PNG, WebP, GIF, BMP or TIFF, the first of several.

    The pixels are upright, as EXIF says, and RGB: grey becomes three equal values, CMYK is converted, 16 bits are
    rounded down to 8, transparency is dropped.  A JPEG that is shrunk to a half or less is decoded smaller.  Other
    columns stay what they are.  Threads decode side by side: what does the work lets go of the interpreter's lock.

    What is drawn for a row, the part of the image and whether it is mirrored, depends on the row's key alone: on the
    seed, the epoch and the sample, not on workers, ranks, or whether a run resumed.

    Args:
      column: The column of images, as bytes: a `Ragged`, or a list.
      size: Height and width of the pixels, or one int for both; None leaves each image as large as it is.
      crop: "random" shows a part of random size and place, as torchvision's RandomResizedCrop does; "center" shows the
        middle, after the shorter side is resized to `shorter_side`; None shows the whole image, whatever its ratio.
        Without a size it does nothing.
      scale: For "random": the smallest and the largest part of the image's area, above 0 and at most 1.
      ratio: For "random": the smallest and the largest width / height of the part.
      flip: For "random": whether every second image, by its key, is mirrored left to right.
      shorter_side: For "center": pixels of the shorter side before the middle is cut out, at least the size; None is
        the size.  256 with size=224 is Resize(256) and CenterCrop(224).
      layout: "NHWC", or "NCHW" as PyTorch wants it.
      dtype: "uint8", or "float32" from 0 to 1.  uint8 is a quarter as much to move; divide on the device.
      decoder: "turbo" uses simplejpeg and cykooz.resizer, "pillow" Pillow alone.  "auto" is "turbo" where both are
        installed.  Pixels differ between the two by a few levels, never between machines that use the same.
      augment: Called with the pixels and the keys, uint64 [rows], or None where there are none; returns what takes the
        pixels' place: an array of as many rows.
      max_pixels: Width x height that an image may have, at most; the default is Pillow's own bound.  While an image is
        decoded it takes 3 bytes a pixel as a JPEG, up to 9 as a progressive one, and up to 18 where Pillow decodes it.

    Raises:
      MissingDependencyError: a decoder is not installed; the message says what to install.
      TypeError, ValueError: an argument is none of these.
    """

    def __init__(
        self,
        column: str = "image",
        size: int | tuple[int, int] | None = 224,
        *,
        crop: str | None = "random",
        scale: tuple[float, float] = (0.08, 1.0),
        ratio: tuple[float, float] = (3 / 4, 4 / 3),
        flip: bool = True,
        shorter_side: int | None = None,
        layout: str = "NHWC",
        dtype: str = "uint8",
        decoder: str = "auto",
        augment: Callable[[Any, np.ndarray | None], Any] | None = None,
        max_pixels: int = 89_478_485,
    ) -> None:
        self.column, self.crop, self.layout, self.augment = column, crop, layout, augment
        self.shape = None if size is None else _shape(size)
        self.scale, self.ratio, self.flip, self.max_pixels = scale, ratio, flip, max_pixels
        if crop not in ("random", "center", None):
            raise ValueError(f"crop must be 'random', 'center' or None, got {crop!r}")
        if not 0 < scale[0] <= scale[1] <= 1:
            raise ValueError(f"scale must be two parts of the area, (0.08, 1.0) say, got {scale!r}")
        if not 0 < ratio[0] <= ratio[1]:
            raise ValueError(f"ratio must be two ratios of width to height, (3 / 4, 4 / 3) say, got {ratio!r}")
        if layout not in ("NHWC", "NCHW"):
            raise ValueError(f"layout must be 'NHWC' or 'NCHW', got {layout!r}")
        if dtype not in _DTYPES:
            raise ValueError(f"dtype must be 'uint8' or 'float32', got {dtype!r}")
        if self.shape is None and (layout, dtype) != ("NHWC", "uint8"):
            raise ValueError("size=None gives rows of unequal length, always of uint8 and layout 'NHWC'")
        if max_pixels < 1:
            raise ValueError(f"max_pixels must be at least 1, got {max_pixels}")
        self.shorter_side = shorter_side
        if shorter_side is not None and (self.shape is None or crop != "center" or shorter_side < max(self.shape)):
            raise ValueError(f"shorter_side={shorter_side} wants crop='center', and a size that is not larger")
        self.dtype = np.dtype(dtype)
        self.decoder = _decoder(decoder)
        self._memory = RecycledMemory()

    @property
    def is_thread_safe(self) -> bool:  # type: ignore[override]
        """Whether several threads may call it at once: unless `augment` may not be called so."""
        return is_thread_safe(self.augment)

    def batch_encode(self, columns: Columns, keys: np.ndarray | None = None) -> Columns:
        """Return the columns, that of images as uint8 or float32 of shape [rows, height, width, 3], or [rows, 3, ...].

        Without a size it is a `Ragged` of uint8, and "<column>_shape", int64 of shape [rows, 3], is the shape of each.

        Args:
          columns: One batch.
          keys: A key for each row, uint64 of shape [rows]; without them nothing random can be drawn.

        Raises:
          BadRowsError: some rows are no images that can be decoded.
          BatchEncodeError: there is no such column, or there are no keys and crop is "random".
        """
        column = needed_column(columns, self.column, what_for="of images", hint="Name it: ImageDataset(column=...)")
        images, bad = self._opened(column)
        made = self._ragged(images, bad) if self.shape is None else self._resized(images, bad, keys)
        refuse_rows(bad, self.column)
        if self.augment is not None:
            made[self.column] = self.augment(made[self.column], keys)
        return {**columns, **made}

    def _opened(self, column: Column) -> tuple[list[OpenedImage | None], dict[int, str]]:
        """Return the images, and why some of them are none."""
        images: list[OpenedImage | None] = []
        bad: dict[int, str] = {}
        options: dict[str, Any] = {"turbo": self.decoder == "turbo", "max_pixels": self.max_pixels}
        for row, (data, has_marker) in enumerate(_rows(column)):
            given = data.tobytes() if isinstance(data, np.ndarray) else data
            try:
                images.append(open_image(given, **options, has_marker=has_marker))
            except ImageFault as exc:
                images.append(None)
                bad[row] = str(exc)
        return images, bad

    def _resized(self, images: list[OpenedImage | None], bad: dict[int, str], keys: np.ndarray | None) -> Columns:
        assert self.shape is not None
        height, width = self.shape
        sizes = np.array([(1, 1) if image is None else (image.width, image.height) for image in images]).reshape(-1, 2)
        boxes, mirrored = self._boxes(sizes, keys)
        # A JPEG is decoded smaller as far as the part still has all the pixels that are wanted of it.
        shrinks = (boxes[:, 2:] / (width, height)).min(axis=1)
        is_jpeg = [image is not None and image.is_jpeg for image in images]
        divisors = np.where(is_jpeg, 1 << np.searchsorted([2, 4, 8], shrinks, side="right"), 1)
        parts = list(map(tuple, (boxes / divisors[:, None]).tolist()))
        sees_around = self.crop == "center"
        resize = image_resizing(self.shape, turbo=self.decoder == "turbo", sees_around=sees_around)
        room = ImageRoom()
        channels_last = self.layout == "NHWC"
        shape = (len(images), height, width, 3) if channels_last else (len(images), 3, height, width)
        array = self._memory.empty(shape, np.dtype(np.uint8))
        targets = array if channels_last else array.transpose(0, 2, 3, 1)
        for row, image in _taken(images):
            needed = seen_part(parts[row], self.shape, sees_around=sees_around)
            try:
                pixels = image.pixels(int(divisors[row]), needed, room=room)
            except ImageFault as exc:
                bad[row] = str(exc)
                continue
            pixels = resize(pixels, parts[row])
            _copy(pixels[:, ::-1] if mirrored[row] else pixels, targets[row])
        if self.dtype != np.uint8:
            floats = self._memory.empty(shape, self.dtype)
            array = np.multiply(array, np.float32(1 / 255), out=floats)
        return {self.column: array}

    def _boxes(self, sizes: np.ndarray, keys: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
        """Return which part of each image is shown, and whether it is mirrored."""
        assert self.shape is not None
        nothing = np.zeros(len(sizes), bool)
        if self.crop is None:
            return whole_boxes(sizes), nothing
        if self.crop == "center":
            return center_boxes(sizes, shape=self.shape, shorter_side=self.shorter_side or max(self.shape)), nothing
        numbers = uniform_numbers(needed_keys(keys, instead="center"), NUMBERS_A_BOX + 1)
        boxes = random_boxes(sizes, numbers[:, :-1], scale=self.scale, ratio=self.ratio)
        return boxes, numbers[:, -1] < 0.5 if self.flip else nothing

    def _ragged(self, images: list[OpenedImage | None], bad: dict[int, str]) -> Columns:
        """Return the pixels end to end, and their shapes."""
        shapes = np.array([(0, 0, 3) if it is None else (it.height, it.width, 3) for it in images], np.int64)
        offsets = np.concatenate([[0], np.cumsum(shapes.prod(axis=1))])
        values = self._memory.empty((int(offsets[-1]),), np.dtype(np.uint8))
        room = ImageRoom()
        for row, image in _taken(images):
            try:
                pixels = image.pixels(room=room)
            except ImageFault as exc:
                bad[row] = str(exc)
                continue
            values[offsets[row] : offsets[row + 1]] = pixels.ravel()
        return {self.column: Ragged(values, offsets), f"{self.column}_shape": shapes}


def _rows(column: Column) -> Iterable[tuple[Any, HasMarker | None]]:
    """Yield the rows, and what tells where JPEG markers are in them, if that is looked for in all of them together.

    Those of a column of bytes are views, since a copy of each takes time and memory.
    """
    if not isinstance(column, Ragged) or not column.is_bytes:
        yield from ((data, None) for data in column)
        return
    raw, search = column.spanned.data, MarkerSearch(column.spanned)
    for start, stop in pairwise((column.offsets - column.offsets[0]).tolist()):
        yield raw[start:stop], partial(_has_marker, search, start)


def _has_marker(search: MarkerSearch, place: int, start: int, stop: int) -> bool:
    return search.has_marker(place + start, place + stop)


def _taken(images: list[OpenedImage | None]) -> Iterable[tuple[int, OpenedImage]]:
    """Yield each image with its row, and forget it: Pillow's keep their pixels."""
    for row, image in enumerate(images):
        images[row] = None
        if image is not None:
            yield row, image
        del image


def _copy(pixels: np.ndarray, target: np.ndarray) -> None:
    """Copy pixels [height, width, 3]."""
    if pixels.flags.c_contiguous and target.flags.c_contiguous:
        target[...] = pixels
    else:
        for channel in range(3):  # NumPy copies a stride of three faster than threes
            target[..., channel] = pixels[..., channel]


def _shape(size: int | tuple[int, int]) -> tuple[int, int]:
    height, width = (size, size) if isinstance(size, int) else size
    if min(height, width) < 1:
        raise ValueError(f"size must be at least 1, or (height, width), got {size!r}")
    return height, width


def _decoder(name: str) -> str:
    """Return "turbo" or "pillow"."""
    if name not in ("auto", "turbo", "pillow"):
        raise ValueError(f"decoder must be 'auto', 'turbo' or 'pillow', got {name!r}")
    import_optional("PIL.Image", wanted_by="ImageDataset")
    if name == "turbo":
        for module in _TURBO:
            import_optional(module, wanted_by="ImageDataset(decoder='turbo')")
    if name == "auto":
        return "turbo" if all(map(importlib.util.find_spec, _TURBO)) else "pillow"
    return name
