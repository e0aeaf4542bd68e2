"""Mixing: the options of a DataLoader of several sources, resolved."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any, Self

import msgspec
import numpy as np

from pyloader.audit import ReceiptSource, ReceiptWriter, StepOfSources
from pyloader.errors import DataDirError
from pyloader.files import MixedChunks
from pyloader.mixture import Mixture
from pyloader.observe import SourceStats
from pyloader.plan import (
    START,
    MixedStreams,
    PackedRows,
    Position,
    Schedule,
    Shares,
    Source,
    mixture_position,
    mixture_state_of,
    rounded_shares,
    windows_in_state,
)
from pyloader.run.arguments import AsWritten
from pyloader.run.loader_options import LoaderOptions
from pyloader.run.mixed_windows import mixed_queue_size, mixed_windows
from pyloader.run.packed import packed_rows, pieces_of
from pyloader.run.ranks import check_even_batch
from pyloader.run.resident import check_bytes
from pyloader.run.thread_counts import ThreadCounts, ThreadTrials

__all__ = ["MixtureOptions", "shares_of"]


def shares_of(mixture: Mixture, names: Sequence[str], rows: Sequence[int], row_tokens: Sequence[Fraction]) -> Shares:
    """Return the shares of rows that a mixture's weights give.

    Args:
      mixture: The weights.
      names: The sources, in the order of the shares.
      rows: How many rows each has.
      row_tokens: How many tokens a row of each has on the average; 1 where weights share out rows.

    Raises:
      ValueError: a weight is so small that nothing of its source would ever come.
    """
    knots = mixture.knots()
    if knots is None:
        return rounded_shares([(0, [Fraction(number) for number in rows])])
    order = [list(mixture.data_dir).index(name) for name in names]
    of_rows = [
        (step, [weights[at] / tokens for at, tokens in zip(order, row_tokens, strict=True)]) for step, weights in knots
    ]
    shares = rounded_shares(of_rows)
    for (step, weights), rounded in zip(of_rows, shares.weights, strict=True):
        for name, weight, share in zip(names, weights, rounded, strict=True):
            if weight and not share:
                what = f"the weight of {name!r} at step {step} is less than a millionth of all, and would never come. "
                raise ValueError(f"{what}Make it larger, or 0")
    return shares


@dataclass(frozen=True, kw_only=True)
class MixtureOptions(LoaderOptions):
    """What a DataLoader of several sources was told, resolved."""

    mixture: Mixture  # the sources and weights, as they were given
    shares: Shares  # the shares of rows, of the sources sorted by name
    fingerprints: tuple[str, ...]  # of each source's chunks, and how they are packed
    tokens: tuple[int, ...]  # how many each source's packed rows have, of the sources sorted by name; 0 without packing

    @property
    def chunks(self) -> MixedChunks:
        """The chunks of all sources."""
        assert isinstance(self.run.chunks, MixedChunks)
        return self.run.chunks

    @property
    def streams(self) -> MixedStreams:
        """The plan."""
        assert isinstance(self.run.streams, MixedStreams)
        return self.run.streams

    @property
    def steps_per_epoch(self) -> int | None:
        """How many batches it takes to go through the mixture once; None where there is no end."""
        return self.streams.steps_per_epoch

    def has_all_steps(self, position: Position) -> bool:
        """Tell whether `position` has all batches of its epoch behind it; another epoch may be as long or longer."""
        return self.streams.ends_epoch(position)

    def from_start(self) -> Self:
        """Return these options with no state's position: the shares are those of these weights from the first step."""
        return replace(self, run=replace(self.run, streams=replace(self.streams, known=START)))

    def state_at(self, position: Position, left_out: list[int]) -> dict[str, Any]:
        """Return the state after the batches that `position` has behind it."""
        return mixture_state_of(position, self.order, self.streams, self.fingerprints, self._data_versions)

    @property
    def _data_versions(self) -> dict[str, int]:
        """The versions of the chunks of those sources that were added to."""
        sources = zip(self.chunks.labels, self.chunks.of_sources, strict=True)
        return {name: own.data_version for name, own in sources if own.data_version is not None}

    def tell_receipts(self, receipts: ReceiptWriter) -> None:
        """Say which sources the receipts that are begun from now on tell of."""
        receipts.sources = tuple(
            ReceiptSource(
                name=source.name,
                window=source.window,
                fingerprint=fingerprint,
                data_version=msgspec.UNSET if chunks.data_version is None else chunks.data_version,
            )
            for source, fingerprint, chunks in zip(
                self.streams.sources, self.fingerprints, self.chunks.of_sources, strict=True
            )
        )

    def write_receipt(self, receipts: ReceiptWriter, before: Position, after: Position, digest: np.ndarray) -> None:
        """Write that the batch between two positions was received, source by source.

        Raises:
          ReceiptError: it could not be written.
        """
        streams = self.streams
        begun = before if after.step > 1 else Position()
        place = StepOfSources(after.steps_done, streams.mark(begun).rows, streams.mark(after).rows)
        receipts.write(self.order, after.epoch, after.step - 1, digest, place)

    def position_after(self, position: Position, num_steps: int) -> Position:
        """Return the position so many steps later."""
        return self.streams.onward(position, num_steps)

    def describe_rank(self) -> str:
        """Return which rank this is, who said so, and how many steps there are."""
        steps = self.steps_per_epoch
        return f"rank {self.world.rank} of {self.world.size} ({self.world_source}), " + (
            "without an end" if steps is None else f"{steps:,} steps"
        )

    def steps_per_run(self) -> int:
        """Return how many batches a run has.

        Raises:
          TypeError: it never ends.
        """
        if (steps := self.steps_per_epoch) is None:
            raise TypeError('a mixture with on_exhausted="repeat" is endless: num_steps= sets an end')
        return steps

    def all_streams(self, purpose: str) -> MixedStreams:  # type: ignore[override]
        """Return the plan; the counts of a mixture's chunks are always known."""
        return self.streams

    def explaining_stats(self, trials: ThreadTrials) -> dict[str, Any]:
        """Return the options that explain what a loader has counted, as `ChunkStats` has them."""
        return {**super().explaining_stats(trials), "shuffle_window": self.streams.width}

    def source_stats(self, position: Position, counted: Any) -> dict[str, SourceStats]:
        """Return what came of each source, in the order in which they were given."""
        streams, found = self.streams, dict[str, SourceStats]()
        # Where an epoch begins, the end of the one before it.
        done = position if position.mark is not None else streams.position(position.steps_done)
        mark = streams.mark(done)
        is_over = streams.ends_epoch(done)
        counts = np.broadcast_to(counted, (len(streams.sources), 2))
        of_epochs = streams.rows_per_epoch if done.epoch else mark.rows
        for source, rows, of_epoch, of_source in zip(streams.sources, mark.rows, of_epochs, self.tokens, strict=True):
            over_all = rows * streams.num_streams
            samples_done = (rows + done.epoch * of_epoch) * streams.num_streams
            samples, tokens = counts[source.number].tolist()
            found[source.name] = SourceStats(
                num_samples=samples,
                num_tokens=tokens,
                samples_done=samples_done,
                tokens_done=samples_done * of_source // source.num_rows,
                epochs=over_all / source.num_rows,
                left_out=source.num_rows - over_all if is_over and self.mixture.on_exhausted != "repeat" else 0,
            )
        return {name: found[name] for name in self.mixture.data_dir}

    def locate(self, step: int) -> list[Any]:
        """Return where each row of a batch over all ranks comes from: (source, chunk, row in it)."""
        streams, run, found = self.streams, self.run, list[tuple[Any, ...]]()
        position = streams.position(step)
        if streams.ends_epoch(position):
            position = position.next_epoch()
        of_sources, rows = streams.of_sources(position.epoch), streams.rows_of_step(position)
        rows_of = dict[int, PackedRows]()
        for (place, epoch), alike in itertools.groupby(rows.tolist(), key=lambda row: tuple(row[:2])):
            chunks, own = self.chunks.of_sources[place], [row[2:] for row in alike]
            entries: list[tuple[Any, ...]] = [(chunks.names[chunk], row) for chunk, row in own]
            if run.packing is not None:
                if place not in rows_of:  # each stream has rows of it, whose chunks are packed once
                    seed = of_sources[place].drawn.row_seed
                    rows_of[place] = packed_rows(chunks, run.readers[place][0], run.packing, seed)
                entries = list(pieces_of(chunks, rows_of[place], np.array(own), epoch=epoch))
            found += [(streams.names[place], *entry) for entry in entries]
        return found

    def with_streams(self, num_streams: int, windows: Mapping[str, int] | None = None) -> Self:
        """Return these options with every source cut into so many streams.

        Args:
          num_streams: How many.
          windows: Those of a state, by source; None where there is none.

        Raises:
          DataDirError, ValueError: that cannot be.
        """
        order, per_rank = replace(self.order, num_streams=num_streams), num_streams // self.world.size
        on_exhausted = self.mixture.on_exhausted or ""
        check_even_batch(self.run.rule.batch_size, per_rank)
        if order.last_batch == "keep" and num_streams > 1 and on_exhausted == "drop":
            raise ValueError(
                'last_batch="keep" would make a short batch where the last source ends, which ranks and streams cannot '
                'share evenly. Write last_batch="drop", "pad" or "wrap"'
            )
        chunks = self.chunks
        served = range(self.world.rank * per_rank, (self.world.rank + 1) * per_rank)
        of_sources = mixed_windows(
            chunks,
            self.given.shuffle_window,
            windows or {},
            weights=self.shares.weights[0],
            mixes=order.shuffle == "all",
        )
        sources = self._sources(of_sources)
        if on_exhausted != "repeat":
            for source, own in zip(sources, chunks.of_sources, strict=True):
                if source.num_rows < num_streams:
                    what = f"is the source {source.name!r}, whose {source.num_rows:,} rows are too few for "
                    what += f"{num_streams:,} streams."
                    raise DataDirError(own.place, what, 'Give on_exhausted="repeat", or leave it out')
        schedule = Schedule(
            shares=self.shares,
            share=order.batch_size // num_streams,
            rows=tuple(source.num_rows // num_streams for source in sources),
            on_exhausted=on_exhausted,
            last_batch=order.last_batch,
            num_steps=self.mixture.num_steps,
        )
        streams = MixedStreams(
            sources=sources,
            schedule=schedule,
            num_streams=num_streams,
            served=served,
            seed=order.seed,
            shuffle=order.shuffle,
        )
        if streams.ends_epoch(Position()):
            what = (
                f"have {int(chunks.counts.sum()):,} rows, which make no batch of {order.batch_size:,} over all ranks "
            )
            what += f"with on_exhausted={on_exhausted!r}."
            raise DataDirError(chunks.place, what, "Give a smaller batch_size")
        queue_size = mixed_queue_size(chunks, self.given.max_queue_size, of_sources, per_rank)
        run = replace(self.run, streams=streams, max_queue_size=queue_size)
        check_bytes(run)
        return replace(self, run=run, order=order)

    def resuming(self, state: Any) -> tuple[LoaderOptions, Position, list[int]]:
        """Return these options with as many streams as `state` has, where it stands.

        Raises:
          StateError: the state cannot be honoured here; the message says what to write.
        """
        options, position = self._in_streams_of(state)
        position = mixture_position(state, position, options.streams, self.fingerprints)
        streams = replace(options.streams, known=position)
        return replace(options, run=replace(options.run, streams=streams)), position, []

    def _with_streams_of(self, state: Any, num_streams: int) -> Self:
        return self.with_streams(num_streams, windows_in_state(state))

    def describe(self, loader: type, threads: ThreadCounts) -> str:
        """Return the options as one would write them for `loader`, less those that are its defaults."""
        mixture, given, chunks = self.mixture, self.given, self.chunks
        places = {
            name: f"{own.place} ({len(own):,} chunks)"
            for name, own in zip(chunks.labels, chunks.of_sources, strict=True)
        }
        readers = {
            name: AsWritten(f"{type(reader).__name__}()")
            for name, (reader, _) in zip(chunks.labels, self.run.readers, strict=True)
        }
        return self._described(
            loader,
            threads,
            data_dir={name: places[name] for name in mixture.data_dir},
            datareader=None if given.datareader is None else readers,
            shuffle_window={source.name: source.window for source in self.streams.sources},
            max_queue_size=self.run.max_queue_size,
            data_version=self._data_versions or None,
            mixture=None,
            weights=mixture.weights,
            weight_by=mixture.weight_by,
            on_exhausted=mixture.on_exhausted,
            num_steps=mixture.num_steps,
            with_source=mixture.with_source,
        )

    def _sources(self, windows: Sequence[int]) -> tuple[Source, ...]:
        chunks, numbers = self.chunks, list(self.mixture.data_dir)
        return tuple(
            Source(
                name=name,
                counts=chunks.counts[first:stop],
                first_chunk=first,
                window=window,
                number=numbers.index(name),
            )
            for name, window, (first, stop) in zip(
                chunks.labels, windows, itertools.pairwise(chunks.starts), strict=True
            )
        )
