"""A step that runs ahead: `map`, computed by threads, or by the caller's own."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeVar

from pyloader.deliver.budget import Budget
from pyloader.deliver.inline import InlineMap
from pyloader.deliver.threads import StallWatch, ThreadedMap

__all__ = ["map_in_order"]

In = TypeVar("In")
Out = TypeVar("Out")


def map_in_order(
    fn: Callable[[In], Out],
    items: Iterable[In],
    *,
    num_threads: int,
    budget: Budget,
    name: str,
    may_change: bool = False,
    weight: Callable[[In], float] = lambda item: 1,
    describe: Callable[[In], str] = str,
    watch: StallWatch | None = None,
) -> InlineMap[In, Out] | ThreadedMap[In, Out]:
    """Return `map(fn, items)`, computed ahead by `num_threads` threads, or inline with none.

    `may_change` says whether their number may: then there is a `work_with`.

    `weight(item)` is taken from `budget` before `fn(item)` begins, and given back by the user of the results.  The
    results and errors are the same for every number of threads.
    """
    if num_threads == 0 and not may_change:
        return InlineMap(fn, items, budget=budget, weight=weight, name=name, describe=describe)
    return ThreadedMap(
        fn, items, num_threads=num_threads, budget=budget, weight=weight, name=name, describe=describe, watch=watch
    )
