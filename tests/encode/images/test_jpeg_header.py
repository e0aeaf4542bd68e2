"""What a JPEG's segments say."""

from __future__ import annotations

import pytest
from pictures import encoded, picture
from PIL import Image

from pyloader.encode.images.jpeg_header import read_jpeg_header

PIXELS = picture(40, 30)


def with_exif():
    exif = Image.Exif()
    exif[0x0112] = 6
    return encoded(PIXELS, exif=exif)


@pytest.mark.parametrize(
    ("data", "has_exif", "num_scans"),
    [
        (encoded(PIXELS), False, 1),
        (encoded(PIXELS[..., 0]), False, 1),
        (encoded(PIXELS, comment=b"\xff\xda" * 300), False, 1),
        (with_exif(), True, 1),
    ],
    ids=["plain", "grey", "scans in a comment", "exif"],
)
def test_exif_and_scans_are_found(data, has_exif, num_scans):
    assert read_jpeg_header(data) == (has_exif, num_scans)


def test_the_scans_of_a_progressive_image_are_counted():
    progressive = encoded(PIXELS, progressive=True)
    assert 5 < read_jpeg_header(progressive).num_scans < 20
    end = progressive.rindex(b"\xff\xda")
    again = progressive[:-2] + progressive[end:-2] * 500 + b"\xff\xd9"
    assert read_jpeg_header(again).num_scans > 500


@pytest.mark.parametrize(
    "data", [b"", b"\xff\xd8\xff", b"\xff\xd8" + b"\xff" * 5000, b"\xff\xd8" + b"\xff\xe0\0\0" * 5000]
)
def test_what_is_no_header_ends_the_walk(data):
    assert read_jpeg_header(data) == (False, 0)


def test_every_cut_is_survived():
    data = with_exif()
    for length in range(0, len(data), 7):
        read_jpeg_header(data[:length])
