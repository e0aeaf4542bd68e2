"""Open a chunk file, whatever it is packed with; errors name the line."""

from __future__ import annotations

import contextlib
import io
import os
import re
from collections.abc import Generator, Iterator
from typing import IO, Any, NoReturn

import numpy as np

from pyloader.errors import ChunkReadError
from pyloader.files.compressors import open_packed, packing_of
from pyloader.files.part_opening import open_part, reads_start
from pyloader.files.room import Room, long_line, longest_line
from pyloader.files.sniffing import sniffed, text_hint
from pyloader.part import Part

__all__ = ["count_newlines", "line_blocks", "open_chunk", "suffix_of", "text_of"]

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_WHICH_OF_HOW_MANY = re.compile(r"-\d{5}-of-\d{5}$")


def suffix_of(path: str | os.PathLike[str]) -> str:
    """Return the suffix that says what a file is, apart from its packing.

    The number that TensorFlow and TFDS put behind it, which of how many files it is, is no part of it.

    >>> suffix_of("chunks/part-1.jsonl.zst"), suffix_of("x.NPY"), suffix_of("notes")
    ('.jsonl', '.npy', '')
    >>> suffix_of("mnist-train.tfrecord-00000-of-00010")
    '.tfrecord'
    """
    name = os.fspath(path).rstrip("/" + os.sep)
    stem, suffix = os.path.splitext(name[: len(name) - len(packing_of(name))])
    inner = os.path.splitext(stem)[1] if suffix.lower() == ".zip" else ""
    return _WHICH_OF_HOW_MANY.sub("", (inner + suffix if inner.lower() == ".zarr" else suffix).lower())


def open_chunk(path: str | os.PathLike[str], mode: str = "r", *, room: Room | None = None) -> IO[Any]:
    r"""Open a chunk file for reading, like open(), and unpack .gz, .zst, .xz and .bz2 on the way.

    Text is UTF-8; a byte order mark at its start is left out.  Lines end with "\n" only, and nothing is translated: a
    "\r" or "\u2028" stays where it is.

    Args:
      path: The file.
      mode: "r" for text, "rb" for bytes.
      room: What is unpacked is counted there, for a file that is read whole: `chunk_room(path)`.  None does not count.

    Raises:
      OSError: as open() does.
      ChunkReadError: while reading: it ends early, is damaged, is not UTF-8, or something else follows its end.
    """
    if mode not in ("r", "rt", "rb"):
        raise ValueError(f'mode must be "r" or "rb", got {mode!r}; chunks are written with ChunkWriter')
    file = open_packed(path, "rb", room=room)
    return file if mode == "rb" else _TextFile(file, os.fspath(path))


def line_blocks(
    path: str | os.PathLike[str], *, block_bytes: int = 2**20, room: Room | None = None, part: Part | None = None
) -> Generator[bytes, None, None]:
    r"""Yield a text file's bytes in blocks of whole lines: the fast way to read lines.

    Args:
      path: The file, packed or not.
      block_bytes: About how many bytes a block has, unless a line is longer.
      room: Of the chunk, when all of it is kept: then no line is longer than that.
      part: The part of the file, of lines, that is read; None (the default) is all of it.

    Yields:
      Bytes that end with b"\n", except for the file's last ones if they do not.  `text_of` makes them text.

    Raises:
      OSError, ChunkReadError: as `open_chunk`.
      MemoryBoundError: a line takes more than a quarter of the memory, or than there is room for.
    """
    parts: list[bytes] = []  # of a line that is longer than a block
    held, longest = 0, longest_line(room)
    try:
        with open_packed(path, "rb") if part is None else open_part(os.fspath(path), part) as file:
            if part is None or reads_start(os.fspath(path), part):
                _skip_byte_order_mark(file)
            while block := file.read(block_bytes):
                end = block.rfind(b"\n") + 1
                if end == 0:
                    parts.append(block)
                    held += len(block)
                    if held > longest:
                        raise long_line(os.fspath(path), longest)
                    continue
                lines = b"".join([*parts, memoryview(block)[:end]])
                parts = [block[end:]]
                held = len(parts[0])
                yield lines
    except ChunkReadError as exc:
        if part is not None:
            raise
        _raise_with_line(os.fspath(path), exc)
    if rest := b"".join(parts):
        yield rest


def count_newlines(block: bytes | memoryview) -> int:
    """Return how many newlines there are: NumPy compares many bytes at once, which `bytes.count` does not."""
    return int(np.count_nonzero(np.frombuffer(block, np.uint8) == ord("\n")))


def text_of(block: bytes, path: str, line: int) -> str:
    """Decode bytes that begin with a file's line `line`.

    Raises:
      ChunkReadError: they are not UTF-8; it names the line.
    """
    try:
        return block.decode()
    except UnicodeDecodeError as exc:
        place = exc.start - (block.rfind(b"\n", 0, exc.start) + 1) + 1
        what = f"is not UTF-8: byte 0x{block[exc.start]:02x} at place {place:,} of the line."
        hint = text_hint(path, block if line == 1 else b"", block[: exc.start])
        raise ChunkReadError(path, what, hint, line=line + block.count(b"\n", 0, exc.start)) from exc


class _TextFile(io.TextIOWrapper):
    """A text file whose errors name the line."""

    def __init__(self, file: IO[bytes], path: str) -> None:
        self._path = path
        try:
            _skip_byte_order_mark(file)
        except BaseException:
            file.close()
            raise
        super().__init__(file, encoding="utf-8", newline="\n")

    def __iter__(self) -> Iterator[str]:  # type: ignore[override]  # a generator is faster than one __next__ per line
        try:
            yield from iter(super().readline, "")
        except (ChunkReadError, UnicodeDecodeError) as exc:
            _raise_with_line(self._path, exc)

    def __next__(self) -> str:  # type: ignore[override]
        if line := self.readline():
            return line
        raise StopIteration

    def readline(self, size: int = -1, /) -> str:  # type: ignore[override]
        try:
            return super().readline(size)
        except (ChunkReadError, UnicodeDecodeError) as exc:
            _raise_with_line(self._path, exc)

    def readlines(self, hint: int = -1, /) -> list[str]:  # type: ignore[override]
        return list(self) if hint is None or hint <= 0 else super().readlines(hint)

    def read(self, size: int | None = -1, /) -> str:
        try:
            return super().read(size)
        except (ChunkReadError, UnicodeDecodeError) as exc:
            _raise_with_line(self._path, exc)


def _skip_byte_order_mark(file: IO[bytes]) -> None:
    if file.peek(3)[:3] == _BYTE_ORDER_MARK:  # type: ignore[attr-defined]
        file.read(3)


def _raise_with_line(path: str, exc: ChunkReadError | UnicodeDecodeError) -> NoReturn:
    """Raise `exc` with the line in it, found by reading the file once more: nobody counts lines until then."""
    if isinstance(exc, UnicodeDecodeError):
        raise _bad_text(path, exc) from exc
    is_of_disk = getattr(exc.__cause__, "errno", None) is not None  # then no line is to blame, and it may pass
    line = None if is_of_disk else _last_line(path)
    if line is None:
        raise exc
    raise ChunkReadError(path, f"{exc.what.removesuffix('.')}, inside line {line:,}.", exc.hint) from exc


def _last_line(path: str) -> int | None:
    """Return the line up to which a file can be read; None when nothing of it can."""
    line, any_text = 1, False
    with contextlib.suppress(ChunkReadError, OSError), open_packed(path, "rb") as file:
        while block := file.read1():  # type: ignore[attr-defined]
            line, any_text = line + block.count(b"\n"), True
    return line if any_text else None


def _bad_text(path: str, exc: UnicodeDecodeError) -> ChunkReadError:
    line = 1
    try:
        for block in sniffed(line_blocks(path), path, "text"):
            text_of(block, path, line)
            line += block.count(b"\n")
    except ChunkReadError as found:
        return found
    except OSError:
        pass
    return ChunkReadError(path, f"is not UTF-8 ({exc.reason}).")  # it changed while we looked
