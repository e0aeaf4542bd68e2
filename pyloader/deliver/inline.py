"""Inline: a step done in the caller's own thread when its result is asked for.  Threads must give the same results."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Generic, NoReturn, TypeVar

from pyloader.deliver.budget import Budget
from pyloader.deliver.lifecycle import Step, StepsClosed, Wrap

__all__ = ["InlineMap", "close_items", "no_more", "not_a_stop"]

In = TypeVar("In")
Out = TypeVar("Out")
AnyError = TypeVar("AnyError", bound=BaseException)


class InlineMap(Step, Generic[In, Out]):
    """`map(fn, items)`, taking from `budget` before each call."""

    def __init__(
        self,
        fn: Callable[[In], Out],
        items: Iterable[In],
        *,
        budget: Budget,
        weight: Callable[[In], float],
        name: str,
        describe: Callable[[In], str],
    ) -> None:
        self._name, self._describe, self._own_fn = name, describe, fn
        self._fn, self._items, self._budget, self._weight = fn, iter(items), budget, weight
        self._busy_seconds = 0.0
        self._closed = False
        self.room_seconds = 0.0  # it waits for none

    def __iter__(self) -> Iterator[Out]:
        return self

    def __next__(self) -> Out:
        try:
            item = next(self._items)
        except StopIteration:  # another thread may have closed them, in the middle of a batch
            if self._closed:
                raise StepsClosed from None
            raise
        self._budget.take(self._weight(item))
        begun = time.perf_counter()
        try:
            return self._fn(item)
        except StopIteration as exc:
            raise not_a_stop(exc) from exc
        finally:
            self._busy_seconds += time.perf_counter() - begun

    def signal_close(self) -> None:
        """Have the items that come from now on missed, and not taken for the end."""
        self._closed = True

    def trace(self, wrap: Wrap | None) -> None:
        """Call the function as `wrap` makes it, from the next item on; None ends that."""
        self._fn = self._own_fn if wrap is None else wrap(self._name, self._describe, self._own_fn)

    @property
    def num_busy(self) -> int:
        """How many threads work beside the loop: none."""
        return 0

    def take_busy_seconds(self) -> float:
        """Return how long the function ran since this was last asked."""
        seconds, self._busy_seconds = self._busy_seconds, 0.0
        return seconds

    def join(self, deadline: float) -> list[str]:
        """Close the items; nothing is left running."""
        with contextlib.suppress(ValueError):  # the loop's thread is inside of them, and another one closes
            close_items(self._items)
        # What they hold, whole chunks, is freed now, and not when the cycles that lead here are collected.
        self._items, self._fn, self._own_fn = iter(()), no_more, no_more
        return []


def close_items(items: object) -> None:
    """Close a generator now, not at its collection, so that the files it holds are closed."""
    close = getattr(items, "close", None)
    if close is not None:
        close()


def no_more(item: object) -> NoReturn:
    """Stand in for the function of a step that has been closed."""
    raise StepsClosed


def not_a_stop(error: AnyError) -> AnyError | RuntimeError:
    """Return `error`, or a RuntimeError in place of a StopIteration, which would end the loop without a word."""
    if not isinstance(error, StopIteration):
        return error
    replaced = RuntimeError("StopIteration was raised where an answer was expected")
    replaced.__cause__ = error
    return replaced
