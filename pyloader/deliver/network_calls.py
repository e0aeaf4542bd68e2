"""Calls that wait for a network: several at a time, while the caller can be interrupted."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from typing import Any, TypeVar

from pyloader.deliver.budget import Budget
from pyloader.deliver.lifecycle import Steps
from pyloader.deliver.pauses import Pauses
from pyloader.deliver.threads import ThreadedMap

__all__ = ["at_once", "called_at_once"]

_CLOSE_SECONDS = 0.5
_NUM_CALLS = 16

In = TypeVar("In")
Out = TypeVar("Out")


def at_once(
    fn: Callable[[In, Pauses], Out], items: Iterable[In], *, num_threads: int, name: str
) -> Generator[Out, None, None]:
    """Yield `fn(item, pauses)` for each item, in order.

    The caller's thread only waits: Ctrl-C is heard there at once, whatever a server does.  A call that does not come to
    its end within half a second then is left behind.

    Args:
      fn: Called in one of the threads.  `pauses(seconds)` waits in it, and raises when the rest is not wanted any more.
      items: What it is called with.
      num_threads: How many calls run at the same time.
      name: What they are called in the names of threads.
    """
    steps, budget = Steps(), Budget(2 * num_threads)
    pauses = steps.add_awaited(Pauses())
    try:
        results = steps.add(
            ThreadedMap(
                lambda item: fn(item, pauses),
                items,
                num_threads=num_threads,
                budget=budget,
                weight=lambda item: 1,
                name=name,
                describe=lambda item: name,
            )
        )
        for result in results:
            budget.give_back()
            yield result
    finally:
        steps.close(_CLOSE_SECONDS)


def called_at_once(calls: Iterable[Callable[[], Any]]) -> Iterable[Any]:
    """Yield what some calls that wait for a network return, in order; up to 16 run at the same time."""
    given = list(calls)
    return at_once(lambda call, pauses: call(), given, num_threads=min(_NUM_CALLS, len(given)), name="ask")
