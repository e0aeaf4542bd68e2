"""Making: the rows of a piece are gathered, encoded and collated."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from pyloader.audit import digest_batches
from pyloader.columns import Columns, row_count, take_rows
from pyloader.encode import find_bad_rows
from pyloader.errors import BatchEncodeError, CollateError, WorkerDiedError
from pyloader.machine.memory import RecycledMemory
from pyloader.plan import STAND_IN, row_keys
from pyloader.run.options import RunOptions
from pyloader.run.replacements import stand_ins, unchanged_copy
from pyloader.run.sample_ids import take_off
from pyloader.shuffle import JoinedPiece, Piece, gather_joined, gather_piece, view_piece

__all__ = ["Encode", "Made", "add_place", "batch_making"]

# Columns, mask, keys, epoch, step -> the batch, and the seconds that encoding and collating took.
Encode: TypeAlias = (
    "Callable[[Columns, np.ndarray | None, np.ndarray | None, int, int], tuple[Any, tuple[float, float]]]"
)


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
      samples: The numbers of the samples whose places its rows have, uint64 of shape [num_rows], STAND_IN set in those
        of rows that stand in or fill up; None unless numbered.
      digests: Those of its batches, uint64 of shape [num_batches, 4]; None unless audited.
      num_stand_ins: How many of its rows stand in for samples that are left out; 0 unless traced.
      bad_samples: Those that could not be encoded, by their numbers, with their errors; others stand in for them.
      viewed: The piece, when `content` is a part of its chunk, which must stay held; else None.
    """

    num_rows: int
    content: Any
    is_batch: bool
    origin: tuple[int, int]
    end: tuple[int, int]
    mixing: float
    seconds: tuple[float, float, float]
    samples: np.ndarray | None
    digests: np.ndarray | None
    num_stand_ins: int
    bad_samples: dict[int, Exception]
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
        numbers = take_off(columns)
        keys = None
        if numbers is not None:
            # A row that stands in has the key of its place; one that fills up another than the row that it repeats.
            places = numbers & ~STAND_IN if options.skips else numbers
            if piece.num_filled:
                filling = STAND_IN * ~piece.samples()
                places, numbers = places | filling, numbers | filling
            if "keys" in options.drawn:
                keys = row_keys(places, seed=options.seed, epoch=piece.epoch)
        mask = _mask(columns, piece, numbers) if pads else None
        gathered = time.perf_counter()
        is_batch = not options.rule.several or not all(isinstance(values, np.ndarray) for values in columns.values())
        content: Any = columns if mask is None else {**columns, "mask": mask}
        busy = (0.0, 0.0)
        bad_rows: dict[int, Exception] = {}
        if is_batch:
            try:
                if options.max_skipped_rows:
                    content, busy, bad_rows = _encode_good_rows(encode, columns, mask, keys, piece.epoch, piece.step)
                else:
                    content, busy = encode(columns, mask, keys, piece.epoch, piece.step)
            except Exception as exc:
                add_place(exc, f"epoch {piece.epoch}, step {piece.step}")
                raise
        bad_samples = {}
        if numbers is not None and bad_rows:
            # A row that stands in is no sample: that which it repeats is met at its own place.
            bad_samples = {int(numbers[row]): error for row, error in bad_rows.items() if numbers[row] < STAND_IN}
            numbers = numbers.copy()  # they may be a part of the chunk's
            numbers[list(bad_rows)] |= STAND_IN
        num_stand_ins = 0
        if numbers is not None and options.skips:
            num_stand_ins = int(((numbers & STAND_IN) != 0)[piece.samples()].sum())
        digests = None
        if numbers is not None and options.audited:
            digests = digest_batches(numbers, options.rule.batch_size)
        seconds = (gathered - begun, *busy)
        return Made(
            piece.num_rows,
            content,
            is_batch,
            piece.origin,
            piece.end,
            mixing,
            seconds,
            numbers,
            digests,
            num_stand_ins,
            bad_samples,
            viewed,
        )

    return make


def _encode_good_rows(
    encode: Encode, columns: Columns, mask: np.ndarray | None, keys: np.ndarray | None, epoch: int, step: int
) -> tuple[Any, tuple[float, float], dict[int, Exception]]:
    """Encode and collate a batch, other rows standing in for those that cannot be; return these too, with their errors.

    Raises:
      Exception: the batch's own error, when no row can be encoded, or every row by itself: then it is no row's fault.
    """

    def encode_rows(some: Columns, rows: np.ndarray) -> tuple[Any, tuple[float, float]]:
        some_mask, some_keys = (None if values is None else values[rows] for values in (mask, keys))
        return encode(some, some_mask, some_keys, epoch, step)

    num_rows = row_count(columns)
    everything = np.arange(num_rows)
    try:
        return *encode_rows(unchanged_copy(columns), everything), {}
    except WorkerDiedError:
        raise
    except Exception:
        bad = find_bad_rows(encode_rows, columns)
        if len(bad) in (0, num_rows):
            raise
    rows = stand_ins(num_rows, bad)
    if mask is not None:
        mask = mask.copy()
        mask[list(bad)] = False
    return *encode_rows(take_rows(columns, rows), everything), bad


def _mask(columns: Columns, piece: Piece | JoinedPiece, numbers: np.ndarray | None) -> np.ndarray:
    """Return which rows are samples, and not padding or standing in for others: bool of shape [num_rows]."""
    if "mask" in columns:
        raise CollateError("last_batch='pad' adds a column 'mask', and the chunks have one.", "Rename it in read_file")
    return piece.samples() if numbers is None else (numbers & STAND_IN) == 0


def add_place(error: Exception, place: str) -> None:
    """Say in `error`, which user code raised, which batch it was at."""
    if isinstance(error, BatchEncodeError | CollateError):
        error.what = f"{error.what.rstrip('.')} ({place})."
        error.args = (error.what, error.hint)
    else:
        error.add_note(f"pyloader: while a batch was encoded and collated ({place})")
