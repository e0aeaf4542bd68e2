"""Lines of text -> one column."""

from __future__ import annotations

from contextlib import closing
from typing import Any

from pyloader.columns import Columns
from pyloader.datareader import DataReader
from pyloader.files import chunk_room, first_line, line_blocks, sniffed, text_of
from pyloader.part import InOrder, Part
from pyloader.read.line_parts import line_parts

__all__ = ["TextReader"]

_TEXT_BYTES = 57  # a str without its characters, and its place in a list


class TextReader(DataReader):
    r"""Chunk files of text, UTF-8, one sample per line: the column "text"; .gz, .zst, .xz and .bz2 too.

    A line ends with "\n" or "\r\n", which are left out; a blank line is a sample, "".  An empty file has none.

    Args:
      sniff: Whether a file that is no data is an error: a web page, a pointer of Git LFS, text in UTF-16.  True is the
        default; False takes every file as it is.
    """

    is_thread_safe = True
    finds_by_ranges = finds_side_by_side = True

    def __init__(
        self, batch_size: int = 16, shuffle: bool = False, seed: int = 42, *, sniff: bool = True, **old_names: Any
    ) -> None:
        super().__init__(batch_size, shuffle, seed, **old_names)
        self.sniff = sniff

    def read_file(self, path: str) -> tuple[Columns, int]:
        """Read one sample per line.

        Returns:
          {"text": list of str}, and how many lines there were.

        Raises:
          ChunkReadError: the file is cut, damaged or not UTF-8; with `sniff`, it is no data.
        """
        return self._read(path, None)

    def find_parts(
        self, path: str, *, chunk_bytes: int, chunk_samples: int | None = None, in_order: InOrder = map
    ) -> list[Part] | None:
        """Find spans of lines: in a plain file, or one of several frames of Zstandard.

        Raises:
          ChunkReadError: the file is cut or damaged; with `sniff`, it is no data.
        """
        form = "text" if self.sniff else None
        return line_parts(path, form, chunk_bytes=chunk_bytes, chunk_samples=chunk_samples, in_order=in_order)

    def read_part(self, path: str, part: Part) -> tuple[Columns, int]:
        """Read some lines.

        Raises:
          ChunkReadError: as `read_file`, or the part is not one of lines.
        """
        return self._read(path, part)

    def _read(self, path: str, part: Part | None) -> tuple[Columns, int]:
        lines: list[str] = []
        room, line = chunk_room(path, part), first_line(path, part)
        with closing(line_blocks(path, room=room, part=part)) as blocks:
            for block in sniffed(blocks, path, "text") if self.sniff and line == 1 else blocks:
                text = text_of(block, path, line + len(lines))
                if "\r" in text:  # one character is looked for many times as fast as two are
                    text = text.replace("\r\n", "\n")
                texts = text.split("\n")
                if not texts[-1]:  # after the last line's end
                    texts.pop()
                room.take(len(block) + _TEXT_BYTES * len(texts))
                lines += texts
        return {"text": lines}, len(lines)
