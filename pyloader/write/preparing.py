"""A block of a dump -> rows: checked, filtered, encoded, and laid out for the chunk format."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, TypeAlias

import msgspec
import numpy as np

from pyloader.columns import Columns, problem_with_columns, row_count, slice_columns, take_rows
from pyloader.encode import find_bad_rows
from pyloader.errors import BatchEncodeError, ChunkReadError, SplitError
from pyloader.files import text_of
from pyloader.write.blocks import Block
from pyloader.write.forms import Form, RecordForm, UnfitColumnsError
from pyloader.write.kinds import KindsOfColumns
from pyloader.write.layout import Layout
from pyloader.write.number_columns import learn_fields, number_kinds, numbers_in
from pyloader.write.records import LineChecker
from pyloader.write.request import Request
from pyloader.write.rows import Rows

__all__ = ["Learnt", "LeaveOut", "Preparation", "is_settled_at_the_end"]

# The error of a bad row, its file, its line or row from 1, and the stage that found it: "read", "where" or "encode".
LeaveOut: TypeAlias = "Callable[[Exception, str, int, str], None]"

# Rows that batch_encode gets at a time.
_ENCODE_ROWS = 1024


class Learnt(msgspec.Struct, kw_only=True):
    """What the blocks so far have decided; part of each checkpoint.

    Attributes:
      layout: Format and form of the rows.
      line_kinds: What the columns of JSON lines are, where these are not what is laid out.
      filled: Key -> how many lines lacked it.
      fields: What the fields of a CSV dump are, by column.
      num_skipped: How many rows were left out.
    """

    layout: Layout
    line_kinds: KindsOfColumns = msgspec.field(default_factory=dict)
    filled: dict[str, int] = msgspec.field(default_factory=dict)
    fields: dict[str, set[str]] = msgspec.field(default_factory=dict)
    num_skipped: int = 0


def is_settled_at_the_end(input_format: str, layout: Layout, *, is_encoded: bool) -> bool:
    """Tell whether a chunk's bytes depend on what the columns turn out to be over the whole dump."""
    if _has_fields(input_format, layout, is_encoded=is_encoded) or layout.format_name == "parquet":
        return True
    return layout.format_name is None and (is_encoded or input_format == "parquet")


def _has_fields(input_format: str, layout: Layout, *, is_encoded: bool) -> bool:
    # A CSV column of numbers is known as one only when the last row has been seen.
    return input_format in ("csv", "tsv") and not is_encoded and not layout.wants_arrays


class Preparation:
    """Turns blocks into rows.

    Args:
      learnt: What is known from before; kept up to date.
      request: What the user asked for.
      input_format: One of INPUT_FORMATS.
      leave_out: Called for a bad row; raises its error, or returns to go past the row.
    """

    def __init__(self, learnt: Learnt, request: Request, input_format: str, leave_out: LeaveOut) -> None:
        self._learnt, self._request, self.layout, self._leave_out = learnt, request, learnt.layout, leave_out
        is_encoded = request.encoder is not None
        self._has_fields = _has_fields(input_format, self.layout, is_encoded=is_encoded)
        self._keeps_lines = input_format == "jsonl" and not is_encoded and self.layout.takes_json
        kinds = self.layout.kinds if self._keeps_lines else learnt.line_kinds
        self._lines: LineChecker | None = None
        if input_format == "jsonl":
            self._lines = LineChecker(
                kinds, columns=request.columns, fill=request.fill, filled=learnt.filled, leave_out=leave_out
            )

    def rows(self, block: Block, name: str) -> Rows | None:
        """Return the rows of a block of the source `name`; None when it has none.

        Raises:
          SplitError: they are no samples like the ones before them.
          BatchEncodeError: `encode` answered with something that is no set of columns.
        """
        try:
            rows = self._of_lines(block, name) if self._lines is not None else self._of_columns(block, name)
        except UnfitColumnsError as exc:
            raise SplitError(name, f"{exc}.", line=block.line) from exc
        return rows if rows is not None and len(rows) else None

    def written_form(self) -> Form:
        """Return the form of what `written` returns."""
        form, numbers = self.layout.form, number_kinds(self._learnt.fields)
        return RecordForm(form.name, {**form.kinds, **numbers}) if numbers and isinstance(form, RecordForm) else form

    def written(self, rows: Rows) -> Rows:
        """Return rows put aside as they go into chunks: CSV columns of numbers are texts until then."""
        form = self.written_form()
        if not (numbers := number_kinds(self._learnt.fields)):
            return rows
        columns = self.layout.form.to_columns(rows)
        return form.to_rows(columns | {name: numbers_in(columns[name]) for name in numbers})

    def _of_lines(self, block: Block, name: str) -> Rows | None:
        assert self._lines is not None
        assert isinstance(block.content, bytes)
        rows, numbers = self._lines.check(block.content, name, block.line)
        if self._request.keeps is not None and len(rows):
            kept = self._kept(msgspec.json.Decoder().decode_lines(rows.data), name, numbers)
            rows, numbers = rows.take(kept), numbers[kept]
        if not len(rows):
            return None
        if self._keeps_lines:
            self.layout.keep_json()
            return rows
        return self._laid_out(RecordForm("json", self._lines.kinds).to_columns(rows), name, numbers)

    def _of_columns(self, block: Block, name: str) -> Rows | None:
        columns, numbers = self._columns(block, name)
        if (chosen := self._request.columns) is not None:
            if missing := [name for name in chosen if name not in columns]:
                raise UnfitColumnsError(f"has no column {missing[0]!r}; it has {', '.join(columns)}")
            columns = {name: columns[name] for name in chosen}
        if self._request.keeps is not None:
            samples = ({key: values[row] for key, values in columns.items()} for row in range(row_count(columns)))
            kept = self._kept(samples, name, numbers)
            columns, numbers = take_rows(columns, kept), numbers[kept]
        if not row_count(columns):
            return None
        if self._has_fields:
            learn_fields(self._learnt.fields, columns)
        return self._laid_out(columns, name, numbers)

    def _columns(self, block: Block, name: str) -> tuple[Columns, np.ndarray]:
        """Return a block's columns, and the line or row that each of its rows came from."""
        if isinstance(block.content, dict):
            return block.content, np.arange(block.line, block.line + row_count(block.content))
        lines = block.content[:-1]
        try:
            texts = text_of(lines, name, block.line).replace("\r\n", "\n").removesuffix("\r").split("\n")
            return {"text": texts}, np.arange(block.line, block.line + len(texts))
        except ChunkReadError:
            return self._good_lines(lines.split(b"\n"), name, block.line)

    def _good_lines(self, lines: Sequence[bytes], name: str, first_line: int) -> tuple[Columns, np.ndarray]:
        texts, numbers = [], []
        for number, line in enumerate(lines, start=first_line):
            try:
                texts.append(text_of(line.removesuffix(b"\r"), name, number))
                numbers.append(number)
            except ChunkReadError as exc:
                self._leave_out(SplitError(name, exc.what, exc.hint, number), name, number, "read")
        return {"text": texts}, np.array(numbers, np.int64)

    def _kept(self, samples: Iterable[dict[str, Any]], name: str, numbers: np.ndarray) -> np.ndarray:
        """Return the rows that --where is true of: int64 array of indices."""
        assert self._request.keeps is not None
        kept = []
        for row, sample in enumerate(samples):
            try:
                if self._request.keeps(sample):
                    kept.append(row)
            except Exception as exc:
                self._leave_out(exc, name, int(numbers[row]), "where")
        return np.array(kept, np.int64)

    def _laid_out(self, columns: Columns, name: str, numbers: np.ndarray) -> Rows | None:
        parts = [columns] if self._request.encoder is None else list(self._encoded(columns, name, numbers))
        return self.layout.rows(parts) if parts else None

    def _encoded(self, columns: Columns, name: str, numbers: np.ndarray) -> Iterator[Columns]:
        for start in range(0, row_count(columns), _ENCODE_ROWS):
            given = slice_columns(columns, start, start + _ENCODE_ROWS)
            try:
                yield self._encode(given)
            except BatchEncodeError:
                raise
            except Exception as exc:
                # The one way to know which rows are bad: some rows, and fewer and fewer of them, are encoded once more.
                found = find_bad_rows(lambda part, _: self._encode(part), given)
                for row, error in sorted(found.items()):
                    self._leave_out(error, name, int(numbers[start + row]), "encode")
                if not found:  # all of them are good one by one
                    exc.add_note(f"pyloader: {name}, rows from line {numbers[start]} on")
                    raise
                good = np.setdiff1d(np.arange(row_count(given)), list(found))
                if len(good):
                    yield self._encode(take_rows(given, good))

    def _encode(self, columns: Columns) -> Columns:
        encoder = self._request.encoder
        assert encoder is not None
        where, num_rows = f"{type(encoder).__name__}.batch_encode", row_count(columns)
        encoded = encoder.batch_encode(dict(columns))
        if problem := problem_with_columns(encoded):
            raise BatchEncodeError(f"{where} returned {problem}.")
        if row_count(encoded) != num_rows:
            counts = f"{where} got {num_rows:,} rows and returned {row_count(encoded):,}."
            raise BatchEncodeError(counts, "Filter with --where")
        return encoded
