"""A run: from a position to the end of an epoch, every step in its place.

    plan -> read -> deal -> cut -> gather, encode, collate -> the loop

Each of the streams has a dealing and a cutting of its own, and their pieces are joined.

Two of the steps may run ahead, in threads: reading, and making batches.  The others are plain iterators between them.
Together they hold at most `max_queue_size` chunks' worth of rows: `chunk_slots` of it in chunks, `piece_share` of it in
rows that have left their chunks.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import Any, Generic, TypeAlias, TypeVar, cast

import numpy as np

from pyloader.columns import Columns, slice_columns
from pyloader.deliver import Claim, Slots, StallWatch, Steps, map_in_order
from pyloader.errors import CoverageError, DataDirError
from pyloader.observe import Counters
from pyloader.plan import Position
from pyloader.run.making import Made, add_place, batch_making
from pyloader.run.options import RunOptions
from pyloader.run.reading import ArrivalCheck, ChunkReading
from pyloader.run.resident import ResidentBytes
from pyloader.run.sample_ids import place_of
from pyloader.run.skipped import Quarantine
from pyloader.run.streaming import pieces_of_streams
from pyloader.run.usercode import user_functions
from pyloader.shuffle import EpochEnd, JoinedPiece, Piece

__all__ = ["Run"]

T = TypeVar("T")

_Cut: TypeAlias = "Piece | JoinedPiece | EpochEnd"


@dataclass(slots=True)
class _Weighed(Generic[T]):
    """A piece, or what came of it, and what it takes of the bounds.

    A piece is weighed once: by the time its share is given back, a larger chunk may have been seen.
    """

    content: T
    weight: float
    claim: Claim | None = None


class Run:
    """Batches from a position on, until `end_epoch`.

    Args:
      options: What to do.
      start: Where to begin.
      end_epoch: The first epoch that is not delivered; None never ends.
      counters: What is counted along the way.
      quarantine: What is left out.
      steps: Takes the steps that may have threads.  Whoever made it closes it.

    Attributes:
      steps: The same.
      position: After the latest batch; at the start of the next epoch once an epoch's end has come.
      samples: The numbers of the samples whose places the latest batch's rows have, uint64 of shape [rows], STAND_IN
        set where a row stands in or fills up; None unless numbered.
      digest: The digest of them, uint64 of shape [4]; None unless audited.
    """

    def __init__(
        self,
        options: RunOptions,
        start: Position,
        end_epoch: int | None,
        counters: Counters,
        quarantine: Quarantine,
        steps: Steps,
    ) -> None:
        self._options, self._counters, self._quarantine = options, counters, quarantine
        self.position = start
        self.samples: np.ndarray | None = None
        self.digest: np.ndarray | None = None
        self.steps = steps
        self._made: _Weighed[Made] | None = None
        self._cursor = 0  # its rows that have been delivered
        self._delivered = 0  # rows of this epoch, since the run began

        threaded = options.num_workers > 0
        self._chunk_slots = Slots(options.chunk_slots, blocking=threaded)
        self._piece_slots = Slots(options.piece_share, blocking=threaded)
        self._bytes = None if options.max_bytes is None else ResidentBytes(options)
        self._check = ArrivalCheck(options, quarantine)

        read_index, encode = user_functions(options, self.steps, counters)
        tasks = options.streams.read_tasks(start=start, end_epoch=end_epoch)
        if self._bytes is not None:
            self.steps.add_awaited(self._bytes.ledger)
            tasks = self._bytes.claimed(tasks)
        has_arrived = None if self._bytes is None else self._bytes.has_arrived
        self._reading = self.steps.add(
            map_in_order(
                ChunkReading(options, self._chunk_slots, read_index, quarantine, has_arrived),
                tasks,
                num_threads=options.num_readers if threaded else 0,
                slots=self._chunk_slots,
                name="read",
                describe=lambda task: options.chunks.names[task.chunk],
            )
        )
        arrivals = self._check.arrivals(self._reading if self._bytes is None else self._bytes.asked(self._reading))
        # Without room for pieces, a batch is made when the loop asks for it.
        rule = options.rule if options.piece_share else replace(options.rule, several=False)
        pieces = pieces_of_streams(arrivals, options.streams, rule, start=start, end_epoch=end_epoch)
        self._make = batch_making(options, encode)
        self._making = self.steps.add(
            map_in_order(
                self._made_of,
                map(self._weighed, pieces),
                num_threads=options.num_workers,
                slots=self._piece_slots,
                weight=lambda weighed: weighed.weight,
                name="batch",
                describe=lambda weighed: _place(weighed.content),
                watch=StallWatch(
                    fail_after=options.stall_timeout_seconds, activity=self.steps.activity, stacks=self.steps.stacks
                ),
            )
        )

    def next_batch(self) -> tuple[Any, int]:
        """Return the next batch and how many rows it has, and move `position` behind it.

        Raises:
          StopIteration: the last epoch is over.
        """
        if self._made is None:
            self._await_made()
        weighed = self._made
        assert weighed is not None
        made = weighed.content
        start, stop = self._cursor, min(self._cursor + self._options.rule.batch_size, made.num_rows)
        batch = made.content if made.is_batch else self._slice(made.content, start, stop)
        if made.samples is not None:
            self.samples = made.samples[start:stop]
        if made.digests is not None:
            self.digest = made.digests[start // self._options.rule.batch_size]
        self._cursor = stop
        if stop == made.num_rows:  # from here on the rows are the loop's
            self._made, self._cursor = None, 0
            self._piece_slots.give_back(weighed.weight)
            if weighed.claim is not None:
                weighed.claim.give_back()
            if made.viewed is not None:
                made.viewed.let_go()
        self._delivered += stop - start
        self.position = self.position.after_batch(*made.after(stop))
        return batch, stop - start

    def _slice(self, columns: Columns, start: int, stop: int) -> Any:
        batch, convert = slice_columns(columns, start, stop), self._options.convert
        if convert is None:
            return batch
        try:
            return convert(batch)
        except Exception as exc:
            add_place(exc, f"epoch {self.position.epoch}, step {self.position.step}")
            raise

    def _await_made(self) -> None:
        self.steps.check_process()
        begun = time.perf_counter()
        while True:
            weighed = next(self._making)
            if not isinstance(weighed.content, EpochEnd):
                break
            self._end_epoch(weighed.content)
        made = weighed.content
        for number, error in made.bad_samples.items():
            self._quarantine.note_row(*place_of(number), error, stage="encode", epoch=self.position.epoch)
        self._made = cast("_Weighed[Made]", weighed)  # no end of an epoch
        self._count(made, time.perf_counter() - begun)

    def _count(self, made: Made, waited: float) -> None:
        counters = self._counters
        counters.waited(waited)
        for stage, seconds in zip(("shuffle", "encode", "collate"), made.seconds, strict=True):
            counters.busy_seconds[stage] += seconds
        counters.num_stand_ins += made.num_stand_ins
        counters.busy_seconds["read"] += self._reading.take_busy_seconds()
        if made.mixing:
            counters.mixing = (counters.mixing[0] + made.mixing, counters.mixing[1] + 1)
        # A batch larger than its share of the queue is made alone; what is beyond the share is the loop's.
        pieces = min(self._piece_slots.peak, self._options.piece_share)
        counters.resident_chunks = max(counters.resident_chunks, self._chunk_slots.peak + pieces)
        if self._bytes is not None:
            counters.resident_bytes = max(counters.resident_bytes, self._bytes.ledger.peak)

    def _end_epoch(self, end: EpochEnd) -> None:
        wanted = end.num_rows - end.num_dropped + end.num_filled
        if self._delivered != wanted:
            raise CoverageError(
                f"epoch {end.epoch} delivered {self._delivered:,} samples, and should have delivered {wanted:,}.",
                "This is a defect of pyloader: please report it",
            )
        if self.position.step == 0:
            what = f"epoch {end.epoch} has {end.num_rows:,} samples, which make no batch of "
            what += f"{self._options.rule.batch_size:,} with last_batch={self._options.rule.last_batch!r}."
            raise DataDirError(str(self._options.chunks.root), what)
        self._counters.num_dropped += end.num_dropped
        self._counters.num_filled += end.num_filled
        self._delivered = 0
        self.position = self.position.next_epoch()

    def _weighed(self, piece: _Cut) -> _Weighed[_Cut]:
        """Return a piece with how much of the queue it takes, in chunks' worth of rows, and of the bytes."""
        if isinstance(piece, EpochEnd):
            return _Weighed(piece, 0.0)
        # What waits is bounded by number too: more than a few batches ahead of each worker help nobody.
        at_least = self._options.piece_share / (2 * self._options.num_workers + 2)
        weight = max(piece.num_rows / max(1, self._check.largest), at_least)
        return _Weighed(piece, weight, None if self._bytes is None else self._bytes.claim_piece(piece))

    def _made_of(self, weighed: _Weighed[_Cut]) -> _Weighed[Made | EpochEnd]:
        piece, claim = weighed.content, weighed.claim
        if isinstance(piece, EpochEnd):
            return _Weighed(piece, weighed.weight)
        made = self._make(piece)
        if self._bytes is not None and claim is not None:
            self._bytes.has_made(made, claim)
        return _Weighed(made, weighed.weight, claim)


def _place(piece: _Cut) -> str:
    return f"epoch {piece.epoch}" if isinstance(piece, EpochEnd) else f"epoch {piece.epoch}, step {piece.step}"
