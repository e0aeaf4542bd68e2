"""Making: the rows of several batches are taken at once, and each batch is made of its own."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np

from pyloader.errors import CollateError, CoverageError
from pyloader.indexed.collating import columns_of_items
from pyloader.indexed.dataset import Dataset
from pyloader.indexed.rows import Rows, num_rows, sliced_rows
from pyloader.plan import ItemGroup as Piece

__all__ = ["STAGES", "Made", "MakeBatches", "Pace", "made_batches", "piece_making"]

STAGES = ("take", "transform", "collate")

# A piece is to take about this long, in seconds: far above what handing it over costs, far below what anyone waits for.
_PIECE_SECONDS = 0.002


@dataclass(slots=True)
class Made:
    """What came of a piece.

    Attributes:
      piece: What it was made of.
      batches: In order.
      seconds: How long each of the `STAGES` took.
      skipped: For each batch, the items that could not be taken, by index, and why; others stand in their places.
      error: What the batch after the last failed with, and with it the piece; None when all were made.
    """

    piece: Piece
    batches: list[Any] = field(default_factory=list)
    seconds: list[float] = field(default_factory=lambda: [0.0] * len(STAGES))
    skipped: list[dict[int, str]] = field(default_factory=list)
    error: Exception | None = None

    def extend(self, other: Made) -> None:
        """Take in what came of the batches that follow."""
        self.batches += other.batches
        self.seconds = [mine + theirs for mine, theirs in zip(self.seconds, other.seconds, strict=True)]
        self.skipped += other.skipped


# Makes all batches of a piece, or raises.
MakeBatches: TypeAlias = "Callable[[Piece], Made]"


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


def made_batches(
    source: Dataset[Any],
    transform: Callable[..., Any],
    collate: Callable[[Any], Any],
    adds_mask: bool,
    skips: bool,
    piece: Piece,
) -> Made:
    """Make all batches of a piece, here or in another process.

    Args:
      source: Rows are taken from it.
      transform: Changes a batch's rows; gets their `keys` too, where the piece has them.
      collate: Makes the batch of them.
      adds_mask: Whether each batch gets a bool "mask", which is False on filling.
      skips: Whether an item that cannot be taken is left out, where the piece is a single batch.
      piece: Which rows make which batches.

    Raises:
      CoverageError: `source` returned another number of rows.
      Exception: whatever one of them raised.
    """
    made = Made(piece, skipped=[{} for _ in piece.sizes])
    begun = time.perf_counter()
    fills = np.zeros(len(piece.indices), bool)
    try:
        rows = _taken(source, piece.indices)
    except Exception as exc:
        if not skips or len(piece.sizes) > 1 or isinstance(exc, CoverageError):
            raise
        rows = _taken_with_gaps(source, piece.indices, made.skipped[0], fills)
    made.seconds[0] = time.perf_counter() - begun
    start = 0
    for size, num_samples in zip(piece.sizes, piece.num_samples, strict=True):
        begun = time.perf_counter()
        stop = start + size
        mine = rows if len(piece.sizes) == 1 else sliced_rows(rows, start, stop)
        if adds_mask:
            mine = _with_mask(mine, (np.arange(size) < num_samples) & ~fills[start:stop])
        changed = transform(mine) if piece.keys is None else transform(mine, keys=piece.keys[start:stop])
        transformed = time.perf_counter()
        made.batches.append(collate(changed))
        made.seconds[1] += transformed - begun
        made.seconds[2] += time.perf_counter() - transformed
        start = stop
    return made


def piece_making(make: MakeBatches, *, place: Callable[[int], str], pace: Pace) -> Callable[[Piece], Made]:
    """Return the function that makes the batches of a piece as far as they can be made.

    Args:
      make: Makes all of them.
      place: Says where in the run a step is, for errors.
      pace: Is told how long pieces take.
    """

    def make_single(piece: Piece) -> Made:
        try:
            return make(piece)
        except StopIteration as exc:  # it would end the run without a word
            raise RuntimeError(f"StopIteration was raised while a batch was made ({place(piece.step)})") from exc
        except Exception as exc:
            exc.add_note(f"pyloader: while a batch was made ({place(piece.step)})")
            raise

    def make_piece(piece: Piece) -> Made:
        if len(piece.sizes) == 1:
            return make_single(piece)
        try:
            return make(piece)
        except Exception:
            # One of them failed.  Those before it are good, and are to come before the error.
            return one_by_one(piece)

    def one_by_one(piece: Piece) -> Made:
        made = Made(piece)
        try:
            for single in piece.split():
                try:
                    made.extend(make_single(single))
                except Exception as exc:
                    made.error = exc
                    break
            return made
        finally:
            del made  # the error's traceback holds this frame, which must not hold the error

    def make_and_tell(piece: Piece) -> Made:
        begun = time.perf_counter()
        made = make_piece(piece)
        pace.made(len(piece.sizes), time.perf_counter() - begun)
        return made

    return make_and_tell


def _taken(source: Dataset[Any], indices: np.ndarray) -> Rows:
    rows = source.take(indices)
    if (found := num_rows(rows)) != len(indices):
        what = f"take was asked for {len(indices):,} rows and returned {found:,}."
        raise CoverageError(what, "It must return every row")
    return rows


def _taken_with_gaps(source: Dataset[Any], indices: np.ndarray, skipped: dict[int, str], fills: np.ndarray) -> Rows:
    """Take rows one by one, and in the place of each that fails the one before it in the batch that does not.

    Raises:
      Exception: none can be taken; the error of the last.
    """
    for place, index in enumerate(indices.tolist()):
        try:
            _taken(source, indices[place : place + 1])
        except Exception as exc:
            fills[place] = True
            skipped[index] = f"{type(exc).__name__}: {exc}"
            if fills.all():
                raise
    good = np.flatnonzero(~fills)
    before = np.searchsorted(good, np.arange(len(indices)), side="right") - 1  # -1, the last good one, for the first
    return _taken(source, indices[good[before]])


def _with_mask(rows: Rows, is_sample: np.ndarray) -> Rows:
    if isinstance(rows, list):
        rows = columns_of_items(rows) or rows
    if not isinstance(rows, dict):
        what = "last_batch='pad' adds a column 'mask', and the batches have no columns."
        raise CollateError(what, 'Give the dataset a name: DataLoader({"data": dataset}, ...)')
    if "mask" in rows:
        raise CollateError("last_batch='pad' adds a column 'mask', and the dataset has one.", "Give it another name")
    return {**rows, "mask": is_sample}
