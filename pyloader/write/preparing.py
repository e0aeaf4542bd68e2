"""A block of a dump -> rows: checked, filtered, encoded, and laid out for the chunk format."""

from __future__ import annotations

import msgspec
import numpy as np

from pyloader.columns import Columns, problem_with_columns, row_count, slice_columns
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

__all__ = ["Learnt", "Preparation", "is_settled_at_the_end"]

# Rows that batch_encode gets at a time.
_ENCODE_ROWS = 1024


class Learnt(msgspec.Struct, kw_only=True):
    """What the blocks so far have decided; part of each checkpoint.

    Attributes:
      layout: Format and form of the rows.
      line_kinds: What the columns of JSON lines are, where these are not what is laid out.
      filled: Key -> how many lines lacked it.
      fields: What the fields of a CSV dump are, by column.
    """

    layout: Layout
    line_kinds: KindsOfColumns = msgspec.field(default_factory=dict)
    filled: dict[str, int] = msgspec.field(default_factory=dict)
    fields: dict[str, set[str]] = msgspec.field(default_factory=dict)


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
    """

    def __init__(self, learnt: Learnt, request: Request, input_format: str) -> None:
        self._learnt, self._request, self.layout = learnt, request, learnt.layout
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
            rows = self._of_lines(block, name) if self._lines is not None else self._of_columns(_columns(block, name))
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
        rows = self._lines.check(block.content, name, block.line)
        if (keeps := self._request.keeps) is not None and len(rows):
            keep = [bool(keeps(sample)) for sample in msgspec.json.Decoder().decode_lines(rows.data)]
            rows = rows.take(np.flatnonzero(keep))
        if not len(rows):
            return None
        if self._keeps_lines:
            self.layout.keep_json()
            return rows
        return self.layout.rows(self._encoded(RecordForm("json", self._lines.kinds).to_columns(rows)))

    def _of_columns(self, columns: Columns) -> Rows | None:
        if (chosen := self._request.columns) is not None:
            if missing := [name for name in chosen if name not in columns]:
                raise UnfitColumnsError(f"has no column {missing[0]!r}; it has {', '.join(columns)}")
            columns = {name: columns[name] for name in chosen}
        if (keeps := self._request.keeps) is not None:
            keep = [row for row in range(row_count(columns)) if keeps({k: v[row] for k, v in columns.items()})]
            columns = {
                name: values[keep] if isinstance(values, np.ndarray) else [values[row] for row in keep]
                for name, values in columns.items()
            }
        if not row_count(columns):
            return None
        if self._has_fields:
            learn_fields(self._learnt.fields, columns)
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
                raise BatchEncodeError(what, "Filter with --where")
            parts.append(part)
        return parts


def _columns(block: Block, name: str) -> Columns:
    if isinstance(block.content, dict):
        return block.content
    try:
        text = text_of(block.content, name, block.line).removesuffix("\n")
    except ChunkReadError as exc:
        raise SplitError(name, exc.what, exc.hint, exc.line) from exc
    return {"text": text.replace("\r\n", "\n").removesuffix("\r").split("\n")}
