"""The DataLoader's options: checked, and resolved into what a run is made of."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from pyloader.collate import NumpyDataCollator, two_steps
from pyloader.datareader import DataReader
from pyloader.errors import DataDirError, StateError
from pyloader.files import list_chunks, verification_of
from pyloader.options import (
    MOST,
    checked_integer,
    checked_max_skipped,
    checked_seconds,
    checked_worker_kind,
    parse_memory,
    with_new_names,
)
from pyloader.plan import (
    LAST_BATCH_RULES,
    Dealing,
    Order,
    Position,
    Streams,
    check_left_out,
    check_with_counts,
    check_without_counts,
    position_from_state,
    rows_of_step,
)
from pyloader.read import nulls_of
from pyloader.run.components import check_part, reader_of, reader_with_nulls
from pyloader.run.options import RunOptions
from pyloader.run.ranks import check_queue, check_state_fits_ranks, check_streams, counts_of, streams_served
from pyloader.run.resident import check_bytes
from pyloader.run.transient import waits_before_retries
from pyloader.shuffle import CutRule
from pyloader.world import World, resolve_world

__all__ = ["MAX_QUEUE_SIZE", "SHUFFLE_WINDOW", "LoaderOptions", "resolve"]

MAX_QUEUE_SIZE = 10
SHUFFLE_WINDOW = 4
_MOST_RETRIES = 10_000  # three days and a half


@dataclass(frozen=True, kw_only=True)
class LoaderOptions:
    """What a DataLoader was told, resolved.

    Attributes:
      run: What its runs are made of.
      order: All that the order of its samples depends on.
      num_epochs: How many epochs a run has; None never ends.
      world: Which of the data-parallel ranks this is.
      world_source: Who said so; "" where this process is alone.
      shown: The resolved options by name, for repr.
    """

    run: RunOptions
    order: Order
    num_epochs: int | None
    world: World
    world_source: str
    shown: dict[str, Any]

    @property
    def steps_per_epoch(self) -> int | None:
        """How many batches an epoch has; None when the chunks' counts are unknown."""
        streams = self.run.streams
        return None if streams.counts is None else streams.steps_per_epoch

    def ends_epoch(self, position: Position) -> bool:
        """Tell whether all batches of the position's epoch have been received."""
        return self.run.streams.ends_epoch(position)

    def is_last_of_run(self, epoch: int) -> bool:
        """Tell whether a run ends with this epoch."""
        return self.num_epochs is not None and (epoch + 1) % self.num_epochs == 0

    def begins_run(self, position: Position) -> bool:
        """Tell whether a run begins where `position` stands."""
        return position.step == 0 and self.num_epochs is not None and position.epoch % self.num_epochs == 0

    def rank_in_words(self) -> str:
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
        return f"{rank}, {self.steps_per_epoch:,} steps an epoch, {ending[self.order.last_batch]}"

    def steps_per_run(self) -> int:
        """Return how many batches a run has.

        Raises:
          TypeError: the chunks' counts are unknown, or it never ends.
        """
        steps = self.steps_per_epoch
        if self.num_epochs is None:
            raise TypeError("a DataLoader with num_epochs=None is endless; steps_per_epoch says how long an epoch is")
        if steps is None:
            root = self.run.chunks.root
            raise TypeError(f"how many samples the chunks hold is unknown: count them once with: pyloader index {root}")
        return steps * self.num_epochs

    def num_reads(self, position: Position) -> int:
        """Return how many chunks are read before the first batch after `position`."""
        return self.run.streams.num_reads(position)

    def locate(self, step: int) -> list[tuple[str, int]]:
        """Return where each row of a batch over all ranks comes from, as DataLoader.locate does."""
        streams = self.all_streams("locating a step's samples needs to know how many each holds")
        epoch, step = divmod(step, streams.steps_per_epoch)
        names = self.run.chunks.names
        return [(names[chunk], row) for chunk, row in rows_of_step(streams, epoch, step).tolist()]

    def explaining_stats(self) -> dict[str, Any]:
        """Return the options that explain what a loader has counted, as `ChunkStats` has them."""
        run = self.run
        return {
            "rank": self.world.rank,
            "num_ranks": self.world.size,
            "num_streams": self.order.num_streams,
            "num_readers": run.num_readers,
            "num_workers": run.num_workers,
            "worker_kind": run.worker_kind,
            "max_queue_size": run.max_queue_size,
            "max_bytes": run.max_bytes,
            "shuffle_window": run.streams.dealing.window,
            "has_counts": run.chunks.counts is not None,
            "last_batch": run.rule.last_batch,
        }

    def all_streams(self, purpose: str) -> Streams:
        """Return the plan of an epoch, when all that it has is known.

        Raises:
          DataDirError: the chunks' counts are unknown, and `purpose` needs them; or they make no batch.
        """
        counts_of(self.run.chunks, purpose)
        check_streams(self.run, self.world, self.order.num_streams)
        return self.run.streams

    def with_streams(self, num_streams: int) -> LoaderOptions:
        """Return these options with an epoch cut into so many streams.

        Raises:
          DataDirError, ValueError: that cannot be.
        """
        run = replace(self.run, streams=streams_served(self.run, self.world, num_streams))
        check_queue(run)
        check_bytes(run)
        world = World(self.world.rank, self.world.size, None if num_streams == self.world.size else num_streams)
        order = replace(self.order, num_streams=num_streams)
        return replace(self, run=run, order=order, shown={**self.shown, "world": world})

    def resuming(self, state: Any) -> tuple[LoaderOptions, Position]:
        """Return these options with as many streams as `state` has, and where it stands.

        Raises:
          StateError: the state cannot be honoured here; the message says what to write.
        """
        num_streams = state.get("num_streams") if isinstance(state, Mapping) else None
        if type(num_streams) is not int or num_streams < 1:
            return self, position_from_state(state, self.order)
        check_state_fits_ranks(state, self.order, self.world)
        position = position_from_state(state, replace(self.order, num_streams=num_streams))
        try:
            options = self.with_streams(num_streams)
        except (DataDirError, ValueError) as exc:
            raise StateError(f"the state was saved with {num_streams} streams. {exc}") from exc
        options.check_position(position)
        return options, position

    def check_left_out(self, chunks: list[int]) -> None:
        """Raise unless a state may leave out these chunks here.

        Raises:
          StateError: it may not; the message says why.
        """
        check_left_out(
            chunks,
            num_chunks=len(self.run.chunks),
            num_streams=self.order.num_streams,
            max_skipped=self.run.max_skipped,
        )

    def check_position(self, position: Position) -> None:
        """Raise unless a run may stand at `position`.

        Raises:
          StateError: none can; the message says why.
        """
        if self.run.chunks.counts is None:
            check_without_counts(position, self.run.streams.dealing, self.order.batch_size)
        else:
            check_with_counts(position, self.all_streams("a position needs it"))

    def in_words(self, loader: type) -> str:
        """Return the options as one would write them for `loader`, less those that are its defaults."""
        defaults = {name: option.default for name, option in inspect.signature(loader).parameters.items()}
        usual = {**defaults, "world": World(0, 1)}
        return ", ".join(f"{name}={value!r}" for name, value in self.shown.items() if value != usual[name])


def resolve(given: dict[str, Any], old_names: dict[str, Any]) -> LoaderOptions:
    """Check the options of a DataLoader, and fill in what they leave open.

    Raises:
      TypeError, ValueError, DataDirError, ManifestError: as DataLoader says.
    """
    given = with_new_names("DataLoader", given, old_names)
    for name in ("datareader", "dataset", "datacollator"):
        check_part(name, given[name])
    if given["data_dir"] is None:
        raise TypeError("DataLoader needs data_dir=: a directory of chunks, a glob pattern, or a list of files")
    chunks = list_chunks(given["data_dir"])
    # Compared with None: a part of the user's may have a length, and be empty.
    reader: DataReader = reader_of(chunks) if given["datareader"] is None else given["datareader"]
    known = chunks.manifest.columns if chunks.manifest is not None and given["datareader"] is None else ()
    nulls = nulls_of(given["nulls"], known, gaps_make_lists=reader.gaps_make_lists)
    reader = reader_with_nulls(reader, nulls)
    seed = checked_integer("seed", reader.seed if given["seed"] is None else given["seed"], at_least=0)
    batch_size = checked_integer(
        "batch_size",
        reader.batch_size if given["batch_size"] is None else given["batch_size"],
        at_least=1,
        at_most=MOST,
    )
    shuffle = "all" if given["shuffle"] else "rows" if reader.shuffle else "none"
    window = _window(given["shuffle_window"], shuffle)
    queue_size = checked_integer("max_queue_size", given["max_queue_size"], at_least=1, at_most=MOST)
    max_bytes = parse_memory("max_bytes", given["max_bytes"])
    world, world_source = resolve_world(given["world"])
    if given["last_batch"] not in LAST_BATCH_RULES:
        raise ValueError(f'last_batch must be "keep", "drop", "pad" or "wrap", not {given["last_batch"]!r}')
    num_workers = checked_integer("num_workers", given["num_workers"], at_least=0, at_most=MOST)
    num_epochs = given["num_epochs"]
    if num_epochs is not None:
        checked_integer("num_epochs", num_epochs, at_least=1, at_most=MOST)
    num_rows = len(chunks) if chunks.counts is None else int(chunks.counts.sum())
    max_skipped, max_skipped_rows = checked_max_skipped(
        given["max_skipped"], [len(chunks), num_rows], of="chunks and rows"
    )
    collator = NumpyDataCollator() if given["datacollator"] is None else given["datacollator"]
    arrays, convert, by_views = two_steps(collator)
    slices = given["dataset"] is None and type(arrays) is NumpyDataCollator and not arrays.dtypes and by_views
    order = Order(
        seed=seed,
        shuffle=shuffle,
        shuffle_window=window,
        batch_size=batch_size * world.size,
        last_batch=given["last_batch"],
        num_streams=1,
        fingerprint=chunks.fingerprint,
    )
    audited = given["audit_dir"] is not None
    run = RunOptions(
        chunks=chunks,
        reader=reader,
        nulls=nulls,
        dataset=given["dataset"],
        collator=arrays,
        convert=convert,
        streams=Streams(
            counts=chunks.counts,
            num_streams=1,
            share=batch_size,
            served=range(1),
            dealing=Dealing(len(chunks), window),
            last_batch=given["last_batch"],
            chunk_seed=order.chunk_seed,
            row_seed=order.row_seed,
        ),
        rule=CutRule(batch_size=batch_size, last_batch=given["last_batch"], several=slices),
        max_queue_size=queue_size,
        max_bytes=max_bytes,
        row_bytes=chunks.row_bytes if given["datareader"] is None and nulls is None else None,
        num_readers=checked_integer("num_readers", given["num_readers"], at_least=1, at_most=MOST),
        num_workers=num_workers,
        worker_kind=checked_worker_kind(given["worker_kind"], num_workers),
        verification=verification_of(chunks, given["verify"]),
        retry_waits=waits_before_retries(
            checked_integer("read_retries", given["read_retries"], at_least=0, at_most=_MOST_RETRIES)
        ),
        max_skipped=max_skipped,
        max_skipped_rows=max_skipped_rows,
        traced=max_skipped_rows > 0 or audited,
        audited=audited,
        seed=seed,
        copy=bool(given["copy"]),
        stall_timeout_seconds=checked_seconds("stall_timeout_seconds", given["stall_timeout_seconds"]),
    )
    shown = _shown(
        {**given, "data_dir": f"{chunks.root} ({len(chunks):,} chunks)"},
        datareader=reader,
        dataset=given["dataset"],
        datacollator=given["datacollator"],
        seed=seed,
        batch_size=batch_size,
        shuffle_window=window,
        max_bytes=max_bytes,
    )
    options = LoaderOptions(
        run=run, order=order, num_epochs=num_epochs, world=world, world_source=world_source, shown=shown
    )
    options = options.with_streams(world.num_streams or world.size)
    if audited:
        options.all_streams("an audit needs to know what an epoch holds")
    return options


def _shown(given: dict[str, Any], **resolved: Any) -> dict[str, Any]:
    """Return the options as repr shows them, the parts by their class."""
    parts = ("datareader", "dataset", "datacollator")
    calls = {name: _Call(type(resolved[name]).__name__) for name in parts if resolved[name] is not None}
    return {**given, **resolved, **calls}


class _Call(str):
    """A class name, shown as the call that makes an instance."""

    def __repr__(self) -> str:
        return f"{self}()"


def _window(shuffle_window: int | None, shuffle: str) -> int:
    if shuffle_window is None:
        return SHUFFLE_WINDOW if shuffle == "all" else 1
    checked_integer("shuffle_window", shuffle_window, at_least=1, at_most=MOST)
    if shuffle != "all" and shuffle_window > 1:
        raise ValueError(f"shuffle_window={shuffle_window} needs shuffle=True, which mixes chunks and their rows")
    return shuffle_window
