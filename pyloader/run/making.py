"""Making: the rows of a piece are gathered, encoded and collated."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from pyloader.columns import Columns
from pyloader.errors import BatchEncodeError, CollateError
from pyloader.memory import RecycledMemory
from pyloader.run.options import RunOptions
from pyloader.shuffle import JoinedPiece, Piece, gather_joined, gather_piece, view_piece

__all__ = ["Encode", "Made", "add_place", "batch_making"]

# Columns, mask, epoch, step -> the batch, and the seconds that encoding and collating took.
Encode: TypeAlias = "Callable[[Columns, np.ndarray | None, int, int], tuple[Any, tuple[float, float]]]"


@dataclass(frozen=True, slots=True)
class Made:
    """What came of a piece.  It does not refer to the piece, which refers to chunks.

    Attributes:
      num_rows: How many rows it has.
      content: Its columns, or the one batch that was made of them.
      is_batch: Which of the two.
      origin: Segment, and offset in it, of the row 0 rows into the piece (before the segment's start when carried).
      end: Segment and offset of the row after the piece.
      mixing: Of how many chunks its first batch holds samples; 0 if unknown.
      seconds: How long gathering, encoding and collating took.
      viewed: The piece, when `content` is a part of its chunk, which must stay held; else None.
    """

    num_rows: int
    content: Any
    is_batch: bool
    origin: tuple[int, int]
    end: tuple[int, int]
    mixing: float
    seconds: tuple[float, float, float]
    viewed: Piece | None

    def after(self, num_rows: int) -> tuple[int, int]:
        """Return segment and offset of the row that follows the first `num_rows`."""
        return self.end if num_rows == self.num_rows else (self.origin[0], self.origin[1] + num_rows)


def batch_making(options: RunOptions, encode: Encode) -> Callable[[Piece | JoinedPiece], Made]:
    """Return the function that makes what the loop receives of a piece; `encode` encodes and collates a batch.

    Where there is nothing to encode and every column is an array, the columns of the whole piece are left to be sliced.
    """
    memory = RecycledMemory()
    pads = options.rule.last_batch == "pad"

    def make(piece: Piece | JoinedPiece) -> Made:
        begun = time.perf_counter()
        mixing = piece.effective_chunks(options.rule.batch_size)
        viewed = None
        if isinstance(piece, JoinedPiece):
            columns = gather_joined(piece, memory)
        elif options.copy or (view := view_piece(piece)) is None:
            columns = gather_piece(piece, memory)
        else:
            columns, viewed = view, piece
        mask = _mask(columns, piece) if pads else None
        gathered = time.perf_counter()
        is_batch = not options.rule.several or not all(isinstance(values, np.ndarray) for values in columns.values())
        content: Any = columns if mask is None else {**columns, "mask": mask}
        busy = (0.0, 0.0)
        if is_batch:
            try:
                content, busy = encode(columns, mask, piece.epoch, piece.step)
            except Exception as exc:
                add_place(exc, f"epoch {piece.epoch}, step {piece.step}")
                raise
        seconds = (gathered - begun, *busy)
        return Made(piece.num_rows, content, is_batch, piece.origin, piece.end, mixing, seconds, viewed)

    return make


def _mask(columns: Columns, piece: Piece | JoinedPiece) -> np.ndarray:
    """Return which rows are samples, not padding: bool of shape [num_rows]."""
    if "mask" in columns:
        raise CollateError("last_batch='pad' adds a column 'mask', and the chunks have one.", "Rename it in read_file")
    return piece.samples()


def add_place(error: Exception, place: str) -> None:
    """Say in `error`, which user code raised, which batch it was at."""
    if isinstance(error, BatchEncodeError | CollateError):
        error.what = f"{error.what.rstrip('.')} ({place})."
        error.args = (error.what, error.hint)
    else:
        error.add_note(f"pyloader: while a batch was encoded and collated ({place})")
