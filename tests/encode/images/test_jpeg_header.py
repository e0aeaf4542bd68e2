"""What a JPEG's segments say."""

from __future__ import annotations

import io
import re

import numpy as np
import pytest
from pictures import encoded, picture
from PIL import Image

from pyloader.encode.images import jpeg_header
from pyloader.encode.images.jpeg_header import MarkerSearch, read_jpeg_header, with_fewer_rows

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
    assert read_jpeg_header(data)[:2] == (has_exif, num_scans)


@pytest.mark.parametrize("data", [encoded(PIXELS), with_exif(), encoded(PIXELS, restart_marker_rows=1)])
def test_with_fewer_rows_it_is_an_image_of_that_height(data):
    fewer = with_fewer_rows(data, read_jpeg_header(data), 21)
    assert Image.open(io.BytesIO(fewer)).size == (40, 21)
    assert len(fewer) == len(data)


WHOLE = encoded(PIXELS)
SCAN = WHOLE.index(b"\xff\xda")


@pytest.mark.parametrize(
    "data",
    [
        encoded(PIXELS, progressive=True),
        WHOLE[:-2],
        WHOLE + b"\0",
        WHOLE[:-9] + b"\xff\xc4" + WHOLE[-9:],
        WHOLE[:-9] + b"\xff\xd1\xff\xda" + WHOLE[-9:],
    ],
    ids=["progressive", "cut", "bytes after the end", "a marker in the scan", "a restart and another scan"],
)
def test_rows_are_left_out_of_what_is_as_usual_alone(data):
    assert with_fewer_rows(data, read_jpeg_header(data), 21) is None


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
    assert read_jpeg_header(data) == (False, 0, 0, 0)


def test_every_cut_is_survived():
    data = with_exif()
    for length in range(0, len(data), 7):
        read_jpeg_header(data[:length])


def misleading():
    """Return a JPEG with a marker that has no length: who reads one there gets to a header in a comment."""
    header = WHOLE[2 : SCAN + 14]
    first = bytes(65515) + b"\xff\xe0\0\x14" + bytes(14)
    comment = b"\xff\xef" + (len(header) + 2).to_bytes(2, "big") + header
    return b"\xff\xd8\xff\x01\xff\xef\xff\xff" + first + comment + WHOLE[2:]


def test_a_marker_without_a_length_misleads_nobody():
    assert read_jpeg_header(misleading())[1:] == (2, 0, 0)


def test_markers_are_found_in_many_at_once_as_in_each(monkeypatch):
    monkeypatch.setattr(jpeg_header, "_PIECE_BYTES", 16)
    values = np.random.default_rng(0).choice(np.array([0, 1, 0xCF, 0xD0, 0xD7, 0xD8, 0xFF], np.uint8), 300)
    search, found = MarkerSearch(values), []
    for start in range(0, 290, 3):
        for stop in range(start, start + 9):
            found.append(search.has_marker(start, stop))
            assert found[-1] == bool(re.search(rb"\xff[^\0\xd0-\xd7]", values[start:stop].tobytes(), re.DOTALL))
    assert 100 < sum(found) < len(found) - 100


def test_a_marker_that_does_not_belong_is_found_in_its_image_alone():
    images = [WHOLE, WHOLE[:-9] + b"\xff\xc4" + WHOLE[-9:], WHOLE]
    search, place, made = MarkerSearch(np.frombuffer(b"".join(images), np.uint8)), 0, []
    for data in images:

        def has_marker(start: int, stop: int, place: int = place) -> bool:
            return search.has_marker(place + start, place + stop)

        made.append(with_fewer_rows(data, read_jpeg_header(data), 21, has_marker) is not None)
        place += len(data)
    assert made == [True, False, True]


APP_EXIF, APP_XMP = b"\xff\xe1\0\x08Exif\0\0", b"\xff\xe1\0\x0ehttp://ns.ad"
FRAME, FIRST_SCAN = b"\xff\xc0\0\x11\x08\0\x08\0\x08\x03" + bytes(9), b"\xff\xda\0\x0c\x03" + bytes(9)


@pytest.mark.parametrize(
    ("segments", "has_exif", "is_one_scan"),
    [
        (FRAME + FIRST_SCAN, False, True),
        (APP_EXIF + APP_XMP + FRAME + FIRST_SCAN, True, True),  # XMP is in a segment of the same kind
        (b"\xff\xff" + APP_EXIF + FRAME + FIRST_SCAN, True, True),
        (FRAME.replace(b"\xff\xc0", b"\xff\xc1") + FIRST_SCAN, False, True),
        (FRAME.replace(b"\xff\xc0", b"\xff\xc2") + FIRST_SCAN, False, False),
        (FRAME + FIRST_SCAN.replace(b"\x0c\x03", b"\x0c\x01"), False, False),  # of one of three colours
    ],
)
def test_segments_say_whether_there_is_exif_and_one_scan_of_all(segments, has_exif, is_one_scan):
    data = b"\xff\xd8" + segments + bytes(9) + b"\xff\xd9"
    header = read_jpeg_header(data)
    assert (header.has_exif, header.num_scans) == (has_exif, 1)
    assert header.scan_at == (data.index(b"\xff\xda") if is_one_scan else 0)
    assert (with_fewer_rows(data, header, 3) is not None) == is_one_scan
