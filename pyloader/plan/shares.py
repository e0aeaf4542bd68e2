"""Shares: which part of the rows of each step every source of a mixture has, in exact integers.

Weights are given at some steps, the knots; between two knots they are linear, before the first and after the last
constant.  At each knot they are fractions of one whole, so that they always add up to it.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property

__all__ = ["FINEST", "Shares", "largest_remainder", "rounded_shares"]

FINEST = 2**20  # where weights are no simple fractions, they are multiples of 1 / FINEST


@dataclass(frozen=True)
class Shares:
    """The shares of every source at every step."""

    knots: tuple[int, ...]  # the steps at which weights are given, ascending
    weights: tuple[tuple[int, ...], ...]  # those of all sources, at each knot
    whole: int  # what they add up to at each knot

    @cached_property
    def scale(self) -> int:
        """What a whole row is, where `before` counts rows."""
        return self.whole * math.lcm(*(stop - start for start, stop in zip(self.knots, self.knots[1:], strict=False)))

    @property
    def last_knot(self) -> int:
        """The step from which on they are constant."""
        return self.knots[-1] if len(self.knots) > 1 else 0

    def before(self, step: int) -> tuple[int, ...]:
        """Return how many rows the steps before `step` give each source, of one row a step, in 1 / `scale` rows."""
        if len(self.knots) == 1:
            return tuple(weight * step for weight in self.weights[0])
        return tuple(self._before(source, step) for source in range(len(self.weights[0])))

    def first_step(self, source: int, amount: int, after: int) -> float:
        """Return the first step later than `after` before which a source has got `amount`; infinity where none is."""
        last, at_last = self.knots[-1], self._at_knots[-1][source]
        if last <= after or at_last < amount:
            weight = self.weights[-1][source] * self._fine
            return math.inf if weight == 0 else max(after + 1, last - (at_last - amount) // weight)
        low, length = after, 1
        while (high := min(low + length, last)) < last and self._before(source, high) < amount:
            low, length = high, 2 * length
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (low, middle) if self._before(source, middle) >= amount else (middle, high)
        return high

    def of_only(self, sources: Iterable[int]) -> Shares | None:
        """Return the shares when only some sources are left: theirs, by their sum; None where that is 0 throughout.

        A knot at which it is 0 is left out.
        """
        kept = set(sources)
        sums = [sum(weights[source] for source in kept) for weights in self.weights]
        if not any(sums):
            return None
        whole = math.lcm(*filter(None, sums))
        of = [
            (knot, tuple(weight * (whole // total) if source in kept else 0 for source, weight in enumerate(weights)))
            for knot, weights, total in zip(self.knots, self.weights, sums, strict=True)
            if total
        ]
        return Shares(tuple(knot for knot, _ in of), tuple(weights for _, weights in of), whole)

    def _before(self, source: int, step: int) -> int:
        place = max(0, bisect_right(self.knots, step) - 1)
        passed, weight = step - self.knots[place], self.weights[place][source]
        given = self._at_knots[place][source] + weight * passed * self._fine
        if passed <= 0 or place + 1 == len(self.knots):
            return given
        # A step that is x steps behind its knot gives weight + (later - weight) * x / length.
        slope = self._fine // (self.knots[place + 1] - self.knots[place])
        return given + (self.weights[place + 1][source] - weight) * (passed * (passed - 1) // 2) * slope

    @cached_property
    def _fine(self) -> int:
        """How many parts a part of the whole has, where `before` counts rows."""
        return self.scale // self.whole

    @cached_property
    def _at_knots(self) -> list[tuple[int, ...]]:
        """What the steps before each knot give; before the first knot the weights are its own."""
        at = [tuple(weight * self.knots[0] * self._fine for weight in self.weights[0])]
        for start, stop, these, those in zip(self.knots, self.knots[1:], self.weights, self.weights[1:], strict=False):
            slope, pairs = self._fine // (stop - start), (stop - start) * (stop - start - 1) // 2
            at.append(
                tuple(
                    done + weight * (stop - start) * self._fine + (later - weight) * pairs * slope
                    for done, weight, later in zip(at[-1], these, those, strict=True)
                )
            )
        return at


def rounded_shares(knots: Sequence[tuple[int, Sequence[Fraction]]]) -> Shares:
    """Return the shares of some weights, of which only the ratios count.

    They are exact where their fractions have a common denominator of at most 2^20, and else multiples of 2^-20, by
    largest remainder; of equals the first.

    Args:
      knots: Each knot's step, ascending, and the weights there: at least one of them is above 0.
    """
    fractions = [[weight / sum(weights) for weight in weights] for _, weights in knots]
    whole = math.lcm(*(share.denominator for shares in fractions for share in shares))
    whole = whole if whole <= FINEST else FINEST
    return Shares(
        tuple(step for step, _ in knots), tuple(largest_remainder(shares, whole) for shares in fractions), whole
    )


def largest_remainder(shares: Sequence[Fraction], total: int) -> tuple[int, ...]:
    """Return how `total` is shared out; `shares` add up to 1.

    Every share is rounded down, and what is left goes to those that lost most; of equals, to the first.
    """
    wanted = [share * total for share in shares]
    counts = [math.floor(each) for each in wanted]
    losers = sorted(range(len(wanted)), key=lambda source: counts[source] - wanted[source])
    for source in losers[: total - sum(counts)]:
        counts[source] += 1
    return tuple(counts)
