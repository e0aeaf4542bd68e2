"""JSON lines and plain text, as blocks of whole lines."""

from __future__ import annotations

import io
import os
from collections.abc import Generator
from typing import IO

from pyloader.errors import ChunkReadError, SplitError
from pyloader.files import Sniffer, count_newlines, longest_line
from pyloader.options import format_bytes
from pyloader.write.blocks import BLOCK_BYTES, Block, Span, bytes_read, ends_early, opened
from pyloader.write.file_digests import PartDigest
from pyloader.write.input_files import InputFile
from pyloader.write.rows import Rows

__all__ = ["blocks_of_lines", "lines_before"]

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_REST_BYTES = 2**14


def blocks_of_lines(
    name: str,
    span: Span,
    *,
    path: InputFile | str = "",
    block_bytes: int = BLOCK_BYTES,
    form: str | None = None,
    digest: PartDigest | None = None,
) -> Generator[Block, None, None]:
    """Yield the blocks of a span of a file of lines, packed or not.

    A line belongs to the span that holds the newline before it, and the first line to the first span.  So spans that
    follow one another hold each line once, wherever their borders are.

    Args:
      name: The file, or STANDARD_INPUT, for errors.
      span: In unpacked bytes.
      path: What is opened; "" is `name`.
      block_bytes: About how large the blocks are; a longer line is a block of its own.
      form: What the file must look like, as a `Sniffer` has it; None takes it as it is.
      digest: Takes every byte that is read.

    Raises:
      SplitError: it is cut or damaged, or looks like something else.
    """
    sniffer = Sniffer(name, form, error=SplitError) if form is not None and not span.start else None
    rest: list[bytes] = []  # joined once, however long a line is
    held = again = line = 0
    try:
        with opened(path or name, span.start, span.stop) as stream:
            # Of an object in a store going back is another request.
            is_plain = stream.seekable() and isinstance(getattr(stream, "raw", None), io.FileIO)
            position = span.start + (_skip_to_line(stream, digest) if span.start else 0)
            while span.stop is None or position <= span.stop:
                wanted = block_bytes - held if held < block_bytes else block_bytes
                if span.stop is not None:  # little of what is of the next span: the rest of a line
                    left = span.stop + 1 - position - held
                    wanted = min(wanted, left if left > 0 else _REST_BYTES)
                piece = stream.read(wanted)
                if not piece:
                    break
                if sniffer is not None:
                    sniffer.see(piece)
                end = _end_of_lines(piece, position + held, span)
                # What is of the next block is read again, where it can be: less work than to copy the lines behind it.
                again = len(piece) - end if end and is_plain else 0
                if digest is not None:
                    digest.update(memoryview(piece)[: len(piece) - again])
                if not end:
                    rest.append(piece)
                    held += len(piece)
                    if held > longest_line():
                        raise _long_line(name, line + 1, held)
                    continue
                lines = memoryview(b"".join((*rest, memoryview(piece)[:end])) if held else piece)[: held + end]
                if again:
                    stream.seek(-again, os.SEEK_CUR)
                rest, held = ([], 0) if is_plain else ([piece[end:]], len(piece) - end)
                num_read = bytes_read(stream, position + len(lines))
                block = _block(lines, line, is_first=position == 0, num_read=num_read)
                yield block
                line += len(block.ends)
                position += len(lines)
            if sniffer is not None:
                sniffer.end()
            last = b"".join(rest)
            if last and (span.stop is None or position <= span.stop):
                num_read = bytes_read(stream, position + len(last))
                yield _block(memoryview(last + b"\n"), line, is_first=position == 0, num_read=num_read)
    except ChunkReadError as exc:
        raise ends_early(path or name, exc) from exc


def lines_before(file: InputFile | str, offset: int) -> int:
    """Return how many lines of a plain file belong to the spans before `offset`: of those that end in [0, offset]."""
    number = 0
    with opened(file, 0, offset) as stream:
        while offset > 0 and (piece := stream.read(min(offset, BLOCK_BYTES))):
            number += count_newlines(piece)
            offset -= len(piece)
        return number + 1  # the line that goes over the border, which the span before reads to its end


def _skip_to_line(stream: IO[bytes], digest: PartDigest | None) -> int:
    """Read on behind the next newline; return how many bytes that took."""
    passed = 0
    while piece := stream.readline(BLOCK_BYTES):
        passed += len(piece)
        if digest is not None:
            digest.update(piece)
        if piece.endswith(b"\n"):
            break
    return passed


def _end_of_lines(piece: bytes, position: int, span: Span) -> int:
    """Return the end of the last line that ends in `piece`, which begins at `position`, and is of the span; or 0."""
    if span.stop is None or position + len(piece) <= span.stop:
        return piece.rfind(b"\n") + 1
    # The last line begins at span.stop at the latest: it ends with the first newline from there on.
    return piece.find(b"\n", max(0, span.stop - position)) + 1 or piece.rfind(b"\n") + 1


def _long_line(name: str, line: int, held: int) -> SplitError:
    what = f"has a line of more than {format_bytes(held)}, a quarter of the memory."
    return SplitError(name, what, "If it is no text, say what it is: --from", line)


def _block(lines: memoryview, before: int, *, is_first: bool, num_read: int) -> Block:
    content = lines[len(_BYTE_ORDER_MARK) :] if is_first and lines[:3] == _BYTE_ORDER_MARK else lines
    return Block(content, before + 1, num_read, ends=Rows.of_lines(content).ends)
