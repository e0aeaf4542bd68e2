"""Classes: how many samples of each value of a column there are in each of some chunks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from typing import Any

import numpy as np

from pyloader.columns import Column, Columns, row_count

__all__ = ["count_classes"]

_MOST_CLASSES = 1_000  # that are told apart; the rarest beyond them are one
_NUM_BINS = 16  # that floating-point numbers are put into


def count_classes(parts: Sequence[Columns], names: Collection[str] = ()) -> dict[str, np.ndarray]:
    """Return how many samples of each class chunks have, by column.

    Args:
      parts: The rows of each chunk.
      names: The columns; without any, those whose values come again: integers, text, bytes or bools of which there are
        at least two different, and at most half as many as rows.  Floating-point numbers that are named are put into 16
        bins of equal count.

    Returns:
      By column, integers of shape [chunks, classes], at most 1,000 classes.

    Raises:
      ValueError: there is no such column, or it has no values to compare: arrays or lists in its rows.
    """
    if not parts:
        return {}
    wanted = names or parts[0].keys()
    found = {}
    for name in wanted:
        counters = []
        edges = _edges([part.get(name) for part in parts]) if names else None
        for part in parts:
            values = part.get(name)
            counter = None if values is None else _counted(values, edges)
            if counter is None:
                if names:
                    what = f"the chunks have no column {name!r} whose values can be compared with each other"
                    raise ValueError(f"{what}. They have: {', '.join(sorted(part))}")
                break
            counters.append(counter)
        else:
            total = sum(counters, Counter())
            if names or 2 <= len(total) <= sum(map(row_count, parts)) / 2:
                found[name] = _table(counters, total)
    return found


def _edges(columns: Sequence[Column | None]) -> np.ndarray | None:
    """Return the borders of the bins of floating-point numbers; None of others."""
    arrays = [values for values in columns if isinstance(values, np.ndarray) and values.dtype.kind == "f"]
    if len(arrays) < len(columns) or any(values.ndim > 1 for values in arrays):
        return None
    edges: np.ndarray = np.nanquantile(np.concatenate(arrays), np.linspace(0, 1, _NUM_BINS + 1)[1:-1])
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
