"""CSV and TSV -> columns."""

from __future__ import annotations

import itertools
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from pyloader.columns import Column, Columns
from pyloader.errors import ChunkReadError
from pyloader.files import (
    Room,
    chunk_room,
    count_newlines,
    first_line,
    header_lines,
    line_blocks,
    sniffed,
    suffix_of,
    text_of,
)
from pyloader.part import InOrder, Part, hint_in_part
from pyloader.read.csv_parts import csv_parts
from pyloader.read.dialect import Dialect, rows_of
from pyloader.read.numbers import NumberError, as_array, as_column
from pyloader.read.options import NamedColumnsReader, number_dtypes

__all__ = ["DelimitedReader"]

_BLOCK_BYTES = 2**18
_FIELD_BYTES = 57  # a str without its characters, and its place in a list
_NUMBER_BYTES = 8  # what is left of a field that is a number


class DelimitedReader(NamedColumnsReader):
    r"""Chunk files of fields with commas (.csv) or tabs (.tsv) between them; .gz, .zst, .xz and .bz2 too.

    Fields that hold a comma, a quote or a line break stand in double quotes, as spreadsheets write them.  A column is
    an array of int64 or float64 when all its fields are numbers as JSON spells them (12, -0.5, 1e-3).  Where some of
    them are empty and all others numbers it is a list, with None.  Otherwise it stays text: with 007, with +1, with an
    integer beyond int64.  Blank lines are left out.

    Args:
      delimiter: What stands between fields, one character.  None: "\t" for .tsv, "," for any other; then a header of
        one name that holds another delimiter is an error.
      quote: What may stand around a field, one character; "none" where quotes mean nothing.  None: the double quote;
        then one that takes in what looks like rows, or more than 10,000 lines, is an error.
      header: Whether the first line names the columns.
      columns: With a header, the columns to read.  Without, the names of all columns; None: "0", "1", ...
      dtypes: The dtypes of number columns, {"score": "float32"}; str for a column that is to stay text, object for one
        of numbers that is to be a list in every chunk, with None for empty fields.

    A file without rows gives ({}, 0), unless both `columns` and `dtypes` say what it would have had.
    """

    is_thread_safe = True
    finds_by_ranges = finds_side_by_side = True
    gaps_make_lists = True

    def __init__(
        self,
        batch_size: int = 16,
        shuffle: bool = False,
        seed: int = 42,
        *,
        delimiter: str | None = None,
        quote: str | None = None,
        header: bool = True,
        columns: Sequence[str] | None = None,
        dtypes: Mapping[str, npt.DTypeLike] | None = None,
        **old_names: Any,
    ) -> None:
        super().__init__(batch_size, shuffle, seed, columns=columns, **old_names)
        self.delimiter, self.quote, self.header = delimiter, quote, header
        self._dialect("")  # which says what is wrong with them
        self.dtypes, self.text_columns = number_dtypes(dtypes, stays_list=str, gaps=object)
        self._all_known = columns is not None and dtypes is not None

    def read_file(self, path: str) -> tuple[Columns, int]:
        """Read one sample per row.

        Returns:
          The columns, and how many rows there were.

        Raises:
          ChunkReadError: a row has another number of fields than the first; a quote is not closed, or takes in rows; a
            field of a column in `dtypes` is no such number; the file is cut, damaged or not UTF-8.
        """
        return self._read(path, None, None)

    def find_parts(
        self, path: str, *, chunk_bytes: int, chunk_samples: int | None = None, in_order: InOrder = map
    ) -> list[Part] | None:
        """Find spans of rows: in a plain file, or one of several frames of Zstandard.

        Where quotes do not stand around whole fields, rows are parsed, since quotes can hold ends of lines.

        Raises:
          ChunkReadError: the file is cut or damaged; a quote is not closed, or takes in rows.
        """
        return csv_parts(
            path,
            self._dialect(path),
            has_header=self.header,
            chunk_bytes=chunk_bytes,
            chunk_samples=chunk_samples,
            in_order=in_order,
        )

    def read_part(self, path: str, part: Part) -> tuple[Columns, int]:
        """Read some rows, with the names in the file's first.

        Raises:
          ChunkReadError: as `read_file`, or the part is not one of lines.
        """
        return self._read(path, part, None)

    def read_damaged_part(self, path: str, part: Part) -> tuple[Columns, int, dict[int, str]]:
        """Read some rows, less the bad ones, as `read_damaged_file` does."""
        bad_rows: dict[int, str] = {}
        return *self._read(path, part, bad_rows), bad_rows

    def read_damaged_file(self, path: str) -> tuple[Columns, int, dict[int, str]]:
        """Read one sample per row, less the rows that have another number of fields than the first.

        Raises:
          ChunkReadError: no row is left; a quote is not closed; a field of a column in `dtypes` is no such number; the
            file is cut, damaged or not UTF-8.
        """
        bad_rows: dict[int, str] = {}
        return *self._read(path, None, bad_rows), bad_rows

    def _read(self, path: str, part: Part | None, bad_rows: dict[int, str] | None) -> tuple[Columns, int]:
        """Read the rows; a bad one is an error, or goes to `bad_rows` and has the fields of another."""
        room = chunk_room(path, part)
        with closing(self._rows(path, part, room)) as batches:
            lines, first = next(batches)
            if not first:
                return self._no_rows(), 0
            fields, names = [], first[0]
            if not self.header:
                fields, names = [*first], list(self.columns or map(str, range(len(names))))
            self._check_names(path, lines[0], names, num_fields=len(first[0]))
            for lines, rows in batches:
                if any(map(len(names).__ne__, map(len, rows))):
                    self._refuse(path, names, lines, rows, fields, bad_rows)
                fields += rows
                num_fields = len(rows) * len(names)  # their characters are counted where they are unpacked
                room.take(_FIELD_BYTES * num_fields, kept=_NUMBER_BYTES * num_fields)
        if not fields:
            return self._no_rows(), 0
        texts = dict(zip(names, zip(*fields, strict=True), strict=True))
        wanted = names if self.columns is None else self.columns
        return {name: self._column(path, part, name, list(texts[name])) for name in wanted}, len(fields)

    def _refuse(
        self,
        path: str,
        names: list[str],
        lines: list[int],
        rows: list[list[str]],
        before: list[list[str]],
        bad_rows: dict[int, str] | None,
    ) -> None:
        """Refuse a row of another width than the header's, or put another one in its place."""
        good = before[-1] if before else [""] * len(names)
        for index, (line, row) in enumerate(zip(lines, rows, strict=True)):
            if len(row) != len(names):
                what = f"has {len(row):,} fields, but there are {len(names):,} columns, {names}."
                error = ChunkReadError(path, what, "Quote fields that hold the delimiter", line=line)
                if bad_rows is None:
                    raise error
                bad_rows[len(before) + index] = str(error)
                rows[index] = good
            good = rows[index]

    @property
    def quote_character(self) -> str:
        """What stands around fields; "" where quotes mean nothing."""
        return self._dialect("").character

    def _dialect(self, path: str) -> Dialect:
        return Dialect.of_file(suffix_of(path), delimiter=self.delimiter, quote=self.quote)

    def _rows(
        self, path: str, part: Part | None, room: Room | None = None
    ) -> Generator[tuple[list[int], list[list[str]]], None, None]:
        """Yield rows, some at a time, and the line that each begins in; first the first one alone."""
        before, passed = 0, 0  # lines of the header that is read before a part, and lines between it and the part
        if part is not None and (line := first_line(path, part)) > 1:
            before = header_lines(path, part)
            passed = line - 1 - before
        with closing(line_blocks(path, block_bytes=_BLOCK_BYTES, room=room, part=part)) as blocks:
            seen = blocks if before or passed else sniffed(blocks, path, "csv")
            batches = rows_of(path, _texts(path, seen), self._dialect(path))
            if not passed:
                yield from batches
                return
            try:
                for lines, rows in batches:
                    yield [number + passed if number > before else number for number in lines], rows
            except ChunkReadError as exc:
                if exc.line is None or exc.line <= before:
                    raise
                raise ChunkReadError(exc.path, exc.what, exc.hint, exc.line + passed) from exc

    def _check_names(self, path: str, line: int, names: list[str], *, num_fields: int) -> None:
        if len(names) != num_fields:
            what = f"has {num_fields:,} fields, and columns names {len(names):,}."
            raise ChunkReadError(path, what, "Without a header, columns names every field", line=line)
        if self.header and (problem := self._dialect(path).header_problem(names)):
            raise ChunkReadError(path, *problem, line=line)
        if len(set(names)) != len(names):
            twice = next(name for name in names if names.count(name) > 1)
            raise ChunkReadError(path, f"names the column {twice!r} twice.", "Rename one", line=line)
        if unknown := {*(self.columns or ()), *self.dtypes, *self.text_columns} - set(names):
            raise ChunkReadError(path, f"has columns {names}, and no {sorted(unknown)[0]!r}.", line=line)

    def _column(self, path: str, part: Part | None, name: str, texts: list[str]) -> Column:
        if name in self.text_columns:
            return texts
        if name not in self.dtypes:
            return _array_or_text(texts)
        try:
            return _column_of(texts, self.dtypes[name])
        except NumberError as exc:
            with closing(self._rows(path, part)) as batches:
                numbers = itertools.chain.from_iterable(lines for lines, _ in batches)
                line = next(itertools.islice(numbers, exc.row + self.header, None))
            raise ChunkReadError(path, f"{name!r} {exc.what}", hint_in_part(exc.hint, part), line=line) from exc

    def _no_rows(self) -> Columns:
        if not self._all_known:
            return {}
        return {name: _column_of([], self.dtypes[name]) if name in self.dtypes else [] for name in self.columns or ()}


def _texts(path: str, blocks: Iterable[bytes]) -> Iterator[str]:
    line = 1
    for block in blocks:
        yield text_of(block, path, line)
        line += count_newlines(block)


def _array_or_text(texts: list[str]) -> Column:
    """Return the numbers that `texts` are, or `texts` when one of them is something else: one decoder call for all."""
    if "" in texts:
        return _list_of_numbers(texts) or texts
    try:
        numbers = msgspec.json.decode(f"[{','.join(texts)}]".encode(), type=list[int | float])
        return as_column(numbers) if len(numbers) == len(texts) else texts  # "1,2" is two
    except (msgspec.DecodeError, NumberError):
        return texts


def _list_of_numbers(texts: list[str]) -> list[Any] | None:
    """Return the numbers that `texts` are, and None for each that is empty; None when one of them is something else."""
    present = [text for text in texts if text]
    numbers = _array_or_text(present)
    if present and numbers is present:
        return None
    given = iter(np.asarray(numbers).tolist())
    return [next(given) if text else None for text in texts]


def _column_of(texts: list[str], dtype: np.dtype[Any]) -> Column:
    """Return the numbers that `texts` are, as an array; with the dtype object as a list, with None for empty ones."""
    if dtype != np.dtype(object):
        return as_array(_numbers(texts, dtype), dtype)
    numbers = _list_of_numbers(texts)
    if numbers is None:
        row = next((row for row, text in enumerate(texts) if _list_of_numbers([text]) is None), 0)
        raise NumberError(row, f"is {texts[row]!r}, which is no number beside the others.", "Leave it out of dtypes")
    return numbers


def _numbers(texts: list[str], dtype: np.dtype[Any]) -> list[Any]:
    convert = float if dtype.kind == "f" else int
    try:
        return list(map(convert, texts))
    except ValueError:
        for row, text in enumerate(texts):
            try:
                convert(text)
            except ValueError as exc:
                raise NumberError(row, f"is {text!r}, which is no {dtype}.", "Leave it out of dtypes") from exc
        raise
