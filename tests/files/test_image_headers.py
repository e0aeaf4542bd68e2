"""The header of an image says what it is and how large, as Pillow finds it, and tells when the file ends early."""

from __future__ import annotations

import io
import random
from typing import Any

import pytest

from pyloader.files.image_headers import ImageHeader, ImageHeaderError, read_image_header

Image = pytest.importorskip("PIL.Image")

# Format -> mode, and options of Pillow.
KINDS: dict[str, tuple[str, dict[str, Any]]] = {
    "JPEG": ("RGB", {}),
    "JPEG progressive": ("L", {"progressive": True, "exif": b"Exif\0\0MM\0*\0\0\0\x08\0\0\0\0\0\0"}),
    "JPEG of inks": ("CMYK", {}),
    "PNG": ("RGBA", {}),
    "PNG palette": ("P", {}),
    "WebP": ("RGB", {}),
    "WebP lossless": ("RGB", {"lossless": True}),
    "WebP extended": ("RGBA", {"exif": b"Exif\0\0MM\0*\0\0\0\x08\0\0\0\0\0\0"}),
    "GIF": ("P", {}),
    "BMP": ("RGB", {}),
    "TIFF": ("RGB", {}),
    "TIFF packed": ("L", {"compression": "tiff_lzw"}),
}


def encoded(kind: str, size: tuple[int, int] = (37, 21)) -> bytes:
    mode, options = KINDS[kind]
    image = Image.effect_noise(size, 60).convert(mode)
    file = io.BytesIO()
    image.save(file, kind.split()[0], **options)
    return file.getvalue()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("size", [(1, 1), (37, 21), (300, 7)])
def test_format_and_size_are_those_of_pillow(kind: str, size: tuple[int, int]) -> None:
    data = encoded(kind, size)
    assert read_image_header(data) == ImageHeader(kind.split()[0], *size)
    with Image.open(io.BytesIO(data)) as image:
        assert image.size == size


@pytest.mark.parametrize("kind", ["JPEG", "JPEG progressive", "PNG", "PNG palette", "WebP", "WebP lossless"])
def test_a_file_that_was_cut_ends_early_wherever_that_was(kind: str) -> None:
    data = encoded(kind)
    for length in range(12, len(data) - 13, 7):
        with pytest.raises(ImageHeaderError, match="ends early"):
            read_image_header(data[:length])


@pytest.mark.parametrize("kind", KINDS)
def test_whatever_is_in_a_file_it_is_a_header_or_an_error(kind: str) -> None:
    data = bytearray(encoded(kind))
    noise = random.Random(kind)
    for _ in range(200):
        damaged = bytearray(data)
        for _ in range(noise.choice((1, 3, 20))):
            damaged[noise.randrange(min(len(damaged), 200))] = noise.randrange(256)
        try:
            found = read_image_header(bytes(damaged[: noise.choice((len(damaged), 30, 60))]))
        except ImageHeaderError:
            continue
        assert min(found.width, found.height) > 0


@pytest.mark.parametrize(
    ("data", "complaint"),
    [
        (b"", "is empty"),
        (b"<!DOCTYPE html><html>", "is no image: it begins with b'<!DOCTYP'"),
        (b"RIFF\0\0\0\0WAVEfmt ", "is no image: it is of the kind b'WAVE'"),
        (b"\xff\xd8\xff\xd9", "is a JPEG without an image"),
        (b"\xff\xd8\xff\xe0\0\x02xx", "is a damaged JPEG: there is no marker"),
        (b"\xff\xd8" + b"\xff" * 100_000, "is a damaged JPEG"),
        (b"GIF89a\0\0\x07\0", "is a GIF of 0 x 7 pixels"),
    ],
)
def test_what_is_no_image_is_said(data: bytes, complaint: str) -> None:
    with pytest.raises(ImageHeaderError, match=complaint):
        read_image_header(data)


def test_a_bomb_is_known_by_its_header_alone() -> None:
    data = bytearray(encoded("PNG"))
    data[16:24] = (2**31 - 1).to_bytes(4, "big") * 2
    assert read_image_header(bytes(data)) == ImageHeader("PNG", 2**31 - 1, 2**31 - 1)
