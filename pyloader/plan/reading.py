"""Reading: which chunk is read when, from a position on."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["ReadTask"]


@dataclass(frozen=True, slots=True)
class ReadTask:
    """Read a chunk.

    Attributes:
      epoch: For this epoch.
      number: As the number-th of it, from 0.
      chunk: Its index in the sorted list of chunks.
      part: Which of its rows are wanted, [first, last + 1) in the chunk's own permutation; None for all of them.
    """

    epoch: int
    number: int
    chunk: int
    part: tuple[int, int] | None = None
