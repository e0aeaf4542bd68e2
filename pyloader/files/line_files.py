"""A file of lines in places, each of which can be read, and unpacked, by itself."""

from __future__ import annotations

import io
import os
from abc import abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from pyloader.files.compressors import packing_of, unreadable
from pyloader.files.stored_path import StoredPath, bytes_at, num_bytes_of, open_bytes
from pyloader.files.zstd_frames import Frame, UnpackedFrames, frames_of
from pyloader.files.zstd_parts import FrameLog

__all__ = ["LineFile", "PlaceReader", "open_lines"]

_PLACE_BYTES = 2**22  # read by one thread while others read the next ones
_BUFFER_BYTES = 2**17
_MOST_FRAME_BYTES = 2**24  # of a frame that is kept, unpacked, until those before it have come


class PlaceReader:
    """Reads a place of a file from its beginning to its end.

    Attributes:
      frame_ends: After how many bytes, unpacked, frames have ended since that was last emptied.
    """

    def __init__(self) -> None:
        self.frame_ends: list[int] = []

    @abstractmethod
    def readinto(self, target: memoryview) -> int:
        """Read some bytes, unpacked; 0 at the end."""

    def close(self) -> None:
        """Close what was opened for it."""


class LineFile:
    """A file of lines.  Use it in `with`.

    Attributes:
      frames: Where its frames begin, as far as places were read; None of a file that is not packed.
      num_bytes: How many bytes it has unpacked, as far as places were read.
      can_be_apart: Whether several places can be read at the same time.
    """

    def __init__(self, path: str, frames: FrameLog | None = None) -> None:
        self.frames, self.num_bytes = frames, 0
        self.can_be_apart = not isinstance(path, StoredPath)
        self._path, self._file = path, open_bytes(path)

    def __enter__(self) -> LineFile:
        return self

    def __exit__(self, *exc: object) -> None:
        self._file.close()

    @abstractmethod
    def places(self, *, apart: bool) -> Iterable[Any]:
        """Return the places of the file, in order: many, where they are read at the same time."""

    @abstractmethod
    def opened(self, place: Any) -> PlaceReader:
        """Open a place."""


def open_lines(path: str) -> LineFile | None:
    """Open a file of lines; None where it cannot be cut.

    Raises:
      OSError, ChunkReadError: it cannot be read, or is damaged.
    """
    packing = packing_of(path)
    if not packing:
        return _PlainLines(path)
    if packing != ".zst" or len(frames := frames_of(path)) < 2:
        return None
    return _FramesOfLines(path, frames)


class _PlainLines(LineFile):
    def places(self, *, apart: bool) -> Iterable[tuple[int, int]]:
        size = num_bytes_of(self._path)
        step = _PLACE_BYTES if apart else max(1, size)
        return ((start, min(size, start + step)) for start in range(0, size, step))

    def opened(self, place: tuple[int, int]) -> PlaceReader:
        return _PlainPlace(self._path, self._file, *place)


class _PlainPlace(PlaceReader):
    def __init__(self, path: str, file: io.RawIOBase, start: int, stop: int) -> None:
        super().__init__()
        self._path, self._file, self._at, self._stop = path, file, start, stop

    def readinto(self, target: memoryview) -> int:
        target = target[: self._stop - self._at]
        if isinstance(self._path, StoredPath):
            found = bytes_at(self._file, self._at, len(target))
            target[: len(found)] = found
            count = len(found)
        else:
            try:
                count = os.preadv(self._file.fileno(), [target], self._at)
            except OSError as exc:
                raise unreadable(self._path, exc) from exc
        self._at += count
        return count


class _FramesOfLines(LineFile):
    """Frames of Zstandard."""

    def __init__(self, path: str, frames: Sequence[Frame]) -> None:
        super().__init__(path, FrameLog(frames))
        self._frames = frames
        if not all(frame.said_bytes is not None and frame.said_bytes <= _MOST_FRAME_BYTES for frame in frames):
            self.can_be_apart = False

    def places(self, *, apart: bool) -> Iterator[Sequence[Frame]]:
        first = held = 0
        for after, frame in enumerate(self._frames, 1):
            held += frame.said_bytes or 0
            if after == len(self._frames) or (apart and held >= _PLACE_BYTES):
                yield self._frames[first:after]
                first, held = after, 0

    def opened(self, place: Sequence[Frame]) -> PlaceReader:
        return _PlaceOfFrames(self._path, self._file, place)


class _PlaceOfFrames(PlaceReader):
    def __init__(self, path: str, file: io.RawIOBase, frames: Sequence[Frame]) -> None:
        super().__init__()
        self._path, self._file, self._left = path, file, list(reversed(frames))
        self._opened: UnpackedFrames | None = None
        self._count = 0

    def readinto(self, target: memoryview) -> int:
        while True:
            if self._opened is None:
                if not self._left:
                    return 0
                frame = self._left.pop()
                packed = _Packed(self._path, self._file, frame.start, frame.stop)
                self._opened = UnpackedFrames(io.BufferedReader(packed, _BUFFER_BYTES), self._path)
            if count := self._opened.readinto(target):
                self._count += count
                return count
            self.close()
            self.frame_ends.append(self._count)

    def close(self) -> None:
        if self._opened is not None:
            self._opened.close()
            self._opened = None


class _Packed(io.RawIOBase):
    """The bytes of a frame."""

    def __init__(self, path: str, file: io.RawIOBase, start: int, stop: int) -> None:
        self._place = _PlainPlace(path, file, start, stop)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int:
        return self._place.readinto(memoryview(buffer).cast("B"))
