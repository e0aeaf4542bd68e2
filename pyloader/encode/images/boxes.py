"""Boxes: which part of each image a row shows, chosen as torchvision's transforms choose it.

A box is left, top, width and height, in pixels of the whole image.
"""

from __future__ import annotations

import numpy as np

__all__ = ["NUMBERS_A_BOX", "center_boxes", "random_boxes", "whole_boxes"]

_TRIES = 10
NUMBERS_A_BOX = 2 * _TRIES + 2  # how many uniform numbers a random box is drawn from


def random_boxes(
    sizes: np.ndarray, numbers: np.ndarray, *, scale: tuple[float, float], ratio: tuple[float, float]
) -> np.ndarray:
    """Return a box for each row as RandomResizedCrop draws it: whole pixels; after ten boxes that do not fit, the
    largest in the middle whose ratio is allowed.

    Args:
      sizes: Width and height of each image, int64 of shape [rows, 2].
      numbers: Uniform in [0, 1), float64 of shape [rows, NUMBERS_A_BOX].
      scale: The smallest and the largest part of the area.
      ratio: The smallest and the largest width / height.

    Returns:
      float64 array of shape [rows, 4].
    """
    rows = np.arange(len(sizes))
    widths, heights = sizes.T
    areas = (widths * heights)[:, None] * _spread(numbers[:, :_TRIES], *scale)
    ratios = np.exp(_spread(numbers[:, _TRIES : 2 * _TRIES], *np.log(ratio)))
    tried = np.rint(np.sqrt(np.stack([areas * ratios, areas / ratios], axis=2)))  # [rows, tries, 2]
    fits = ((tried > 0) & (tried <= sizes[:, None])).all(axis=2)
    drawn = tried[rows, fits.argmax(axis=1)]
    corners = np.floor(numbers[:, 2 * _TRIES :] * (sizes - drawn + 1))

    low, high = ratio
    allowed = np.stack(
        [np.minimum(widths, np.rint(heights * high)), np.minimum(heights, np.rint(widths / low))], axis=1
    )
    found = fits.any(axis=1, keepdims=True)
    chosen = np.where(found, drawn, np.maximum(allowed, 1))
    boxes: np.ndarray = np.concatenate([np.where(found, corners, (sizes - chosen) // 2), chosen], axis=1)
    return boxes


def center_boxes(sizes: np.ndarray, *, shape: tuple[int, int], shorter_side: int) -> np.ndarray:
    """Return the box for each row that Resize(shorter_side) and CenterCrop(shape) show.

    Args:
      sizes: As for `random_boxes`.
      shape: Height and width of the crop, in pixels of the resized image.
      shorter_side: The shorter side of the resized image, at least both of `shape`.
    """
    resized = shorter_side * sizes // sizes.min(axis=1, keepdims=True)
    crop = np.array(shape[::-1])
    factors = sizes / resized
    boxes: np.ndarray = np.concatenate([np.rint((resized - crop) / 2) * factors, crop * factors], axis=1)
    return boxes


def whole_boxes(sizes: np.ndarray) -> np.ndarray:
    """Return the box of all of each image."""
    return np.concatenate([np.zeros_like(sizes), sizes], axis=1).astype(np.float64)


def _spread(numbers: np.ndarray, low: float, high: float) -> np.ndarray:
    return low + (high - low) * numbers
