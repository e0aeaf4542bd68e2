"""CSV and TSV -> columns."""

from __future__ import annotations

import csv
import itertools
from collections.abc import Generator, Mapping, Sequence
from contextlib import closing
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from pyloader.columns import Column, Columns
from pyloader.datareader import DataReader
from pyloader.errors import ChunkReadError
from pyloader.files import open_chunk, suffix_of
from pyloader.read.numbers import NumberError, as_array, as_column
from pyloader.read.options import column_names, number_dtypes

__all__ = ["DelimitedReader"]

# The csv module refuses fields of more than 128 KiB unless told; a document in a field is often longer.
_LONGEST_FIELD = 2**30


class DelimitedReader(DataReader):
    r"""Chunk files of fields with commas (.csv) or tabs (.tsv) between them; .gz, .zst, .xz and .bz2 too.

    Fields that hold a comma, a quote or a line break stand in double quotes, as spreadsheets write them.  A column is
    an array of int64 or float64 when all its fields are numbers as JSON spells them (12, -0.5, 1e-3); otherwise it
    stays text: with one empty field, with 007, with +1, with an integer beyond int64.  Blank lines are left out.

    Args:
      delimiter: What stands between fields, one character.  None: "\t" for .tsv, "," for any other.
      header: Whether the first line names the columns.
      columns: With a header, the columns to read.  Without, the names of all columns; None: "0", "1", ...
      dtypes: The dtypes of number columns, {"score": "float32"}; str for a column that is to stay text.

    A file without rows gives ({}, 0), unless both `columns` and `dtypes` say what it would have had.
    """

    returns_new_arrays = True

    def __init__(
        self,
        batch_size: int = 16,
        shuffle: bool = False,
        seed: int = 42,
        *,
        delimiter: str | None = None,
        header: bool = True,
        columns: Sequence[str] | None = None,
        dtypes: Mapping[str, npt.DTypeLike] | None = None,
        **old_names: Any,
    ) -> None:
        super().__init__(batch_size, shuffle, seed, **old_names)
        if delimiter is not None and (len(delimiter) != 1 or delimiter in '\r\n\0"'):
            raise ValueError(f"delimiter must be one character that ends no row and no field, got {delimiter!r}")
        self.delimiter, self.header = delimiter, header
        self.columns = column_names(columns)
        self.dtypes, self.text_columns = number_dtypes(dtypes, stays_list=str)
        self._all_known = columns is not None and dtypes is not None

    def read_file(self, path: str) -> tuple[Columns, int]:
        """Read one sample per row.

        Returns:
          The columns, and how many rows there were.

        Raises:
          ChunkReadError: a row has another number of fields than the first; a quote is not closed; a field of a column
            in `dtypes` is no such number; the file is cut, damaged or not UTF-8.
        """
        return self._read(path, None)

    def read_damaged_file(self, path: str) -> tuple[Columns, int, dict[int, str]]:
        """Read one sample per row, less the rows that have another number of fields than the first.

        Raises:
          ChunkReadError: no row is left; a quote is not closed; a field of a column in `dtypes` is no such number; the
            file is cut, damaged or not UTF-8.
        """
        bad_rows: dict[int, str] = {}
        return *self._read(path, bad_rows), bad_rows

    def _read(self, path: str, bad_rows: dict[int, str] | None) -> tuple[Columns, int]:
        """Read the rows; a bad one is an error, or goes to `bad_rows` and has the fields of another."""
        with closing(self._rows(path)) as rows:
            first = next(rows, None)
            if first is None:
                return self._no_rows(), 0
            line, names = first
            fields: list[list[str]] = []
            if not self.header:
                fields, names = [names], list(self.columns or map(str, range(len(names))))
            self._check_names(path, line, names, num_fields=len(first[1]))
            for number, row in rows:
                if len(row) != len(names):
                    what = f"has {len(row):,} fields, but there are {len(names):,} columns, {names}."
                    error = ChunkReadError(path, what, "Quote fields that hold the delimiter", line=number)
                    if bad_rows is None:
                        raise error
                    bad_rows[len(fields)] = str(error)
                    row = fields[-1] if fields else [""] * len(names)
                fields.append(row)
        if not fields:
            return self._no_rows(), 0
        texts = dict(zip(names, zip(*fields, strict=True), strict=True))
        wanted = names if self.columns is None else self.columns
        return {name: self._column(path, name, list(texts[name])) for name in wanted}, len(fields)

    def _rows(self, path: str) -> Generator[tuple[int, list[str]], None, None]:
        """Yield each row that is not blank, and the line it ends in."""
        csv.field_size_limit(max(csv.field_size_limit(), _LONGEST_FIELD))
        delimiter = self.delimiter or ("\t" if suffix_of(path) == ".tsv" else ",")
        with open_chunk(path) as file:
            rows = csv.reader(file, delimiter=delimiter, strict=True)
            try:
                for row in rows:
                    if row:
                        yield rows.line_num, row
            except csv.Error as exc:
                hint = "A quote is not closed, or stands in a field without being doubled"
                raise ChunkReadError(path, f"is not well-formed ({exc}).", hint, line=rows.line_num) from exc

    def _check_names(self, path: str, line: int, names: list[str], *, num_fields: int) -> None:
        if len(names) != num_fields:
            what = f"has {num_fields:,} fields, and columns names {len(names):,}."
            raise ChunkReadError(path, what, "Without a header, columns names every field", line=line)
        if len(set(names)) != len(names):
            twice = next(name for name in names if names.count(name) > 1)
            raise ChunkReadError(path, f"names the column {twice!r} twice.", "Rename one", line=line)
        if unknown := {*(self.columns or ()), *self.dtypes, *self.text_columns} - set(names):
            raise ChunkReadError(path, f"has columns {names}, and no {sorted(unknown)[0]!r}.", line=line)

    def _column(self, path: str, name: str, texts: list[str]) -> Column:
        if name in self.text_columns:
            return texts
        if name not in self.dtypes:
            return _array_or_text(texts)
        try:
            return as_array(_numbers(texts, self.dtypes[name]), self.dtypes[name])
        except NumberError as exc:
            line = next(itertools.islice(self._rows(path), exc.row + self.header, None))[0]
            raise ChunkReadError(path, f"{name!r} {exc.what}", exc.hint, line=line) from exc

    def _no_rows(self) -> Columns:
        if not self._all_known:
            return {}
        return {name: as_array([], self.dtypes[name]) if name in self.dtypes else [] for name in self.columns or ()}


def _array_or_text(texts: list[str]) -> Column:
    """Return the numbers that `texts` are, or `texts` when one of them is something else: one decoder call for all."""
    try:
        numbers = msgspec.json.decode(f"[{','.join(texts)}]".encode(), type=list[int | float])
        return as_column(numbers) if len(numbers) == len(texts) else texts  # "1,2" is two
    except (msgspec.DecodeError, NumberError):
        return texts


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
