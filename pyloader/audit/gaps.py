"""Gaps: steps that no receipt tells of, and steps that two processes delivered at the same time."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from pyloader.audit.history import Deliveries, Part, Span

__all__ = ["TWICE", "Gap", "behind", "gaps", "told", "twice"]

TWICE = "delivered at the same time by both. Are RANK and WORLD_SIZE set, or world given?"


@dataclass(frozen=True, slots=True)
class Gap:
    """Steps [first, stop) that no receipt of some streams tells of."""

    first: int  # the first step
    stop: int  # the step after the last
    who: str  # the ranks that serve the streams, in words
    what: str  # what there is not
    # of how many streams nothing is told, from a first step on to that after a last, one after another
    streams: tuple[tuple[int, int, int], ...]


def gaps(deliveries: Deliveries, parts: Sequence[Part], *, most_behind: int = sys.maxsize) -> list[Gap]:
    """Return what is missing in some parts, one after another.

    What a stream has not delivered yet is not missing, where that is at most so many steps.
    """
    is_last = deliveries.stop <= parts[-1].stop
    ends = [parts[0].first if line else deliveries.stop for line in deliveries.streams]
    for part in parts:
        for stream in set(range(len(ends))).difference(part.absent):
            ends[stream] = part.stop
    ends = [end if deliveries.stop - end <= most_behind else deliveries.stop for end in ends]
    found: list[Gap] = []
    for part in parts:
        missing = [stream for stream in part.absent if not (is_last and ends[stream] <= part.first)]
        if not missing:
            continue
        who = _ranks(deliveries, missing, part)
        what = "no receipt" if part.spans else "no receipt: left out by skip(), or lost"
        gap = Gap(part.first, part.stop, who, what, ((part.first, part.stop, len(missing)),))
        if found and (found[-1].stop, found[-1].who, found[-1].what) == (part.first, who, what):
            before = found.pop()
            gap = replace(gap, first=before.first, streams=(*before.streams, *gap.streams))
        found.append(gap)
    return found


def twice(deliveries: Deliveries, begin: int, end: int) -> Iterator[tuple[int, int, str]]:
    """Yield the steps in [begin, end) that two processes delivered: first, the one after the last, and who they are."""
    for both in deliveries.twice:
        first, stop = max(both.first, begin), min(both.stop, end)
        if first < stop:
            headers = both.one.header, both.other.header
            who = " and ".join(f"rank {header.rank} of {header.size} ({header.process})" for header in headers)
            yield first, stop, who


def behind(deliveries: Deliveries, parts: Iterable[Part]) -> str:
    """Return the ranks that are not as far as others, in words; "" where there are none."""
    return next((_ranks(deliveries, part.absent, part) for part in parts if part.absent and part.spans), "")


def told(parts: Iterable[Part]) -> Iterator[tuple[Part, Span]]:
    """Yield each part with each span that tells of it."""
    for part in parts:
        yield from ((part, span) for span in part.spans)


def _ranks(deliveries: Deliveries, streams: Iterable[int], part: Part) -> str:
    """Return the ranks that serve `streams`: "rank 1 of 4"; "every rank" when nobody else tells of the part."""
    if not part.spans:
        return "every rank"
    size = part.spans[0].receipt.header.size
    ranks = sorted({stream * size // len(deliveries.streams) for stream in streams})
    return f"rank{'s' if len(ranks) > 1 else ''} {', '.join(map(str, ranks))} of {size}"
