"""RunOptions: the resolved options of a run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from pyloader.datacollator import DataCollator
from pyloader.datareader import DataReader
from pyloader.dataset import Dataset
from pyloader.encode import taken_by
from pyloader.files import ChunkList, MixedChunks, Verification
from pyloader.machine.limits import num_processors
from pyloader.packing import Packing
from pyloader.plan import RUN_STEPS, MixedStreams, Streams
from pyloader.read import Nulls
from pyloader.run.thread_counts import ThreadCounts
from pyloader.shuffle import CutRule
from pyloader.thread_safety import is_thread_safe

__all__ = ["RunOptions"]

_MOST_READERS, _MOST_WORKERS = 8, 32  # that a loader comes to have by itself


@dataclass(frozen=True, kw_only=True)
class RunOptions:
    """What a run is made of; the DataLoader has checked it."""

    chunks: ChunkList  # which chunks there are
    reader: DataReader  # reads one; of several sources, those of the first
    nulls: Nulls | None  # what stands for the nulls in it; None leaves them
    packing: Packing | None  # how documents are packed into rows; None where a sample is a row
    packed_fill: float | None  # which share of the packed rows' tokens are of documents; None without packing
    dataset: Dataset | None  # encodes a batch; None leaves it raw
    collator: DataCollator  # collates a batch
    convert: Callable[[Any], Any] | None  # makes of that what the loop receives, in this process; None when it is that
    streams: Streams | MixedStreams  # how an epoch is ordered and cut into streams, and which are delivered here
    rule: CutRule  # how batches are cut
    max_queue_size: int  # the most chunks resident at once
    max_bytes: int | None  # the most bytes of columns resident at once; None sets no bound
    # what a row takes, where the manifest says so: all its columns are arrays, read as it says; else None
    row_bytes: int | None
    num_readers: int  # threads that read; 0 reads in the thread that makes batches, the caller's
    num_workers: int  # threads that make batches; 0 makes them in the caller's
    worker_kind: str  # where the user's code runs: in these threads ("thread"), or in a process for each ("process")
    verification: Verification | None  # compares chunks with their checksums before they are read; None trusts them
    retry_waits: tuple[float, ...]  # seconds before each further try of a read that failed for a reason that may pass
    max_skipped: int  # how many unreadable chunks are left out before one is an error
    max_skipped_rows: int  # how many bad rows; with either of them other rows stand in for those that are left out
    traced: bool  # whether it is known of each row that is delivered which sample it is
    audited: bool  # whether batches have digests of them, for receipts
    seed: int  # the seed that `batch_encode`'s `rng` and `keys` are derived from
    copy: bool  # whether batches of rows in file order are copied out of the reader's arrays
    stall_timeout_seconds: float | None  # seconds of silence before StallError; None waits for ever
    # what reads the chunks of each source of a mixture, and what stands for the nulls in them; () where there is none
    of_sources: tuple[tuple[DataReader, Nulls | None], ...] = ()
    # what encodes the rows of each source of a mixture, by its number, None leaving them raw; () where `dataset` does
    datasets: tuple[Dataset | None, ...] = ()
    # the dtype of the loss mask that documents of some sources have, and those of others get; "" where none has one
    loss_mask: str = ""
    with_source: bool = False  # whether each batch says of which source its rows are
    # whether the numbers of threads are only those to begin with, as far as several may call what they call
    finds_readers: bool = False
    finds_workers: bool = False

    def source_of(self, index: int) -> int:
        """Return the source of a chunk, as its place in `readers`."""
        return self.chunks.place_of(index)[0] if isinstance(self.chunks, MixedChunks) else 0

    @property
    def readers(self) -> tuple[tuple[DataReader, Nulls | None], ...]:
        """What reads the chunks of each source, and what stands for the nulls in them; one without a mixture."""
        return self.of_sources or ((self.reader, self.nulls),)

    @property
    def thread_counts(self) -> ThreadCounts:
        """How many threads a run begins with."""
        return ThreadCounts(self.num_readers, self.num_workers)

    @property
    def most_threads(self) -> ThreadCounts:
        """How many threads it may come to have: not more than chunks that may be read ahead, nor processors."""
        readers, workers = self.thread_counts
        if self.finds_readers and self._may_call_readers:
            # Where there is one processor, a second one can wait for the disk.
            readers = min(max(2, num_processors()), _MOST_READERS, max(1, self.chunk_share - self.mixed_chunks))
        if self.finds_workers and self._may_call_makers:
            workers = min(num_processors(), _MOST_WORKERS)
        return ThreadCounts(readers, workers)

    @property
    def least_threads(self) -> ThreadCounts:
        """How few threads it may come to have: the loop's own does what any thread may do."""
        readers, workers = self.thread_counts
        if self.finds_workers and self._may_call_makers:
            readers, workers = 0 if self.finds_readers and self._may_call_readers else readers, 0
        return ThreadCounts(readers, workers)

    @property
    def _may_call_readers(self) -> bool:
        """Whether several threads may."""
        return all(is_thread_safe(reader) for reader, _ in self.readers)

    @property
    def _may_call_makers(self) -> bool:
        """Whether several threads may call what encodes and collates."""
        return all(map(is_thread_safe, (self.dataset, *self.datasets, self.collator)))

    @property
    def in_processes(self) -> bool:
        """Whether the user's code runs in other processes."""
        return self.worker_kind == "process" and self.num_workers > 0

    @property
    def makes_several(self) -> bool:
        """Whether several batches may be made together: in a process, or where the usual collator is all that does.

        Not where one may have to be made again without some of its rows, nor where rows of several groups make it, or
        each has to be measured.
        """
        return (
            (self.in_processes or self.rule.several)
            and self.group_share > 0
            and self.packing is None
            and not (self.max_skipped_rows or self.rule.sorts or self.streams.joins)
            and self.max_bytes is None
        )

    @cached_property
    def drawn(self) -> frozenset[str]:
        """Which of "rng" and "keys" `batch_encode` takes."""
        datasets = (dataset for dataset in (self.dataset, *self.datasets) if dataset is not None)
        return frozenset().union(*map(taken_by, datasets))

    @property
    def numbered(self) -> bool:
        """Whether rows carry the numbers of their samples: to be traced, or for their keys."""
        return self.traced or "keys" in self.drawn

    @property
    def skips(self) -> bool:
        """Whether anything may be left out."""
        return self.max_skipped > 0 or self.max_skipped_rows > 0

    @cached_property
    def mixed_chunks(self) -> int:
        """How many chunks are held for mixing: as many as a segment mixes, for each stream served."""
        return self.streams.held_chunks

    @cached_property
    def group_share(self) -> int:
        """How many chunks' worth of the queue is kept for rows that have left their chunks.

        Half of what the window leaves, and at least one, so that rows are gathered while others are drained.  When the
        window leaves nothing, batches are made one at a time, each of them the loop's own.
        """
        left = self.max_queue_size - self.mixed_chunks - self.run_share
        return max(min(1, left), left // 2)

    @cached_property
    def chunk_share(self) -> int:
        """How many chunks may be in reading, or held for mixing."""
        return self.max_queue_size - self.group_share - self.run_share

    @cached_property
    def run_share(self) -> int:
        """How many chunks' worth of the queue the rows take that are sorted by length: a run, and the one before."""
        if isinstance(self.streams, MixedStreams) or not self.streams.sorts:
            return 0
        rows = 2 * RUN_STEPS * self.rule.batch_size
        return -(-rows // max(1, int(self.streams.known_counts.max())))
