"""JSON lines and plain text, as blocks of whole lines."""

from __future__ import annotations

import sys
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from typing import IO

from pyloader.errors import ChunkReadError
from pyloader.write.blocks import BLOCK_BYTES, Block, Place, ends_early, opened, position_in, skip_bytes

__all__ = ["LineFile", "StandardInput"]

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


class LineFile:
    """A file of lines, packed or not.

    Args:
      path: The file.
      num_bytes: Its size on disk.
      block_bytes: About how large the blocks are; a longer line is a block of its own.
    """

    def __init__(self, path: str, num_bytes: int, *, block_bytes: int = BLOCK_BYTES) -> None:
        self.name, self.num_bytes, self._block_bytes = path, num_bytes, block_bytes

    def blocks(self, start: Place = Place()) -> Generator[Block, None, None]:  # noqa: B008 (a NamedTuple cannot change)
        with self._open(start) as stream:
            yield from self._blocks(stream, start)

    @contextmanager
    def _open(self, start: Place) -> Iterator[IO[bytes]]:
        with opened(self.name) as stream:
            skip_bytes(stream, self.name, start.offset)
            yield stream

    def _position(self, stream: IO[bytes], offset: int) -> int:
        return position_in(stream, self.name, offset)

    def _blocks(self, stream: IO[bytes], start: Place) -> Iterator[Block]:
        place = start
        rest: list[bytes] = []  # joined once, however long a line is
        held = 0
        try:
            # A block is what reading from its start gives, so that it is the same after a restart.
            while piece := stream.read(self._block_bytes - held if held < self._block_bytes else self._block_bytes):
                rest.append(piece)
                held += len(piece)
                if b"\n" not in piece:
                    continue
                joined = b"".join(rest)
                end = joined.rfind(b"\n") + 1
                rest, held = [joined[end:]], len(joined) - end
                block = self._block(joined[:end], place, self._position(stream, place.offset + end))
                place = block.after
                yield block
        except ChunkReadError as exc:
            raise ends_early(self.name, exc) from exc
        if last := b"".join(rest):
            yield self._block(last + b"\n", place, self.num_bytes)

    def _block(self, lines: bytes, place: Place, bytes_read: int) -> Block:
        after = Place(place.offset + len(lines), place.line + lines.count(b"\n"))
        if place.offset == 0:
            lines = lines.removeprefix(_BYTE_ORDER_MARK)
        return Block(lines, place.line, after, bytes_read)


class StandardInput(LineFile):
    """Lines from standard input."""

    def __init__(self, *, block_bytes: int = BLOCK_BYTES) -> None:
        super().__init__("standard input", 0, block_bytes=block_bytes)

    @contextmanager
    def _open(self, start: Place) -> Iterator[IO[bytes]]:
        yield sys.stdin.buffer

    def _position(self, stream: IO[bytes], offset: int) -> int:
        return offset
