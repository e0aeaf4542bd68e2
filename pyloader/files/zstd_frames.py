"""Zstandard files, unpacked straight into the caller's memory, and followed frame by frame to their very end.

zstandard's reader does the unpacking.  What it does not tell is whether a file ends where a frame ends, so that a cut
would look like an end: that is found here, by the headers of frames and blocks (RFC 8878, section 3.1).
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from typing import IO, cast

import zstandard

from pyloader.errors import ChunkReadError
from pyloader.files.stored_path import bytes_at, num_bytes_of, open_bytes
from pyloader.files.unpacking import Unpacked, foreign_bytes, unpacking_error

__all__ = ["Frame", "UnpackedFrames", "frames_of", "said_size"]

_PACKED_BYTES = 2**20  # read at once: with few steps, few waits for the interpreter's lock
_LONGEST_HEADER = 18
_MAGIC = b"\x28\xb5\x2f\xfd"
_SKIPPABLE_MAGICS = [bytes([first]) + b"\x2a\x4d\x18" for first in range(0x50, 0x60)]
_LAST, _TYPE, _RLE = 0b001, 0b110, 0b010  # in a block's header; RLE is one byte, many times


def said_size(path: str) -> int | None:
    """Return how many bytes the first frame says that it unpacks to; None when it says nothing."""
    try:
        with open(path, "rb") as file:
            size: int = zstandard.frame_content_size(file.read(_LONGEST_HEADER))
    except (OSError, zstandard.ZstdError):
        return None
    return size if size >= 0 else None


@dataclass(frozen=True, slots=True)
class Frame:
    """Where a frame is in its file, from its header to its end."""

    start: int  # its first byte
    stop: int  # the byte after its last
    said_bytes: int | None  # how many bytes it says that it unpacks to


def frames_of(path: str) -> list[Frame]:
    """Return the frames of a file, less the skippable ones, by their headers and those of their blocks.

    Raises:
      OSError: the file cannot be read.
      ChunkReadError: it ends early, or something else stands between frames.
    """
    found: list[Frame] = []
    place, size = 0, num_bytes_of(path)
    with open_bytes(path) as file:
        while place < size:
            start, header = place, bytes_at(file, place, _LONGEST_HEADER)
            if header[:4] in _SKIPPABLE_MAGICS:
                place += 8 + int.from_bytes(header[4:8], "little")
                continue
            if header[:4] != _MAGIC:
                raise foreign_bytes(path, "zstd", after_end=bool(found))
            try:
                frame = zstandard.get_frame_parameters(header)
                place += zstandard.frame_header_size(header)
            except zstandard.ZstdError as exc:
                raise unpacking_error(path, f"is damaged ({exc}).") from exc
            is_last = 0
            while not is_last and place < size:
                block = int.from_bytes(bytes_at(file, place, 3), "little")
                place += 4 if block & _TYPE == _RLE else 3 + (block >> 3)
                is_last = block & _LAST
            place += 4 * frame.has_checksum
            if place > size or not is_last:
                break
            said = None if frame.content_size == zstandard.CONTENTSIZE_UNKNOWN else frame.content_size
            found.append(Frame(start, place, said))
    if place != size:
        raise unpacking_error(path, "ends early.")
    return found


class UnpackedFrames(Unpacked):
    """A file of frames, written by anyone: one or several (pzstd), skippable ones, with checksums or without."""

    def __init__(self, packed: IO[bytes], path: str) -> None:
        super().__init__(packed, path)
        source = cast("IO[bytes]", _Frames(packed, path))
        decompressor = zstandard.ZstdDecompressor(max_window_size=2**31)
        self._reader = decompressor.stream_reader(source, read_across_frames=True)

    def unpack_into(self, target: memoryview) -> int:
        try:
            return self._reader.readinto1(target)
        except zstandard.ZstdError as exc:
            raise unpacking_error(self._path, f"is damaged ({exc}).") from exc


class _Frames:
    """The packed bytes, as zstandard's reader asks for them, up to the end of the last frame."""

    def __init__(self, packed: IO[bytes], path: str) -> None:
        self._packed, self._path = packed, path
        self._held = b""  # read already; begins with a header that may go on behind them
        self._skip = 0  # bytes before the next header
        self._in_frame = self._has_checksum = False
        self._num_frames = 0
        self._trouble: Exception | None = None

    def read(self, _size: int) -> bytes:
        """Return the bytes that come next, b"" after the last frame's end."""
        if self._trouble is not None:
            raise self._trouble
        packed = self._packed.read(_PACKED_BYTES)
        data, place = self._held + packed, self._skip
        if not data and (place or self._in_frame or not self._num_frames):
            raise unpacking_error(self._path, "ends early.")
        # A header that is cut says, whatever it says, that the file goes on behind its end.
        last_place = len(data) - (_LONGEST_HEADER if len(packed) == _PACKED_BYTES else 1)
        while place <= last_place:
            if self._in_frame:
                place = self._after_blocks(data, place, last_place)
                continue
            try:
                place += self._start_bytes(data[place : place + _LONGEST_HEADER])
            except (ChunkReadError, zstandard.ZstdError) as exc:
                if not place:
                    raise
                self._trouble = exc  # what is before it is unpacked first
                break
        data, self._held = data[:place], data[place:]
        self._skip = place - len(data)
        return data

    def _after_blocks(self, data: bytes, place: int, last_place: int) -> int:
        """Return where the frame ends, or its first block that begins after `last_place`."""
        while place <= last_place:
            header = int.from_bytes(data[place : place + 3], "little")
            place += 4 if header & _TYPE == _RLE else 3 + (header >> 3)
            if header & _LAST:
                self._in_frame = False
                return place + 4 * self._has_checksum
        return place

    def _start_bytes(self, header: bytes) -> int:
        """Return how long the header is of the frame that begins here; of a skippable one, how long all of it is."""
        magic = header[:4]
        if not any(known.startswith(magic) for known in (_MAGIC, *_SKIPPABLE_MAGICS)):
            raise foreign_bytes(self._path, "zstd", after_end=self._num_frames > 0)
        self._num_frames += 1
        if magic in _SKIPPABLE_MAGICS:
            return 8 + int.from_bytes(header[4:8], "little")
        num_bytes = zstandard.frame_header_size(header) if len(header) > 4 else 5
        if len(header) >= num_bytes:
            frame = zstandard.get_frame_parameters(header)
            if frame.dict_id:
                raise _wants_dictionary(self._path, frame.dict_id)
            self._has_checksum = frame.has_checksum
            self._in_frame = True
        return num_bytes


def _wants_dictionary(path: str, number: int) -> ChunkReadError:
    plain = path[: -len(".zst")] if path.lower().endswith(".zst") else f"{path}.unpacked"
    hint = f"Unpack it with that: zstd -d -D DICTIONARY {shlex.quote(path)} -o {shlex.quote(plain)}"
    return ChunkReadError(path, f"was packed with a dictionary (number {number}), which is not in it.", hint)
