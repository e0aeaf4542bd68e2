"""Arena: chunks that are mixed lie in one array a column, so that rows of all of them are taken at once.

A chunk takes a part of the arena before it is read, and gives it back when its last row has been taken out.
"""

from __future__ import annotations

import functools
import sys
from collections import Counter, deque
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TypeAlias

import numpy as np

from pyloader.columns import Columns
from pyloader.machine.memory import allocating, counts_tell

__all__ = ["Arena", "ArenaPart"]

# dtype, shape of a row, and which of the columns of this kind.
_Kind: TypeAlias = "tuple[str, tuple[int, ...], int]"


class _Arrays(dict[_Kind, np.ndarray]):
    """The array of all parts' columns of each kind, of shape [rows of all parts, *shape of a row]."""

    def __init__(self, num_rows: int) -> None:
        super().__init__()
        self._num_rows = num_rows

    def __missing__(self, kind: _Kind) -> np.ndarray:
        # Of two threads that make it, both get the first.
        return self.setdefault(kind, np.empty((self._num_rows, *kind[1]), kind[0]))


class Arena:
    """Room for some chunks, in arrays that are made when the first chunk needs them.

    Several threads may use one.

    Args:
      num_parts: How many chunks are there at once.
      part_rows: The rows of the largest.
    """

    def __init__(self, num_parts: int, part_rows: int) -> None:
        # Parts do not refer to the arena: it is freed with the run that has it, and not by the collector.
        self._arrays = _Arrays(num_parts * part_rows)
        self._parts = deque(ArenaPart(self._arrays, number * part_rows, part_rows) for number in range(num_parts))

    def take_part(self) -> ArenaPart | None:
        """Return a part that is free, and whose rows no array refers to; None when there is none.

        None, too, where the interpreter's reference counts do not tell it (`machine.memory`): chunks then lie in memory
        of their own.
        """
        if not _counts_tell():
            return None
        for _ in range(len(self._parts)):
            try:
                part = self._parts.popleft()
            except IndexError:  # other threads are looking at the rest
                break
            if not part.is_seen():
                return part
            self._parts.append(part)
        return None

    def give_back(self, part: ArenaPart) -> None:
        """Let others have the part."""
        self._parts.append(part)


class ArenaPart:
    """One chunk's part.

    Attributes:
      first: Its first row in the arena's arrays.
    """

    def __init__(self, arrays: _Arrays, first: int, num_rows: int) -> None:
        self._arrays, self.first, self._num_rows = arrays, first, num_rows
        self._own: dict[_Kind, np.ndarray] = {}

    @contextmanager
    def allocating(self) -> Iterator[None]:
        """Have the arrays that this thread takes from a `RecycledMemory` lie in the part, where they fit."""
        taken: Counter[tuple[str, tuple[int, ...]]] = Counter()

        def empty(shape: tuple[int, ...], dtype: np.dtype[Any]) -> np.ndarray | None:
            if dtype.kind not in "biufc" or not dtype.isnative or not shape or shape[0] > self._num_rows:
                return None
            taken[dtype.str, shape[1:]] += 1
            try:
                own = self._of((dtype.str, shape[1:], taken[dtype.str, shape[1:]]))
            except (MemoryError, ValueError):  # the queue may be far larger than what comes to be in it
                return None
            return own[: shape[0]]

        with allocating(empty):
            yield

    def whole_arrays(self, columns: Columns) -> dict[str, np.ndarray]:
        """Return the arena's array of each column that lies in the part as it was taken, from its first row on."""
        found = {}
        for name, values in columns.items():
            for kind, own in self._own.items():
                if isinstance(values, np.ndarray) and values.base is own and _begins_alike(values, own):
                    found[name] = self._arrays[kind]
        return found

    def is_seen(self) -> bool:
        """Tell whether any array still refers to rows of it, by the reference counts."""
        return any(sys.getrefcount(own) > _UNSEEN for own in self._own.values())

    def _of(self, kind: _Kind) -> np.ndarray:
        if kind not in self._own:
            rows = self._arrays[kind][self.first : self.first + self._num_rows]
            # By way of a memoryview, so that it is this array, and not the arena's, that its views hold.
            self._own[kind] = np.asarray(memoryview(rows))  # type: ignore[arg-type]
        return self._own[kind]


def _begins_alike(values: np.ndarray, own: np.ndarray) -> bool:
    return (
        values.dtype == own.dtype
        and values.shape[1:] == own.shape[1:]
        and values.strides == own.strides
        and values.__array_interface__["data"] == own.__array_interface__["data"]
    )


def _unseen() -> int:
    return next(sys.getrefcount(own) for own in {"": np.empty(1)}.values())


# What `is_seen` counts of an array that only its part holds.
_UNSEEN = _unseen()


@functools.cache
def _counts_tell() -> bool:
    """Tell whether `is_seen` is right here.  Tried once in a process, at the first use."""
    part = ArenaPart(_Arrays(2), 0, 2)
    kind = "<f4", (3,), 1

    def is_right() -> bool:
        rows = part._of(kind)[:1]
        while_held = part.is_seen()
        del rows
        return while_held and not part.is_seen()

    return counts_tell() and all(is_right() for _ in range(50))
