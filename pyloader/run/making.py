"""Making: the rows of a batch group are gathered, encoded and collated."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from pyloader.audit import WIDTH, digest_batches, digest_groups
from pyloader.columns import Columns, row_count, slice_columns, take_rows
from pyloader.errors import BadRowsError, BatchEncodeError, CollateError
from pyloader.files import ChunkList
from pyloader.machine.memory import RecycledMemory
from pyloader.packing import piece_numbers
from pyloader.plan import STAND_IN, Mark, MixedStreams, Position, mix_bits, row_keys
from pyloader.ragged import Ragged
from pyloader.run.handover import MadeGroup
from pyloader.run.options import RunOptions
from pyloader.run.replacements import unchanged_copy, with_replacements
from pyloader.run.sample_ids import detach, place_of
from pyloader.shuffle import AnyGroup, BatchGroup, JoinedGroup, gather_group, gather_joined, view_group

__all__ = ["Encode", "MadeRows", "RawBatch", "add_place", "batch_making"]


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


# A batch -> what the loop receives, and the seconds that encoding and collating took.
Encode: TypeAlias = "Callable[[RawBatch], tuple[Any, tuple[float, float]]]"


@dataclass(slots=True, kw_only=True)
class MadeRows(MadeGroup[Position]):
    """A finished batch group: its columns, to be sliced in the loop's thread, or its batches."""

    content: Any  # the columns, or a list of the batches
    are_batches: bool  # which of the two
    batch_size: int  # how many rows a batch has, but for an epoch's last
    convert: Callable[[Any], Any] | None  # makes of a slice what the loop receives; None when it is that
    epoch: int  # counted from 0
    step: int  # its first batch is the step-th of the epoch
    # segment, and offset in it, of its first row (before the segment's start when rows are carried)
    origin: tuple[int, int]
    end: tuple[int, int]  # segment and offset of the row after the group
    mark: Mark | None  # of a mixture, the mark after it
    # of a mixture, how many rows and, of packed rows, tokens it has of each source, int64 of shape [sources, 2]
    by_source: np.ndarray | None
    mixing: float  # of how many chunks its first batch holds samples; 0 if unknown
    viewed: BatchGroup | None  # the group, when `content` is a part of its chunk, which must stay held; else None

    def batch(self, number: int) -> Any:
        """Return a batch: a slice of the columns, converted here, in the loop's thread, since it is a view."""
        if self.are_batches:
            batch, self.content[number] = self.content[number], None
            return batch
        start = number * self.batch_size
        batch = slice_columns(self.content, start, start + self.batch_size)
        if self.convert is None:
            return batch
        try:
            return self.convert(batch)
        except Exception as exc:
            add_place(exc, f"epoch {self.epoch}, step {self.step + number}")
            raise

    def after(self, position: Position, number: int) -> Position:
        """Return the position after this batch."""
        segment, offset = self.end
        if number + 1 < len(self.sizes):
            segment, offset = self.origin[0], self.origin[1] + (number + 1) * self.batch_size
        return Position(self.epoch, segment, offset, position.step + 1, position.steps_done + 1, self.mark)

    def release(self) -> None:
        """Drop the columns, and let go of the chunk that they are a part of."""
        self.content = None
        if self.viewed is not None:
            self.viewed.release()
            self.viewed = None


def batch_making(options: RunOptions, encode: Encode) -> Callable[[AnyGroup], MadeRows]:
    """Return the function that makes what the loop receives of a group; `encode` encodes and collates a batch.

    Where there is nothing to encode and every column is an array, the columns of the whole group are left to be sliced.
    """
    memory = RecycledMemory()
    rule = options.rule

    def make(group: AnyGroup) -> MadeRows:
        begun = time.perf_counter()
        # Before gathering, which releases the chunks.
        mixing = group.effective_chunks(rule.batch_size)
        parts, viewed = _gathered(group, options, memory)
        columns = parts[0]
        attached, drawn_keys = detach(columns) if len(parts) == 1 else _detached(parts)
        numbers, keys = _numbers_and_keys(attached, group, options)
        if drawn_keys is not None:
            keys = _with_keys_of_filling(drawn_keys, group)
        sources = group.sources() if isinstance(group, JoinedGroup) and group.mark is not None else None
        mask = _mask(columns, group, numbers) if rule.last_batch == "pad" else None
        seconds = (time.perf_counter() - begun, 0.0, 0.0)
        # Only arrays can be sliced for nothing; batches with a list are collated here.
        are_batches = not rule.several or not all(isinstance(values, np.ndarray) for values in columns.values())
        content: Any = columns if mask is None else {**columns, "mask": mask}
        shown = sources if options.with_source else None
        if shown is not None:
            if "source" in columns:
                raise CollateError("the mixture adds a column 'source', and the chunks have one.", "Rename it there")
            content = {**content, "source": shown}
        left_out = error = None
        whole, rest = divmod(group.num_rows, rule.batch_size)
        sizes = [rule.batch_size] * whole + [rest] * (rest > 0)
        if are_batches and len(sizes) > 1:
            raw = RawBatch(columns, mask, keys, group.epoch, group.step)
            content, busy, error = _each_encoded(raw, encode, options)
            seconds, sizes = (seconds[0], *busy), sizes[: len(content)]
        elif are_batches:
            raw = RawBatch(columns, mask, keys, group.epoch, group.step, shown, _of_sources(group, parts, options))
            batch, busy, bad_rows = _encoded(raw, encode, numbers, sources, options)
            content, seconds = [batch], (seconds[0], *busy)
            if bad_rows:
                assert numbers is not None
                # A row that is a stand-in already is not noted: the row that it repeats is noted at its own place.
                left_out = {int(numbers[row]): error for row, error in bad_rows.items() if numbers[row] < STAND_IN}
                numbers = numbers.copy()  # they may be a view of the chunk's numbers
                numbers[list(bad_rows)] |= STAND_IN
        return MadeRows(
            sizes=sizes,
            seconds=seconds,
            num_stand_ins=_num_stand_ins(numbers, group) if options.skips else 0,
            left_out=None if left_out is None else [left_out],
            samples=numbers,
            digests=_digests(group, parts, numbers, options) if options.audited and numbers is not None else None,
            content=content,
            are_batches=are_batches,
            error=error,
            batch_size=rule.batch_size,
            convert=options.convert,
            epoch=group.epoch,
            step=group.step,
            origin=(0, 0) if options.streams.by_step else group.origin,
            end=(0, 0) if options.streams.by_step else group.end,
            mark=group.mark if isinstance(group, JoinedGroup) else None,
            by_source=None if sources is None else _by_source(sources, parts, group, options),
            mixing=mixing,
            chunks=group.chunk_indices,
            viewed=viewed,
        )

    return make


def _gathered(group: AnyGroup, options: RunOptions, memory: RecycledMemory) -> tuple[list[Columns], BatchGroup | None]:
    """Return a group's rows; and the group, where they are a part of its chunk instead of a copy.

    They are in one; only where sources are encoded each for itself, and may have columns of their own, in several.
    """
    if isinstance(group, JoinedGroup):
        if options.datasets:
            return [gather_group(part, memory) for part in group.parts], None
        return [gather_joined(group, memory)], None
    if not options.copy and (view := view_group(group)) is not None:
        return [view], group
    return [gather_group(group, memory)], None


def _detached(parts: Sequence[Columns]) -> tuple[np.ndarray | None, np.ndarray | None]:
    """Detach the numbers and the keys of all parts."""
    numbers, keys = zip(*map(detach, parts), strict=True)
    return (
        None if numbers[0] is None else np.concatenate(numbers),
        None if keys[0] is None else np.concatenate(keys),
    )


def _of_sources(group: AnyGroup, parts: Sequence[Columns], options: RunOptions) -> tuple[tuple[int, Columns], ...]:
    if not options.datasets or not isinstance(group, JoinedGroup):
        return ()
    return tuple((part.source or 0, columns) for part, columns in zip(group.parts, parts, strict=True))


def _numbers_and_keys(
    numbers: np.ndarray | None, group: AnyGroup, options: RunOptions
) -> tuple[np.ndarray | None, np.ndarray | None]:
    """Return the numbers of the samples, STAND_IN set where a row fills up, and the keys of the rows if asked for."""
    if numbers is None:
        return None, None
    # A row that stands in has the key of its place; one that fills up another than the row that it repeats.
    places = numbers & ~STAND_IN if options.skips else numbers
    if group.num_filled:
        filling = STAND_IN * ~group.samples()
        places, numbers = places | filling, numbers | filling
    return numbers, row_keys(places, seed=options.seed, epoch=group.epoch) if "keys" in options.drawn else None


def _digests(group: AnyGroup, parts: Sequence[Columns], numbers: np.ndarray, options: RunOptions) -> np.ndarray:
    """Return the digest of each batch of a group; of packed rows, which are one batch, that of their pieces.

    Of a mixture, whose groups are one batch each, that of each source, in the order of the plan's: [1, sources, 4].
    """
    streams = options.streams
    if options.packing is None and not isinstance(streams, MixedStreams):
        return digest_batches(numbers, options.rule.batch_size)
    sizes, places, own = [len(numbers)], [0], numbers
    if isinstance(streams, MixedStreams) and isinstance(group, JoinedGroup):
        place_of = {source.number: place for place, source in enumerate(streams.sources)}
        sizes = [part.num_rows for part in group.parts]
        places = [place_of[part.source or 0] for part in group.parts]
        # A source counts its own chunks, beginning with 0; pieces do so already.
        first = np.array([source.first_chunk for source in streams.sources], np.uint64) << np.uint64(32)
        own = numbers - np.repeat(first[places], sizes)
    stands_in = numbers >= STAND_IN
    if options.packing is not None:
        pieces, num_pieces = (np.concatenate(each) for each in zip(*map(piece_numbers, parts), strict=True))
        # A row that stands in is one, and its pieces count as none.
        own = np.insert(pieces[np.repeat(~stands_in, num_pieces)], *_stand_ins(stands_in, num_pieces))
        sizes = np.add.reduceat(np.where(stands_in, 1, num_pieces), np.cumsum([0, *sizes[:-1]])).tolist()
    digests = digest_groups(own, np.cumsum([0, *sizes[:-1]]))
    if not isinstance(streams, MixedStreams):
        return digests
    found = np.zeros((1, len(streams.sources), WIDTH), np.uint64)
    np.add.at(found[0], places, digests)
    return found


def _stand_ins(stands_in: np.ndarray, num_pieces: np.ndarray) -> tuple[np.ndarray, np.uint64]:
    """Return where among the pieces of the other rows those that stand in are, and what stands there for each."""
    return np.cumsum(np.where(stands_in, 0, num_pieces))[stands_in], STAND_IN


def _with_keys_of_filling(keys: np.ndarray, group: AnyGroup) -> np.ndarray:
    """Return the keys of rows, other ones where a row fills up than that of the row that it repeats."""
    if not group.num_filled:
        return keys
    filling = ~group.samples()
    others = keys[filling] ^ STAND_IN
    mix_bits(others)
    keys = keys.copy()
    keys[filling] = others
    return keys


def _by_source(sources: np.ndarray, parts: Sequence[Columns], group: AnyGroup, options: RunOptions) -> np.ndarray:
    """Return how many rows and tokens there are of each source, without those that fill up: int64 [sources, 2]."""
    num_sources = len(options.of_sources)
    samples = group.samples() if group.num_filled else slice(None)
    of_rows = np.bincount(sources[samples], minlength=num_sources)
    of_tokens = np.zeros(num_sources, np.int64)
    if options.packing is not None:
        tokens = (part[options.packing.column] for part in parts)
        lengths = np.concatenate([each.lengths for each in tokens if isinstance(each, Ragged)])
        of_tokens = np.bincount(sources[samples], weights=lengths[samples], minlength=num_sources)
    return np.stack([of_rows, of_tokens.astype(np.int64)], axis=1)


def _mask(columns: Columns, group: AnyGroup, numbers: np.ndarray | None) -> np.ndarray:
    """Return which rows are samples, and not padding or standing in for others: bool of shape [num_rows]."""
    if "mask" in columns:
        raise CollateError("last_batch='pad' adds a column 'mask', and the chunks have one.", "Rename it in read_file")
    return group.samples() if numbers is None else (numbers & STAND_IN) == 0


def _num_stand_ins(numbers: np.ndarray | None, group: AnyGroup) -> int:
    """Return how many rows stand in for samples that are left out; 0 unless traced."""
    return 0 if numbers is None else int(((numbers & STAND_IN) != 0)[group.samples()].sum())


def _each_encoded(
    raw: RawBatch, encode: Encode, options: RunOptions
) -> tuple[list[Any], tuple[float, float], Exception | None]:
    """Return the batches that rows make, the seconds of all, and what the batch after the last one failed with.

    Raises:
      Exception: what the first batch failed with.
    """
    batches: list[Any] = []
    encoding = collating = 0.0
    size = options.rule.batch_size
    for start in range(0, row_count(raw.columns), size):
        mine = slice(start, start + size)
        part = RawBatch(
            slice_columns(raw.columns, start, start + size),
            None if raw.mask is None else raw.mask[mine],
            None if raw.keys is None else raw.keys[mine],
            raw.epoch,
            raw.step + len(batches),
        )
        try:
            batch, busy, _ = _encoded(part, encode, None, None, options)
        except Exception as exc:
            if not batches:
                raise
            return batches, (encoding, collating), exc
        batches.append(batch)
        encoding, collating = encoding + busy[0], collating + busy[1]
    return batches, (encoding, collating), None


def _encoded(
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
        if isinstance(exc, BadRowsError) and max(exc.bad_rows) < num_rows:
            _name_row(exc, numbers, options.chunks)
        add_place(exc, f"epoch {raw.epoch}, step {raw.step}")
        raise


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
