"""Images of all kinds are opened and decoded; what is none is told by its bytes."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
import pytest
from pictures import encoded, picture
from PIL import Image, ImageOps

from pyloader.encode.images.opening import ImageFault, ImageRoom, OpenedImage, open_image

PIXELS = picture(41, 30)


@pytest.fixture(params=["turbo", "pillow"])
def opened(request):
    if request.param == "turbo":
        pytest.importorskip("simplejpeg")
    return lambda data, max_pixels=10**6: open_image(data, turbo=request.param == "turbo", max_pixels=max_pixels)


def as_pillow(data):
    """Return the pixels as most programs get them: Pillow's, upright, as RGB."""
    return np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(data))).convert("RGB"))


@pytest.mark.parametrize(
    "data",
    [
        encoded(PIXELS),
        encoded(PIXELS, progressive=True),
        encoded(PIXELS, subsampling=0),
        encoded(PIXELS, keep_rgb=True),
        encoded(PIXELS[..., 0]),
        encoded(Image.fromarray(PIXELS).convert("CMYK")),
        encoded(PIXELS, "PNG"),
        encoded(Image.fromarray(PIXELS).convert("1"), "PNG"),
        encoded(Image.fromarray(PIXELS).convert("P"), "PNG"),
        encoded(Image.fromarray(PIXELS).convert("LA"), "PNG"),
        encoded(Image.fromarray(PIXELS).convert("RGBA"), "PNG"),
        encoded(PIXELS, "WEBP", lossless=True),
        encoded(PIXELS, "BMP"),
        encoded(PIXELS, "TIFF", compression="tiff_lzw"),
        encoded(PIXELS, "GIF", save_all=True, append_images=[Image.fromarray(255 - PIXELS)]),
    ],
    ids=[
        "jpeg",
        "progressive",
        "444",
        "rgb",
        "grey",
        "cmyk",
        "png",
        "bits",
        "palette",
        "grey-alpha",
        "rgba",
        "webp",
        "bmp",
        "tiff",
        "gif",
    ],
)
def test_pixels_are_those_of_pillow(opened, data):
    image = opened(data)
    pixels = image.pixels()
    assert (image.width, image.height, pixels.dtype) == (41, 30, np.uint8)
    assert np.array_equal(pixels, as_pillow(data))


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_pixels_are_upright(opened, orientation, kind):
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encoded(PIXELS, kind, exif=exif)
    image = opened(data)
    assert np.array_equal(image.pixels(), as_pillow(data))
    assert image.pixels().shape == (image.height, image.width, 3)


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_sixteen_bits_become_eight(opened, kind):
    deep = (picture(41, 30)[..., 0].astype(np.uint16) << 8) + 77
    pixels = opened(encoded(Image.fromarray(deep), kind)).pixels()
    assert np.array_equal(pixels, np.repeat((deep >> 8)[..., None], 3, axis=2))


def test_floats_are_no_pixels(opened):
    floats = encoded(Image.fromarray(np.ones((3, 3), np.float32)), "TIFF")
    with pytest.raises(ImageFault, match="has floats for pixels"):
        opened(floats).pixels()


def test_a_palette_with_transparency_warns_of_nothing(opened):
    image = Image.fromarray(PIXELS).convert("P")
    data = encoded(image, "PNG", transparency=bytes(range(256)))
    assert np.array_equal(opened(data).pixels(), np.asarray(image.convert("RGB")))


@pytest.mark.parametrize("divisor", [2, 4, 8])
@pytest.mark.parametrize(("width", "height"), [(500, 375), (501, 377), (17, 9)])
def test_a_jpeg_is_decoded_smaller(opened, divisor, width, height):
    data = encoded(picture(width, height))
    pixels = opened(data).pixels(divisor)
    assert pixels.shape == (-(-height // divisor), -(-width // divisor), 3)
    averages = Image.fromarray(as_pillow(data)).reduce(divisor)
    if width > 100:
        assert np.abs(pixels.astype(int) - np.asarray(averages)).mean() < 3


ALL_KINDS = [
    pytest.param(
        options, marks=[] if options == {"subsampling": 2} else pytest.mark.slow, id="-".join(map(str, options))
    )
    for options in (
        {"subsampling": 2},
        {"subsampling": 1},
        {"subsampling": 0},
        {"subsampling": "4:1:1"},
        {"subsampling": 2, "progressive": True},
        {"subsampling": 2, "restart_marker_rows": 1},
        {"keep_rgb": True},
    )
]


@pytest.mark.parametrize("divisor", [1, 2, 4, 8])
@pytest.mark.parametrize("options", ALL_KINDS)
def test_rows_from_the_top_are_those_of_the_whole(opened, options, divisor):
    data = encoded(picture(41, 90), **options)
    whole = opened(data).pixels(divisor)
    for num_rows in range(1, len(whole) + 2):
        some = opened(data).pixels(divisor, (0, 0, 1, num_rows))
        assert np.array_equal(some[:num_rows], whole[:num_rows])


def test_rows_below_those_that_are_needed_are_not_decoded():
    pytest.importorskip("simplejpeg")
    data = encoded(picture(41, 90))
    room = ImageRoom()
    room.shaped((90, 41, 3))[...] = 7
    some = open_image(data, turbo=True, max_pixels=10**6).pixels(1, (0, 0, 41, 40), room=room)
    assert np.array_equal(some[:40], as_pillow(data)[:40])
    assert (some[42:] == 7).all()
    whole = open_image(data + b"\0", turbo=True, max_pixels=10**6).pixels(1, (0, 0, 41, 40), room=room)
    assert np.array_equal(whole, as_pillow(data))


PARTS = [(0, 0, 30, 20), (50, 0, 90, 20), (0, 40, 30, 60), (50, 40, 90, 60), (89, 59, 90, 60), (0, 0, 1, 1)]


@pytest.mark.parametrize("divisor", [1, 2])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_part_of_a_turned_image_is_that_of_the_whole(opened, orientation, divisor):
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encoded(picture(90 * divisor, 60 * divisor), exif=exif)
    whole = opened(data).pixels(divisor)
    room = ImageRoom()
    for number, (left, top, right, bottom) in enumerate(PARTS):
        if orientation > 4:
            left, top, right, bottom = top, left, bottom, right
        room.shaped((60, 90, 3))[...] = number
        some = opened(data).pixels(divisor, (left, top, right, bottom), room=room)
        assert np.array_equal(some[top:bottom, left:right], whole[top:bottom, left:right])


def test_of_a_turned_image_rows_after_the_part_are_not_decoded():
    pytest.importorskip("simplejpeg")
    exif = Image.Exif()
    for orientation, part in ((3, (0, 40, 90, 60)), (6, (40, 0, 60, 90)), (8, (0, 0, 20, 90))):
        exif[0x0112] = orientation
        data = encoded(picture(90, 60), exif=exif)
        room = ImageRoom()
        stored = room.shaped((60, 90, 3))
        stored[...] = 7
        open_image(data, turbo=True, max_pixels=10**6).pixels(1, part, room=room)
        assert (stored[22:] == 7).all()
        assert not (stored[:22] == 7).all()


def test_the_room_for_images_grows_with_them_and_is_used_again():
    room = ImageRoom()
    small, large = room.shaped((2, 3)), room.shaped((40, 50, 3))
    assert (small.shape, large.shape) == ((2, 3), (40, 50, 3))
    assert np.shares_memory(large, room.shaped((2, 3)))


@pytest.mark.parametrize("num_rows", [1, 25, 60])
def test_a_jpeg_that_is_cut_is_an_error_whatever_rows_are_needed(opened, num_rows):
    data = encoded(picture(41, 60))
    with pytest.raises(ImageFault, match="cannot be decoded"):
        opened(data[:-200]).pixels(1, (0, 0, 41, num_rows))


@pytest.mark.parametrize("before", [b"\xff\xc0", b"\xff\xd9"], ids=["frame", "end"])
def test_bytes_too_many_before_a_marker_are_no_fault(opened, before):
    data = encoded(PIXELS)
    place = data.rindex(before)
    assert np.array_equal(opened(data[:place] + b"\x11" * 200 + data[place:]).pixels(), as_pillow(data))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", r"is empty, which is no JPEG, PNG, WEBP, GIF, BMP or TIFF"),
        (b"<html>", r"begins with b'<htm', which is no JPEG"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "begins with b'%!PS'"),
        (encoded(PIXELS, "PPM"), "begins with b'P6.*which is no JPEG"),
        ("photos/a.jpg", "is str, not the bytes of an image"),
        (None, "is NoneType, not the bytes"),
    ],
    ids=["empty", "html", "eps", "ppm", "path", "none"],
)
def test_what_is_no_image_says_what_it_begins_with(opened, data, message):
    with pytest.raises(ImageFault, match=message):
        opened(data)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_an_image_that_ends_early_cannot_be_decoded(opened, kind):
    data = encoded(PIXELS, kind)
    with pytest.raises(ImageFault, match=r"cannot be (decoded|opened as an image) \(.+\)|begins with"):
        opened(data[: len(data) * 2 // 3]).pixels()


def bomb(kind, width, height):
    """Return an image that says it is so large, and holds next to nothing."""
    if kind == "JPEG":
        data = bytearray(encoded(PIXELS))
        place = data.index(b"\xff\xc0") + 5
        data[place : place + 4] = struct.pack(">HH", height, width)
        return bytes(data)
    if kind == "GIF":
        data = bytearray(encoded(PIXELS, "GIF"))
        data[6:10] = struct.pack("<HH", width, height)
        return bytes(data)

    def part(name, content):
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    content = zlib.compress(bytes(1000))
    return b"\x89PNG\r\n\x1a\n" + part(b"IHDR", header) + part(b"IDAT", content) + part(b"IEND", b"")


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF"])
@pytest.mark.parametrize(("width", "height"), [(60_000, 60_000), (40_000, 25_000), (1001, 1000)])
def test_a_bomb_is_refused_from_its_header(opened, kind, width, height):
    with pytest.raises(ImageFault, match=r"more than max_pixels=1,000,000|could be decompression bomb|exceeds limit"):
        opened(bomb(kind, width, height))


def test_a_jpeg_of_ever_more_scans_is_refused(opened):
    data = encoded(PIXELS, progressive=True)
    last = data.rindex(b"\xff\xda")
    with pytest.raises(ImageFault, match=r"has \d{3} scans, more than 100"):
        opened(data[:-2] + data[last:-2] * 200 + b"\xff\xd9")


def test_pixels_of_another_size_than_the_header_says_are_not_taken():
    image = OpenedImage(41, 30, 1, lambda *given: PIXELS[:20], is_jpeg=True)
    with pytest.raises(ImageFault, match="is 41 x 30 by its header, and holds other pixels"):
        image.pixels()


@pytest.mark.parametrize("orientation", [0, 9, 60_000])
def test_an_orientation_that_there_is_not_is_none(opened, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    image = opened(encoded(PIXELS, exif=exif))
    assert image.pixels().shape == (30, 41, 3)


def test_damaged_exif_says_nothing(opened):
    exif = Image.Exif()
    exif[0x0112] = 6
    data = encoded(PIXELS, exif=exif).replace(b"Exif\0\0MM", b"Exif\0\0??").replace(b"Exif\0\0II", b"Exif\0\0??")
    assert opened(data).width == 41
