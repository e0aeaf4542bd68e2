"""Scikit-learn's digits, 1,797 of 8 x 8 pixels, as chunks: the data of the image examples in Flax and torch_images.py.

They import it from here.
"""

from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits

import pyloader

SPLIT = {"num_chunks": 16, "shuffle": True, "holdout": {"val": 0.2}}  # into CHUNKS/train and CHUNKS/val


def array_chunks(work: Path) -> Path:
    """Return where the digits are as arrays, grey values from 0 to 16; they are written where they are not there."""
    chunks = work / "chunks"
    if not chunks.exists():
        digits = load_digits()
        work.mkdir(parents=True, exist_ok=True)
        files = {name: work / f"{name}.npy" for name in ("data", "label")}
        np.save(files["data"], digits.images.astype(np.uint8))
        np.save(files["label"], digits.target.astype(np.int32))
        pyloader.split(files, chunks, **SPLIT)
    return chunks


def photo_chunks(work: Path) -> Path:
    """Return where the digits are as JPEGs of 32 x 32; they are written where they are not there."""
    from PIL import Image  # not needed for arrays

    chunks, photos = work / "chunks", work / "photos"
    if not chunks.exists():
        digits = load_digits()
        for number, (pixels, label) in enumerate(zip(digits.images, digits.target, strict=True)):
            (photos / str(label)).mkdir(parents=True, exist_ok=True)
            image = Image.fromarray((pixels * 15.9375).astype("uint8")).resize((32, 32), Image.Resampling.BICUBIC)
            image.save(photos / str(label) / f"{number:04d}.jpg", quality=90)
        pyloader.split(photos, chunks, **SPLIT)  # a folder for each class
    return chunks
