"""Predicting: what a loader will deliver and take, and how well it mixes, by arithmetic: nothing is read."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from pyloader.files import StoredChunks
from pyloader.options import checked_integer
from pyloader.plan import START, MixedStreams, Streams, batch_concentrations, bytes_fetched, mixture_concentrations
from pyloader.run.loader_options import LoaderOptions
from pyloader.run.predicted_memory import RowBytes, most_resident
from pyloader.run.thread_counts import ThreadTrials

__all__ = ["Prediction", "Predicts", "RowBytes", "has_its_threads", "options_of", "predict"]


@dataclass(frozen=True, kw_only=True)
class Prediction:
    """What a run will take, and how well it mixes; names that `metrics()` has too mean the same.

    Attributes:
      rank: Whose prediction it is.
      num_ranks: How many ranks there are.
      batch_size: Samples in a batch of a rank.
      shuffle_window: How many chunks are mixed.
      num_epochs: How many epochs the bytes are of.
      steps_per_epoch: Batches of a rank in an epoch, on all ranks the same.
      dropped_samples: Samples of an epoch that last_batch="drop" leaves out, over all ranks.
      filled_samples: Rows that last_batch="pad" or "wrap" repeats in an epoch, over all ranks.
      first_reads: Chunks that are read before the first batch.
      read_bytes: Bytes of the chunks that the rank reads, as they lie on disk.
      read_bytes_of_all: The same, over all ranks.
      fetched_bytes: Bytes of them that come from a store, where the rank has the cache for itself; 0 on a disk.
      cache_bytes: Bytes that the rank wants to keep in the cache: of all chunks that it reads; 0 on a disk.
      cache_bytes_bound: What the cache may hold; None on a disk.
      resident_chunks: The most chunks' worth of rows in memory at once, where reading is ahead of the loop.
      resident_chunks_bound: The bound on it, max_queue_size.
      resident_bytes: The bytes of columns then; None where nobody knows what a row takes.
      mixed_chunks: The effective number of chunks that a batch of the rank holds samples of.
      mixed_chunks_of_all: The same of the batch over all ranks.
    """

    rank: int
    num_ranks: int
    batch_size: int
    shuffle_window: int
    num_epochs: int
    steps_per_epoch: int
    dropped_samples: int
    filled_samples: int
    first_reads: int
    read_bytes: int
    read_bytes_of_all: int
    fetched_bytes: int
    cache_bytes: int
    cache_bytes_bound: int | None
    resident_chunks: float
    resident_chunks_bound: int
    resident_bytes: int | None
    mixed_chunks: float
    mixed_chunks_of_all: float

    def as_dict(self) -> dict[str, Any]:
        """Return the numbers, ready for JSON."""
        return asdict(self)


def predict(options: LoaderOptions, *, num_epochs: int = 1, row_bytes: RowBytes | None = None) -> Prediction:
    """Return what a loader will take from its first epoch on.

    Args:
      options: Those of the loader.
      num_epochs: How many epochs the bytes are of.
      row_bytes: What a row takes; None takes it from the manifest, which says it of arrays.

    Raises:
      DataDirError: the chunks' counts are unknown.
      ValueError: it is a mixture without an end.
    """
    streams: Streams | MixedStreams = options.all_streams("a plan needs to know how many each holds")
    run = options.run
    if (steps := streams.steps_per_epoch) is None:
        raise ValueError("a plan needs an end, and this mixture repeats its sources without one: num_steps= sets it")
    reads = np.fromiter((task.chunk for task in streams.read_tasks(start=START, end_epoch=num_epochs)), np.int64)
    sizes, stored = run.chunks.sizes, run.chunks.stored
    of_all = replace(streams, served=range(streams.num_streams))
    reads_of_all = (task.chunk for task in of_all.read_tasks(start=START, end_epoch=num_epochs))
    bound = None if stored is None else stored.user.bound
    kept = sizes if stored is None else sizes * stored.keys.any(axis=1)  # of a mixture some may lie on a disk
    whole_batch = streams.share * streams.num_streams
    rest, rule = _num_rows(streams, steps) % whole_batch, options.order.last_batch
    if row_bytes is None and run.row_bytes is not None:
        row_bytes = RowBytes(run.row_bytes, run.row_bytes, is_arrays=True)
    chunks, resident_bytes = most_resident(options, row_bytes)
    return Prediction(
        rank=options.world.rank,
        num_ranks=options.world.size,
        batch_size=run.rule.batch_size,
        shuffle_window=streams.width if isinstance(streams, MixedStreams) else streams.dealing.window,
        num_epochs=num_epochs,
        steps_per_epoch=steps,
        dropped_samples=rest if rule == "drop" else 0,
        filled_samples=-rest % whole_batch if rule in ("pad", "wrap") else 0,
        first_reads=streams.num_reads(START),
        read_bytes=int(sizes[reads].sum()),
        read_bytes_of_all=int(sizes[np.fromiter(reads_of_all, np.int64)].sum()),
        fetched_bytes=0 if stored is None or bound is None else _fetched_bytes(reads, kept, stored, bound),
        cache_bytes=0 if bound is None else int(kept[np.unique(reads)].sum()),
        cache_bytes_bound=bound,
        resident_chunks=chunks,
        resident_chunks_bound=run.max_queue_size,
        resident_bytes=resident_bytes,
        mixed_chunks=float((1 / _concentrations(streams)).mean()),
        mixed_chunks_of_all=float((1 / _concentrations(of_all)).mean()),
    )


def _fetched_bytes(reads: np.ndarray, sizes: np.ndarray, stored: StoredChunks, bound: int) -> int:
    here = stored.are_here()
    lacking = np.setdiff1d(reads, np.flatnonzero(here))
    own = bytes_fetched(reads, sizes, here=here, bound=bound, sent=stored.own_bytes())
    return own + stored.common_bytes(lacking)


def _num_rows(streams: Streams | MixedStreams, steps: int) -> int:
    """Return how many rows an epoch has over all ranks: of a mixture, up to where it ends."""
    if isinstance(streams, Streams):
        return streams.num_rows
    schedule = streams.schedule
    if schedule.on_exhausted == "drop" and steps != schedule.num_steps:  # to the end of all sources
        return sum(schedule.rows) * streams.num_streams
    return sum(streams.mark(streams.onward(START, steps)).rows) * streams.num_streams


def _concentrations(streams: Streams | MixedStreams) -> np.ndarray:
    return batch_concentrations(streams) if isinstance(streams, Streams) else mixture_concentrations(streams)


class Predicts:
    """A loader that says what it will deliver and take."""

    _options: LoaderOptions
    _trials: ThreadTrials

    def __len__(self) -> int:
        """Return how many batches a `for` has from its start on.

        Raises:
          TypeError: the chunks' counts are unknown, or num_epochs is None.
        """
        return self._options.steps_per_run()

    @property
    def steps_per_epoch(self) -> int | None:
        """How many batches an epoch has; None when the chunks have no manifest."""
        return self._options.steps_per_epoch

    def locate(self, step: int) -> list[tuple[str, int]] | list[tuple[str, int, int, int]]:
        """Return where each row of a batch over all ranks comes from: (chunk, row in it), rank after rank.

        Rows that fill up an epoch's last batch are listed as the rows that they repeat.  Nothing is read.  With `pack`
        there is an entry for each piece of a document: (chunk, document in it, its first token, the one after its
        last), and the lengths of those chunks' documents are read.  Of a mixture each entry begins with the name of the
        source.

        Args:
          step: Which batch, counted from 0 over all epochs: that of `steps_done` is the next.

        Raises:
          DataDirError: the chunks' counts are unknown.
          ValueError: `step` is below 0.
        """
        return self._options.locate(checked_integer("step", step, at_least=0))

    def plan(self, *, num_epochs: int = 1) -> Prediction:
        """Return what a run of this loader will take, and how well it mixes, by arithmetic: nothing is read.

        `pyloader plan` shows it for several windows, and measures how fast the chunks come.  Of a mixture the bytes are
        exact, and what is resident is an estimate: chunks of light sources are held for long.

        Args:
          num_epochs: How many epochs its bytes are of, from the first on.

        Raises:
          DataDirError: the chunks' counts are unknown.
          ValueError: it is a mixture that repeats its sources without an end.
        """
        return predict(self._options, num_epochs=num_epochs)


def has_its_threads(loader: Predicts) -> bool:
    """Tell whether a loader has found how many threads it has, or was told."""
    return loader._trials.is_found


def options_of(loader: Predicts) -> LoaderOptions:
    """Return the resolved options of a loader."""
    return loader._options
