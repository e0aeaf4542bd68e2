"""Boxes are those of torchvision's RandomResizedCrop, Resize and CenterCrop."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pyloader.encode.images.boxes import NUMBERS_A_BOX, center_boxes, random_boxes, whole_boxes

SCALE, RATIO = (0.08, 1.0), (3 / 4, 4 / 3)


def box_of_torchvision(width, height, numbers, scale, ratio):
    """Return the box as RandomResizedCrop.get_params computes it, step by step, from numbers already drawn."""
    tries = (NUMBERS_A_BOX - 2) // 2
    for number in range(tries):
        target = width * height * (scale[0] + (scale[1] - scale[0]) * numbers[number])
        low, high = math.log(ratio[0]), math.log(ratio[1])
        aspect = math.exp(low + (high - low) * numbers[tries + number])
        w, h = round(math.sqrt(target * aspect)), round(math.sqrt(target / aspect))
        if 0 < w <= width and 0 < h <= height:
            return [int(numbers[-2] * (width - w + 1)), int(numbers[-1] * (height - h + 1)), w, h]
    if width / height < min(ratio):
        w, h = width, round(width / min(ratio))
    elif width / height > max(ratio):
        w, h = round(height * max(ratio)), height
    else:
        w, h = width, height
    return [(width - w) // 2, (height - h) // 2, w, h]


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.integers(1, 5000), st.integers(1, 5000)), min_size=1, max_size=8),
    st.integers(0, 2**32 - 1),
    st.sampled_from([(SCALE, RATIO), ((0.9, 1.0), (1.0, 1.0)), ((1.0, 1.0), (0.5, 2.0)), ((0.001, 0.002), (3.0, 4.0))]),
)
def test_a_random_box_is_the_one_that_torchvision_computes_of_the_same_numbers(sizes, seed, options):
    scale, ratio = options
    numbers = np.random.default_rng(seed).random((len(sizes), NUMBERS_A_BOX))
    boxes = random_boxes(np.array(sizes), numbers, scale=scale, ratio=ratio)
    for (width, height), drawn, box in zip(sizes, numbers, boxes.tolist(), strict=True):
        expected = box_of_torchvision(width, height, drawn, scale, ratio)
        left, top, w, h = box
        assert 0 <= left <= left + w <= width
        assert 0 <= top <= top + h <= height
        assert (w, h) >= (1, 1)
        if min(expected[2:]) > 0:  # of the flattest images torchvision shows nothing
            assert box == expected


def test_boxes_cover_the_areas_and_ratios_that_are_asked_for():
    numbers = np.random.default_rng(1).random((20_000, NUMBERS_A_BOX))
    left, top, width, height = random_boxes(np.full((20_000, 2), 1000), numbers, scale=SCALE, ratio=RATIO).T
    areas, ratios = width * height / 1e6, width / height
    assert areas.min() == pytest.approx(0.08, abs=0.002)
    assert areas.max() > 0.97
    assert (ratios.min(), ratios.max()) == pytest.approx(RATIO, abs=0.01)
    assert np.log(ratios).mean() == pytest.approx(0, abs=0.01)
    assert (left / (1000 - width + 1e-9)).mean() == pytest.approx(0.5, abs=0.02)
    assert (top / (1000 - height + 1e-9)).mean() == pytest.approx(0.5, abs=0.02)


def test_the_middle_is_what_resize_and_center_crop_show():
    sizes = np.array([[500, 375], [375, 500], [256, 256], [1000, 300]])
    boxes = center_boxes(sizes, shape=(192, 225), shorter_side=256)
    for (width, height), (left, top, w, h) in zip(sizes.tolist(), boxes.tolist(), strict=True):
        resized = [int(256 * side / min(width, height)) for side in (width, height)]
        corner = [round((side - crop) / 2) for side, crop in zip(resized, (225, 192), strict=True)]
        assert [left * resized[0] / width, top * resized[1] / height] == pytest.approx(corner)
        assert [w * resized[0] / width, h * resized[1] / height] == pytest.approx([225, 192])


def test_the_whole_is_everything():
    assert whole_boxes(np.array([[7, 5], [1, 1]])).tolist() == [[0, 0, 7, 5], [0, 0, 1, 1]]
