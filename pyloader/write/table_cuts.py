"""Where a large CSV or TSV file can be cut: before the rows that begin at, or after, the borders of its units.

Whether a newline is within quotes is known only from the beginning of the file.  So each part of the file is scanned
as if it began within quotes, and as if it did not, by tasks of their own; put together in order these tell which it is.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import replace
from functools import lru_cache
from typing import Any, NamedTuple

from pyloader.deliver.engines import Engine, as_finished
from pyloader.files import packing_of, store_scheme
from pyloader.read.dialect import Dialect
from pyloader.write.blocks import STANDARD_INPUT, Source, Span, opened
from pyloader.write.inputs import Inputs
from pyloader.write.line_files import blocks_of_lines

__all__ = ["Scan", "cut_at_rows", "cut_tables", "parts_to_scan", "scan"]


def cut_tables(inputs: Inputs, unit_bytes: int, engine: Engine, *, max_ahead: int, bar: Callable[[], Any]) -> Inputs:
    """Return the dump with tables that can be cut into units, those that are larger than one.

    Args:
      inputs: The dump.
      unit_bytes: About how large a unit is.
      engine: Scans them.
      max_ahead: How many parts are scanned at the same time, at most.
      bar: Makes the bar that is shown meanwhile.

    Raises:
      CallError: a file cannot be read.
    """
    sources = [_cut_at_lines(source) for source in inputs.sources]
    parts = {index: parts_to_scan(source, unit_bytes) for index, source in enumerate(sources)}
    here = os.getcwd()
    calls = [((index, part), (sources[index], part, here)) for index, of_table in parts.items() for part in of_table]
    if not calls:
        return replace(inputs, sources=tuple(sources))
    found: dict[tuple[int, Span], Scan] = {}
    with bar() as shown:
        for (index, part), scanned in as_finished(engine, scan, calls, max_ahead=max_ahead):
            found[index, part] = scanned
            shown.update(sources[index].num_bytes // len(parts[index]))
    for index, of_table in parts.items():
        if of_table:
            sources[index] = cut_at_rows(sources[index], [found[index, part] for part in of_table])
    return replace(inputs, sources=tuple(sources))


class Scan(NamedTuple):
    """What is known of a part of a file.

    Attributes:
      starts: Where its first row begins, where its first line does not begin within quotes, and where it does; None
        where no row begins.
      ends: Whether it ends within quotes, in these two cases.
    """

    starts: tuple[int | None, int | None]
    ends: tuple[bool, bool]


def parts_to_scan(source: Source, unit_bytes: int) -> list[Span]:
    """Return the parts of a table that are scanned; none where it is no table, or is one unit anyway."""
    dialect, number = _dialect(source), -(-source.num_bytes // unit_bytes)
    if dialect is None or source.length or number < 2:
        return []
    if not dialect.character.isascii() or not dialect.delimiter.isascii() or sys.version_info < (3, 11, 5):
        return []  # before that version, groups that are repeated for good are matched wrongly (gh-106052)
    borders = [source.num_bytes * index // number for index in range(1, number)]
    return [Span(*part) for part in zip([0, *borders], [*borders, None], strict=True)]


def scan(source: Source, part: Span, working_dir: str) -> Scan:
    """Scan a part of a table.

    Args:
      source: The table.
      part: Its lines are those of this span, as `blocks_of_lines` has them.
      working_dir: What the table's name is relative to.

    Raises:
      SplitError: it cannot be read.
    """
    path = source.name if store_scheme(source.name) else os.path.join(working_dir, source.name)
    with opened(path, part.start) as stream:
        position = part.start + (len(stream.readline()) if part.start else 0)
    starts: list[int | None] = [position, None]
    ends = [False, True]
    dialect = _dialect(source)
    assert dialect is not None
    patterns = _patterns(dialect)
    with closing(blocks_of_lines(source.name, part, path=path)) as blocks:
        for block in blocks:
            lines = block.content
            assert isinstance(lines, memoryview)
            if starts[1] is None and (place := patterns.place_after_quotes(lines)) is not None:
                row = patterns.row.match(lines, place)
                assert row is not None
                is_end = row.end() < len(lines) and lines[row.end()] == ord("\n")
                starts[1] = position + row.end() + 1 if is_end else None
            known = {is_within: patterns.ends_within(lines, is_within) for is_within in set(ends)}
            ends = [known[is_within] for is_within in ends]
            position += len(lines)
    return Scan((starts[0], starts[1]), (ends[0], ends[1]))


def cut_at_rows(source: Source, scans: Sequence[Scan]) -> Source:
    """Return a table that can be cut before some of its rows; `scans` are those of its parts, in order."""
    cuts, is_within = set(), False
    for found in scans:
        start = found.starts[is_within]
        if start:
            cuts.add(start - 1)  # a line belongs to the span that holds the newline before it
        is_within = found.ends[is_within]
    return replace(source, length=source.num_bytes, cuts=tuple(sorted(cuts)), is_read_through=False)


class _Patterns(NamedTuple):
    """How quotes are found in whole lines, which begin outside of them."""

    quoted: re.Pattern[bytes]  # what is left of a quoted field, with its closing quote
    first: re.Pattern[bytes]  # a quoted field at the beginning, or nothing where none begins
    row: re.Pattern[bytes]  # what is left of a row after a field
    rows: re.Pattern[bytes]  # of all rows

    def place_after_quotes(self, lines: memoryview) -> int | None:
        """Return where the quotes close that lines begin within; None where they do not."""
        closed = self.quoted.match(lines)
        return None if closed is None else closed.end()

    def ends_within(self, lines: memoryview, is_within: bool) -> bool:
        """Tell whether lines end within quotes; `is_within` is whether they begin there."""
        begun = (self.quoted if is_within else self.first).match(lines)
        if begun is None:
            return True
        end = self.rows.match(lines, begun.end())
        assert end is not None
        return end.end() < len(lines)


@lru_cache
def _patterns(dialect: Dialect) -> _Patterns:
    quote, delimiter = re.escape(dialect.character.encode()), re.escape(dialect.delimiter.encode())
    names = {b"Q": quote, b"D": delimiter, b"REST": rb"[^%s]*+(?:%s[^%s]*+)*+%s" % (quote, 2 * quote, quote, quote)}

    def pattern(spelled: bytes) -> re.Pattern[bytes]:
        return re.compile(re.sub(rb"REST|Q|D", lambda found: names[found[0]], spelled))

    return _Patterns(
        quoted=pattern(rb"REST"),
        first=pattern(rb"(?:QREST|(?!Q))"),
        row=pattern(rb"(?:DQREST|[^D\n]++|D(?!Q))*+"),
        rows=pattern(rb"(?:[D\n]QREST|[^D\n]++|[D\n](?!Q))*+"),
    )


def _cut_at_lines(source: Source) -> Source:
    """Return a table that can be cut before any line, where quotes mean nothing, or hold no newline."""
    dialect = _dialect(source)
    if dialect is None or (dialect.character and _keywords(source).get("quoted_newlines", True)):
        return source
    return replace(source, length=source.num_bytes)


def _dialect(source: Source) -> Dialect | None:
    """Return the dialect of a table on a disk that is read from any place on; None of all else."""
    if source.name == STANDARD_INPUT or packing_of(source.name) or source.file is not None:
        return None
    return _keywords(source).get("dialect")


def _keywords(source: Source) -> dict[str, Any]:
    found: dict[str, Any] = getattr(source.blocks, "keywords", {})
    return found
