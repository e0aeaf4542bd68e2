"""A block of a dump -> rows: checked, filtered, encoded, and laid out for the chunk format."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import msgspec
import numpy as np

from pyloader.columns import Columns, problem_with_columns, row_count, slice_columns, take_rows
from pyloader.errors import BatchEncodeError, ChunkReadError, SplitError
from pyloader.files import text_of
from pyloader.read.parquet import ParquetReader
from pyloader.write.arrow_form import TableForm
from pyloader.write.arrow_types import is_number_type
from pyloader.write.blocks import Block
from pyloader.write.filling import filled_columns, filled_fields, filled_table
from pyloader.write.forms import Form, RecordForm
from pyloader.write.kinds import KindsOfColumns
from pyloader.write.layout import Layout
from pyloader.write.number_columns import learn_fields, number_kinds, numbers_of_kinds
from pyloader.write.records import LineChecker
from pyloader.write.request import Request
from pyloader.write.rows import Rows
from pyloader.write.unfit import UnfitColumnsError

__all__ = ["Learnt", "Preparation", "is_settled_at_the_end"]

# Rows that batch_encode gets at a time.
_ENCODE_ROWS = 1024


class Learnt(msgspec.Struct, kw_only=True):
    """What the blocks so far have decided; part of each checkpoint.

    Attributes:
      layout: Format and form of the rows.
      line_kinds: What the columns of JSON lines are, where these are not what is laid out.
      filled: Column -> in how many rows it was missing, or null.
      fields: What the fields of a CSV dump are, by column.
    """

    layout: Layout
    line_kinds: KindsOfColumns = msgspec.field(default_factory=dict)
    filled: dict[str, int] = msgspec.field(default_factory=dict)
    fields: dict[str, set[str]] = msgspec.field(default_factory=dict)


def is_settled_at_the_end(input_format: str, layout: Layout, *, is_encoded: bool) -> bool:
    """Tell whether a chunk's bytes depend on what the columns turn out to be over the whole dump."""
    if layout.form_name == "table":
        return False
    if _has_fields(input_format, layout, is_encoded=is_encoded) or layout.format_name == "parquet":
        return True
    return layout.format_name is None and (is_encoded or input_format in ("parquet", "arrow"))


def _has_fields(input_format: str, layout: Layout, *, is_encoded: bool) -> bool:
    # A CSV column of numbers is known as one only when the last row has been seen.
    return input_format in ("csv", "tsv") and not is_encoded and not layout.wants_arrays


class Preparation:
    """Turns blocks into rows.

    Args:
      learnt: What is known from before; kept up to date.
      request: What the user asked for.
      input_format: One of INPUT_FORMATS.
    """

    def __init__(self, learnt: Learnt, request: Request, input_format: str) -> None:
        self._learnt, self._request, self.layout = learnt, request, learnt.layout
        self._input_format = input_format
        is_encoded = request.encoder is not None
        self._has_fields = _has_fields(input_format, self.layout, is_encoded=is_encoded)
        self._keeps_lines = input_format == "jsonl" and not is_encoded and self.layout.takes_json
        kinds = self.layout.kinds if self._keeps_lines else learnt.line_kinds
        self._lines: LineChecker | None = None
        if input_format == "jsonl":
            self._lines = LineChecker(kinds, columns=request.columns, fill=request.fill, filled=learnt.filled)

    def rows(self, block: Block, name: str) -> Rows | None:
        """Return the rows of a block of the source `name`; None when it has none.

        Raises:
          SplitError: they are no samples like the ones before them.
          BatchEncodeError: `encode` answered with something that is no set of columns.
        """
        try:
            if self._lines is not None:
                rows = self._of_lines(block, name)
            elif isinstance(block.content, bytes | dict):
                rows = self._of_columns(_columns(block, name))
            else:
                rows = self._of_table(block.content)
        except UnfitColumnsError as exc:
            is_table = not isinstance(block.content, bytes | dict) and self._request.encoder is None
            other = "write Parquet, which holds it: --to parquet" if exc.parquet_holds or is_table else ""
            hint = ", or ".join(filter(None, [exc.hint, other]))
            hint = hint[:1].upper() + hint[1:]
            raise SplitError(name, f"{exc}.", hint, _line_of_row(block, exc.row or 0)) from exc
        return rows if rows is not None and len(rows) else None

    def written_form(self) -> Form:
        """Return the form of what `written` returns."""
        form, numbers = self.layout.form, self._number_kinds()
        return RecordForm(form.name, {**form.kinds, **numbers}) if numbers and isinstance(form, RecordForm) else form

    def written(self, rows: Rows) -> Rows:
        """Return rows put aside as they go into chunks: CSV columns of numbers are texts until then."""
        form = self.written_form()
        numbers, fields = number_kinds(self._learnt.fields), self._learnt.fields
        nan_texts = [name for name in self._nan_fills() if name in fields and name not in numbers]
        if not numbers and not nan_texts:
            return rows
        assert not isinstance(form, TableForm)
        columns = self.layout.form.to_columns(rows)
        gaps = dict.fromkeys(self._nan_fills(), math.nan)
        written: Columns = {
            name: numbers_of_kinds(columns[name], kinds, gap=gaps.get(name)) for name, kinds in numbers.items()
        }
        written |= {name: [text or "nan" for text in columns[name]] for name in nan_texts}
        return form.to_rows(columns | written)

    def _number_kinds(self) -> KindsOfColumns:
        """Return the kinds of the CSV columns that are numbers, as they are written."""
        numbers = number_kinds(self._learnt.fields)
        return numbers | {name: {"float"} for name in self._nan_fills() if "null" in numbers.get(name, ())}

    def _nan_fills(self) -> list[str]:
        return [name for name, value in (self._request.fill or {}).items() if value != value]

    def _of_lines(self, block: Block, name: str) -> Rows | None:
        assert self._lines is not None
        assert isinstance(block.content, bytes)
        rows = self._lines.check(block.content, name, block.line)
        if (keeps := self._request.keeps) is not None and len(rows):
            samples = msgspec.json.Decoder().decode_lines(rows.data)
            kept = [row for row, sample in enumerate(samples) if keeps(sample)]
            rows = rows.take(np.array(kept, np.int64))
        else:
            kept = None
        if not len(rows):
            return None
        if self._keeps_lines:
            self.layout.keep_json()
            return rows
        with _rows_before(kept):
            return self.layout.rows(self._encoded(RecordForm("json", self._lines.kinds).to_columns(rows)))

    def _of_columns(self, columns: Columns) -> Rows | None:
        fill, filled, kept = self._request.fill or {}, self._learnt.filled, None
        if fill and self._input_format in ("csv", "tsv"):
            as_arrays = self.layout.wants_arrays and self._request.encoder is None
            columns = filled_fields(columns, fill, filled, as_arrays=as_arrays, keeps_gaps=self._has_fields)
        elif fill:
            columns = filled_columns(columns, fill, filled)
        if (chosen := self._request.columns) is not None:
            if missing := [name for name in chosen if name not in columns]:
                raise UnfitColumnsError(f"has no column {missing[0]!r}; it has {', '.join(columns)}")
            columns = {name: columns[name] for name in chosen}
        if (keeps := self._request.keeps) is not None:
            kept = _kept_rows(keeps, columns)
            columns = take_rows(columns, np.array(kept, np.int64))
        if not row_count(columns):
            return None
        if self._has_fields:
            learn_fields(self._learnt.fields, columns)
        with _rows_before(kept):
            return self.layout.rows(self._encoded(columns))

    def _of_table(self, table: Any) -> Rows | None:
        kept = None
        table = filled_table(table, self._request.fill or {}, self._learnt.filled)
        if (keeps := self._request.keeps) is not None:
            kept = _kept_rows(keeps, ParquetReader().columns_of("", table))
            table = table.take(kept) if kept else table.slice(0, 0)
        if not len(table):
            return None
        if isinstance(form := self.layout.form_name and self.layout.form, TableForm):
            return form.to_rows(table)
        columns = ParquetReader().columns_of("", table)
        with _rows_before(kept):
            if self._request.encoder is None and self.layout.format_name in (None, "columns"):
                _check_gaps(table.schema, columns)
            return self.layout.rows(self._encoded(columns))

    def _encoded(self, columns: Columns) -> list[Columns]:
        if (encoder := self._request.encoder) is None:
            return [columns]
        total, name = row_count(columns), type(encoder).__name__
        parts = []
        for start in range(0, total, _ENCODE_ROWS):
            stop = min(start + _ENCODE_ROWS, total)
            part = encoder.batch_encode(slice_columns(columns, start, stop))
            if problem := problem_with_columns(part):
                raise BatchEncodeError(f"{name}.batch_encode returned {problem}.")
            if row_count(part) != stop - start:
                what = f"{name}.batch_encode got {stop - start:,} rows and returned {row_count(part):,}."
                fewer = row_count(part) < stop - start
                hint = (
                    "Filter with --where" if fewer else "Return one row for each; ChunkWriter takes any number of rows"
                )
                raise BatchEncodeError(what, hint)
            parts.append(part)
        return parts


def _columns(block: Block, name: str) -> Columns:
    if isinstance(block.content, dict):
        return block.content
    try:
        text = text_of(block.content[:-1], name, block.line)
    except ChunkReadError as exc:
        raise SplitError(name, exc.what, exc.hint, exc.line) from exc
    return {"text": text.replace("\r\n", "\n").removesuffix("\r").split("\n")}


def _kept_rows(keeps: Callable[[dict[str, Any]], Any], columns: Columns) -> list[int]:
    """Return the rows that `keeps` is true of."""
    return [row for row in range(row_count(columns)) if keeps({name: v[row] for name, v in columns.items()})]


@contextmanager
def _rows_before(kept: list[int] | None) -> Iterator[None]:
    """Have errors name a row by its number before others were left out."""
    try:
        yield
    except UnfitColumnsError as exc:
        raise (exc if kept is None or exc.row is None else exc.at(kept[exc.row])) from exc


def _line_of_row(block: Block, row: int) -> int:
    """Return the number of a row of a block in its file; blank JSON lines are no rows."""
    if not isinstance(block.content, bytes):
        return block.line + row
    lines = (number for number, line in enumerate(block.content.split(b"\n"), start=block.line) if line.strip())
    return next(itertools.islice(lines, row, None), block.line)


def _check_gaps(schema: Any, columns: Columns) -> None:
    """Refuse a null in a table of nothing but numbers: arrays hold none, and JSON not every kind of number."""
    for name, values in columns.items() if all(map(is_number_type, schema.types)) else ():
        if not isinstance(values, np.ndarray):
            gap = next(
                row for row, value in enumerate(values) if value is None or (type(value) is list and None in value)
            )
            what = f"has null in column {name!r}, which no array holds"
            raise UnfitColumnsError(what, gap, parquet_holds=True, hint=f"Fill it: --fill {name}=0")
