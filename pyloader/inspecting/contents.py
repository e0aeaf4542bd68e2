"""What columns hold: gaps, lengths, ranges, common values, and whether rows of one class lie together."""

from __future__ import annotations

import math
import operator
from collections import Counter
from collections.abc import Iterable
from typing import Any, Literal, TypeAlias

import msgspec
import numpy as np

from pyloader.columns import Column, Columns, ColumnSpec, column_specs
from pyloader.ragged import Ragged

__all__ = ["ColumnSummary", "ColumnTally", "is_sorted_by_class", "tally_columns"]

Measured: TypeAlias = Literal["length", "number", ""]

_MAX_DIFFERENT = 100_000  # values told apart; beyond that a column has "more"
_NUM_COMMON = 3
_LONGEST_BYTES = 1024  # of values of bytes that are told apart
_SORTED = 0.25  # this much more of the neighbours are equal than would be by chance


class ColumnSummary(msgspec.Struct, frozen=True, kw_only=True):
    """What one column holds."""

    name: str  # its key
    kind: str  # "str", "int64", "float32 [28, 28]", ...
    num_rows: int  # how many rows were looked at
    num_missing: int  # how many of them are None or NaN
    measured: Measured  # what min, middle and max are of: "length" of text, bytes and lists; "number" of numbers; or ""
    # of what was measured; `middle` is the median of lengths and the mean of numbers; None when there are none
    smallest: float | None
    middle: float | None
    largest: float | None
    # how many different values; None when they were not counted (arrays in rows, lists, too many)
    num_different: int | None
    most_common: tuple[tuple[Any, float], ...]  # up to three values with their shares (0 to 1), most common first
    equal_neighbours: float | None  # the share (0 to 1) of rows that equal the row before; None without neighbours
    equal_by_chance: float | None  # the share there would be in a random order


class ColumnTally:
    """Adds up what a column holds, chunk after chunk; its memory does not grow with the rows."""

    def __init__(self, spec: ColumnSpec) -> None:
        self._spec = spec
        self._num_rows = self._num_missing = 0
        self._lengths: Counter[int] = Counter()
        self._values: Counter[Any] | None = Counter()
        self._num_numbers, self._sum = 0, 0.0
        self._range: tuple[float, float] | None = None
        self._num_pairs = self._num_equal = 0

    def add(self, values: Column) -> None:
        """Take in the next chunk's rows."""
        self._num_rows += len(values)
        if isinstance(values, np.ndarray):
            self._add_array(values)
        elif isinstance(values, Ragged):
            self._add_ragged(values)
        else:
            self._add_list(values)

    def summary(self) -> ColumnSummary:
        """Return what was added up."""
        smallest: float | None = None
        middle: float | None = None
        largest: float | None = None
        if self._lengths:
            smallest, middle, largest = min(self._lengths), _median(self._lengths), max(self._lengths)
        elif self._range is not None:
            smallest, middle, largest = self._range[0], self._sum / self._num_numbers, self._range[1]
        values, total = self._values, self._num_rows - self._num_missing
        return ColumnSummary(
            name=self._spec.name,
            kind=str(self._spec)[len(self._spec.name) + 2 :],
            num_rows=self._num_rows,
            num_missing=self._num_missing,
            measured="length" if self._lengths else "number" if self._range is not None else "",
            smallest=smallest,
            middle=middle,
            largest=largest,
            num_different=len(values) if values else None,
            most_common=tuple((value, n / total) for value, n in values.most_common(_NUM_COMMON)) if values else (),
            equal_neighbours=self._num_equal / self._num_pairs if values and self._num_pairs else None,
            equal_by_chance=sum((n / total) ** 2 for n in values.values()) if values else None,
        )

    def _add_array(self, values: np.ndarray) -> None:
        if values.dtype.kind not in "biuf":
            self._values = None
            return
        if values.dtype.kind == "f":
            missing = np.isnan(values)
            self._num_missing += int(missing.reshape(len(values), -1).any(axis=1).sum()) if len(values) else 0
            known = values[~missing]
        else:
            known = values
        if known.size:
            with np.errstate(invalid="ignore", over="ignore"):  # infinities have no mean, and may be there
                total = float(known.sum(dtype=np.float64))
            self._add_range(float(known.min()), float(known.max()), known.size, total)
        if values.ndim > 1:
            self._values = None
            return
        self._num_pairs += max(0, len(values) - 1)
        self._num_equal += int(np.count_nonzero(values[1:] == values[:-1]))
        different, counts = np.unique(known, return_counts=True)
        self._count_values(dict(zip(different.tolist(), counts.tolist(), strict=True)))

    def _add_ragged(self, values: Ragged) -> None:
        lengths, counts = np.unique(values.lengths, return_counts=True)
        self._lengths.update(dict(zip(lengths.tolist(), counts.tolist(), strict=True)))
        self._values = None

    def _add_list(self, values: list[Any]) -> None:
        known = [value for value in values if value is not None]
        self._num_missing += len(values) - len(known)
        kinds = set(map(type, known))
        if kinds <= {int, float, bool}:
            if known:
                self._add_range(float(min(known)), float(max(known)), len(known), float(sum(known)))
        elif all(hasattr(kind, "__len__") for kind in kinds):
            self._lengths.update(map(len, known))
        if kinds <= {bytes} and any(len(value) > _LONGEST_BYTES for value in known):
            self._values = None  # of images each is another, and all of them would be kept
        elif kinds <= {str, bytes, int, float, bool}:
            self._num_pairs += max(0, len(values) - 1)
            self._num_equal += sum(map(operator.eq, values[1:], values))
            self._count_values(Counter(known))
        else:
            self._values = None

    def _add_range(self, smallest: float, largest: float, count: int, total: float) -> None:
        before = self._range or (smallest, largest)
        self._range = min(before[0], smallest), max(before[1], largest)
        self._num_numbers += count
        self._sum += total

    def _count_values(self, counts: dict[Any, int]) -> None:
        if self._values is not None:
            self._values.update(counts)
            if len(self._values) > _MAX_DIFFERENT:
                self._values = None


def tally_columns(parts: Iterable[Columns]) -> tuple[ColumnSummary, ...]:
    """Return what the columns of all `parts`, chunks of one dataset, hold; sorted by name."""
    tallies: dict[str, ColumnTally] = {}
    for columns in parts:
        for spec in column_specs(columns):
            tallies.setdefault(spec.name, ColumnTally(spec)).add(columns[spec.name])
    return tuple(tallies[name].summary() for name in sorted(tallies))


def is_sorted_by_class(summary: ColumnSummary) -> bool:
    """Tell whether rows of one class lie together: most rows equal the one before, far more than by chance.

    A class that most rows have is no sign of it, and neither is a column with one value: look at chunks far apart.  Of
    few rows many are neighbours of their like by chance: three times what such a share strays by is allowed for.
    """
    equal, chance = summary.equal_neighbours, summary.equal_by_chance
    if equal is None or chance is None or equal <= 0.5:
        return False
    return equal > chance + _SORTED + 3 * math.sqrt(chance * (1 - chance) / summary.num_rows)


def _median(counts: Counter[int]) -> float:
    half, seen = sum(counts.values()) / 2, 0
    ordered = sorted(counts.items())
    for index, (length, count) in enumerate(ordered):
        seen += count
        if seen > half:
            return length
        if seen == half:
            return (length + ordered[index + 1][0]) / 2
    return 0
