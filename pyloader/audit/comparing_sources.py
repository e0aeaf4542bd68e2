"""Comparing sources: the receipts of a mixture with what each epoch of each of its sources must have.

How many rows of a source a step takes is what the receipts of all ranks say; which rows those are follows from the
counts.  Within an epoch of a source the digests are added up, so that its rows need not be planned one by one; only of
the steps that have rows of two epochs it is told from the plan which are whose.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from pyloader.audit.differences import excess_in_words
from pyloader.audit.digests import WIDTH
from pyloader.audit.gaps import TWICE, behind, gaps, twice
from pyloader.audit.history import Deliveries
from pyloader.audit.report import Finding, SourceAudit
from pyloader.audit.source_plans import SourcePlan
from pyloader.audit.source_steps import SourceSteps, Told, source_steps, without_stale

__all__ = ["SourceComparison"]

_NAMED = 8  # steps whose samples are looked for by name
_MOST_BEHIND = 16  # steps: ranks that train together are a step or two apart


@dataclass(slots=True)
class _Total:
    """What came of an epoch of a source."""

    digest: np.ndarray = field(default_factory=lambda: np.zeros(WIDTH, np.uint64))
    num_rows: int = 0  # how many rows the steps took
    num_repeated: int = 0  # how many rows stood in for others, or filled up
    ranks: dict[int, None] = field(default_factory=dict)  # how many ranks there were, one number after the other


class SourceComparison:
    """Compares a mixture's sources.

    Args:
      plans: What is planned of each source, sorted by name.
      deliveries: What was delivered, and counts.

    Attributes:
      findings: What was not as it must be.
    """

    def __init__(self, plans: Sequence[SourcePlan], deliveries: Deliveries) -> None:
        self._plans, self._deliveries = plans, deliveries
        self._names = [plan.source.name for plan in plans]
        self._order = plans[0].order
        self.findings: list[Finding] = []
        # (time through the mixture, source, epoch of it) -> what came
        self._totals: dict[tuple[int, int, int], _Total] = {}
        self._bad: set[tuple[int, int, int]] = set()
        self._holes: set[tuple[int, int, int]] = set()  # those of which some streams' rows may be missing
        # how many rows every stream had got where the receipts of a time through the mixture begin
        self._begins: dict[int, np.ndarray] = {}
        self._last: tuple[int, int, np.ndarray] | None = None  # the step after the latest, its time and rows
        parts = deliveries.parts(deliveries.first, deliveries.stop)
        self._parts = [without_stale(part, self._names, plans[0].num_streams) for part in parts]

    def compare(self) -> tuple[SourceAudit, ...]:
        """Compare all that was delivered."""
        for steps in self._told():
            self._add(steps)
        self._note_gaps()
        found = [(key, self._result(key, total)) for key, total in sorted(self._totals.items())]
        if suspects := {key for key, audit in found if audit.state != "complete"}:
            self._differing(suspects)
        self.findings.sort(key=lambda finding: finding.first_step)
        return _merged(
            replace(audit, state="bad")
            if key in self._bad or (key in self._holes and audit.state != "complete")
            else audit
            for key, audit in found
        )

    def _told(self) -> Iterator[SourceSteps]:
        for part in self._parts:
            yield from source_steps(part, self._names)

    def _add(self, steps: SourceSteps) -> None:
        """Add what came in some steps up, epoch by epoch of each source."""
        first, last = steps.first, self._last
        if last is not None and last[0] == first and not steps.begins_run:
            _, run, rows = last
            if run != steps.run or (rows != steps.rows[0]).any():
                self._note("differs", first, steps.told[0].who, "does not go on where the step before ended")
        self._last = first + len(steps.rows), steps.run, steps.rows[-1] + steps.counts[-1]
        self._begins.setdefault(steps.run, steps.rows[0])
        for other in steps.told[1:]:
            self._check_alike(steps, other)
        lacking = self._order.batch_size // self._order.num_streams - steps.counts.sum(axis=1)
        fills = self._order.last_batch in ("pad", "wrap")
        for told in steps.told:
            num_served = len(told.span.streams())
            filled = told.digests[:, :, 1].sum(axis=1).astype(np.int64)
            for at in np.flatnonzero((lacking > 0) & (filled != lacking * num_served * fills)).tolist():
                wanted = int(lacking[at]) * num_served * fills
                self._note("differs", first + at, told.who, f"{filled[at]:,} rows fill up, and {wanted:,} should")
            for number, plan in enumerate(self._plans):
                self._add_source(steps, told, number, plan, lacking)

    def _add_source(self, steps: SourceSteps, told: Told, number: int, plan: SourcePlan, lacking: np.ndarray) -> None:
        rows, counts, served = steps.rows[:, number], steps.counts[:, number], told.span.streams()
        digests = told.digests[:, number].copy()
        repeated = digests[:, 1].astype(np.int64)
        digests[lacking > 0, 1] = 0  # those that fill up were compared over all sources
        first, last = plan.epochs_of(rows, counts)
        is_inside = first == last
        epochs, place = np.unique(first[is_inside], return_inverse=True)
        sums, num_rows = np.zeros((len(epochs), WIDTH), np.uint64), np.zeros(len(epochs), np.int64)
        num_repeated = np.zeros(len(epochs), np.int64)
        np.add.at(sums, place, digests[is_inside])
        np.add.at(num_rows, place, counts[is_inside] * len(served))
        np.add.at(num_repeated, place, repeated[is_inside])
        for epoch, digest, rows_of, more in zip(
            epochs.tolist(), sums, num_rows.tolist(), num_repeated.tolist(), strict=True
        ):
            if rows_of or digest.any():
                self._count(told, (steps.run, number, epoch), digest, rows_of, more)
        for at in np.flatnonzero(~is_inside).tolist():
            found = plan.by_epoch(steps.run, served, int(rows[at]), int(counts[at]))
            planned = sum((digest for digest, _ in found.values()), np.zeros(WIDTH, np.uint64))
            excess = digests[at] - planned
            for epoch, (digest, rows_of) in found.items():
                is_last = epoch == last[at]
                self._count(
                    told,
                    (steps.run, number, epoch),
                    digest + excess if is_last else digest,
                    rows_of,
                    int(repeated[at]) if is_last else 0,
                )
                if excess.any():
                    self._bad.add((steps.run, number, epoch))

    def _count(self, told: Told, key: tuple[int, int, int], digest: np.ndarray, num_rows: int, repeated: int) -> None:
        total = self._totals.setdefault(key, _Total())
        total.digest += digest
        total.num_rows += num_rows
        total.num_repeated += repeated
        total.ranks[told.span.receipt.header.size] = None

    def _check_alike(self, steps: SourceSteps, other: Told) -> None:
        one = steps.told[0]
        differs = ((one.rows != other.rows) | (one.counts != other.counts)).any(axis=1)
        for at in np.flatnonzero(differs)[:1].tolist():
            self._note("differs", steps.first + at, f"{one.who} and {other.who}", "took different rows of the sources")

    def _note_gaps(self) -> None:
        deliveries = self._deliveries
        for first, stop, who in twice(deliveries, deliveries.first, deliveries.stop):
            what = self._with_sources(TWICE, [(first, stop, 1)], self._bad)
            self._note("twice", first, who, what, last=stop - 1)
        for gap in gaps(deliveries, self._parts, most_behind=_MOST_BEHIND):
            what = self._with_sources(gap.what, gap.streams, self._holes)
            self._note("missing", gap.first, gap.who, what, last=gap.stop - 1)

    def _with_sources(
        self, what: str, streams: Iterable[tuple[int, int, int]], touched: set[tuple[int, int, int]]
    ) -> str:
        """Return `what`, with how many rows of which sources it is about, and add the epochs of these to `touched`.

        Args:
          what: What was found.
          streams: Of how many streams, from a first step on to that after a last.
          touched: Epochs of sources.
        """
        num_rows = dict[str, int]()
        for first, stop, num_streams in streams:
            begun = self._mark(first, is_end=False) or self._mark(first, is_end=True)
            ended = self._mark(stop, is_end=True) or self._mark(stop, is_end=False)
            if begun is None or ended is None or begun[0] != ended[0]:
                return what
            for number, (start, end) in enumerate(zip(begun[1].tolist(), ended[1].tolist(), strict=True)):
                if start >= end:
                    continue
                name, of, all_rows = self._names[number], self._plans[number].num_streams, self._plans[number].num_rows
                num_rows[name] = num_rows.get(name, 0) + (end - start) * num_streams
                epochs = range(start * of // all_rows, (end * of - 1) // all_rows + 1)
                touched.update(key for key in self._totals if key[:2] == (begun[0], number) and key[2] in epochs)
        told = ", ".join(f"{number:,} rows of {name!r}" for name, number in sorted(num_rows.items()))
        return f"{what} ({told})" if told else what

    def _mark(self, step: int, *, is_end: bool) -> tuple[int, np.ndarray] | None:
        """Return which time it is and what every stream has got before `step`, as that step or the one before tells it;
        None where it does not."""
        step -= is_end
        for part in self._parts:
            if part.spans and part.first <= step < part.stop:
                (steps,) = source_steps(replace(part, first=step, stop=step + 1), self._names)
                return steps.run, steps.rows[0] + steps.counts[0] * is_end
        return None

    def _result(self, key: tuple[int, int, int], total: _Total) -> SourceAudit:
        run, number, epoch = key
        plan, expected = self._plans[number], self._plans[number].dataset
        is_whole = total.num_rows == plan.num_rows
        of_each = plan.num_rows // plan.num_streams
        if not is_whole and self._order.mixture != "repeat" and epoch == 0:
            is_whole = total.num_rows == of_each * plan.num_streams
            expected = expected - plan.left_out(run) if is_whole else expected
        is_complete = is_whole and bool((total.digest == expected).all())
        if is_whole and not is_complete:
            self._bad.add(key)
        begins_before = self._begins[run][number] * plan.num_streams <= epoch * plan.num_rows
        return SourceAudit(
            source=self._names[number],
            run=run,
            first_epoch=epoch,
            last_epoch=epoch,
            state="complete" if is_complete else "running" if begins_before else "partial",
            num_samples=int(plan.dataset[0]),
            delivered=int(total.digest[0]),
            dropped=int(plan.dataset[0] - expected[0]),
            repeated=total.num_repeated,
            ranks=tuple(total.ranks),
            last_step=-1
            if is_complete
            else next((p.first for p in self._parts if p.absent), self._deliveries.stop) - 1,
            behind="" if is_complete else behind(self._deliveries, self._parts),
        )

    def _differing(self, suspects: Iterable[tuple[int, int, int]]) -> None:
        """Find the steps whose samples are others than those planned, in the epochs that are not proven whole."""
        epochs_of: dict[tuple[int, int], list[int]] = {}
        for run, number, epoch in suspects:
            epochs_of.setdefault((run, number), []).append(epoch)
        num_named = 0
        for steps in self._told():
            is_last = steps.counts.sum(axis=1) < self._order.batch_size // self._order.num_streams
            for number, plan in enumerate(self._plans):
                wanted = epochs_of.get((steps.run, number), [])
                rows, counts = steps.rows[:, number], steps.counts[:, number]
                first, last = plan.epochs_of(rows, counts)
                looked_at = np.isin(first, wanted) | np.isin(last, wanted) | (last > first + 1)
                if not wanted or not looked_at.any():
                    continue
                begin, end = np.flatnonzero(looked_at)[[0, -1]].tolist()
                borders = np.append(rows[begin : end + 1], rows[end] + counts[end])
                for told in steps.told:
                    planned = plan.digests(steps.run, told.span.streams(), borders)
                    excess = told.digests[begin : end + 1, number] - planned
                    excess[is_last[begin : end + 1], 1] = 0
                    excess[~looked_at[begin : end + 1]] = 0
                    for at in (np.flatnonzero(excess.any(axis=1)) + begin).tolist():
                        what = "other samples than planned"
                        if num_named < _NAMED:
                            place = steps.run, int(rows[at]), int(counts[at])
                            what = self._culprits(plan, told, place, excess[at - begin])
                        num_named += 1
                        epoch = int(first[at])
                        self._bad.update((steps.run, number, each) for each in range(epoch, int(last[at]) + 1))
                        self._note("differs", steps.first + at, told.who, what, source=plan.source.name, epoch=epoch)

    def _culprits(self, plan: SourcePlan, told: Told, place: tuple[int, int, int], excess: np.ndarray) -> str:
        run, row, count = place
        planned, others = (
            plan.units(run, served, row, count) for served in (told.span.streams(), range(plan.num_streams))
        )
        return excess_in_words(planned, others, excess, plan.units_of(run))

    def _note(
        self,
        kind: str,
        first: int,
        who: str,
        what: str,
        *,
        last: int | None = None,
        source: str = "",
        epoch: int | None = None,
    ) -> None:
        before = self.findings[-1] if self.findings else None
        finding = Finding(
            kind=kind,
            epoch=epoch,
            first_step=first,
            last_step=first if last is None else last,
            who=who,
            what=what,
            source=source,
        )
        if before is not None and before == replace(finding, first_step=before.first_step, last_step=first - 1):
            finding = replace(self.findings.pop(), last_step=finding.last_step)  # of steps in a row
        self.findings.append(finding)


def _merged(audits: Iterable[SourceAudit]) -> tuple[SourceAudit, ...]:
    """Return the audits, epochs in a row of which the same is to be said in one."""
    found: list[SourceAudit] = []
    for audit in sorted(audits, key=lambda audit: (audit.run, audit.source, audit.first_epoch)):
        last = found[-1] if found else None
        if last is not None and replace(audit, first_epoch=last.first_epoch, last_epoch=audit.first_epoch - 1) == last:
            audit = replace(audit, first_epoch=found.pop().first_epoch)
        found.append(audit)
    return tuple(found)
