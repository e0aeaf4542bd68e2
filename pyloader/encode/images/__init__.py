"""Encoded images -> pixels: opened, cropped by the rows' keys, decoded and resized."""

from pyloader.encode.images.dataset import ImageDataset

__all__ = ["ImageDataset"]
