"""History: which receipts count, when runs were killed, resumed, and resumed on other numbers of ranks.

Only deliveries that led to the state of the latest run count.  That run began at some step j, from a state that the
run before it had saved there; what the run before delivered from step j on does not count, and neither does a run that
was never resumed.  Each stream has such a line of runs.  It is built backwards: the predecessor of a run that began at
step j is the latest earlier run that reached step j.
"""

from __future__ import annotations

import itertools
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from pyloader.audit.receipts import Receipt
from pyloader.audit.records import are_whole, steps_of_sources
from pyloader.errors import ReceiptError

__all__ = ["Deliveries", "Part", "Span", "Twice", "history_of", "history_of_receipts", "spans_of"]

_CLOCK_SECONDS = 0.02  # what is rounded off the times in receipts


@dataclass(frozen=True, slots=True, eq=False)
class Span:
    """Consecutive steps that one rank received."""

    receipt: Receipt  # where it says so
    record: int  # its first record there
    first: int  # the first step, counted over all epochs
    stop: int  # the step after the last
    begun: float  # when the first was received, or before: seconds since 1970
    ended: float  # when the last was, or a little before

    def streams(self) -> range:
        """Return the streams that the rank served."""
        header = self.receipt.header
        share = header.order.num_streams // header.size
        return range(header.rank * share, (header.rank + 1) * share)

    def digests(self, first: int, stop: int) -> np.ndarray:
        """Return the digests of steps [first, stop), uint64 of shape [stop - first, 4]."""
        start = self.record + first - self.first
        return self.receipt.digests(start, start + stop - first)


@dataclass(frozen=True, slots=True)
class Twice:
    """Steps [first, stop) of a stream that two processes delivered at the same time."""

    first: int
    stop: int
    one: Receipt
    other: Receipt


@dataclass(frozen=True, slots=True)
class Part:
    """Steps [first, stop), in which every stream is told of by the same receipt, or by none."""

    first: int  # the first step
    stop: int  # the step after the last
    spans: tuple[Span, ...]  # those that tell of all streams of their rank
    absent: tuple[int, ...]  # the streams that nothing tells of


@dataclass(frozen=True)
class Deliveries:
    """What counts."""

    # for each stream the steps that are told of, in order: (first, stop, span)
    streams: tuple[list[tuple[int, int, Span]], ...]
    twice: tuple[Twice, ...]  # what came from two processes at once
    num_replaced: int  # how many steps were delivered and taken back

    @property
    def first(self) -> int:
        """The first step that any receipt tells of."""
        return min(held[0][0] for held in self.streams if held)

    @property
    def stop(self) -> int:
        """The step after the last that any receipt tells of."""
        return max(held[-1][1] for held in self.streams if held)

    def parts(self, first: int, stop: int) -> Iterator[Part]:
        """Yield steps [first, stop) in parts."""
        streams = [[item for item in held if item[0] < stop and item[1] > first] for held in self.streams]
        ends = {first, stop}
        for held in streams:
            ends.update(end for begin, behind, _ in held for end in (begin, behind) if first < end < stop)
        for start, behind in itertools.pairwise(sorted(ends)):
            told: dict[Span, set[int]] = {}
            for stream, held in enumerate(streams):
                for span in (span for begin, end, span in held if begin <= start < end):
                    told.setdefault(span, set()).add(stream)
            # A record covers all streams of its rank together: when a later run covers some of them, it cannot count.
            spans = tuple(span for span, mine in told.items() if mine == set(span.streams()))
            present = {stream for span in spans for stream in span.streams()}
            absent = tuple(stream for stream in range(len(self.streams)) if stream not in present)
            yield Part(start, behind, spans, absent)


def spans_of(receipt: Receipt, steps_per_epoch: int | None) -> tuple[list[Span], int]:
    """Return the spans of a receipt, and how many of its records are damaged, less those at its end.

    Records that were not written to their end, when the machine failed, stand at the end.

    Args:
      receipt: Which.
      steps_per_epoch: How many steps an epoch has; None of a mixture, whose records say how many are done.
    """
    order = receipt.header.order
    spans: list[Span] = []
    num_damaged = num_since = at = 0
    for records in receipt.blocks():
        if steps_per_epoch is None:
            steps, can_be = steps_of_sources(records, order.batch_size // order.num_streams, order.num_streams)
        else:
            steps = records["epoch"].astype(np.int64) * steps_per_epoch + records["step"]
            can_be = records["step"] < steps_per_epoch
        whole = are_whole(records) & can_be
        seconds = receipt.header.begun_ns / 1e9 + records["centiseconds"] / 100
        follows = np.diff(steps, prepend=steps[:1] - 2) == 1
        follows[1:] &= whole[1:] & whole[:-1]
        starts = np.flatnonzero(~follows)
        for start, stop in zip(starts.tolist(), [*starts[1:].tolist(), len(records)], strict=True):
            if not whole[start]:
                num_since += 1
                continue
            num_damaged, num_since = num_damaged + num_since, 0
            first, ended = int(steps[start]), float(seconds[stop - 1])
            last = spans[-1] if spans else None
            if start == 0 and last and last.stop == first and last.record + last.stop - last.first == at:
                spans[-1] = replace(last, stop=first + stop - start, ended=ended)
            else:
                begun = receipt.header.begun_ns / 1e9 if at + start == 0 else float(seconds[start])
                spans.append(Span(receipt, at + start, first, first + stop - start, begun, ended))
        at += len(records)
    return spans, num_damaged


def history_of_receipts(
    audit_dir: str | os.PathLike[str],
    receipts: Sequence[Receipt],
    num_streams: int,
    steps_per_epoch: int | None,
) -> tuple[Deliveries, dict[str, int]]:
    """Return what counts of all receipts, and how many damaged records those have that have some, by path.

    Raises:
      ReceiptError: no record is whole.
    """
    spans: list[Span] = []
    damaged = {}
    for receipt in receipts:
        found, num_damaged = spans_of(receipt, steps_per_epoch)
        spans += found
        if num_damaged:
            damaged[str(receipt.path)] = num_damaged
    if not spans:
        raise ReceiptError(os.fspath(audit_dir), "holds receipts without a whole record.", "Fetch them again")
    return history_of(spans, num_streams), damaged


def history_of(spans: Iterable[Span], num_streams: int) -> Deliveries:
    """Return what counts of the spans of all ranks and runs."""
    streams: list[list[Span]] = [[] for _ in range(num_streams)]
    for span in sorted(spans, key=lambda span: (span.begun, span.record)):
        for stream in span.streams():
            streams[stream].append(span)
    lines = tuple(map(_line_of_runs, streams))
    num_replaced = (
        sum(span.stop - span.first for span in mine) - sum(stop - first for first, stop, _ in line)
        for mine, line in zip(streams, lines, strict=True)
    )
    twice = {(id(both.one), id(both.other)): both for mine in streams for both in _twice(mine)}
    return Deliveries(lines, tuple(twice.values()), max(num_replaced))


def _line_of_runs(spans: Sequence[Span]) -> list[tuple[int, int, Span]]:
    """Return what counts of one stream's spans, which are given in the order of time, in the order of steps."""
    line: list[tuple[int, int, Span]] = []
    limit, earlier = sys.maxsize, list(spans)
    while earlier:
        # The run that began last ends the line.  Its predecessor is the latest that reached its first step.
        index = max(range(len(earlier)), key=lambda index: (min(earlier[index].stop, limit) if line else 0, index))
        span = earlier[index]
        line.append((span.first, min(span.stop, limit), span))
        limit = span.first
        earlier = [other for other in earlier[:index] if other.first < limit]
    return line[::-1]


def _twice(spans: Sequence[Span]) -> Iterator[Twice]:
    """Yield the steps of one stream that several processes delivered while each of them was at work."""
    last: Span | None = None
    for span in spans:
        if last is not None and last.receipt is not span.receipt and last.ended > span.begun + _CLOCK_SECONDS:
            first, stop = max(last.first, span.first), min(last.stop, span.stop)
            if first < stop:
                yield Twice(first, stop, last.receipt, span.receipt)
        if last is None or span.ended > last.ended:
            last = span
