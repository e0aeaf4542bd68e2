"""Resizing is Pillow's, with all decoders."""

from __future__ import annotations

import numpy as np
import pytest
from pictures import picture
from PIL import Image

from pyloader.encode.images.resizing import image_resizing

PIXELS = picture(320, 240)


@pytest.fixture(params=["turbo", "pillow"])
def resizing(request):
    if request.param == "turbo":
        pytest.importorskip("cykooz_resizer")
    return lambda shape, **options: image_resizing(shape, turbo=request.param == "turbo", **options)


def distance(one, other):
    return int(np.abs(one.astype(int) - np.asarray(other).astype(int)).max())


@pytest.mark.parametrize("shape", [(224, 224), (64, 100), (500, 600), (1, 1)])
@pytest.mark.parametrize("box", [(0, 0, 320, 240), (10, 20, 200, 150), (310, 230, 10, 10), (5, 5, 1, 200)])
def test_a_part_is_cropped_and_then_resized(resizing, shape, box):
    left, top, width, height = box
    resized = resizing(shape, sees_around=False)(PIXELS, box)
    image = Image.fromarray(PIXELS).crop((left, top, left + width, top + height))
    assert distance(resized, image.resize(shape[::-1], Image.Resampling.BILINEAR)) <= 1


@pytest.mark.parametrize("side", [32, 90, 128, 200])
def test_around_the_part_is_seen_where_the_image_is_resized_first(resizing, side):
    left, top, width, height = box = 40.5, 30.25, 160.0, 170.5
    resized = resizing((side, side), sees_around=True)(PIXELS, box)
    corners = (left, top, left + width, top + height)
    expected = Image.fromarray(PIXELS).resize((side, side), Image.Resampling.BILINEAR, box=corners)
    assert distance(resized, expected) <= 1


def test_a_part_of_the_right_shape_is_not_touched(resizing):
    part = resizing((50, 60), sees_around=False)(PIXELS, (7, 8, 60, 50))
    assert np.array_equal(part, PIXELS[8:58, 7:67])


def test_mirrored_and_turned_pixels_are_resized_too(resizing):
    turned = PIXELS.transpose(1, 0, 2)[::-1, ::-1]
    resized = resizing((50, 40), sees_around=False)(turned, (3, 4, 200, 300))
    expected = resizing((50, 40), sees_around=False)(np.ascontiguousarray(turned), (3, 4, 200, 300))
    assert np.array_equal(resized, expected)


def test_vector_instructions_change_no_pixel():
    cykooz = pytest.importorskip("cykooz_resizer")
    found = []
    for extensions in cykooz.CpuExtensions:
        resizer = cykooz.Resizer()
        try:
            resizer.cpu_extensions = extensions
        except Exception:  # not of this processor
            continue
        target = cykooz.ImageData(224, 224, cykooz.PixelType.U8x3)
        bilinear = cykooz.ResizeAlg.convolution(cykooz.FilterType.bilinear)
        options = cykooz.ResizeOptions(bilinear, crop_box=cykooz.CropBox(3.25, 4.5, 300.5, 200.75))
        resizer.resize(cykooz.ImageData(320, 240, cykooz.PixelType.U8x3, PIXELS.tobytes()), target, options)
        found.append(target.get_buffer())
    assert len(set(found)) == 1


@pytest.mark.frameworks
@pytest.mark.parametrize("shape", [(224, 224), (64, 100), (300, 400)])
def test_resizing_is_that_of_torch_within_one_level(resizing, shape):
    torch = pytest.importorskip("torch")
    planes = torch.from_numpy(PIXELS).permute(2, 0, 1)[None].float()
    expected = torch.nn.functional.interpolate(planes, shape, mode="bilinear", antialias=True, align_corners=False)
    resized = resizing(shape, sees_around=False)(PIXELS, (0, 0, 320, 240))
    assert distance(resized, expected[0].permute(1, 2, 0).round().clamp(0, 255).numpy()) <= 1
