"""Damaged images are an error or an image: never a crash, never more memory than max_pixels bounds.

`PYLOADER_IMAGES=10000` asks for so many; the seed is in the name of what fails.
"""

from __future__ import annotations

import os
import random
import resource
import struct
import sys

import numpy as np
import pytest
from pictures import encoded, picture
from PIL import Image
from products import ALL

from pyloader.encode.images.opening import ImageFault, ImageRoom, open_image

NUM_IMAGES = int(os.environ.get("PYLOADER_IMAGES", 10_000 if ALL else 300))
MAX_PIXELS = 1_000_000
MOST_BYTES = 64 * 2**20  # 18 for each pixel, and what libraries load


def good_images() -> list[bytes]:
    pixels = picture(90, 61)
    exif = Image.Exif()
    exif[0x0112] = 6
    return [
        encoded(pixels),
        encoded(pixels, exif=exif, progressive=True),
        encoded(pixels[..., 0]),
        encoded(Image.fromarray(pixels).convert("CMYK")),
        encoded(pixels, "PNG"),
        encoded(Image.fromarray(pixels).convert("P"), "PNG"),
        encoded(Image.fromarray((pixels[..., 0].astype(np.uint16) << 8) + 9), "PNG"),
        encoded(pixels, "WEBP"),
        encoded(pixels, "GIF", save_all=True, append_images=[Image.fromarray(255 - pixels)]),
        encoded(pixels, "BMP"),
        encoded(pixels, "TIFF", compression="tiff_lzw"),
    ]


def damaged(image: bytes, rng: random.Random) -> bytes:
    """Return the image with one to three faults."""
    data = bytearray(image)
    for _ in range(rng.randint(1, 3)):
        place = rng.randrange(len(data) if rng.random() < 0.5 else min(len(data), 400))
        fault = rng.choice(["flip", "flips", "cut", "zeros", "insert", "repeat", "sizes"])
        if fault == "flip":
            data[place] ^= 1 << rng.randrange(8)
        elif fault == "flips":
            for _ in range(20):
                data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
        elif fault == "cut":
            del data[max(1, place) :]
        elif fault == "zeros":
            data[place : place + 16] = bytes(16)
        elif fault == "insert":
            data[place:place] = rng.randbytes(rng.randint(1, 40))
        elif fault == "repeat":
            data[place:place] = data[place : place + rng.randint(1, 200)] * rng.randint(1, 5)
        else:
            data[place : place + 4] = struct.pack(">HH", rng.choice([0, 1, 999, 65535]), rng.choice([1, 1001, 65535]))
    return bytes(data)


@pytest.mark.filterwarnings("ignore")  # Pillow's, about what it finds
@pytest.mark.parametrize("decoder", ["turbo", "pillow"])
def test_a_damaged_image_is_an_error_or_an_image(decoder):
    if decoder == "turbo":
        pytest.importorskip("simplejpeg")
    seed = random.randrange(2**32)
    rng, goods = random.Random(seed), good_images()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    num_decoded, room = 0, ImageRoom()
    for number in range(NUM_IMAGES):
        data = damaged(rng.choice(goods), rng)
        try:
            image = open_image(data, turbo=decoder == "turbo", max_pixels=MAX_PIXELS)
            divisor = rng.choice([1, 2, 4, 8]) if image.is_jpeg else 1
            pixels = image.pixels(divisor)
            rows = rng.randint(1, len(pixels))
            again = open_image(memoryview(data), turbo=decoder == "turbo", max_pixels=MAX_PIXELS)
            some = again.pixels(divisor, (0, 0, pixels.shape[1], rows), room=room)
        except ImageFault as fault:
            assert str(fault)
        except Exception as exc:
            raise AssertionError(f"seed {seed}, image {number}") from exc
        else:
            shape = -(-image.height // divisor), -(-image.width // divisor), 3
            assert (pixels.dtype, pixels.shape) == (np.uint8, shape), f"seed {seed}, image {number}"
            assert pixels.size <= 3 * MAX_PIXELS
            assert np.array_equal(some[:rows], pixels[:rows]), f"seed {seed}, image {number}"
            num_decoded += 1
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown * (1 if sys.platform == "darwin" else 1024) < MOST_BYTES
    assert NUM_IMAGES // 20 < num_decoded < NUM_IMAGES
