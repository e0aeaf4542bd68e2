"""Full products of cases: all of them where PYLOADER_ALL is set, as in `scripts/test.sh all`; else some, drawn anew."""

from __future__ import annotations

import os
import random
from collections.abc import Iterable
from typing import TypeVar

__all__ = ["ALL", "drawn", "examples", "seeds", "stride"]

T = TypeVar("T")

ALL = bool(os.environ.get("PYLOADER_ALL"))

# pytest-xdist's name of the run: its processes must draw the same tests.  Without it, no two runs draw the same.
_chance = random.Random(os.environ.get("PYTEST_XDIST_TESTRUNUID"))


def drawn(cases: Iterable[T], count: int) -> list[T]:
    """Return `count` of the cases in their order, or all; the names of the tests say which."""
    listed = list(cases)
    chosen = range(len(listed)) if ALL else sorted(_chance.sample(range(len(listed)), count))
    return [listed[place] for place in chosen]


def examples(count: int) -> int:
    """Return how many random cases to try: so many, or a third."""
    return count if ALL else -(-count // 3)


def seeds(count: int) -> list[int]:
    """Return so many seeds of random cases; the names of the tests say which."""
    return [_chance.randrange(10**9) for _ in range(count)]


def stride(mean: int) -> int:
    """Return how far to go to the next moment of very many: 1, or a number drawn around `mean`."""
    return 1 if ALL else _chance.randint(1, 2 * mean - 1)
