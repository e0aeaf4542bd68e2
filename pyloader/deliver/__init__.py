"""Ahead of time, in order, within limits: the only place with threads and processes.

Everything else in the package is ordinary, sequential iterators; `map_in_order` makes a step of them concurrent, and
`RemoteFunction` takes what a step calls to other processes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeVar

from pyloader.deliver.budget import Budget, Lease
from pyloader.deliver.byte_budget import ByteBudget, Reservation, Size
from pyloader.deliver.inline import InlineMap, not_a_stop
from pyloader.deliver.lifecycle import Closing, Step, Steps, StepsClosed, end_with
from pyloader.deliver.lock_probe import (
    FREE,
    HELD,
    LONG_SECONDS,
    UNCLEAR,
    UNTRIED,
    WAITING,
    LockProbe,
    probe_lock,
)
from pyloader.deliver.network_calls import at_once, called_at_once
from pyloader.deliver.once import Once, PerThread
from pyloader.deliver.pauses import Pauses
from pyloader.deliver.processes import RemoteFunction
from pyloader.deliver.retries import Retries
from pyloader.deliver.threads import StallWatch, ThreadedMap
from pyloader.deliver.turns import Turn, own_thread, this_thread

__all__ = [
    "FREE",
    "HELD",
    "LONG_SECONDS",
    "UNCLEAR",
    "UNTRIED",
    "WAITING",
    "Budget",
    "ByteBudget",
    "Closing",
    "InlineMap",
    "Lease",
    "LockProbe",
    "Once",
    "Pauses",
    "PerThread",
    "RemoteFunction",
    "Reservation",
    "Retries",
    "Size",
    "StallWatch",
    "Step",
    "Steps",
    "StepsClosed",
    "ThreadedMap",
    "Turn",
    "at_once",
    "called_at_once",
    "end_with",
    "map_in_order",
    "not_a_stop",
    "own_thread",
    "probe_lock",
    "this_thread",
]

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
