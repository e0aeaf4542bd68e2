"""The DataLoader's options, resolved: what a run is made of, and what follows for epochs, positions and states."""

from __future__ import annotations

import inspect
import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np

from pyloader.audit import ReceiptWriter
from pyloader.errors import DataDirError, StateError
from pyloader.observe import SourceStats
from pyloader.options import AUTO
from pyloader.plan import (
    Order,
    Position,
    Streams,
    check_left_out,
    check_with_counts,
    check_without_counts,
    left_out_in_state,
    position_from_state,
    rows_of_step,
    state_of,
)
from pyloader.run.arguments import AsWritten, LoaderArguments
from pyloader.run.chunk_lengths import lengths_of_rows
from pyloader.run.options import RunOptions
from pyloader.run.packed import packed_rows, pieces_of
from pyloader.run.ranks import check_queue, check_state_fits_ranks, check_streams, counts_of
from pyloader.run.resident import check_bytes
from pyloader.run.thread_counts import ThreadCounts, ThreadTrials
from pyloader.world import World

__all__ = ["MAX_QUEUE_SIZE", "SHUFFLE_WINDOW", "LoaderOptions"]

_log = logging.getLogger("pyloader")

MAX_QUEUE_SIZE = 10
SHUFFLE_WINDOW = 4


@dataclass(frozen=True, kw_only=True)
class LoaderOptions:
    """What a DataLoader was told, resolved."""

    given: LoaderArguments  # the options as they were given
    run: RunOptions  # what its runs are made of
    order: Order  # all that the order of its samples depends on
    world: World  # which of the data-parallel ranks this is
    world_source: str  # who said so; "" where this process is alone

    @property
    def steps_per_epoch(self) -> int | None:
        """How many batches an epoch has; None when the chunks' counts are unknown."""
        streams = self.one_source
        return None if streams.counts is None else streams.steps_per_epoch

    @property
    def one_source(self) -> Streams:
        """The plan, where there is no mixture."""
        assert isinstance(self.run.streams, Streams)
        return self.run.streams

    def is_last_of_run(self, epoch: int) -> bool:
        """Tell whether a run ends with this epoch."""
        return self.given.num_epochs is not None and (epoch + 1) % self.given.num_epochs == 0

    def begins_run(self, position: Position) -> bool:
        """Tell whether a run begins where `position` stands."""
        return position.step == 0 and self.given.num_epochs is not None and position.epoch % self.given.num_epochs == 0

    def has_all_steps(self, position: Position) -> bool:
        """Tell whether `position` is known to have all batches of its epoch behind it."""
        steps = self.steps_per_epoch
        return steps is not None and position.step >= steps

    def from_start(self) -> LoaderOptions:
        """Return these options with no state's position, where one was gone on from."""
        return self

    def state_at(self, position: Position, left_out: list[int]) -> dict[str, Any]:
        """Return the state after the batches that `position` has behind it."""
        return state_of(position, self.order, left_out, data_version=self.run.chunks.data_version)

    def tell_receipts(self, receipts: ReceiptWriter) -> None:
        """Say which chunks the receipts that are begun from now on are of."""
        receipts.data_version = self.run.chunks.data_version

    def write_receipt(self, receipts: ReceiptWriter, before: Position, after: Position, digest: np.ndarray) -> None:
        """Write that the batch between two positions was received.

        Raises:
          ReceiptError: it could not be written.
        """
        receipts.write(self.order, after.epoch, after.step - 1, digest)

    def position_after(self, position: Position, num_steps: int) -> Position:
        """Return the position so many steps later."""
        return self.run.streams.position(position.steps_done + num_steps)

    def describe_rank(self) -> str:
        """Return which rank this is, who said so, and what every epoch has on all ranks alike."""
        rank = f"rank {self.world.rank} of {self.world.size} ({self.world_source})"
        if self.run.chunks.counts is None:
            return rank
        remainder = int(self.run.chunks.counts.sum()) % self.order.batch_size
        filling = -remainder % self.order.batch_size
        ending = {
            "keep": f"{remainder:,} samples in the last of them",
            "drop": f"{remainder:,} samples dropped",
            "pad": f"{filling:,} rows padded",
            "wrap": f"{filling:,} samples repeated",
        }
        version = self.run.chunks.data_version
        of = "" if version is None else f", version {version} of the chunks"
        return f"{rank}, {self.steps_per_epoch:,} steps an epoch, {ending[self.order.last_batch]}{of}"

    def steps_per_run(self) -> int:
        """Return how many batches a run has.

        Raises:
          TypeError: the chunks' counts are unknown, or it never ends.
        """
        steps = self.steps_per_epoch
        if self.given.num_epochs is None:
            raise TypeError("a DataLoader with num_epochs=None is endless; steps_per_epoch says how long an epoch is")
        if steps is None:
            place = self.run.chunks.place
            raise TypeError(
                f"how many samples the chunks hold is unknown: count them once with: pyloader index {place}"
            )
        return steps * self.given.num_epochs

    def log_resumed(self, position: Position, begun: float) -> None:
        """Log that a run began at a position with its first batch; `begun` is when, as `time.perf_counter` counts."""
        where = (position.epoch, position.step, self.run.streams.num_reads(position), time.perf_counter() - begun)
        _log.info("resumed at epoch %d, step %d: read %d chunks in %.2f s", *where)

    def locate(self, step: int) -> list[tuple[str, int]] | list[tuple[str, int, int, int]]:
        """Return where each row of a batch over all ranks comes from, as DataLoader.locate does."""
        streams = self.all_streams("locating a step's samples needs to know how many each holds")
        epoch, step = divmod(step, streams.steps_per_epoch)
        run = self.run
        lengths_of = lengths_of_rows(run.chunks, run.reader, streams.bucket_by) if streams.sorts else None
        rows = rows_of_step(streams, epoch, step, lengths_of)
        if run.packing is not None:
            rows_of = packed_rows(run.chunks, run.reader, run.packing, streams.row_seed)
            return pieces_of(run.chunks, rows_of, rows, epoch=epoch)
        return [(run.chunks.names[chunk], row) for chunk, row in rows.tolist()]

    def explaining_stats(self, trials: ThreadTrials) -> dict[str, Any]:
        """Return the options that explain what a loader has counted, as `ChunkStats` has them, and its threads."""
        run = self.run
        return {
            "rank": self.world.rank,
            "num_ranks": self.world.size,
            "num_streams": self.order.num_streams,
            "num_readers": trials.now.readers,
            "num_workers": trials.now.workers,
            "more_tried": trials.tried_in_vain,
            "worker_kind": run.worker_kind,
            "max_queue_size": run.max_queue_size,
            "max_bytes": run.max_bytes,
            "shuffle_window": self.order.shuffle_window,
            "has_counts": run.chunks.counts is not None,
            "last_batch": run.rule.last_batch,
            "packed_fill": run.packed_fill,
        }

    def source_stats(self, position: Position, counted: Any) -> dict[str, SourceStats]:
        """Return what came of each source of a mixture; {} without.

        Args:
          position: Where the loader stands.
          counted: Rows and tokens of each source that were delivered here, int64 of shape [sources, 2]; 0 for none.
        """
        return {}

    def all_streams(self, purpose: str) -> Streams:
        """Return the plan of an epoch, when all that it has is known.

        Raises:
          DataDirError: the chunks' counts are unknown, and `purpose` needs them; or they make no batch.
        """
        counts_of(self.run.chunks, purpose)
        check_streams(self.run, self.world, self.order.num_streams)
        return self.one_source

    def with_streams(self, num_streams: int) -> Self:
        """Return these options with an epoch cut into so many streams.

        Raises:
          DataDirError, ValueError: that cannot be.
        """
        if num_streams > 1:
            check_streams(self.run, self.world, num_streams)
        order, per_rank = replace(self.order, num_streams=num_streams), num_streams // self.world.size
        served = range(self.world.rank * per_rank, (self.world.rank + 1) * per_rank)
        chunks = self.run.chunks
        run = replace(self.run, streams=Streams.of(order, chunks.counts, len(chunks), served))
        check_queue(run)
        check_bytes(run)
        return replace(self, run=run, order=order)

    def resuming(self, state: Any) -> tuple[LoaderOptions, Position, list[int]]:
        """Return these options with as many streams as `state` has, where it stands, and the chunks that it leaves out.

        Raises:
          StateError: the state cannot be honoured here; the message says what to write.
        """
        options, position = self._in_streams_of(state)
        run, order = options.run, options.order
        if run.chunks.counts is None:
            check_without_counts(position, options.one_source.dealing, order.batch_size)
        else:
            check_with_counts(position, options.all_streams("a position needs it"))
        left_out = left_out_in_state(state)
        check_left_out(left_out, num_chunks=len(run.chunks), num_streams=order.num_streams, max_skipped=run.max_skipped)
        return options, position, left_out

    def _in_streams_of(self, state: Any) -> tuple[Self, Position]:
        """Return these options with as many streams as `state` has, and its position.

        Raises:
          StateError: the state cannot be honoured here.
        """
        num_streams = state.get("num_streams") if isinstance(state, Mapping) else None
        if type(num_streams) is not int or num_streams < 1:
            num_streams = self.order.num_streams  # which the state does not have, so that it is refused
        else:
            check_state_fits_ranks(state, self.order, self.world)
        position = position_from_state(state, replace(self.order, num_streams=num_streams))
        try:
            options = self._with_streams_of(state, num_streams)
        except (DataDirError, ValueError) as exc:
            raise StateError(f"the state was saved with {num_streams} streams. {exc}") from exc
        return options, position

    def _with_streams_of(self, state: Any, num_streams: int) -> Self:
        """Return these options with so many streams, and what else of a plan `state` says."""
        return self.with_streams(num_streams)

    def describe(self, loader: type, threads: ThreadCounts) -> str:
        """Return the options as one would write them for `loader`, less those that are its defaults.

        Numbers of threads that the loader finds by itself are shown where they are not 1.
        """
        return self._described(loader, threads)

    def _described(self, loader: type, threads: ThreadCounts, **resolved: Any) -> str:
        run, order, world = self.run, self.order, self.world
        found = {"num_readers": threads.readers, "num_workers": threads.workers}
        parts = {"datareader": run.reader, "dataset": run.dataset, "datacollator": self.given.datacollator}
        shown = {
            **vars(self.given),
            "data_version": run.chunks.data_version,
            "storage_options": _without_values(self.given.storage_options),
            "data_dir": f"{run.chunks.place} ({len(run.chunks):,} chunks)",
            "seed": order.seed,
            "batch_size": run.rule.batch_size,
            "shuffle_window": order.shuffle_window,
            "max_bytes": run.max_bytes,
            "pack": None if run.packing is None else AsWritten(f"{run.packing!r} ({run.packed_fill:.1%} filled)"),
            "world": World(world.rank, world.size, None if order.num_streams == world.size else order.num_streams),
            **{name: AsWritten(f"{type(part).__name__}()") for name, part in parts.items() if part is not None},
            **{
                name: AsWritten(f"'auto' ({number})")
                for name, number in found.items()
                if getattr(self.given, name) == AUTO and number != (1 if self.given.num_workers else 0)
            },
            **resolved,
        }
        defaults = {name: option.default for name, option in inspect.signature(loader).parameters.items()}
        usual = {**defaults, "world": World(0, 1)}
        return ", ".join(f"{name}={value!r}" for name, value in shown.items() if value != usual[name])


def _without_values(options: Mapping[str, Any] | None) -> AsWritten | None:
    """Return options as they may be shown: keys and passwords are among the values."""
    return None if options is None else AsWritten(f"{{{', '.join(f'{name!r}: ...' for name in options)}}}")
