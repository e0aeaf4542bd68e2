"""Columns -> rows, in the form that suits the chunk format; the first columns decide what is left open."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pyloader.columns import Column, Columns, ColumnSpec, column_specs
from pyloader.write.formats import ChunkFormat, chunk_format
from pyloader.write.forms import ArrayForm, Form, JsonForm, PackedForm, UnfitColumnsError
from pyloader.write.number_columns import numbers_in
from pyloader.write.rows import Rows, join_rows

__all__ = ["Layout"]

_OTHER = "keep other columns (--columns), encode them (--encode), or write another format (--to jsonl.zst)"


class Layout:
    """Lays out rows.

    Args:
      output_format: One of FORMATS; None chooses "columns" for arrays, "parquet" when there are bytes, and "jsonl.zst"
        for everything else.

    Attributes:
      format: The chunks' format; None until the first rows came.
      form: The rows' form, likewise.
    """

    def __init__(self, output_format: str | None) -> None:
        self.format: ChunkFormat | None = None if output_format is None else chunk_format(output_format)
        self.form: Form | None = None

    @property
    def takes_json(self) -> bool:
        """Whether JSON lines can stay as they are."""
        return self.format is None or "json" in self.format.forms

    @property
    def wants_arrays(self) -> bool:
        """Whether every column must be an array."""
        return self.format is not None and self.format.forms == ("array",)

    def rows(self, parts: Sequence[Columns]) -> Rows:
        """Return the rows of all `parts`, one after another.

        Raises:
          UnfitColumnsError: the format cannot hold them, or they are not like the ones before.
        """
        if self.wants_arrays:
            parts = [_as_arrays(part) for part in parts]
        if self.form is None:
            self.format, self.form = _chosen(parts[0], self.format)
        return join_rows([self.form.to_rows(part) for part in parts])

    def written_specs(self, form: Form) -> tuple[ColumnSpec, ...]:
        """Return what a reader finds in chunks of rows of `form`."""
        assert self.format is not None
        if self.format.name == "arrayrecord" and form.name != "array":
            return (ColumnSpec("record", "bytes"),)
        return form.specs


def _chosen(columns: Columns, chunks: ChunkFormat | None) -> tuple[ChunkFormat, Form]:
    specs = column_specs(columns)
    arrays = all(spec.kind == "array" for spec in specs)
    deep = [spec for spec in specs if len(spec.item_shape) > 1]
    if deep and chunks is not None and chunks.name == "parquet":
        raise UnfitColumnsError(f"has {deep[0]}, and Parquet's rows have one dimension at most; write columns instead")
    has_bytes = any(spec.kind == "bytes" for spec in specs)
    if chunks is None:
        chunks = chunk_format("columns" if arrays else "parquet" if has_bytes else "jsonl.zst")
    if arrays and "array" in chunks.forms and (chunks.name != "arrayrecord" or len(specs) == 1):
        return chunks, ArrayForm(specs)
    if chunks.name == "parquet" or (chunks.name == "arrayrecord" and has_bytes and len(specs) == 1):
        return chunks, PackedForm()
    return chunks, JsonForm()


def _as_arrays(columns: Columns) -> Columns:
    """Return `columns` with lists of numbers made arrays."""
    return {name: _as_array(name, values) for name, values in columns.items()}


def _as_array(name: str, values: Column) -> np.ndarray:
    if isinstance(values, np.ndarray):
        return values
    try:
        array = np.array(numbers_in(values) if values and type(values[0]) is str else values)
    except ValueError as exc:
        raise UnfitColumnsError(f"has rows of unequal length in {name!r}, which no array holds; {_OTHER}") from exc
    if array.dtype.kind not in "biuf":
        raise UnfitColumnsError(f"has {name!r} as {column_specs({name: values})[0].kind}, not numbers; {_OTHER}")
    return array
