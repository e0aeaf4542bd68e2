"""Encoding: rows are encoded and collated, and what fails in that is told with its place."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from pyloader.columns import Columns, row_count, slice_columns, take_rows
from pyloader.deliver import not_a_stop
from pyloader.errors import BadRowsError, BatchEncodeError, CollateError
from pyloader.files import ChunkList
from pyloader.run.options import RunOptions
from pyloader.run.replacements import unchanged_copy, with_replacements
from pyloader.run.sample_ids import place_of

__all__ = ["Encode", "EncodeEach", "Encoded", "RawBatch", "add_place", "encoded_batch", "encoded_batches"]


class RawBatch(NamedTuple):
    """The rows of a batch, as they were read, and its place."""

    columns: Columns  # the rows
    mask: np.ndarray | None  # which of them are samples, not padding: bool of shape [num_rows]; None without padding
    keys: np.ndarray | None  # their keys, uint64 of shape [num_rows]; None when `batch_encode` takes none
    epoch: int  # the batch's epoch
    step: int  # its number in the epoch
    # of which source of a mixture each row is, int64 of shape [num_rows]; None where nobody asks for it
    sources: np.ndarray | None = None
    # where sources are encoded each for itself: each part's source and rows, one after another, instead of `columns`
    parts: tuple[tuple[int, Columns], ...] = ()


# What the loop receives, and the seconds that encoding and collating took.
Encoded: TypeAlias = "tuple[Any, tuple[float, float]]"
Encode: TypeAlias = "Callable[[RawBatch], Encoded]"
# Batches -> those before the first that fails, and what that failed with.
EncodeEach: TypeAlias = "Callable[[Sequence[RawBatch]], tuple[list[Encoded], BaseException | None]]"


def encoded_batch(
    raw: RawBatch, encode: Encode, numbers: np.ndarray | None, sources: np.ndarray | None, options: RunOptions
) -> tuple[Any, tuple[float, float], dict[int, Exception]]:
    """Return a batch, encoded and collated, the seconds of both, and the rows that cannot be encoded, with the errors.

    `numbers` are those of the samples, and `sources` says of which source of a mixture each is; None where they are not
    known.

    Raises:
      Exception: what the user's code raised, with the place added.
    """
    num_rows = sum(row_count(columns) for _, columns in raw.parts) if raw.parts else row_count(raw.columns)

    def encode_rows(rows: np.ndarray, places: np.ndarray) -> tuple[Any, tuple[float, float]]:
        # The keys are those of the places; where another row stands in, the mask is False.
        are_all = len(rows) == num_rows and rows is places
        columns, parts = raw.columns, raw.parts
        if parts:
            parts = _parts_of(parts, rows)
        else:
            columns = unchanged_copy(columns) if are_all else take_rows(columns, rows)
        mask = None if raw.mask is None else raw.mask[places] & (rows == places)
        keys = None if raw.keys is None else raw.keys[places]
        shown = None if raw.sources is None else raw.sources[rows]
        return encode(raw._replace(columns=columns, parts=parts, mask=mask, keys=keys, sources=shown))

    try:
        if not options.max_skipped_rows:
            return *encode(raw), {}
        (content, busy), _, bad_rows = with_replacements(encode_rows, num_rows, sources)
        return content, busy, bad_rows
    except Exception as exc:
        _say_where(exc, raw, num_rows, numbers, options)
        raise


def encoded_batches(
    raw: RawBatch, encode_each: EncodeEach, numbers: np.ndarray | None, options: RunOptions
) -> tuple[list[Any], tuple[float, float], BaseException | None]:
    """Return the batches of the rows of several, the seconds of all, and what the one after the last failed with.

    Raises:
      Exception: what the first one failed with, with the place added.
    """
    size = options.rule.batch_size

    def batch(number: int) -> RawBatch:
        mine = slice(number * size, (number + 1) * size)
        return raw._replace(
            columns=slice_columns(raw.columns, mine.start, mine.stop),
            mask=None if raw.mask is None else raw.mask[mine],
            keys=None if raw.keys is None else raw.keys[mine],
            step=raw.step + number,
        )

    raws = [batch(number) for number in range(-(-row_count(raw.columns) // size))]
    encoded, error = encode_each(raws)
    if error is not None:
        start = len(encoded) * size
        mine = None if numbers is None else numbers[start : start + size]
        _say_where(error, raws[len(encoded)], size, mine, options)
        if not encoded:
            try:
                raise error
            finally:
                del error  # its traceback holds this frame
        error = not_a_stop(error)
    encoding, collating = (sum(seconds) for seconds in zip(*(busy for _, busy in encoded), strict=True))
    return [batch for batch, _ in encoded], (encoding, collating), error


def _parts_of(parts: Sequence[tuple[int, Columns]], rows: np.ndarray) -> tuple[tuple[int, Columns], ...]:
    """Return some rows of parts that lie one after another: in parts again, each of one source, copied."""
    ends = np.cumsum([row_count(columns) for _, columns in parts])
    of_part = np.searchsorted(ends, rows, side="right")
    borders = [*np.flatnonzero(np.diff(of_part, prepend=-1)).tolist(), len(rows)]
    found = []
    for start, stop in itertools.pairwise(borders):
        source, columns = parts[of_part[start]]
        found.append((source, take_rows(columns, rows[start:stop] - (ends[of_part[start]] - row_count(columns)))))
    return tuple(found)


def _say_where(
    error: BaseException, raw: RawBatch, num_rows: int, numbers: np.ndarray | None, options: RunOptions
) -> None:
    """Say in `error`, which a batch of so many rows failed with, which batch that was, and which row."""
    if isinstance(error, BadRowsError) and max(error.bad_rows) < num_rows:
        _name_row(error, numbers, options.chunks)
    if isinstance(error, Exception):
        add_place(error, f"epoch {raw.epoch}, step {raw.step}")


def _name_row(error: BadRowsError, numbers: np.ndarray | None, chunks: ChunkList) -> None:
    """Say in `error` which file its first row is in, where that is known, and how to go on without such rows."""
    if numbers is not None:
        chunk, row = place_of(int(numbers[min(error.bad_rows)]))
        error.what = error.told(f"{chunks.path(chunk)}, row {row:,}")
    error.hint = error.hint or "max_skipped=N leaves out up to N of them, and quarantine=FILE lists those"


def add_place(error: Exception, place: str) -> None:
    """Say in `error`, which user code raised, which batch it was at."""
    if isinstance(error, BatchEncodeError | CollateError):
        error.what = f"{error.what.rstrip('.')} ({place})."
        error.args = (error.what, error.hint)
        if isinstance(error, BadRowsError):
            error.args = (error.bad_rows, error.hint, error.what)
    else:
        error.add_note(f"pyloader: while a batch was encoded and collated ({place})")
