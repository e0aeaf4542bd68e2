"""Planning: what a run will take, how fast it will be and how well it mixes, before it starts."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from pyloader.columns import Columns, columns_bytes, content_bytes, row_count
from pyloader.dataloader import DataLoader
from pyloader.datareader import read_chunk
from pyloader.deliver import Pauses
from pyloader.files import FetchTerms, as_listed
from pyloader.inspecting.classes import count_classes
from pyloader.inspecting.measuring import measure, num_rows
from pyloader.inspecting.media import encoded_columns
from pyloader.plan import ClassSpread, Streams, chunk_order, class_spread, planned_variety
from pyloader.run.packed import packed
from pyloader.run.predicting import Prediction, RowBytes, options_of, predict

__all__ = ["VARIED", "Forecast", "Look", "Rate", "forecast", "look_at", "measured_rate", "window_for"]

_MOST_CHUNKS = 16  # that are read to see what a row takes and how classes lie
_LEAST_CHUNKS = 2
VARIED = 0.5  # of a full shuffle; below that batches show how chunks are sorted


@dataclass(frozen=True, kw_only=True)
class Look:
    """What some chunks hold, drawn at random.

    Attributes:
      num_chunks: How many were read.
      row_bytes: What a row takes in memory as it is read; a packed row as it is mixed.
      is_arrays: Whether all columns are arrays.
      spreads: How the classes of columns lie in them, by column.
      encoded: The columns of images or sounds, as they are read.
    """

    num_chunks: int
    row_bytes: float
    is_arrays: bool
    spreads: dict[str, ClassSpread]
    encoded: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Rate:
    """How fast a run will be on this machine, as it was while that was measured.

    Attributes:
      most_samples_per_second: What the loader delivers to a loop that does nothing.
      samples_per_second: What it delivers to the loop.
      exposed_wait_fraction: Which part of its time the loop will wait for data.
      first_wait_seconds: How long its first batch will take, from when it is asked for.
      epoch_seconds: How long an epoch will take.
      row_bytes: What a row of a batch takes in memory, as the loop gets it.
      measured_seconds: How long that was measured.
    """

    most_samples_per_second: float
    samples_per_second: float
    exposed_wait_fraction: float
    first_wait_seconds: float
    epoch_seconds: float
    row_bytes: float
    measured_seconds: float


@dataclass(frozen=True, kw_only=True)
class Forecast:
    """All that is known of a run beforehand.

    Attributes:
      prediction: What follows from the plan.
      variety: How near the classes of a batch over all ranks come to those of a full shuffle, in (0, 1], by column.
      rate: What was measured; None where nothing was.
    """

    prediction: Prediction
    variety: dict[str, float]
    rate: Rate | None

    def as_dict(self) -> dict[str, Any]:
        """Return the numbers, ready for JSON; those that `metrics()` has too have the same names."""
        rate = {} if self.rate is None else asdict(self.rate)
        return {**self.prediction.as_dict(), **rate, "variety": self.variety}


def look_at(loader: DataLoader, *, seconds: float, columns: Collection[str] = ()) -> Look:
    """Read some of a loader's chunks: those that its first epoch begins with.

    Args:
      loader: Which chunks, and how they are read.
      seconds: Where that is over, no further chunk is read: but two are, where there are as many, and at most 16.
      columns: Whose classes are counted; without any, those of all columns that seem to have classes.

    Raises:
      ChunkReadError: a chunk cannot be read.
      ValueError: a column is not there, or has no classes.
    """
    options = options_of(loader).run
    chunks, begun = options.chunks, time.perf_counter()
    order = chunk_order(len(chunks), seed=options.seed, epoch=0)
    read: list[tuple[int, int]] = []  # bytes and rows of each
    encoded: tuple[str, ...] = ()
    is_arrays = True

    def parts() -> Iterator[Columns]:
        nonlocal encoded, is_arrays
        for index in order[:_MOST_CHUNKS].tolist():
            if len(read) >= _LEAST_CHUNKS and time.perf_counter() - begun > seconds:
                return
            with chunks.held(index, FetchTerms(wait=Pauses())) as path, as_listed(chunks, index, path):
                reader, _ = options.readers[options.source_of(index)]
                rows = read_chunk(reader, path, chunks.part(index))
            encoded = encoded or encoded_columns(rows)
            if options.packing is not None:
                rows = packed(
                    rows, options.packing, path=path, seed=None, epoch=0, chunk=index, loss_mask=options.loss_mask
                )
            is_arrays = is_arrays and all(isinstance(values, np.ndarray) for values in rows.values())
            read.append((columns_bytes(rows), row_count(rows)))
            yield rows

    tables = {}
    if options.packing is None:
        tables = count_classes(parts(), columns)
    else:  # a packed row is of several documents: no value of one of them is its own
        for _ in parts():
            pass
    num_bytes, count = map(sum, zip(*read, strict=True))
    return Look(
        num_chunks=len(read),
        row_bytes=num_bytes / max(1, count),
        is_arrays=is_arrays,
        spreads={name: class_spread(table) for name, table in tables.items()} if len(read) > 1 else {},
        encoded=encoded,
    )


def measured_rate(loader: DataLoader, *, seconds: float, step_seconds: float) -> Rate:
    """Take a loader's batches for so long, and return how fast a loop will be that works `step_seconds` a batch.

    The loader is closed.
    """
    latest: list[Any] = [None]

    def batches() -> Any:
        for batch in loader:
            latest[0] = batch
            yield batch

    with loader:
        found = measure(batches, seconds=seconds)
        options = options_of(loader)
    batch_size = options.run.rule.batch_size
    interval = batch_size / found.samples_per_second
    slowest = max(interval, step_seconds)
    return Rate(
        most_samples_per_second=found.samples_per_second,
        samples_per_second=batch_size / slowest,
        exposed_wait_fraction=(slowest - step_seconds) / slowest,
        first_wait_seconds=found.first_batch_seconds,
        epoch_seconds=(options.steps_per_epoch or 0) * slowest,
        row_bytes=content_bytes(latest[0]) / max(1, num_rows(latest[0])),
        measured_seconds=found.seconds,
    )


def forecast(
    loader: DataLoader, *, num_epochs: int = 1, look: Look | None = None, rate: Rate | None = None
) -> Forecast:
    """Return what is known of a run of a loader: from its plan, from some chunks, and from a measurement."""
    options, row_bytes = options_of(loader), None
    if look is not None:
        row_bytes = RowBytes(
            look.row_bytes, look.row_bytes if rate is None else rate.row_bytes, is_arrays=look.is_arrays
        )
    prediction = predict(options, num_epochs=num_epochs, row_bytes=row_bytes)
    # Else neighbours are not as if they were drawn; and of a mixture each source has a window of its own.
    is_mixed = options.order.shuffle == "all" and isinstance(options.run.streams, Streams)
    spreads = look.spreads if look is not None and is_mixed else {}
    return Forecast(
        prediction=prediction,
        variety={name: _variety(loader, spread) for name, spread in spreads.items()},
        rate=rate,
    )


def window_for(loader: DataLoader, spread: ClassSpread) -> int | None:
    """Return the narrowest window, doubled and doubled again, in which batches are varied; None where none is."""
    options = options_of(loader)
    window, num_chunks = options.order.shuffle_window, len(options.run.chunks)
    while window < num_chunks:
        window = min(2 * window, num_chunks)
        if _variety(loader, spread, window) >= VARIED:
            return window
    return None


def _variety(loader: DataLoader, spread: ClassSpread, window: int | None = None) -> float:
    """Return the variety of a batch over all ranks; in another window, where one is given."""
    options = options_of(loader)
    streams = options.one_source
    if window is not None:
        order = replace(options.order, shuffle_window=window)
        streams = Streams.of(order, streams.counts, len(options.run.chunks), streams.served)
    return planned_variety(spread, streams)
