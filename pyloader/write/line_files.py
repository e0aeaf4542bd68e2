"""JSON lines and plain text, as blocks of whole lines."""

from __future__ import annotations

from collections.abc import Generator

from pyloader.errors import ChunkReadError, SplitError
from pyloader.files import Sniffer, longest_line
from pyloader.options import format_bytes
from pyloader.write.blocks import BLOCK_BYTES, Block, Place, bytes_read, ends_early, opened

__all__ = ["blocks_of_lines"]

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


def blocks_of_lines(
    name: str, start: Place, *, block_bytes: int = BLOCK_BYTES, form: str | None = None
) -> Generator[Block, None, None]:
    """Yield the blocks of a file of lines, packed or not.

    Args:
      name: The file, or STANDARD_INPUT.
      start: Where to begin.
      block_bytes: About how large the blocks are; a longer line is a block of its own.
      form: What the file must look like, as a `Sniffer` has it; None takes it as it is.

    Raises:
      SplitError: it is cut or damaged, or looks like something else.
    """
    place = start
    sniffer = Sniffer(name, form, error=SplitError) if form is not None and not start.offset else None
    rest: list[bytes] = []  # joined once, however long a line is
    held = 0
    try:
        with opened(name, start.offset) as stream:
            # A block is what reading from its start gives, so that it is the same after a restart.
            while piece := stream.read(block_bytes - held if held < block_bytes else block_bytes):
                if sniffer is not None:
                    sniffer.see(piece)
                rest.append(piece)
                held += len(piece)
                if b"\n" not in piece:
                    if held > longest_line():
                        raise _long_line(name, place, held)
                    continue
                joined = b"".join(rest)
                end = joined.rfind(b"\n") + 1
                rest, held = [joined[end:]], len(joined) - end
                block = _block(joined[:end], place, bytes_read(stream, place.offset + end))
                place = block.after
                yield block
            if sniffer is not None:
                sniffer.end()
            if last := b"".join(rest):
                yield _block(last + b"\n", place, bytes_read(stream, place.offset + len(last)))
    except ChunkReadError as exc:
        raise ends_early(name, exc) from exc


def _long_line(name: str, place: Place, held: int) -> SplitError:
    what = f"has a line of more than {format_bytes(held)}, a quarter of the memory."
    return SplitError(name, what, "If it is no text, say what it is: --from", place.line)


def _block(lines: bytes, place: Place, num_read: int) -> Block:
    after = Place(place.offset + len(lines), place.line + lines.count(b"\n"))
    return Block(lines.removeprefix(_BYTE_ORDER_MARK) if place.offset == 0 else lines, place.line, after, num_read)
