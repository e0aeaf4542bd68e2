"""Columns of text and bytes become lists batch by batch, as they are decoded.

A batch is in the processor's cache then, and its memory is used again for the next one: Arrow's copy of the column is
never there as a whole.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pyloader.errors import ChunkReadError, import_optional

__all__ = ["TextLists", "no_text"]


class TextLists:
    """The lists of a file's columns of text and bytes.

    Args:
      path: Named in errors.
      is_wanted: Tells of a column by its name and Arrow type whether it becomes a list, with nothing else done to it.

    Attributes:
      found: The lists, by the columns' names.
    """

    def __init__(self, path: str, is_wanted: Callable[[str, Any], bool]) -> None:
        self._path, self._is_wanted = path, is_wanted
        self.found: dict[str, list[Any]] = {}

    def rest_of(self, batch: Any) -> Any:
        """Add the values of a record batch, and return the batch with nulls in their places.

        Raises:
          ChunkReadError: text is not UTF-8.
        """
        pyarrow = import_optional("pyarrow", wanted_by="ParquetReader")
        names, columns, rest = batch.schema.names, batch.columns, {}
        for place, field in enumerate(batch.schema):
            if names.count(field.name) == 1 and _is_text(field.type) and self._is_wanted(field.name, field.type):
                try:
                    self.found.setdefault(field.name, []).extend(columns[place].to_pylist())
                except UnicodeDecodeError as exc:
                    raise no_text(self._path, exc) from exc
                rest[place] = pyarrow.nulls(batch.num_rows)
        if not rest:
            return batch
        return pyarrow.RecordBatch.from_arrays([rest.get(place, each) for place, each in enumerate(columns)], names)


def no_text(path: str, exc: UnicodeDecodeError) -> ChunkReadError:
    """Return the error for a file whose text is not UTF-8."""
    what = f"holds text that is not UTF-8: {exc.object[:40]!r}."
    return ChunkReadError(path, what, "Write that column as bytes (binary), or mend the text")


def _is_text(kind: Any) -> bool:
    types = import_optional("pyarrow.types", wanted_by="ParquetReader")
    return bool(
        types.is_string(kind) or types.is_large_string(kind) or types.is_binary(kind) or types.is_large_binary(kind)
    )
