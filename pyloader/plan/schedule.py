"""Schedule: how many rows each step takes from every source of a mixture.

Every stream has the same schedule.  After each step every source has got its share of the stream's rows, rounded down
or up: never a whole row more or less.  Of the sources that may get a row more, those get it that must have it earliest.
That is R. Tijdeman's algorithm (The chairman assignment problem, Discrete Mathematics 32, 1980) with several rows a
step: the rows are unit jobs, each with a first and a last step, which earliest deadline first brings in time wherever
any order can.

A share is counted from the mark's base: the step of the latest change of the weights, or where a source has ended.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from fractions import Fraction

from pyloader.plan.shares import Shares, largest_remainder
from pyloader.plan.steps import steps_per_epoch

__all__ = ["EXHAUSTED_RULES", "Mark", "Schedule"]

EXHAUSTED_RULES = ("stop", "drop", "repeat")


@dataclass(frozen=True, slots=True)
class Mark:
    """A place in a schedule, from which on it is known."""

    step: int  # how many steps are done
    rows: tuple[int, ...]  # how many rows every stream has got of each source
    base_step: int  # the step from which on shares are counted
    base_rows: tuple[int, ...]  # `rows` there

    @classmethod
    def first(cls, num_sources: int) -> Mark:
        """Return the mark before the first step."""
        return cls(0, (0,) * num_sources, 0, (0,) * num_sources)

    @property
    def rebased(self) -> Mark:
        """The same place, with shares counted from here on."""
        return Mark(self.step, self.rows, self.step, self.rows)


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """How many rows of each source every step takes, of one stream; all have the same."""

    shares: Shares  # the sources' shares
    share: int  # how many rows a step takes of the stream
    rows: tuple[int, ...]  # how many rows of each source the stream can have before it starts over
    # what happens where a source ends: "stop" ends with the last step that all can serve whole, "drop" goes on with the
    # others, "repeat" starts it over
    on_exhausted: str
    last_batch: str  # the rule for the last step, where "drop" ends
    num_steps: int | None = None  # the most steps; None sets no end

    # shares when some sources have ended, by those that have not
    _of_only: dict[tuple[int, ...], Shares | None] = field(default_factory=dict, init=False, repr=False, compare=False)

    def after(self, mark: Mark) -> Mark | None:
        """Return the mark after the next step; None at the end."""
        if (self.num_steps is not None and mark.step >= self.num_steps) or (shares := self._shares_from(mark)) is None:
            return None
        rows = self._scheduled(mark, shares)
        if self.on_exhausted == "stop" and any(has > of for has, of in zip(rows, self.rows, strict=True)):
            return None
        if self.on_exhausted != "drop":
            return Mark(mark.step + 1, rows, mark.base_step, mark.base_rows)
        rows = self._shared_among_others(mark, rows)
        if self.last_batch == "drop" and sum(rows) - sum(mark.rows) < self.share:
            return None
        after = Mark(mark.step + 1, rows, mark.base_step, mark.base_rows)
        has_ended = any(before < has == of for before, has, of in zip(mark.base_rows, rows, self.rows, strict=True))
        return after.rebased if has_ended else after

    def marks(self, mark: Mark) -> Iterator[Mark]:
        """Yield the mark after every step from `mark` on."""
        after = self.after(mark)
        while after is not None:
            yield after
            after = self.after(after)

    def mark_at(self, step: int, known: Mark) -> Mark:
        """Return the mark after `step` steps, or at the end where that comes before; `known` is at or before it."""
        known = self._after_whole_periods(step, known)
        while known.step < step and (after := self.after(known)) is not None:
            known = self._after_whole_periods(step, after) if after.base_step == after.step else after
        return known

    def last_step(self, known: Mark) -> int | None:
        """Return how many steps there are; None where there is no end."""
        if self.on_exhausted == "repeat":
            return self.num_steps
        most = math.inf if self.num_steps is None else self.num_steps
        if self.on_exhausted == "drop":
            # What a step takes, it takes of the rows that are left, until none are.
            left = self._served(known) - sum(known.rows)
            return int(min(most, known.step + steps_per_epoch(left, self.share, self.last_batch)))
        known = self.mark_at(int(min(most, self._surely_before_end(known))), known)
        return max((mark.step for mark in self.marks(known)), default=known.step)

    def num_dropped(self, end: Mark) -> int:
        """Return how many rows of the stream are left at the end because they make no whole step."""
        if self.on_exhausted != "drop" or self.last_batch != "drop" or end.step == self.num_steps:
            return 0
        return self._served(end) - sum(end.rows)

    def _served(self, known: Mark) -> int:
        """Return how many rows the stream has where "drop" ends: those of sources whose weight is 0 now came before."""
        weights = self.shares.weights
        return sum(
            of if any(at[source] for at in weights) else known.rows[source] for source, of in enumerate(self.rows)
        )

    def keeps_shares(self, mark: Mark) -> bool:
        """Tell whether each source has its share at `mark`, within one row."""
        shares = self._shares_from(mark)
        if shares is None or mark.step == mark.base_step:
            return mark.rows == mark.base_rows
        since, until = shares.before(mark.base_step), shares.before(mark.step)
        return all(
            abs(self.share * (stop - start) - (has - had) * shares.scale) < shares.scale
            for start, stop, has, had in zip(since, until, mark.rows, mark.base_rows, strict=True)
        )

    def _shares_from(self, mark: Mark) -> Shares | None:
        """Return the shares that count from the mark's base on; None where no source is left."""
        if self.on_exhausted != "drop":
            return self.shares
        left = tuple(source for source, rows in enumerate(self.rows) if mark.base_rows[source] < rows)
        return self._shares_of(left)

    def _shares_of(self, left: tuple[int, ...]) -> Shares | None:
        if len(left) == len(self.rows):
            return self.shares
        if left not in self._of_only:
            self._of_only[left] = self.shares.of_only(left)
        return self._of_only[left]

    def _scheduled(self, mark: Mark, shares: Shares) -> tuple[int, ...]:
        """Return what each source has after the next step by its share alone."""
        step, scale, share = mark.step + 1, shares.scale, self.share
        since, until = shares.before(mark.base_step), shares.before(step)
        fractions, counts = [], []
        for source, has in enumerate(mark.rows):
            wanted = share * (until[source] - since[source])
            counts.append(max(has - mark.base_rows[source], wanted // scale))
            fractions.append(wanted - counts[-1] * scale)
        left = share * (step - mark.base_step) - sum(counts)
        if left:
            due = [source for source, fraction in enumerate(fractions) if fraction > 0]
            if left < len(due):

                def deadline(source: int) -> tuple[float, int]:
                    amount = since[source] - (-(counts[source] + 1) * scale // share)
                    return shares.first_step(source, amount, step), source

                due.sort(key=deadline)
            for source in due[:left]:
                counts[source] += 1
        return tuple(before + count for before, count in zip(mark.base_rows, counts, strict=True))

    def _shared_among_others(self, mark: Mark, rows: tuple[int, ...]) -> tuple[int, ...]:
        """Return `rows` with no source beyond its end: the others have what it lacks, by their shares, if they can."""
        counts = list(rows)
        while lacking := sum(max(0, has - of) for has, of in zip(counts, self.rows, strict=True)):
            counts = [min(has, of) for has, of in zip(counts, self.rows, strict=True)]
            left = tuple(source for source, has in enumerate(counts) if has < self.rows[source])
            shares = self._shares_of(left)
            if shares is None:
                break
            until, since = shares.before(mark.step + 1), shares.before(mark.step)
            of = [Fraction(after - before, shares.scale) for after, before in zip(until, since, strict=True)]
            counts = [has + more for has, more in zip(counts, largest_remainder(of, lacking), strict=True)]
        return tuple(counts)

    def _after_whole_periods(self, step: int, mark: Mark) -> Mark:
        """Return a later mark with the same base, if whole periods of the schedule lie before `step`.

        While the shares are constant, a schedule repeats: after a period each source has exactly its share.
        """
        shares = self._shares_from(mark)
        if shares is None or mark.base_step < shares.last_knot:
            return mark
        weights = shares.weights[-1]
        period = math.lcm(
            *(shares.whole // math.gcd(shares.whole, self.share * weight) for weight in weights if weight)
        )
        in_period = [self.share * period * weight // shares.whole for weight in weights]
        periods = (step - mark.base_step) // period
        if self.num_steps is not None:
            periods = min(periods, (self.num_steps - mark.base_step) // period)
        if self.on_exhausted != "repeat":
            room = [of - has for of, has in zip(self.rows, mark.base_rows, strict=True)]
            periods = min(periods, *((space - 1) // each for space, each in zip(room, in_period, strict=True) if each))
        at = mark.base_step + periods * period
        if periods <= 0 or at <= mark.step:
            return mark
        rows = tuple(has + periods * each for has, each in zip(mark.base_rows, in_period, strict=True))
        return replace(mark, step=at, rows=rows)

    def _surely_before_end(self, known: Mark) -> int:
        """Return a step that comes no later than the end, where "stop" ends and the shares are constant."""
        if known.base_step < self.shares.last_knot:
            return known.step
        steps = [
            (of - has) * self.shares.whole // (self.share * weight)
            for of, has, weight in zip(self.rows, known.base_rows, self.shares.weights[-1], strict=True)
            if weight
        ]
        return max(known.step, known.base_step + min(steps))
