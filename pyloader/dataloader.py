"""DataLoader: batches of a dataset larger than memory, shuffled, read ahead of the training loop."""

from __future__ import annotations

import contextlib
import logging
import os
import time
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

from pyloader.audit import ReceiptWriter
from pyloader.datacollator import DataCollator
from pyloader.datareader import DataReader
from pyloader.dataset import Dataset
from pyloader.deliver import Steps, this_thread
from pyloader.errors import ClosedError, ReceiptError
from pyloader.files import DataDir
from pyloader.mixture import Mixture, Weights
from pyloader.observe import ChunkStats, Counters, ProgressBar
from pyloader.options import checked_integer
from pyloader.packing import Packing
from pyloader.plan import START, Position
from pyloader.run.adapters import DeliveredState, HasPosition
from pyloader.run.arguments import LoaderArguments
from pyloader.run.loader_options import MAX_QUEUE_SIZE, LoaderOptions
from pyloader.run.loop import Loop, State
from pyloader.run.predicting import Predicts
from pyloader.run.resolving import in_version_of_state, resolve
from pyloader.run.run import ChunkRun, first_batch
from pyloader.run.run_notes import chunk_notes, log_run
from pyloader.run.skipped import Quarantine
from pyloader.run.thread_counts import ThreadTrials
from pyloader.world import World

__all__ = ["MAX_QUEUE_SIZE", "DataLoader"]

_log = logging.getLogger("pyloader")


class DataLoader(Loop[Position, Any], HasPosition, Predicts):
    """Streams chunk files to a training loop: one stream of batches, with a position.

    A `for` goes on where the last one stopped, also after `break`.  It ends when `num_epochs` epochs are complete; the
    next `for` begins the next epochs, in a new order.  `reset()` starts over.  Use it from one thread at a time.

    >>> from pyloader import ChunkWriter, DataLoader
    >>> with ChunkWriter("train", chunk_samples=4) as writer:
    ...     for number in range(10):
    ...         writer.write({"x": number / 10, "y": number % 2})
    >>> with DataLoader(data_dir="train", batch_size=4) as loader:
    ...     print(len(loader), next(loader)["x"], loader.steps_done)
    ...     state = loader.state_dict()  # small JSON; a fresh loader goes on from there
    3 [0.  0.1 0.2 0.3] 1
    >>> with DataLoader(data_dir="train", batch_size=4) as loader:
    ...     loader.load_state_dict(state)
    ...     [batch["x"].tolist() for batch in loader]
    [[0.4, 0.5, 0.6, 0.7], [0.8, 0.9]]

    Args:
      datareader: Reads one chunk file; None chooses by the files' suffix, or by their manifest.
      dataset: Encodes one batch; None leaves it as it was read.
      datacollator: Makes arrays of one batch; None is NumpyDataCollator().
      data_dir: The chunks: a directory, a glob pattern, a manifest.json, or a list of files; or addresses of these.
        Of a mixture those of each source, {"web": "tokens/web", "code": "tokens/code"}; then `datareader`, `dataset`
        and `shuffle_window` may be dicts by source, too.
      num_epochs: How many epochs a `for` has; None never ends.
      max_queue_size: The most chunks' worth of rows in memory at once: being read, held for mixing, waiting, or being
        drained.  At least shuffle_window + 1 (1 with a window of 1).
      shuffle: Whether chunks and rows change places in every epoch.
      seed: The seed of the order, an integer >= 0; None takes the reader's, 42 unless given.
      batch_size: Samples in a batch of this rank; None takes the reader's, 16 unless given.
      shuffle_window: How many chunks are mixed at a time, 4 unless given; 1 mixes rows inside their chunk only, a
        window as long as the list of chunks is a full shuffle.
      last_batch: The incomplete last batch of an epoch: "keep" a short batch, "drop" it, "pad" it by
        repeating a row (every batch then has a bool "mask"), or "wrap": repeat the rows before it.
      pack: Puts documents of tokens into rows of one length, several in a row: a number of tokens, or a `Packing`.
        Every token comes once an epoch; a batch has `segment_ids`, `position_ids` and `loss_mask` beside the tokens.
      bucket_by: A column of rows of unequal length, or of their lengths: batches then have rows of about one length, so
        that little is padded.  Runs of 64 steps are sorted by it, and the steps of each change places.
      max_bytes: The most bytes of columns in memory at once, beside max_queue_size: a number, a size such as "2GB"
        (10^9) or "1.5GiB" (2^30), or a share such as "25%" of the memory (the control group's limit where there is one,
        else the machine's).  None counts nothing, and bounds each chunk that is packed by half of the memory.
      num_workers: Threads that gather, encode and collate batches; 0 does that in the loop's own thread.  "auto" begins
        with 1, and tries in the first 10 seconds whether more or none are faster: where `dataset` and `datacollator`
        say `is_thread_safe`, as ours do.  Of processes it is one more than there are processors, at most 8.
      worker_kind: "thread" for user code that leaves the interpreter's lock (NumPy, decompression, most tokenizers);
        "process" for code that is Python all through: reading, encoding and collating then happen in num_readers +
        num_workers processes of their own, and the batches are the same.
      num_readers: Threads that read chunks ahead.  "auto" finds it likewise, where `datareader` says `is_thread_safe`;
        with num_workers=0 it is 0: everything happens in the loop's own thread.
      verify: Whether a chunk is compared with its checksum in the manifest before it is read: "never", the "first" time
        this loader reads it, or "always".  A chunk that differs is an unreadable one.
      read_retries: How often a read is tried again that failed for a reason that may pass (EIO, a timeout, a broken
        connection, a stale handle); after half a second, then twice as long each time.  Counted in stats().
      max_skipped: How many unreadable chunks, and how many rows that cannot be read or encoded, are left out and listed
        in stats() before one is an error: a number of each, or a share such as "1%".  Other rows stand in for them,
        False in the mask of last_batch="pad", so that an epoch has all its steps; a chunk whose samples nobody has
        counted is left out without.
      quarantine: A file that gets a line of JSON for each that is left out: file, row, error.
      stall_timeout_seconds: Seconds without a batch before StallError; None warns after 60, and waits.
      progress: Whether to show a bar, on a terminal and in notebooks; elsewhere it is a line a minute.
      copy: Whether batches of unshuffled arrays are copied; False hands out parts of what the reader returned.
      world: Which data-parallel rank this is: a World, or (rank, size), or None for the only one.  "auto" asks
        torch.distributed, jax.distributed, and RANK and WORLD_SIZE, as World.detect does.  Each rank gets its own part
        of every epoch, in the same number of batches; batch_size is per rank.
      nulls: What stands for null, by column: {"age": float("nan"), "visits": -1}; or "nan" in all columns of numbers.
        Integers are float64 beside NaN, and stay integers beside one.  None leaves None, which cannot be collated.
      audit_dir: Where receipts of what was delivered are written, 40 bytes a batch, for `pyloader audit`: a directory,
        the same for all ranks and for runs that resume.  None writes none.
      log_dir: Where this rank writes once a second what `metrics()` counts, for `pyloader watch`: a directory, the same
        for all ranks and for runs that resume.  None writes nothing.
      data_version: Which version of a set that grows by `pyloader split --append`, counted from 1; None is the newest,
        and `load_state_dict` then goes to the one that the state was saved on.  Of a mixture a dict, of some sources.
      cache_dir: Where chunks of a store are kept on this machine; None is $PYLOADER_CACHE, or ~/.cache/pyloader/chunks.
      cache_bytes: The most that is kept there, as max_bytes is written; None is what the directory says, and at first
        half of what is free on its disk.
      storage_options: Options of the store, such as keys and an endpoint; None takes the usual variables of the
        environment.
      offline: Whether nothing is asked of the store: what the cache has is all there is.
      mixture: Several sources and their weights as one object, instead of data_dir and the following five.
      weights: How much each source of a mixture has of every batch, by name; or a list of (step, weights), linear
        between the steps.  None takes the sources' sizes.
      weight_by: Whether weights share out "samples", or "tokens".
      on_exhausted: Where a source has been delivered once: "stop" ends there, "drop" goes on with the others, "repeat"
        begins it again in a new order.  None is "stop" with weights, and "drop" without.
      num_steps: The most steps of a mixture; None sets no end.
      with_source: Whether batches of a mixture have `source`: which source each row is of, int64, as its place in
        data_dir.

    Raises:
      TypeError: an argument of the wrong kind, or an option that does not exist; the message says what to write.
      ValueError: a number out of range, or a window that the queue or max_bytes cannot hold.
      DataDirError: no chunks, or several ranks and no counts of their samples.
      ManifestError: the chunks differ from their manifest, there is no such version, or other ranks read another.
      ReceiptError: nothing can be written in audit_dir.
      WriteError: nothing can be written in log_dir.
    """

    def __init__(
        self,
        datareader: DataReader | Mapping[str, DataReader | None] | None = None,
        dataset: Dataset | Mapping[str, Dataset | None] | None = None,
        datacollator: DataCollator | None = None,
        data_dir: DataDir | Mapping[str, DataDir] | None = None,
        num_epochs: int | None = 1,
        max_queue_size: int = 10,
        shuffle: bool = False,
        seed: int | None = None,
        *,
        batch_size: int | None = None,
        shuffle_window: int | Mapping[str, int] | None = None,
        last_batch: str = "keep",
        pack: int | Packing | None = None,
        bucket_by: str | None = None,
        max_bytes: int | str | None = None,
        num_workers: int | str = "auto",
        worker_kind: str = "thread",
        num_readers: int | str = "auto",
        verify: str = "never",
        read_retries: int = 2,
        max_skipped: int | str = 0,
        quarantine: str | os.PathLike[str] | None = None,
        stall_timeout_seconds: float | None = None,
        progress: bool = False,
        copy: bool = True,
        world: World | tuple[int, int] | str | None = "auto",
        audit_dir: str | os.PathLike[str] | None = None,
        log_dir: str | os.PathLike[str] | None = None,
        data_version: int | Mapping[str, int] | None = None,
        nulls: Mapping[str, Any] | str | None = None,
        cache_dir: str | os.PathLike[str] | None = None,
        cache_bytes: int | str | None = None,
        storage_options: Mapping[str, Any] | None = None,
        offline: bool = False,
        mixture: Mixture | None = None,
        weights: Weights | None = None,
        weight_by: str = "samples",
        on_exhausted: str | None = None,
        num_steps: int | None = None,
        with_source: bool = False,
        **old_names: Any,
    ) -> None:
        given = LoaderArguments(
            datareader=datareader,
            dataset=dataset,
            datacollator=datacollator,
            data_dir=data_dir,
            num_epochs=num_epochs,
            max_queue_size=max_queue_size,
            shuffle=shuffle,
            seed=seed,
            batch_size=batch_size,
            shuffle_window=shuffle_window,
            last_batch=last_batch,
            pack=pack,  # type: ignore[arg-type]  # a number becomes a Packing
            bucket_by=bucket_by,
            max_bytes=max_bytes,
            num_workers=num_workers,
            worker_kind=worker_kind,
            num_readers=num_readers,
            verify=verify,
            read_retries=read_retries,
            max_skipped=max_skipped,
            quarantine=quarantine,
            stall_timeout_seconds=stall_timeout_seconds,
            progress=progress,
            copy=copy,
            world=world,
            audit_dir=audit_dir,
            log_dir=log_dir,
            data_version=data_version,
            nulls=nulls,
            cache_dir=cache_dir,
            cache_bytes=cache_bytes,
            storage_options=storage_options,
            offline=offline,
            mixture=mixture,
            weights=weights,
            weight_by=weight_by,
            on_exhausted=on_exhausted,
            num_steps=num_steps,
            with_source=with_source,
        )
        options = resolve(given.renamed(old_names))
        self._stand_at(START, options, ProgressBar(options.steps_per_epoch) if progress else None)
        if options.world_source:
            _log.info(options.describe_rank())

    def _stand_at(self, position: Position, options: LoaderOptions, bar: ProgressBar | None) -> None:
        """Set the initial state: nothing has been read."""
        Loop.__init__(self, "DataLoader", position, Counters(), bar)
        self._options = options
        self._has_for = False  # a `for` has begun in this run
        self._trials = ThreadTrials(options.run.thread_counts)
        self._quarantine = Quarantine(options.run, options.given.quarantine)
        if (audit_dir := options.given.audit_dir) is not None:
            self._receipts = ReceiptWriter(audit_dir, rank=options.world.rank, size=options.world.size)
            options.tell_receipts(self._receipts)
        if (log_dir := options.given.log_dir) is not None:
            log_run(self, log_dir, chunk_notes(options, self._counters, self._quarantine.reasons))

    def __getstate__(self) -> dict[str, Any]:
        return {"options": self._options, "state": self._delivered().state, "is_over": self._state is State.OVER}

    def __setstate__(self, pickled: dict[str, Any]) -> None:
        # A copy in another process stands where this one does, and has read nothing.
        self._stand_at(START, pickled["options"], None)
        self._load(pickled["state"])
        if pickled["is_over"]:
            self._become(State.OVER)

    def __iter__(self) -> Iterator[Any]:
        with self._turn.alone("iter()"):
            self._begin_for()
        return self

    def _begin_for(self) -> None:
        """Begin a `for`: it goes on at the position, or begins the next run where the last one has ended."""
        self._unwrap_if_left()
        options, position = self._options, self._position
        if self._has_for and options.is_last_of_run(position.epoch) and options.has_all_steps(position):
            # The `for` before counted its batches, and did not ask for the end: else this one would be empty.
            with contextlib.suppress(StopIteration):
                self._take()
        if self._state is State.OVER:
            self._become(State.FRESH)
        self._has_for = True
        position = self._position
        if position.steps_done and not options.begins_run(position) and self._state is not State.LOADED:
            _log.info("going on at epoch %d, step %d; reset() starts over", position.epoch, position.step)
        self._turn.begin_for()

    def __repr__(self) -> str:
        return f"DataLoader({self._options.describe(DataLoader, self._trials.now)})"

    @property
    def epochs_done(self) -> int:
        """How many epochs have been delivered to their end."""
        position = self._position
        return position.epoch + (
            self._options.run.streams.ends_epoch(position) and not self._options.is_last_of_run(position.epoch)
        )

    @property
    def steps_done(self) -> int:
        """How many batches have been delivered, over all epochs; counted on by a loader that resumes."""
        return self._position.steps_done

    def get_batch(self) -> Any:
        """Return the next batch, as `next` does."""
        return next(self)

    def get_epoch(self) -> int:
        """Return the epoch of the latest batch, counted from 0."""
        return self._position.epoch

    def peek(self) -> Any:
        """Return the batch that comes next, without using it up; at a run's end, the first of the next run."""
        with self._turn.alone("peek()"):
            position = self._position
            try:
                return self._peeked()
            except StopIteration:
                after_end, self._position = self._position, position
                self._become(State.FRESH)
                return first_batch(self._options.run, after_end, self._quarantine)

    def stats(self) -> ChunkStats:
        """Return what has been delivered, what was left out, and where the time went."""
        options, counters = self._options, self._counters
        sources = options.source_stats(self._position, counters.by_source)
        explaining = options.explaining_stats(self._trials)
        return counters.snapshot(**explaining, skipped=self._quarantine.reasons(), sources=sources)

    def close(self) -> None:
        """End the threads.  The state stays; batches cannot be had any more, also in a thread that waits for one."""
        Loop.close(self)
        if (stored := self._options.run.chunks.stored) is not None:
            stored.close()
        me = this_thread()
        if self._receipts is not None and self._turn.take(0, me) == me:  # else the `next` that is going on closes them
            self._receipts.close()
            self._turn.leave()

    def _counters_of_loader(self) -> Counters:
        return self._counters

    def _delivered(self) -> DeliveredState:
        position, order, counters = self._position, self._options.order, self._counters
        # What was read ahead of the loop is not in the state.  Of several ranks each knows its own chunks alone, and
        # the state is the same on all.
        left_out = (
            self._quarantine.chunks_before(position.epoch, position.segment + (position.offset > 0))
            if not order.by_step
            else []
        )
        state = self._options.state_at(position, left_out)
        return DeliveredState(state, self.steps_done, self.epochs_done, counters.num_steps, counters.num_samples)

    def _load(self, state: dict[str, Any]) -> None:
        before = self._options
        options, position, left_out = in_version_of_state(before, state).resuming(state)
        self._go_to(position, State.LOADED)
        if options.run.chunks is not before.run.chunks:
            self._quarantine = Quarantine(options.run, options.given.quarantine)
            self._bar = ProgressBar(options.steps_per_epoch) if self._bar is not None else None
        if self._receipts is not None:
            options.tell_receipts(self._receipts)
        self._quarantine.leave_out(left_out)
        self._options = options

    def _reset(self) -> None:
        self._go_to(START)
        self._options = self._options.from_start()
        self._quarantine.leave_out([])

    def _skip(self, num_steps: int) -> None:
        checked_integer("num_steps", num_steps, at_least=0, at_most=2**62)
        self._options.all_streams("skipping steps needs to know their samples")
        if num_steps:
            self._go_to(self._options.position_after(self._position, num_steps))

    def _write_receipt(self) -> None:
        run = self._run
        if self._receipts is None or run is None or run.digest is None:
            return
        try:
            self._options.write_receipt(self._receipts, self._position, run.position, run.digest)
        except ReceiptError as exc:
            self._fail(exc)
            raise

    def _run_from(self, position: Position, steps: Steps) -> ChunkRun:
        begun, options, counters = time.perf_counter(), self._options, self._counters
        at_first = partial(options.log_resumed, position, begun) if self._state is State.LOADED else None
        if options.run.streams.ends_epoch(position):
            if options.is_last_of_run(position.epoch):
                raise StopIteration
            position = position.next_epoch()
        num_epochs = options.given.num_epochs
        end_epoch = None if num_epochs is None else (position.epoch // num_epochs + 1) * num_epochs
        return ChunkRun(options.run, position, end_epoch, counters, self._quarantine, steps, at_first, self._trials)

    def _epoch_and_step(self) -> tuple[int, int]:
        return self._position.epoch, self._position.step

    def _closed_error(self) -> ClosedError:
        if self._receipts is not None:  # another thread could not close them while this one was inside of `next`
            self._receipts.close()
        return ClosedError("this DataLoader is closed.", "Make a new one, and give it the state_dict() of this one")

    def _go_to(self, position: Position, state: State = State.FRESH) -> None:
        super()._go_to(position, state)
        self._has_for = False
