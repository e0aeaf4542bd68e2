"""Pictures: pixels with edges and gradients, encoded; and shards of them."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

__all__ = ["encoded", "noise_jpegs", "picture", "write_shard"]


def picture(width: int, height: int, *, seed: int = 0) -> np.ndarray:
    """Return uint8 [height, width, 3]: soft light, and boxes with sharp edges."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:height, 0:width]
    waves = [np.sin(x / rng.uniform(9, 60) + y / rng.uniform(9, 60) + rng.uniform(0, 6)) for _ in range(3)]
    pixels = 127 + 90 * np.stack(waves, axis=2)
    for _ in range(12):
        left, top = rng.integers(0, width), rng.integers(0, height)
        pixels[top : top + height // 5 + 1, left : left + width // 7 + 1] = rng.integers(0, 256, 3)
    return pixels.astype(np.uint8)


def encoded(pixels: np.ndarray | Image.Image, kind: str = "JPEG", **options: Any) -> bytes:
    """Return an image as bytes; of JPEG with quality 90."""
    file = io.BytesIO()
    image = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    image.save(file, kind, **({"quality": 90} if kind == "JPEG" else {}) | options)
    return file.getvalue()


def noise_jpegs(count: int, *, width: int = 40, height: int = 30) -> list[bytes]:
    """Return JPEGs of which no two look alike, of about that size."""
    return [encoded(picture(width + number % 7, height + number % 5, seed=number)) for number in range(count)]


def write_shard(path: Path, images: Iterable[bytes], *, first: int = 0) -> Path:
    """Write a WebDataset shard of images, "jpg", and their numbers, "cls"; return its path."""
    with tarfile.open(path, "w") as shard:
        for number, image in enumerate(images, start=first):
            for extension, content in (("cls", str(number).encode()), ("jpg", image)):
                member = tarfile.TarInfo(f"{number:06d}.{extension}")
                member.size = len(content)
                shard.addfile(member, io.BytesIO(content))
    return path
