"""Open a part of a file of text: the bytes in its ranges, one range after another, unpacked."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import IO, Any

from pyloader.errors import ChunkReadError
from pyloader.files.compressors import COMPRESSORS, open_packed, packing_of
from pyloader.files.room import Room
from pyloader.part import INDEX_AGAIN, Part

__all__ = ["Stretches", "first_line", "header_lines", "line_detail", "open_part", "reads_start"]

_BUFFER_BYTES = 2**17


def line_detail(line: int, pieces: Sequence[tuple[int, int]] = (), header: int = 0) -> dict[str, Any]:
    """Return the detail of a part that is lines of text.

    Args:
      line: Its first line, counted from 1 over the file.
      pieces: Of a packed file, (start, stop) in bytes of what its ranges unpack to; none for all of it.
      header: How many lines of the file's start are read before the part's own.
    """
    detail = {"line": line, "header": header, "pieces": [list(piece) for piece in pieces]}
    return {name: value for name, value in detail.items() if value}


def first_line(path: str, part: Part | None) -> int:
    """Return the first line of a part, counted from 1 over the file; 1 for a whole file.

    Raises:
      ChunkReadError: the part is not one of lines.
    """
    if part is None:
        return 1
    match part.detail:
        case {"line": int(line)} if line >= 1:
            return line
    raise _foreign(path, part)


def header_lines(path: str, part: Part) -> int:
    """Return how many lines of the file's start are read before the part's own.

    Raises:
      ChunkReadError: the part is not one of lines.
    """
    match part.detail.get("header", 0) if first_line(path, part) else 0:
        case int(lines) if 0 <= lines < first_line(path, part):
            return lines
    raise _foreign(path, part)


def reads_start(path: str, part: Part) -> bool:
    """Tell whether a part of lines begins with the first byte of the file, its own or its header's."""
    pieces = _pieces(path, part)
    return part.ranges[:1] != () and part.ranges[0][0] == 0 and (not pieces or pieces[0][0] == 0)


def open_part(path: str, part: Part, *, room: Room | None = None) -> IO[bytes]:
    """Open a part of a file for reading bytes, whatever the file is packed with.

    Args:
      path: The file.
      part: The part; its detail is that of `line_detail`.
      room: What is unpacked is counted there; None does not count.

    Raises:
      OSError: as open() does.
      ChunkReadError: the detail is another; or while reading: the file ends early, or is damaged.
    """
    pieces = _pieces(path, part)
    file: io.RawIOBase = Stretches(open_packed(path, packing=""), path, part.ranges)
    if packing := packing_of(path):
        unpacked = COMPRESSORS[packing].unpacked(io.BufferedReader(file, _BUFFER_BYTES), path)
        unpacked.room = room
        file = Stretches(io.BufferedReader(unpacked, _BUFFER_BYTES), path, pieces, seeks=False)
    return io.BufferedReader(file, _BUFFER_BYTES)


def _pieces(path: str, part: Part) -> list[tuple[int, int]]:
    first_line(path, part)
    pieces, end = [], 0
    for piece in part.detail.get("pieces", []) if packing_of(path) else []:
        match piece:
            case [int(start), int(stop)] if end <= start < stop:
                pieces.append((start, stop))
                end = stop
            case _:
                raise _foreign(path, part)
    return pieces


def _foreign(path: str, part: Part) -> ChunkReadError:
    what = f"has an index whose rows {part.first:,} to {part.stop:,} are no lines: {str(part.detail)[:80]}."
    return ChunkReadError(path, what, INDEX_AGAIN)


class Stretches(io.RawIOBase):
    """Some stretches of a file, one after another.

    Args:
      file: The file, which is closed together with this one.
      path: Named in errors.
      stretches: (start, stop) in bytes, in their order.
      seeks: Whether the file can seek; one that cannot is read over.
    """

    def __init__(self, file: IO[bytes], path: str, stretches: Sequence[tuple[int, int]], *, seeks: bool = True) -> None:
        self._file, self._path, self._seeks = file, path, seeks
        self._stretches = list(stretches)
        self._place = self._stop = 0

    def readable(self) -> bool:
        return True

    def close(self) -> None:
        self._file.close()
        super().close()

    def readinto(self, buffer: Any, /) -> int:
        target = memoryview(buffer).cast("B")
        while self._place == self._stop:
            if not self._stretches:
                return 0
            start, self._stop = self._stretches.pop(0)
            self._go_to(start)
        count = self._file.readinto(target[: self._stop - self._place])  # type: ignore[attr-defined]
        if not count and target:
            raise ChunkReadError(self._path, "ends early.", "Fetch it again, or index what is there")
        self._place += count
        return int(count)

    def _go_to(self, start: int) -> None:
        if self._seeks:
            self._file.seek(start)
            self._place = start
        while self._place < start:
            passed = len(self._file.read(min(_BUFFER_BYTES, start - self._place)))
            if not passed:
                raise ChunkReadError(self._path, "ends early.", "Fetch it again, or index what is there")
            self._place += passed
