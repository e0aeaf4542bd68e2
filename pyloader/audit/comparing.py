"""Comparing: an epoch's receipts, of the steps that count, with the plan."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from pyloader.audit.differences import excess_in_words
from pyloader.audit.digests import WIDTH, dataset_digest
from pyloader.audit.gaps import TWICE, behind, gaps, told, twice
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
        findings = [*self._gaps(epoch, begin, end, parts)]
        total = np.zeros(WIDTH, np.uint64)
        for part, span in told(parts):
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
            ranks=tuple(dict.fromkeys(span.receipt.header.size for _, span in told(parts))),
            behind=behind(self._deliveries, parts),
        )

    def _differing(self, epoch: int, begin: int, parts: Sequence[Part]) -> Iterator[Finding]:
        num_named = 0
        for part, span in told(parts):
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
        return excess_in_words(planned, others, excess, self._units)

    def _gaps(self, epoch: int, begin: int, end: int, parts: Sequence[Part]) -> Iterator[Finding]:
        for first, stop, who in twice(self._deliveries, begin, end):
            yield Finding(
                kind="twice", epoch=epoch, first_step=first - begin, last_step=stop - 1 - begin, who=who, what=TWICE
            )
        for gap in gaps(self._deliveries, parts):
            first, last = gap.first - begin, gap.stop - 1 - begin
            yield Finding(kind="missing", epoch=epoch, first_step=first, last_step=last, who=gap.who, what=gap.what)


def _finding(kind: str, epoch: int, first: int, stop: int, who: str, what: str) -> Finding:
    return Finding(kind=kind, epoch=epoch, first_step=first, last_step=stop - 1, who=who, what=what)
