"""Ranges of bytes of one file: what all of some have, what one has besides, and pieces that are fetched at once."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from typing import TypeAlias

__all__ = ["Ranges", "common_ranges", "cut_ranges", "ranges_without"]

Ranges: TypeAlias = "tuple[tuple[int, int], ...]"  # (start, stop) in bytes, sorted and apart


def common_ranges(given: Sequence[Ranges]) -> Ranges:
    """Return the bytes that are in all of them.

    >>> common_ranges([((0, 4), (10, 20), (90, 99)), ((0, 4), (20, 30), (80, 99))])
    ((0, 4), (90, 99))
    """
    changes = sorted(itertools.chain.from_iterable(((start, 1), (stop, -1)) for some in given for start, stop in some))
    found, depth, begin = [], 0, 0
    for place, change in changes:
        if depth == len(given) and begin < place:
            found.append((begin, place))
        depth, begin = depth + change, place
    return tuple(found)


def ranges_without(ranges: Ranges, others: Ranges) -> Ranges:
    """Return the bytes of `ranges` that are not in `others`.

    >>> ranges_without(((0, 20), (90, 99)), ((0, 4), (90, 99)))
    ((4, 20),)
    """
    left = []
    for start, stop in ranges:
        for begin, end in others:
            if begin < stop and start < end:
                left.append((start, begin))
                start = max(start, end)
        left.append((start, stop))
    return tuple((start, stop) for start, stop in left if start < stop)


def cut_ranges(ranges: Iterable[tuple[int, int]], piece_bytes: float) -> list[tuple[int, int]]:
    """Return the ranges in pieces of about so many bytes, each of one range.

    >>> cut_ranges([(0, 4), (10, 30)], 10)
    [(0, 4), (10, 20), (20, 30)]
    """
    pieces: list[tuple[int, int]] = []
    for start, stop in ranges:
        number = max(1, round((stop - start) / piece_bytes))
        borders = [start + (stop - start) * index // number for index in range(number + 1)]
        pieces += itertools.pairwise(borders)
    return pieces
