"""Lines of text -> one column."""

from __future__ import annotations

from contextlib import closing
from typing import Any

from pyloader.columns import Columns
from pyloader.datareader import DataReader
from pyloader.files import chunk_room, line_blocks, sniffed, text_of

__all__ = ["TextReader"]

_TEXT_BYTES = 57  # a str without its characters, and its place in a list


class TextReader(DataReader):
    r"""Chunk files of text, UTF-8, one sample per line: the column "text"; .gz, .zst, .xz and .bz2 too.

    A line ends with "\n" or "\r\n", which are left out; a blank line is a sample, "".  An empty file has none.

    Args:
      sniff: Whether a file that is no data is an error: a web page, a pointer of Git LFS, text in UTF-16.  True is the
        default; False takes every file as it is.
    """

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
        lines: list[str] = []
        room = chunk_room(path)
        with closing(line_blocks(path, room=room)) as blocks:
            for block in sniffed(blocks, path, "text") if self.sniff else blocks:
                part = text_of(block, path, len(lines) + 1).replace("\r\n", "\n").split("\n")
                if not part[-1]:  # after the last line's end
                    part.pop()
                room.take(len(block) + _TEXT_BYTES * len(part))
                lines += part
        return {"text": lines}, len(lines)
