"""Part: some rows of a large file that are a chunk of their own."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

__all__ = ["INDEX_AGAIN", "InOrder", "Part", "hint_in_part", "joined_ranges", "part_name", "row_spans", "split_name"]

# What helps where a part is not what it was when it was found.
INDEX_AGAIN = "Index the file again: pyloader index --overwrite"

# As `map` with one iterable; the calls may be made in several threads.
InOrder: TypeAlias = Callable[[Callable[[Any], Any], Iterable[Any]], Iterator[Any]]

_JUDGE_AGAIN = "If the value is meant, let the index look at all parts: pyloader index --overwrite --all"

_NAME = re.compile(r"(.*)\[(0|[1-9][0-9]{0,18}):([1-9][0-9]{0,18})\]", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Part:
    """Some rows of a file, one after another, and what its reader needs to get there.

    It is what `DataReader.find_parts` returns, is written into the index as JSON, and is given back to
    `DataReader.read_part`.  An index may come from a stranger: the ranges are known to lie inside of the file, and a
    reader checks what it takes from `detail`.
    """

    first: int  # the part's first row, counted from 0 over the file
    num_samples: int  # how many rows it has, at least 1
    # (start, stop) in bytes of the file (of a directory: of its files one after another, sorted by name), sorted and
    # apart: all that read_part reads, metadata (a header, a footer) too.  Empty where that is not known: then there is
    # no checksum
    ranges: tuple[tuple[int, int], ...]
    detail: Any = None  # the reader's own, small and of JSON: {"groups": [3, 4]}

    @property
    def stop(self) -> int:
        """The row after the part's last one."""
        return self.first + self.num_samples

    @property
    def num_bytes(self) -> int:
        """How many bytes `ranges` hold."""
        return sum(stop - start for start, stop in self.ranges)


def part_name(file: str, part: Part) -> str:
    """Return what a part is called: "big.parquet[4000:8000]"."""
    return f"{file}[{part.first}:{part.stop}]"


def hint_in_part(hint: str, part: Part | None) -> str:
    """Return what helps where a value does not fit its column; of a part, what makes the column another."""
    return hint if part is None else f"{hint}. {_JUDGE_AGAIN}" if hint else _JUDGE_AGAIN


def split_name(name: str) -> tuple[str, int, int]:
    """Return the file, the first row and the row after the last that a part's name says.

    >>> split_name("big.parquet[4000:8000]")
    ('big.parquet', 4000, 8000)

    Raises:
      ValueError: it is no part's name.
    """
    found = _NAME.fullmatch(name)
    if found is None or int(found[2]) >= int(found[3]):
        raise ValueError(f"{name!r} is not the name of a part, FILE[FIRST:STOP]")
    return found[1], int(found[2]), int(found[3])


def joined_ranges(ranges: Sequence[tuple[int, int]]) -> tuple[tuple[int, int], ...]:
    """Return byte ranges sorted, and those that touch or overlap as one; empty ones are left out.

    >>> joined_ranges([(80, 90), (0, 4), (4, 20), (30, 30)])
    ((0, 20), (80, 90))
    """
    joined: list[tuple[int, int]] = []
    for start, stop in sorted(ranges):
        if joined and start <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(stop, joined[-1][1]))
        elif start < stop:
            joined.append((start, stop))
    return tuple(joined)


def row_spans(
    num_rows: int, num_bytes: int, *, chunk_bytes: int, chunk_samples: int | None = None, group: int = 1
) -> list[tuple[int, int]]:
    """Cut rows that are about equally large into spans about as large as each other.

    >>> row_spans(10, 1000, chunk_bytes=400)
    [(0, 3), (3, 6), (6, 10)]
    >>> row_spans(10, 1000, chunk_bytes=1, chunk_samples=4)
    [(0, 4), (4, 8), (8, 10)]

    Args:
      num_rows: How many there are.
      num_bytes: What they take together.
      chunk_bytes: The most that a span takes, unless a group takes more.
      chunk_samples: How many rows a span has instead; the last one may have fewer.
      group: A span begins at a multiple of this.

    Returns:
      (first, stop) of each; none where there are no rows.
    """
    num_groups = -(-num_rows // group)
    if chunk_samples is not None:
        borders = [*range(0, num_groups, max(1, chunk_samples // group)), num_groups]
    else:
        num_spans = min(num_groups, max(1, -(-num_bytes // chunk_bytes)))
        borders = [number * num_groups // max(1, num_spans) for number in range(num_spans + 1)]
    return [(first * group, min(num_rows, stop * group)) for first, stop in itertools.pairwise(borders)]
