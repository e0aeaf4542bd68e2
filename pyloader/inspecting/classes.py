"""Classes: how many samples of each value of a column there are in each of some chunks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from typing import Any

import numpy as np

from pyloader.columns import Column, Columns, row_count

__all__ = ["count_classes"]

_MOST_CLASSES = 1_000  # that are told apart; the rarest beyond them are one
_NUM_BINS = 16  # that floating-point numbers are put into


def count_classes(parts: Iterable[Columns], names: Collection[str] = ()) -> dict[str, np.ndarray]:
    """Return how many samples of each class chunks have, by column.

    Args:
      parts: The rows of each chunk, which are not kept.
      names: The columns; without any, those whose values come again: integers, text, bytes or bools of which there are
        at least two different, and at most half as many as rows.  Floating-point numbers that are named are put into 16
        bins, of equal count in the first chunk.

    Returns:
      By column, integers of shape [chunks, classes], at most 1,000 classes.

    Raises:
      ValueError: there is no such column, or it has no values to compare: arrays or lists in its rows.
    """
    found: dict[str, list[Counter[Any]]] = {}
    edges: dict[str, np.ndarray | None] = {}
    num_rows = 0
    for number, part in enumerate(parts):
        num_rows += row_count(part)
        if number == 0:
            found = {name: [] for name in names or part}
            edges = {name: _edges(part.get(name)) for name in names}
        for name in list(found):
            values = part.get(name)
            counter = None if values is None else _counted(values, edges.get(name))
            if counter is None and names:
                what = f"the chunks have no column {name!r} whose values can be compared with each other"
                raise ValueError(f"{what}. They have: {', '.join(sorted(part))}")
            if counter is None or not (names or len(counter) <= max(2, row_count(part) / 2)):
                del found[name]
            else:
                found[name].append(counter)
    totals = {name: sum(counters, Counter()) for name, counters in found.items()}
    known = (name for name, total in totals.items() if names or 2 <= len(total) <= num_rows / 2)
    return {name: _table(found[name], totals[name]) for name in known}


def _edges(values: Column | None) -> np.ndarray | None:
    """Return the borders of the bins of floating-point numbers; None of others."""
    if not isinstance(values, np.ndarray) or values.dtype.kind != "f" or values.ndim > 1:
        return None
    edges: np.ndarray = np.nanquantile(values, np.linspace(0, 1, _NUM_BINS + 1)[1:-1])
    return edges


def _counted(values: Column, edges: np.ndarray | None) -> Counter[Any] | None:
    """Return how often each value comes; None where they cannot be compared."""
    if isinstance(values, np.ndarray):
        if values.ndim != 1 or values.dtype.kind not in ("biuSU" if edges is None else "f"):
            return None
        different, counts = np.unique(values if edges is None else np.searchsorted(edges, values), return_counts=True)
        return Counter(dict(zip(different.tolist(), counts.tolist(), strict=True)))
    if isinstance(values, list) and all(isinstance(value, str | bytes | int | bool | None) for value in values):
        return Counter(values)
    return None


def _table(counters: Sequence[Counter[Any]], total: Counter[Any]) -> np.ndarray:
    place = {value: number for number, (value, _) in enumerate(total.most_common(_MOST_CLASSES - 1))}
    table = np.zeros((len(counters), min(len(total), _MOST_CLASSES)), np.int64)
    for row, counter in zip(table, counters, strict=True):
        for value, count in counter.items():
            row[place.get(value, _MOST_CLASSES - 1)] += count
    return table
