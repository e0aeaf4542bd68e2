"""Making: the rows of several batches are taken at once, and each batch is made of its own."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from pyloader.errors import CollateError, CoverageError
from pyloader.indexed.planning import Piece
from pyloader.indexed.rows import Rows, num_rows, sliced_rows

__all__ = ["Made", "Pace", "piece_making"]

# A piece is to take about this long, in seconds: far above what handing it over costs, far below what anyone waits for.
_PIECE_SECONDS = 0.002


@dataclass(frozen=True, slots=True)
class Made:
    """What came of a piece.

    Attributes:
      batches: In order.
      error: What the batch after them failed with, and with it the piece; None when all were made.
    """

    batches: list[Any]
    error: Exception | None = None


class Pace:
    """How many batches are taken together: as many as are quickly made, since handing over costs the same for all.

    It changes no batch.  Threads that read and write it at once do no harm.

    Args:
      at_most: The most of them.
    """

    def __init__(self, at_most: int) -> None:
        self._at_most = at_most
        self._num_together = 1

    def num_together(self) -> int:
        """Return how many batches the next piece is to have."""
        return self._num_together

    def made(self, num_batches: int, seconds: float) -> None:
        """Note how long a piece took."""
        fitting = int(_PIECE_SECONDS * num_batches / max(seconds, 1e-9))
        self._num_together = max(1, min(self._at_most, fitting))


def piece_making(
    take: Callable[[np.ndarray], Rows],
    finish: Callable[[Rows], Any],
    *,
    adds_mask: bool,
    place: Callable[[int], str],
    pace: Pace,
) -> Callable[[Piece], Made]:
    """Return the function that makes batches of a piece.

    Args:
      take: Takes rows.
      finish: Makes a batch of its rows.
      adds_mask: Whether each batch gets a bool "mask", which is False on filling.
      place: Says where in the run a step is, for errors.
      pace: Is told how long pieces take.
    """

    def batches_of(piece: Piece) -> Iterator[Any]:
        # A StopIteration of the user's leaves a generator as RuntimeError, and cannot end the run without a word.
        step, doing = piece.step, "taken"
        try:
            rows, start = take(piece.indices), 0
            if (found := num_rows(rows)) != len(piece.indices):
                wanted = f"{len(piece.indices):,} rows"
                raise CoverageError(f"take was asked for {wanted} and returned {found:,}.", "It must return every row")
            doing = "made"
            for size, num_samples in zip(piece.sizes, piece.num_samples, strict=True):
                mine = rows if len(piece.sizes) == 1 else sliced_rows(rows, start, start + size)
                yield finish(_with_mask(mine, size, num_samples) if adds_mask else mine)
                start += size
                step += 1
        except Exception as exc:
            exc.add_note(f"pyloader: while a batch was {doing} ({place(step)})")
            raise

    def make(piece: Piece) -> Made:
        begun = time.perf_counter()
        try:
            made = Made(list(batches_of(piece)))
        except Exception:
            if len(piece.sizes) == 1:
                raise
            return _one_by_one(piece, batches_of)
        pace.made(len(piece.sizes), time.perf_counter() - begun)
        return made

    return make


def _one_by_one(piece: Piece, batches_of: Callable[[Piece], Iterator[Any]]) -> Made:
    """Make a piece again, of which one batch failed: those before it are good, and are to come before the error."""
    batches: list[Any] = []
    for single in piece.split():
        try:
            batches += batches_of(single)
        except Exception as exc:
            return Made(batches, exc)
    return Made(batches)


def _with_mask(rows: Rows, size: int, num_samples: int) -> Rows:
    if not isinstance(rows, dict):
        what = "last_batch='pad' adds a column 'mask', and the batches have no columns."
        raise CollateError(what, 'Give the dataset a name: DataLoader({"data": dataset}, ...)')
    if "mask" in rows:
        raise CollateError("last_batch='pad' adds a column 'mask', and the dataset has one.", "Give it another name")
    return {**rows, "mask": np.arange(size) < num_samples}
