"""Comparing: an epoch's receipts, of the steps that count, with the plan."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from pyloader.audit.digests import WIDTH, culprits, dataset_digest
from pyloader.audit.history import Deliveries, Part, Span
from pyloader.audit.planned import epoch_digest, step_digests
from pyloader.audit.report import EpochAudit, Finding
from pyloader.audit.units import Units
from pyloader.plan import Streams, is_filling, rows_of_step

__all__ = ["Comparison"]

_NAMED = 8  # steps of an epoch whose samples are looked for by name


class Comparison:
    """Compares epoch after epoch.

    Args:
      streams: The plan.
      deliveries: What was delivered, and counts.
      units: What is counted.

    Attributes:
      findings: What was not as it must be, so far.
    """

    def __init__(self, streams: Streams, deliveries: Deliveries, units: Units) -> None:
        self._streams, self._deliveries, self._units = streams, deliveries, units
        self._dataset = dataset_digest(units.counts)
        self.findings: list[Finding] = []

    def epoch(self, epoch: int) -> EpochAudit:
        """Compare an epoch."""
        streams, begin = self._streams, epoch * self._streams.steps_per_epoch
        end, told_from = begin + streams.steps_per_epoch, max(begin, self._deliveries.first)
        parts = list(self._deliveries.parts(told_from, end))
        is_whole = told_from == begin and not any(part.absent for part in parts)
        findings = [*self._twice(epoch, begin, end), *self._missing(epoch, begin, parts)]
        total = np.zeros(WIDTH, np.uint64)
        for part, span in _told(parts):
            total += span.digests(part.first, part.stop).sum(axis=0)
        planned = epoch_digest(streams, epoch, self._dataset, self._units)
        if not is_whole or (total != planned).any():
            findings += self._differing(epoch, begin, parts)
        self.findings += sorted(findings, key=lambda finding: finding.first_step)
        told_to = next((part.first for part in parts if part.absent), end)
        return EpochAudit(
            epoch=epoch,
            state="bad" if findings else "complete" if is_whole else "running" if told_to < end else "partial",
            num_steps=streams.steps_per_epoch,
            first_step=told_from - begin,
            steps_done=told_to - told_from,
            num_samples=int(self._dataset[0]),
            delivered=int(total[0]),
            dropped=int(self._dataset[0] - planned[0]),
            repeated=int(total[1]),
            ranks=tuple(dict.fromkeys(span.receipt.header.size for _, span in _told(parts))),
            behind=next((self._ranks(part.absent, part) for part in parts if part.absent and part.spans), ""),
        )

    def _twice(self, epoch: int, begin: int, end: int) -> Iterator[Finding]:
        for both in self._deliveries.twice:
            first, stop = max(both.first, begin), min(both.stop, end)
            if first < stop:
                headers = both.one.header, both.other.header
                who = " and ".join(f"rank {header.rank} of {header.size} ({header.process})" for header in headers)
                what = "delivered at the same time by both. Are RANK and WORLD_SIZE set, or world given?"
                yield _finding("twice", epoch, first - begin, stop - begin, who, what)

    def _missing(self, epoch: int, begin: int, parts: Sequence[Part]) -> Iterator[Finding]:
        is_last = self._deliveries.stop <= parts[-1].stop
        ends = [parts[0].first if line else self._deliveries.stop for line in self._deliveries.streams]
        for part in parts:
            for stream in set(range(len(ends))).difference(part.absent):
                ends[stream] = part.stop
        gaps: list[tuple[int, int, str, str]] = []
        for part in parts:
            # What a stream has not delivered yet is not missing.
            missing = [stream for stream in part.absent if not (is_last and ends[stream] <= part.first)]
            if not missing:
                continue
            who, first = self._ranks(missing, part), part.first
            what = "no receipt" if part.spans else "no receipt: left out by skip(), or lost"
            if gaps and gaps[-1][1:] == (first, who, what):
                first = gaps.pop()[0]
            gaps.append((first, part.stop, who, what))
        for first, stop, who, what in gaps:
            yield _finding("missing", epoch, first - begin, stop - begin, who, what)

    def _differing(self, epoch: int, begin: int, parts: Sequence[Part]) -> Iterator[Finding]:
        num_named = 0
        for part, span in _told(parts):
            first, stop = part.first - begin, part.stop - begin
            planned = step_digests(self._streams, epoch, span.streams(), first, stop, self._units)
            excess = span.digests(part.first, part.stop) - planned
            steps = np.flatnonzero(excess.any(axis=1))
            header = span.receipt.header
            who = f"rank {header.rank} of {header.size}"
            for step in steps[: _NAMED - num_named].tolist():
                what = self._culprits(epoch, first + step, span, excess[step])
                yield _finding("differs", epoch, first + step, first + step + 1, who, what)
            others = steps[_NAMED - num_named :]
            for run in filter(len, np.split(others, np.flatnonzero(np.diff(others) != 1) + 1)):  # of steps in a row
                yield _finding("differs", epoch, first + run[0], first + run[-1] + 1, who, "other samples than planned")
            num_named = min(_NAMED, num_named + len(steps))

    def _culprits(self, epoch: int, step: int, span: Span, excess: np.ndarray) -> str:
        rows = rows_of_step(self._streams, epoch, step, self._units.lengths_of)
        filling = is_filling(self._streams, epoch, step)
        mine = np.isin(np.arange(len(rows)) // self._streams.share, span.streams())
        planned, others = (self._units.of_rows(epoch, rows[which])[0] for which in (mine & ~filling, ~filling))
        found = culprits(planned, others, excess)
        more, stand_ins = excess[:2].astype(np.int64).tolist()
        if found is not None:
            lacking, coming = found
            parts = [f"{self._units.name(planned[index])} did not come" for index in lacking]
            for row in others[coming]:
                times = "came twice" if (planned == row).all(axis=1).any() else "came, which was not planned here"
                parts.append(f"{self._units.name(row)} {times}")
        elif more == 0:
            parts = [f"other samples than the {len(planned):,} planned"]
        else:
            number = f"{abs(more):,} sample{'' if abs(more) == 1 else 's'}"
            parts = [f"{number} {'more' if more > 0 else 'fewer'} than the {len(planned):,} planned"]
        if stand_ins > 0:
            parts.append("another row stands in" if stand_ins == 1 else f"{stand_ins:,} rows stand in")
        return ", ".join(parts)

    def _ranks(self, streams: Iterable[int], part: Part) -> str:
        """Return the ranks that serve `streams`: "rank 1 of 4"; "every rank" when nobody else tells of the part."""
        if not part.spans:
            return "every rank"
        size = part.spans[0].receipt.header.size
        ranks = sorted({stream * size // self._streams.num_streams for stream in streams})
        return f"rank{'s' if len(ranks) > 1 else ''} {', '.join(map(str, ranks))} of {size}"


def _told(parts: Iterable[Part]) -> Iterator[tuple[Part, Span]]:
    for part in parts:
        yield from ((part, span) for span in part.spans)


def _finding(kind: str, epoch: int, first: int, stop: int, who: str, what: str) -> Finding:
    return Finding(kind=kind, epoch=epoch, first_step=first, last_step=stop - 1, who=who, what=what)
