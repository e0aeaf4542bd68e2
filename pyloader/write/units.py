"""The units of a dump: what is read by one task.  They follow from names and sizes, never from who does the work."""

from __future__ import annotations

import time
from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pyloader.write.blocks import WHOLE, Source, Span

__all__ = ["Unit", "bytes_of_unit", "plan_units", "slowest"]

MAX_UNIT_BYTES = 2**30
MIN_UNIT_BYTES = 2**18  # what a file is, is seen in its first unit; and a task costs about a millisecond
_UNITS = 64
_SLOW_SECONDS = 10
_STREAM = Span(-1)  # what is cut into pieces while it is read


@dataclass(frozen=True, slots=True)
class Unit:
    """A part of a dump: a run of small files, or a span of a large one.

    Attributes:
      index: Its place among the planned units.
      piece: Its place among the pieces of a stream, which are made when the stream is read.
      spans: What is read, in order.
      first_line: The number of its first line in its file, from 1; 0 when nobody has counted the lines before it.
      digest: Of a piece's bytes, in hexadecimal; "" for other units.
    """

    index: int
    spans: tuple[tuple[Source, Span], ...]
    piece: int = 0
    first_line: int = 1
    digest: str = ""

    @property
    def name(self) -> str:
        """The name of its task; the names of units sort as the units do."""
        return f"unit-{self.index:06d}-{self.piece:06d}"

    @property
    def num_bytes(self) -> int:
        """On disk, about."""
        return sum(_share(source, span, source.num_bytes) for source, span in self.spans)

    @property
    def stream(self) -> Source | None:
        """The source to be cut into pieces before it is read; None when it is read as it is."""
        source, span = self.spans[0]
        return source if span == _STREAM else None


def bytes_of_unit(raw_bytes: int, chunk_bytes: int) -> int:
    """Return how large units are: a 64th of the dump, at least one chunk, at most 1 GiB or one chunk.

    So a small dump has units enough for all workers, and a large one not too many.
    """
    return max(chunk_bytes, min(-(-raw_bytes // _UNITS), MAX_UNIT_BYTES), MIN_UNIT_BYTES)


def plan_units(sources: Sequence[Source], unit_bytes: int) -> list[Unit]:
    """Return the units of a dump, in the order of its rows.

    Args:
      sources: The dump.
      unit_bytes: About how large a unit is, unpacked.
    """
    units: list[tuple[tuple[Source, Span], ...]] = []
    run: list[tuple[Source, Span]] = []
    for source in sources:
        parts = list(_parts(source, unit_bytes))
        if parts != [WHOLE]:
            units += [tuple(run)] if run else []
            units += [((source, part),) for part in parts]
            run = []
            continue
        run.append((source, WHOLE))
        if sum(source.raw_bytes for source, _ in run) >= unit_bytes:
            units.append(tuple(run))
            run = []
    units += [tuple(run)] if run else []
    return [Unit(index, spans, first_line=0 if spans[0][1].start else 1) for index, spans in enumerate(units)]


def slowest(begun_at: Mapping[str, tuple[Unit, float]]) -> str:
    """Return which of the units at work takes longest, where that is worth to be seen."""
    unit, since = next(iter(begun_at.values()), (None, 0.0))
    seconds = time.monotonic() - since
    return f", slowest {Path(unit.spans[0][0].name).name} {seconds:.0f} s" if unit and seconds >= _SLOW_SECONDS else ""


def _parts(source: Source, unit_bytes: int) -> Iterator[Span]:
    if source.is_stream and (source.raw_bytes > unit_bytes or not source.num_bytes):
        yield _STREAM
        return
    number = max(1, -(-source.raw_bytes // unit_bytes)) if source.length else 1
    borders = [source.length * index // number for index in range(1, number)]
    if source.cuts is not None:
        borders = [_nearest(source.cuts, border) for border in borders if source.cuts]
    borders = sorted({border for border in borders if 0 < border < source.length})
    if not borders:
        yield WHOLE
        return
    for start, stop in zip([0, *borders], [*borders, source.length], strict=True):
        yield Span(start, None if stop == source.length else stop)


def _nearest(cuts: Sequence[int], border: int) -> int:
    found = bisect_left(cuts, border)
    return min(cuts[max(0, found - 1) : found + 1], key=lambda cut: abs(cut - border))


def _share(source: Source, span: Span, num_bytes: int) -> int:
    if not source.length:
        return num_bytes
    stop = source.length if span.stop is None else span.stop
    return num_bytes * (stop - span.start) // source.length
