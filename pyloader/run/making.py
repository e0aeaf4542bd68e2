"""Making: the rows of a batch group are gathered, encoded and collated."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pyloader.audit import WIDTH, digest_batches, digest_groups
from pyloader.columns import Columns, slice_columns
from pyloader.deliver import not_a_stop
from pyloader.errors import CollateError
from pyloader.machine.memory import RecycledMemory
from pyloader.packing import piece_numbers
from pyloader.plan import STAND_IN, Mark, MixedStreams, Position, mix_bits, row_keys
from pyloader.ragged import Ragged
from pyloader.run.encoding import Encode, EncodeEach, RawBatch, add_place, encoded_batch, encoded_batches
from pyloader.run.handover import MadeGroup
from pyloader.run.options import RunOptions
from pyloader.run.sample_ids import detach
from pyloader.shuffle import AnyGroup, BatchGroup, JoinedGroup, gather_group, gather_joined, view_group

__all__ = ["MadeRows", "batch_making"]


@dataclass(slots=True, kw_only=True)
class MadeRows(MadeGroup[Position]):
    """A finished batch group: its columns, to be sliced in the loop's thread, or its batches."""

    content: Any  # the columns, or a list of the batches that the loop does not have yet
    is_made: bool  # which of the two: whether batches are made
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
        if self.is_made:
            return self.content.pop(0)
        start = number * self.batch_size
        batch = slice_columns(self.content, start, start + self.batch_size)
        if self.convert is None:
            return batch
        try:
            return self.convert(batch)
        except Exception as exc:
            add_place(exc, f"epoch {self.epoch}, step {self.step + number}")
            if isinstance(exc, StopIteration):
                raise not_a_stop(exc) from exc
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


def batch_making(options: RunOptions, encode: Encode, encode_each: EncodeEach) -> Callable[[AnyGroup], MadeRows]:
    """Return the function that makes what the loop receives of a group.

    `encode` encodes and collates a batch, `encode_each` the batches of a group that has several.

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
        is_made = not rule.several or not all(isinstance(values, np.ndarray) for values in columns.values())
        content: Any = columns if mask is None else {**columns, "mask": mask}
        shown = sources if options.with_source else None
        if shown is not None:
            if "source" in columns:
                raise CollateError("the mixture adds a column 'source', and the chunks have one.", "Rename it there")
            content = {**content, "source": shown}
        left_out = error = None
        origin, end = ((0, 0), (0, 0)) if options.streams.by_step else (group.origin, group.end)
        whole, rest = divmod(group.num_rows, rule.batch_size)
        sizes = [rule.batch_size] * whole + [rest] * (rest > 0)
        if is_made and len(sizes) > 1:
            raw = RawBatch(columns, mask, keys, group.epoch, group.step, shown)
            content, busy, error = encoded_batches(raw, encode_each, numbers, options)
            seconds = (seconds[0], *busy)
            if error is not None:
                sizes = sizes[: len(content)]
                end = (origin[0], origin[1] + sum(sizes))
        elif is_made:
            raw = RawBatch(columns, mask, keys, group.epoch, group.step, shown, _of_sources(group, parts, options))
            batch, busy, bad_rows = encoded_batch(raw, encode, numbers, sources, options)
            content = [batch]
            seconds = (seconds[0], *busy)
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
            is_made=is_made,
            batch_size=rule.batch_size,
            convert=options.convert,
            epoch=group.epoch,
            step=group.step,
            origin=origin,
            end=end,
            mark=group.mark if isinstance(group, JoinedGroup) else None,
            by_source=None if sources is None else _by_source(sources, parts, group, options),
            mixing=mixing,
            chunks=group.chunk_indices,
            viewed=viewed,
            error=error,
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
