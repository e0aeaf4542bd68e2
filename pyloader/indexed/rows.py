"""Rows: what `take` answers.

Three forms, whichever the source has: an array of shape [rows, ...]; a list of items; or a dict, name -> rows, whose
items are dicts.  Rows that are arrays stay arrays all the way.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np

from pyloader.machine.memory import RecycledMemory
from pyloader.ragged import Ragged

__all__ = [
    "Rows",
    "assembled_rows",
    "gathered",
    "items_of",
    "num_rows",
    "row_at",
    "rows_by_source",
    "sliced_rows",
    "taken_rows",
]

Rows: TypeAlias = "list[Any] | np.ndarray[Any, Any] | Ragged | dict[str, Any]"


def num_rows(rows: Rows) -> int:
    """Return how many rows there are."""
    while isinstance(rows, dict):
        rows = next(iter(rows.values()), [])
    return len(rows)


def row_at(rows: Rows, index: int) -> Any:
    """Return the item at `index`."""
    if isinstance(rows, dict):
        return {name: row_at(column, index) for name, column in rows.items()}
    return rows[index]


def sliced_rows(rows: Rows, start: int, stop: int) -> Rows:
    """Return rows [start, stop): views of arrays, copies of lists."""
    if isinstance(rows, dict):
        return {name: sliced_rows(column, start, stop) for name, column in rows.items()}
    return rows[start:stop]


def items_of(rows: Rows) -> list[Any]:
    """Return the items one by one: an array's are its rows, a dict's are dicts."""
    if isinstance(rows, dict):
        columns = [items_of(column) for column in rows.values()]
        return [dict(zip(rows, values, strict=True)) for values in zip(*columns, strict=True)]
    return list(rows)


def gathered(array: np.ndarray, indices: np.ndarray, memory: RecycledMemory) -> np.ndarray:
    """Return array[indices], shape [len(indices), *array.shape[1:]], a copy.

    Args:
      array: At least one dimension; it may be a mapping.
      indices: int64 array of shape [n], each at least 0 and below len(array): `Dataset.take` sees to that.
      memory: Where the copy is made.
    """
    if array.dtype.hasobject or not (array.flags.c_contiguous and array.flags.aligned):
        copy: np.ndarray = array[indices]  # np.take would first copy the whole array
        return copy
    # In the other modes np.take makes its copy twice; this one takes whatever index for one that is there.
    out = memory.empty((len(indices), *array.shape[1:]), array.dtype)
    return np.take(array, indices, axis=0, out=out, mode="clip")


def taken_rows(rows: Any, indices: np.ndarray, memory: RecycledMemory | None = None) -> Rows:
    """Return copies of the rows at `indices`, which are within.

    Args:
      rows: Rows, or any sequence of items.
      indices: int64 array of shape [n].
      memory: Where arrays are copied to; None is new memory.
    """
    if isinstance(rows, dict):
        return {name: taken_rows(column, indices, memory) for name, column in rows.items()}
    if isinstance(rows, np.ndarray):
        return rows.take(indices, axis=0) if memory is None else gathered(rows, indices, memory)
    if isinstance(rows, Ragged):
        return rows.take(indices)
    if hasattr(rows, "__getitems__"):  # as datasets of PyTorch and of loaderx have it
        return rows.__getitems__(indices.tolist())  # type: ignore[no-any-return]
    return [rows[index] for index in indices.tolist()]


def rows_by_source(sources: np.ndarray, take: Callable[[int, np.ndarray], Rows]) -> Rows:
    """Return rows that come from several places, with one call for each place that has some of them.

    Args:
      sources: For each row, the number of its place; int array of shape [n].
      take: (place, positions of its rows among all) -> those rows.  Without any row, place 0 is asked for none.
    """
    by_source = ((source, np.flatnonzero(sources == source)) for source in np.unique(sources).tolist() or [0])
    return assembled_rows([(positions, take(source, positions)) for source, positions in by_source])


def assembled_rows(parts: Sequence[tuple[np.ndarray, Rows]]) -> Rows:
    """Put rows that came from several places in their order.

    Args:
      parts: (positions, rows) for each place: row k of `rows` goes to positions[k].  All positions together are
        0..n-1, each once.

    Raises:
      ValueError: the rows are of different forms, dtypes or shapes.
    """
    if len(parts) == 1 and np.array_equal(parts[0][0], np.arange(len(parts[0][0]))):
        return parts[0][1]
    first: Any = parts[0][1]
    kinds = list(dict.fromkeys(_kind(rows) for _, rows in parts))
    if len(kinds) > 1:
        raise ValueError(f"the datasets differ: one gives {', another '.join(kinds)}. Make them alike with map()")
    if isinstance(first, dict):
        columns: Any = parts
        return {name: assembled_rows([(positions, rows[name]) for positions, rows in columns]) for name in first}
    total = sum(len(positions) for positions, _ in parts)
    if isinstance(first, np.ndarray):
        array = np.empty((total, *first.shape[1:]), first.dtype)
        for positions, rows in parts:
            array[positions] = rows
        return array
    if isinstance(first, Ragged):
        row_of, part_of = np.empty(total, np.int64), np.empty(total, np.int64)
        for number, (positions, _) in enumerate(parts):
            row_of[positions], part_of[positions] = np.arange(len(positions)), number
        return Ragged.gather([rows for _, rows in parts], row_of, part_of)  # type: ignore[misc]
    items: list[Any] = [None] * total
    for positions, rows in parts:
        for position, item in zip(positions.tolist(), rows, strict=True):
            items[position] = item
    return items


def _kind(rows: Rows) -> str:
    if isinstance(rows, dict):
        return f"columns {sorted(rows)}"
    if isinstance(rows, np.ndarray):
        return f"arrays of {rows.dtype} {list(rows.shape[1:])}"
    if isinstance(rows, Ragged):
        return f"ragged rows of {'bytes' if rows.is_bytes else rows.dtype}"
    return "lists of items"
