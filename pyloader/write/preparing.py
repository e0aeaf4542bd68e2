"""A block of a dump -> rows: checked, filtered, encoded, and laid out for the chunk format."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import Any, TypeAlias

import msgspec
import numpy as np

from pyloader.columns import Columns, problem_with_columns, row_count, samples_of, slice_columns, take_rows
from pyloader.encode import find_bad_rows
from pyloader.errors import BadRowsError, BatchEncodeError, ChunkReadError, SplitError
from pyloader.files import text_of
from pyloader.write.arrow_form import TableForm, check_gaps, columns_of_table
from pyloader.write.assigning import Assignment, Came
from pyloader.write.blocks import Block
from pyloader.write.filling import filled_columns, filled_fields, filled_table
from pyloader.write.forms import Form, RecordForm
from pyloader.write.holdout import HOLDOUT_RULE
from pyloader.write.kinds import KindsOfColumns
from pyloader.write.layout import Layout, spans_of_rows
from pyloader.write.media import FETCH_OR_REMOVE, MEDIA
from pyloader.write.number_columns import learn_fields, number_kinds, numbers_of_kinds
from pyloader.write.records import LineChecker
from pyloader.write.request import Request
from pyloader.write.rows import Rows
from pyloader.write.scaling_down import scaled_down_rows
from pyloader.write.unfit import UnfitColumnsError
from pyloader.write.unique import UniqueRows

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
      filled: Column -> in how many rows it was missing, or null.
      fields: What the fields of a CSV dump are, by column.
      num_skipped: How many rows were left out.
      num_duplicates: How many were dropped, since an earlier row has the same key.
    """

    layout: Layout
    line_kinds: KindsOfColumns = msgspec.field(default_factory=dict)
    filled: dict[str, int] = msgspec.field(default_factory=dict)
    fields: dict[str, set[str]] = msgspec.field(default_factory=dict)
    num_skipped: int = 0
    num_duplicates: int = 0

    def begun(self) -> Learnt:
        """Return what another part of the dump begins with: what the columns are, and no counts."""
        copy: Learnt = msgspec.json.decode(msgspec.json.encode(self), type=Learnt)
        copy.filled, copy.num_skipped, copy.num_duplicates = {}, 0, 0
        return copy

    def join(self, other: Learnt) -> None:
        """Add what another part of the dump has decided."""
        for mine, more in (
            (self.layout.kinds, other.layout.kinds),
            (self.line_kinds, other.line_kinds),
            (self.fields, other.fields),
        ):
            for name, kinds in more.items():
                mine.setdefault(name, set()).update(kinds)
        for name, dtypes in other.layout.ragged.items():
            self.layout.ragged.setdefault(name, set()).update(dtypes)
        self.layout.gaps |= other.layout.gaps
        self.num_skipped += other.num_skipped
        self.num_duplicates += other.num_duplicates
        for name, number in other.filled.items():
            self.filled[name] = self.filled.get(name, 0) + number


def is_settled_at_the_end(input_format: str, layout: Layout, *, is_encoded: bool) -> bool:
    """Tell whether a chunk's bytes depend on what the columns turn out to be over the whole dump."""
    if layout.form_name == "table" or (input_format in MEDIA and not is_encoded):
        return False
    if _has_fields(input_format, layout, is_encoded=is_encoded) or layout.format_name == "parquet":
        return True
    if layout.narrows:
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
      leave_out: Called for a bad row; raises its error, or returns to go past the row.
      holdout_rule: 1 or 2, as `pyloader.write.holdout` has them.
      unique: Which rows stay of those with the same key; None keeps all.
    """

    def __init__(
        self,
        learnt: Learnt,
        request: Request,
        input_format: str,
        leave_out: LeaveOut,
        *,
        holdout_rule: int = HOLDOUT_RULE,
        unique: UniqueRows | None = None,
    ) -> None:
        self._learnt, self._request, self.layout, self._pass_on = learnt, request, learnt.layout, leave_out
        self._files: Sequence[str] = ()
        self._assignment = Assignment(request, input_format, holdout_rule, unique)
        self._input_format = input_format
        is_encoded = request.encode is not None  # it is made where it is first used
        self._has_fields = _has_fields(input_format, self.layout, is_encoded=is_encoded)
        self._keeps_lines = input_format == "jsonl" and not is_encoded and self.layout.takes_json
        kinds = self.layout.kinds if self._keeps_lines else learnt.line_kinds
        self._lines: LineChecker | None = None
        if input_format == "jsonl":
            self._lines = LineChecker(
                kinds, columns=request.columns, fill=request.fill, filled=learnt.filled, leave_out=leave_out
            )

    def rows(self, block: Block, name: str) -> list[tuple[str, Rows]]:
        """Return the rows of a block of the source `name`, by output; those of an output may come in parts.

        Raises:
          SplitError: they are no samples like the ones before them.
          BatchEncodeError: `encode` answered with something that is no set of columns.
        """
        self._files = block.files
        for error in block.bad:
            self._leave_out(error, name, error.line or block.line, "read")
        try:
            if self._lines is not None:
                parts = self._of_lines(block, name)
            elif isinstance(block.content, memoryview | dict):
                parts = self._of_columns(block, name)
            else:
                parts = self._of_table(block, name)
        except UnfitColumnsError as exc:
            raise self._refusal(exc, block, name, block.line + (exc.row or 0)) from exc
        return [(output, rows) for output, rows in parts if len(rows)]

    def _refusal(self, exc: UnfitColumnsError, block: Block, name: str, line: int) -> SplitError:
        is_table = not isinstance(block.content, memoryview | dict) and self._request.encoder is None
        other = "write Parquet, which holds it: --to parquet" if exc.parquet_holds or is_table else ""
        hint = ", or ".join(filter(None, [exc.hint, other]))
        name, line = self._place(name, line)
        return SplitError(name, f"{exc}.", hint[:1].upper() + hint[1:], line)

    def _leave_out(self, error: Exception, name: str, line: int, stage: str) -> None:
        self._pass_on(error, *self._place(name, line), stage)

    def _place(self, name: str, line: int) -> tuple[str, int]:
        """Return the file and line of a row of the source `name`, whose rows may be files of their own."""
        return (self._files[line - 1], 1) if self._files else (name, line)

    def check_end(self, name: str) -> None:
        """See to it that the rows of a unit were those whose keys were compared; `name` is its last source."""
        self._assignment.check_end(name)

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

    def _of_lines(self, block: Block, name: str) -> list[tuple[str, Rows]]:
        assert self._lines is not None
        assert isinstance(block.content, memoryview)
        lines = Rows(block.content, block.ends) if len(block.ends) else Rows.of_lines(block.content)
        rows, numbers = self._lines.check(lines, name, block.line)
        came = self._assignment.of_lines(rows, numbers)
        rows = self._lines.rewritten(rows, name, block.line) if len(rows) else rows
        if self._request.keeps is not None and len(rows):
            kept = self._kept(msgspec.json.Decoder().decode_lines(rows.data), name, came.lines)
            rows, came = rows.take(kept), came.take(kept)
        if (first := self._first_of_each(came)) is not None:
            rows, came = rows.take(first), came.take(first)
        if not len(rows):
            return []
        if self._keeps_lines:
            self.layout.keep_json()
            return self._assignment.parted(rows, came.outputs)
        return self._laid_out(RecordForm("json", self._lines.kinds).to_columns(rows), block, name, came)

    def _of_columns(self, block: Block, name: str) -> list[tuple[str, Rows]]:
        columns, numbers = self._columns(block, name)
        came = self._assignment.of_columns(partial(dict, columns), numbers)
        fill, filled = self._request.fill or {}, self._learnt.filled
        if fill and self._input_format in ("csv", "tsv"):
            as_arrays = self.layout.wants_arrays and self._request.encoder is None
            columns = filled_fields(columns, fill, filled, as_arrays=as_arrays, keeps_gaps=self._has_fields)
        elif fill:
            columns = filled_columns(columns, fill, filled)
        if (chosen := self._request.columns) is not None:
            if missing := [name for name in chosen if name not in columns]:
                raise UnfitColumnsError(f"has no column {missing[0]!r}; it has {', '.join(columns)}")
            columns = {name: columns[name] for name in chosen}
        if self._request.keeps is not None:
            kept = self._kept(samples_of(columns), name, came.lines)
            columns, came = take_rows(columns, kept), came.take(kept)
        if (first := self._first_of_each(came)) is not None:
            columns, came = take_rows(columns, first), came.take(first)
        if self._request.media.max_side is not None:
            columns, came = self._scaled_down(columns, name, came)
        if not row_count(columns):
            return []
        if self._has_fields:
            learn_fields(self._learnt.fields, columns)
        return self._laid_out(columns, block, name, came)

    def _scaled_down(self, columns: Columns, name: str, came: Came) -> tuple[Columns, Came]:
        """Make large images smaller, of the rows that stay; those that cannot be decoded are left out."""
        scaled, faults = scaled_down_rows(columns, self._request.media)
        for row, what in faults.items():
            path, line = self._place(name, int(came.lines[row]))
            self._pass_on(SplitError(path, f"{what}.", FETCH_OR_REMOVE), path, line, "read")
        good = np.setdiff1d(np.arange(len(came.lines)), list(faults))
        return (take_rows(scaled, good), came.take(good)) if faults else (scaled, came)

    def _of_table(self, block: Block, name: str) -> list[tuple[str, Rows]]:
        table: Any = block.content
        numbers = np.arange(block.line, block.line + len(table))
        came = self._assignment.of_columns(partial(columns_of_table, table), numbers)
        table = table if self._request.columns is None else table.select(list(self._request.columns))
        table = filled_table(table, self._request.fill or {}, self._learnt.filled)
        if self._request.keeps is not None:
            kept = self._kept(samples_of(columns_of_table(table)), name, came.lines)
            table, came = table.take(kept), came.take(kept)
        if (first := self._first_of_each(came)) is not None:
            table, came = table.take(first), came.take(first)
        if not len(table):
            return []
        if isinstance(form := self.layout.form_name and self.layout.form, TableForm):
            return self._assignment.parted(form.to_rows(table), came.outputs)
        columns = columns_of_table(table)
        if self._request.encoder is None and self.layout.format_name in (None, "columns"):
            try:
                check_gaps(table.schema, columns)
            except UnfitColumnsError as exc:
                raise self._refusal(exc, block, name, int(came.lines[exc.row or 0])) from exc
        return self._laid_out(columns, block, name, came)

    def _first_of_each(self, came: Came) -> np.ndarray | None:
        first = self._assignment.first_of_each(came)
        self._learnt.num_duplicates += 0 if first is None else len(came.lines) - len(first)
        return first

    def _columns(self, block: Block, name: str) -> tuple[Columns, np.ndarray]:
        """Return a block's columns, and the line or row that each of its rows came from."""
        if isinstance(block.content, dict):
            lines = block.lines or range(block.line, block.line + row_count(block.content))
            return block.content, np.array(lines, np.int64)
        lines = bytes(block.content)
        try:
            text = text_of(lines, name, block.line).removesuffix("\n")
            texts = text.replace("\r\n", "\n").removesuffix("\r").split("\n")
            return {"text": texts}, np.arange(block.line, block.line + len(texts))
        except ChunkReadError:
            return self._good_lines(lines[:-1].split(b"\n"), name, block.line)

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

    def _laid_out(self, columns: Columns, block: Block, name: str, came: Came) -> list[tuple[str, Rows]]:
        """Encode the columns, and lay out the rows."""
        if self._request.encoder is None:
            laid_out = []
            for some in spans_of_rows(columns):
                part = slice_columns(columns, some.start, some.stop), came.lines[some]
                outputs = None if came.outputs is None else came.outputs[some]
                laid_out += self._assignment.parted(self._rows_of([part], block, name), outputs)
            return laid_out
        if came.outputs is None:
            parts = list(self._encoded(columns, name, came.lines))
            return self._assignment.parted(self._rows_of(parts, block, name), None) if parts else []
        # Each output by itself: an encoder may make several rows of one.
        laid_out = []
        for index, output in enumerate(self._request.outputs):
            chosen = np.flatnonzero(came.outputs == index)
            given = take_rows(columns, chosen)
            if parts := list(self._encoded(given, name, came.lines[chosen])):
                laid_out.append((output, self._rows_of(parts, block, name)))
        return laid_out

    def _rows_of(self, parts: Sequence[tuple[Columns, np.ndarray]], block: Block, name: str) -> Rows:
        """Lay out rows, each part with their lines, for errors."""
        try:
            return self.layout.rows([part for part, _ in parts])
        except UnfitColumnsError as exc:
            if exc.row is None:
                raise
            line = np.concatenate([of_part for _, of_part in parts])[exc.row]
            raise self._refusal(exc, block, name, int(line)) from exc

    def _encoded(self, columns: Columns, name: str, numbers: np.ndarray) -> Iterator[tuple[Columns, np.ndarray]]:
        for start in range(0, row_count(columns), _ENCODE_ROWS):
            given = slice_columns(columns, start, start + _ENCODE_ROWS)
            lines = numbers[start : start + _ENCODE_ROWS]
            try:
                yield from self._encode(given, lines)
            except Exception as exc:
                if isinstance(exc, BatchEncodeError) and not isinstance(exc, BadRowsError):
                    raise
                # Where they are not named, some rows, and fewer and fewer of them, are encoded once more.
                found = find_bad_rows(partial(self._encode_rows, given), row_count(given), exc)
                for row, error in sorted(found.items()):
                    self._leave_out(error, name, int(lines[row]), "encode")
                if not found:  # all of them are good one by one
                    place, line = self._place(name, int(lines[0]))
                    exc.add_note(f"pyloader: {place}, rows from line {line} on")
                    raise
                good = np.setdiff1d(np.arange(row_count(given)), list(found))
                if len(good):
                    yield from self._encode(take_rows(given, good), lines[good])

    def _encode_rows(self, columns: Columns, rows: np.ndarray) -> Columns:
        given = take_rows(columns, rows)
        return next((part for part, _ in self._encode(given, np.zeros(len(rows), np.int64))), given)

    def _encode(self, columns: Columns, lines: np.ndarray) -> Iterator[tuple[Columns, np.ndarray]]:
        """Yield the encoded rows with their lines; nothing, where no row comes of them."""
        encoder = self._request.encoder
        assert encoder is not None
        where, num_rows = f"{type(encoder).__name__}.batch_encode", row_count(columns)
        encoded = encoder.batch_encode(dict(columns))
        if problem := problem_with_columns(encoded):
            raise BatchEncodeError(f"{where} returned {problem}.")
        found = row_count(encoded)
        if getattr(encoder, "changes_rows", False):
            if found:
                yield encoded, np.full(found, lines[0])  # the batch is all that is known of a row's origin
            return
        if found != num_rows:
            more = "Say so, where that is meant: changes_rows = True in the class"
            hint = f"Filter with --where. {more}" if found < num_rows else more
            raise BatchEncodeError(f"{where} got {num_rows:,} rows and returned {found:,}.", hint)
        yield encoded, lines
