"""Rows: what `take` answers.

Three forms, whichever the source has: an array of shape [rows, ...]; a list of items; or a dict, name -> rows, whose
items are dicts.  Rows that are arrays stay arrays all the way.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np

__all__ = ["Rows", "assembled_rows", "items_of", "num_rows", "row_at", "sliced_rows"]

Rows: TypeAlias = "list[Any] | np.ndarray[Any, Any] | dict[str, Any]"


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
    return "lists of items"
