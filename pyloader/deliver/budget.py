"""Budget: a bounded amount.  A share is taken before something is read or made, and given back when it is gone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

from pyloader.deliver.lifecycle import Guarded

__all__ = ["Budget", "Lease"]

T = TypeVar("T")


class Budget(Guarded):
    """A bounded amount that several threads take from.

    Something larger than the limit is let through when nothing else is taken, so that one huge chunk slows a run but
    cannot block it for ever.

    Args:
      limit: How much may be taken at once.
      blocking: Whether `take` waits for room.  Without threads nobody could make any.

    Attributes:
      changed: Guards every field of the budget and of its leases.
      limit: How much may be taken at once.
      taken: How much is taken now.
      peak: The most that has been taken at once.
    """

    def __init__(self, limit: float, *, blocking: bool = True) -> None:
        super().__init__()
        self.limit, self._blocking = limit, blocking
        self.taken = 0.0
        self.peak = 0.0

    def take(self, amount: float = 1, *, may_wait: bool = True) -> None:
        """Take `amount`, waiting until there is room, unless `may_wait` is False.

        Raises:
          StepsClosed: closed, before or meanwhile.
        """
        with self.changed:
            self._wait_until(lambda: not (self._blocking and may_wait) or self._has_room(amount))
            self.taken += amount
            self.peak = max(self.peak, self.taken)

    def give_back(self, amount: float = 1) -> None:
        """Give `amount` back."""
        with self.changed:
            self.taken -= amount
            self.changed.notify_all()

    def widen(self, limit: float) -> None:
        """Let `limit` be taken at once from now on, if that is more than before."""
        if limit > self.limit:
            with self.changed:
                self.limit = max(limit, self.limit)
                self.changed.notify_all()

    def lease(self, value: T, *, drop: Callable[[], None] | None = None) -> Lease[T]:
        """Return the lease of `value`, for which 1 has been taken; `drop` is called when the value is gone."""
        return Lease(self, value, drop)

    def __str__(self) -> str:
        return f"{self.taken:g} of {self.limit:g} taken"

    def _has_room(self, amount: float) -> bool:
        # Amounts are sums of fractions; the tolerance is far below any of them.
        return self.taken + amount <= self.limit + 1e-6 or self.taken < 1e-6


class Lease(Generic[T]):
    """A value and the 1 that it takes of a budget, counted by its holders.  It begins with one holder.

    When the last holder releases it, the value is dropped first and the budget gets its share back then: nobody can
    take the share before the memory is free.  Keep the `Lease`, not its value.

    Attributes:
      value: What is held.
    """

    def __init__(self, budget: Budget, value: T, drop: Callable[[], None] | None = None) -> None:
        self._budget, self._drop = budget, drop
        self._give_back_bytes: Callable[[], None] | None = None
        self._holders = 1
        self.value = value

    def charge(self, give_back_bytes: Callable[[], None]) -> None:
        """Call this, too, when the share is given back."""
        self._give_back_bytes = give_back_bytes

    def acquire(self) -> None:
        """Count one holder more."""
        with self._budget.changed:
            self._holders += 1

    def release(self) -> None:
        """Count one holder less."""
        with self._budget.changed:
            self._holders -= 1
            if self._holders == 0:
                del self.value
                if self._drop is not None:
                    self._drop()
                self._budget.give_back()
                if self._give_back_bytes is not None:
                    self._give_back_bytes()
