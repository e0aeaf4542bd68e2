"""Source steps: what the receipts of all ranks say of a mixture's steps, side by side."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from pyloader.audit.digests import WIDTH
from pyloader.audit.history import Part, Span
from pyloader.audit.records import digests_in

__all__ = ["SourceSteps", "Told", "source_steps", "without_stale"]

_BLOCK_BYTES = 2**23  # of the records that are held of each rank


@dataclass(frozen=True, slots=True, eq=False)
class Told:
    """What one rank says of some steps, source by source."""

    span: Span  # where it says so
    rows: np.ndarray  # int64 of shape [steps, sources]: what every stream had got before each step
    counts: np.ndarray  # int64 of the same shape: what it got with it
    digests: np.ndarray  # uint64 of shape [steps, sources, 4]

    @property
    def who(self) -> str:
        """Which rank it is, in words."""
        return f"rank {self.span.receipt.header.rank} of {self.span.receipt.header.size}"


@dataclass(frozen=True, slots=True, eq=False)
class SourceSteps:
    """Consecutive steps of a mixture that is gone through once, each going on where the one before it ended."""

    first: int  # the first step, counted from the run's beginning
    run: int  # which time the mixture is gone through, from 0
    begins_run: bool  # whether the first step is the first of that
    told: tuple[Told, ...]  # what each rank says that tells of them, at least one

    @property
    def rows(self) -> np.ndarray:
        """How many rows every stream had got of each source before each step, int64 of shape [steps, sources]."""
        return self.told[0].rows

    @property
    def counts(self) -> np.ndarray:
        """How many rows every stream got with each step, int64 of the same shape."""
        return self.told[0].counts


def source_steps(part: Part, names: Sequence[str]) -> Iterator[SourceSteps]:
    """Yield what is told of a part's steps, some steps at a time.

    Args:
      part: Which steps; nothing comes of one that nobody tells of.
      names: The sources, in the order that is wanted: a receipt may name fewer.
    """
    size = max(1, _BLOCK_BYTES // (40 * len(names)))
    for start in range(part.first, part.stop, size) if part.spans else ():
        stop = min(start + size, part.stop)
        records = [
            span.receipt.records(*(span.record + at - span.first for at in (start, stop))) for span in part.spans
        ]
        told = [_told(span, found, names) for span, found in zip(part.spans, records, strict=True)]
        epochs, steps, rows, counts = records[0]["epoch"], records[0]["step"], told[0].rows, told[0].counts
        follows = (np.diff(epochs) == 0) & (rows[1:] == rows[:-1] + counts[:-1]).all(axis=1)
        borders = [0, *(np.flatnonzero(~follows) + 1).tolist(), len(epochs)]
        for first, end in itertools.pairwise(borders):
            mine = tuple(
                Told(each.span, each.rows[first:end], each.counts[first:end], each.digests[first:end]) for each in told
            )
            yield SourceSteps(start + first, int(epochs[first]), int(steps[first]) == 0, mine)


def without_stale(part: Part, names: Sequence[str], num_streams: int) -> Part:
    """Return a part without the receipts of an earlier run whose steps took other rows than the latest run's.

    Where no receipt of a rank of the latest run is there, what its streams delivered in an earlier run seems to count;
    but that run may have had other weights.
    """
    if not part.spans:
        return part
    latest = max(part.spans, key=lambda span: span.begun)
    stale = [
        span
        for span in part.spans
        if span.ended < latest.begun and not all(_are_alike(steps) for steps in _of_two(part, latest, span, names))
    ]
    spans = tuple(span for span in part.spans if span not in stale)
    present = {stream for span in spans for stream in span.streams()}
    return replace(part, spans=spans, absent=tuple(each for each in range(num_streams) if each not in present))


def _of_two(part: Part, one: Span, other: Span, names: Sequence[str]) -> Iterator[SourceSteps]:
    return source_steps(replace(part, spans=(one, other)), names)


def _are_alike(steps: SourceSteps) -> bool:
    one, other = steps.told
    return bool((one.rows == other.rows).all() and (one.counts == other.counts).all())


def _told(span: Span, records: np.ndarray, names: Sequence[str]) -> Told:
    places = [names.index(source.name) for source in span.receipt.sources]
    shape = (len(records), len(names))
    rows, counts = np.zeros(shape, np.int64), np.zeros(shape, np.int64)
    digests = np.zeros((*shape, WIDTH), np.uint64)
    rows[:, places], counts[:, places] = records["sources"]["row"], records["sources"]["count"]
    digests[:, places] = digests_in(records["sources"])
    return Told(span, rows, counts, digests)
