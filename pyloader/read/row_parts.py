"""Parts of a file whose rows can be reached by their numbers."""

from __future__ import annotations

from collections.abc import Sequence

from pyloader.part import Part, joined_ranges

__all__ = ["cut_rows", "part_of_rows"]


def cut_rows(
    num_rows: int, row_bytes: float, *, together: int, chunk_bytes: int, chunk_samples: int | None
) -> list[tuple[int, int]]:
    """Return the first row of each part, and the row after its last.

    Args:
      num_rows: Of the file.
      row_bytes: Of a row in memory, on average.
      together: How many rows are stored in one piece: parts begin at multiples of it.
      chunk_bytes: About how many bytes a part has.
      chunk_samples: How many rows a part has, as near as `together` lets; None goes by `chunk_bytes`.

    >>> cut_rows(10, 100, together=4, chunk_bytes=500, chunk_samples=None)
    [(0, 4), (4, 8), (8, 10)]
    """
    wanted = chunk_samples if chunk_samples is not None else int(chunk_bytes // max(1, row_bytes))
    step = max(1, wanted // together) * together
    return [(first, min(num_rows, first + step)) for first in range(0, num_rows, step)]


def part_of_rows(cut: tuple[int, int], ranges: Sequence[tuple[int, int]]) -> Part:
    """Return the part with these rows, which lie in these bytes of the file."""
    first, stop = cut
    return Part(first, stop - first, joined_ranges(ranges))
