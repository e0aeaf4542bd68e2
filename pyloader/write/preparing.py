"""A block of a dump -> rows: checked, filtered, encoded, and laid out for the chunk format."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec
import numpy as np

from pyloader.columns import Columns, ColumnSpec, problem_with_columns, row_count, slice_columns
from pyloader.dataset import Dataset
from pyloader.errors import BatchEncodeError, SplitError
from pyloader.write.blocks import Block
from pyloader.write.formats import chunk_format
from pyloader.write.forms import ArrayForm, Form, JsonForm, PackedForm, UnfitColumnsError
from pyloader.write.layout import Layout
from pyloader.write.number_columns import NumberColumns
from pyloader.write.records import LineChecker
from pyloader.write.rows import Rows

__all__ = ["Preparation", "named_object"]

# Rows that batch_encode gets at a time.
_ENCODE_ROWS = 1024


class Preparation:
    """Turns blocks into rows.  The first block decides on the form, and, unless it is given, on the format.

    Args:
      input_format: One of INPUT_FORMATS.
      output_format: One of FORMATS; None chooses by what the columns are.
      columns: The columns to keep; None keeps all.
      fill: Column -> what stands where a JSON line lacks it, or has null.
      where: Keeps the samples it is true of; called with a dict for each.
      encode: Encodes blocks of rows.

    Attributes:
      layout: What the rows have decided of format and form.
    """

    def __init__(
        self,
        *,
        input_format: str,
        output_format: str | None,
        columns: Sequence[str] | None = None,
        fill: Mapping[str, Any] | None = None,
        where: Callable[[dict[str, Any]], Any] | None = None,
        encode: Dataset | None = None,
    ) -> None:
        self.layout = Layout(output_format)
        self._input_format, self._columns, self._fill = input_format, columns, fill
        self._where, self._encode = where, encode
        self._lines = LineChecker(columns=columns, fill=fill) if input_format == "jsonl" else None
        # A CSV column of numbers is known as one only when the last row has been seen.
        is_text = input_format in ("csv", "tsv") and encode is None and not self.layout.wants_arrays
        self._numbers = NumberColumns() if is_text else None
        if fill and self._lines is None:
            raise ValueError(f"fill is for JSON lines; {input_format} has no missing keys")

    def rows(self, block: Block, name: str) -> Rows | None:
        """Return the rows of a block of the source `name`; None when it has none.

        Raises:
          SplitError: they are no samples like the ones before them.
          BatchEncodeError: `encode` answered with something that is no set of columns.
        """
        try:
            rows = self._of_lines(block, name) if self._lines is not None else self._of_columns(self._raw(block, name))
        except UnfitColumnsError as exc:
            raise SplitError(name, f"{exc}.", line=block.line) from exc
        return rows if rows is not None and len(rows) else None

    @property
    def decides_at_the_end(self) -> bool:
        """Whether rows are complete only when all of the dump has been read: `completed` has to see them."""
        return self._numbers is not None

    def completed(self, rows: Rows) -> Rows:
        """Return rows put aside, as they go into chunks."""
        return rows if self._numbers is None else self._numbers.unquoted(rows)

    def completed_form(self) -> Form:
        """Return the form of completed rows."""
        form = self.layout.form
        assert form is not None
        if self._numbers is None or not isinstance(form, JsonForm):
            return form
        return JsonForm({**form.kinds, **self._numbers.kinds()})

    def state(self) -> dict[str, Any]:
        """Return what the blocks so far have decided, as JSON."""
        chunks, form = self.layout.format, self.layout.form
        return {
            "format": chunks.name if chunks else None,
            "form": form.name if form else None,
            "kinds": _sorted(form.kinds if isinstance(form, JsonForm | PackedForm) else {}),
            "specs": msgspec.to_builtins(form.specs) if isinstance(form, ArrayForm) else [],
            "lines": _sorted(self._lines.kinds if self._lines else {}),
            "numbers": _sorted(self._numbers.found if self._numbers else {}),
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from what `state` returned."""
        kinds, lines, numbers = (_sets(state[name]) for name in ("kinds", "lines", "numbers"))
        if self._lines is not None and lines:
            self._lines = LineChecker(columns=self._columns, fill=self._fill, kinds=lines)
            if self._keeps_lines():
                kinds = lines  # one object: what the checker learns, the form knows
        if self._numbers is not None:
            self._numbers.found.update(numbers)
        self.layout.format = chunk_format(state["format"]) if state["format"] else None
        if state["form"] == "array":
            self.layout.form = ArrayForm(msgspec.convert(state["specs"], list[ColumnSpec]))
        elif state["form"] is not None:
            self.layout.form = JsonForm(kinds) if state["form"] == "json" else PackedForm(kinds)

    def _keeps_lines(self) -> bool:
        return self._lines is not None and self._encode is None and self.layout.takes_json

    def _of_lines(self, block: Block, name: str) -> Rows | None:
        assert self._lines is not None
        assert isinstance(block.content, bytes)
        rows = self._lines.check(block.content, name, block.line)
        if self._where is not None and len(rows):
            keep = [bool(self._where(sample)) for sample in msgspec.json.Decoder().decode_lines(rows.data)]
            rows = rows.take(np.flatnonzero(keep))
        if not len(rows):
            return None
        if self._keeps_lines():
            self.layout.format = self.layout.format or chunk_format("jsonl.zst")
            self.layout.form = self.layout.form or JsonForm(self._lines.kinds)
            return rows
        return self._rows_of(self._encoded(JsonForm(self._lines.kinds).to_columns(rows)))

    def _raw(self, block: Block, name: str) -> Columns:
        if isinstance(block.content, dict):
            return block.content
        try:
            return {"text": block.content[:-1].decode().replace("\r\n", "\n").removesuffix("\r").split("\n")}
        except UnicodeDecodeError as exc:
            line = block.line + block.content.count(b"\n", 0, exc.start)
            raise SplitError(
                name, f"is not UTF-8 ({exc.reason}).", "Convert it: iconv -f LATIN1 -t UTF-8", line
            ) from exc

    def _of_columns(self, columns: Columns) -> Rows | None:
        if self._columns is not None:
            if missing := [name for name in self._columns if name not in columns]:
                raise UnfitColumnsError(f"has no column {missing[0]!r}; it has {', '.join(columns)}")
            columns = {name: columns[name] for name in self._columns}
        if self._where is not None:
            keep = [row for row in range(row_count(columns)) if self._where({k: v[row] for k, v in columns.items()})]
            columns = {
                name: values[keep] if isinstance(values, np.ndarray) else [values[row] for row in keep]
                for name, values in columns.items()
            }
        return self._rows_of(self._encoded(columns)) if row_count(columns) else None

    def _encoded(self, columns: Columns) -> list[Columns]:
        if self._encode is None:
            return [columns]
        total, name = row_count(columns), type(self._encode).__name__
        parts = []
        for start in range(0, total, _ENCODE_ROWS):
            stop = min(start + _ENCODE_ROWS, total)
            part = self._encode.batch_encode(slice_columns(columns, start, stop))
            if problem := problem_with_columns(part):
                raise BatchEncodeError(f"{name}.batch_encode returned {problem}.")
            if row_count(part) != stop - start:
                what = f"{name}.batch_encode got {stop - start:,} rows and returned {row_count(part):,}."
                raise BatchEncodeError(what, "Filter with --where")
            parts.append(part)
        return parts

    def _rows_of(self, parts: Sequence[Columns]) -> Rows:
        if self._numbers is not None:
            for part in parts:
                self._numbers.learn(part)
        return self.layout.rows(parts)


def _sorted(kinds: Mapping[str, set[str]]) -> dict[str, list[str]]:
    return {key: sorted(values) for key, values in kinds.items()}


def _sets(kinds: Mapping[str, Sequence[str]]) -> dict[str, set[str]]:
    return {key: set(values) for key, values in kinds.items()}


def named_object(name: str, option: str) -> Any:
    """Return what "package.module:name" names.

    Raises:
      ValueError: there is no such thing; the message says what is missing.
    """
    module, _, attribute = name.partition(":")
    if not module or not attribute:
        raise ValueError(f"{option} wants package.module:name, got {name!r}")
    try:
        found: Any = importlib.import_module(module)
        for part in attribute.split("."):
            found = getattr(found, part)
    except (ImportError, AttributeError) as exc:
        raise ValueError(f"{option} {name}: {exc}") from exc
    return found
