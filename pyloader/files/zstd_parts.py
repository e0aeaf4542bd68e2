"""Where the frames of a zstd file begin, noted while it is unpacked from end to end."""

from __future__ import annotations

import bisect
from collections.abc import Sequence

from pyloader.files.zstd_frames import Frame
from pyloader.part import joined_ranges

__all__ = ["FrameLog"]


class FrameLog:
    """Where the frames of a file begin, unpacked, as far as the file was read.

    Attributes:
      num_bytes: How many bytes were unpacked.
      said_bytes: How many bytes all frames say that they unpack to; None where one does not say it.
    """

    def __init__(self, frames: Sequence[Frame]) -> None:
        self._frames, self._starts = frames, [0]
        said = [frame.said_bytes for frame in frames]
        self.num_bytes = 0
        self.said_bytes = None if None in said else sum(size or 0 for size in said)

    def end_frame(self, num_bytes: int) -> None:
        """Note that the next frame begins after `num_bytes`, unpacked."""
        self._starts.append(num_bytes)

    def start_from(self, offset: int) -> int | None:
        """Return where the first frame begins at or after `offset`, unpacked; None where that is not known yet."""
        at = bisect.bisect_left(self._starts, offset)
        return self._starts[at] if at < len(self._starts) else None

    def ranges_of(
        self, spans: Sequence[tuple[int, int]]
    ) -> tuple[tuple[tuple[int, int], ...], tuple[tuple[int, int], ...]]:
        """Return the frames that unpacked spans lie in, in bytes of the file, and the spans in what those unpack to."""
        chosen: dict[int, int] = {}  # frame -> where it begins in what they all unpack to
        pieces, room = [], 0
        for start, stop in spans:
            first, after = bisect.bisect_right(self._starts, start) - 1, bisect.bisect_left(self._starts, stop)
            for number in range(first, after):
                if number not in chosen:
                    chosen[number] = room
                    room += self._starts[number + 1] - self._starts[number]
            begin = chosen[first] + start - self._starts[first]
            pieces.append((begin, begin + stop - start))
        ranges = [(self._frames[number].start, self._frames[number].stop) for number in chosen]
        return joined_ranges(ranges), joined_ranges(pieces)
