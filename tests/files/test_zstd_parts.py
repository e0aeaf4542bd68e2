"""Where the frames of a zstd file begin, and which of them spans lie in."""

from __future__ import annotations

import pytest

from pyloader.files.zstd_frames import Frame
from pyloader.files.zstd_parts import FrameLog


def log_of(said=(10, 10, 10, 10)):
    """Return the log of four frames of ten bytes each, a hundred apart in the file."""
    log = FrameLog([Frame(100 * number, 100 * number + 50, size) for number, size in enumerate(said)])
    for number in range(1, 5):
        log.end_frame(10 * number)
    return log


def test_all_frames_say_how_much_they_unpack_to_or_nothing_is_known():
    assert log_of((1, 20, 300, 4000)).said_bytes == 4321
    assert log_of((1, None, 300, 4000)).said_bytes is None


@pytest.mark.parametrize(("offset", "found"), [(0, 0), (1, 10), (10, 10), (11, 20), (40, 40), (41, None)])
def test_the_first_frame_at_or_after_a_place_is_found_as_far_as_it_is_known(offset, found):
    assert log_of().start_from(offset) == found


@pytest.mark.parametrize(
    ("spans", "ranges", "pieces"),
    [
        ([(0, 10)], [(0, 50)], [(0, 10)]),
        ([(12, 18)], [(100, 150)], [(2, 8)]),
        ([(12, 25)], [(100, 150), (200, 250)], [(2, 15)]),
        ([(1, 2), (3, 4), (31, 33)], [(0, 50), (300, 350)], [(1, 2), (3, 4), (11, 13)]),  # two in one frame
        ([(8, 12), (18, 22)], [(0, 50), (100, 150), (200, 250)], [(8, 12), (18, 22)]),  # one frame is in both
        ([(12, 13), (28, 32)], [(100, 150), (200, 250), (300, 350)], [(2, 3), (18, 22)]),
    ],
)
def test_spans_are_found_again_in_what_their_frames_unpack_to(spans, ranges, pieces):
    assert log_of().ranges_of(spans) == (tuple(ranges), tuple(pieces))
