"""Budget: a bounded amount.  A share is taken before something is read or made, and given back when it is gone."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Generic, Protocol, TypeVar

__all__ = ["Budget", "Lease", "StepsClosed"]

T = TypeVar("T")


class StepsClosed(Exception):
    """Raised by whatever waits once the steps are being closed: nothing it waits for will come any more."""


class _Reservation(Protocol):
    def give_back(self) -> None: ...


class Budget:
    """A bounded amount that several threads take from.

    Something larger than the limit is let through when nothing else is taken, so that one huge chunk slows a run but
    cannot block it for ever.

    Args:
      limit: How much may be taken at once.
      blocking: Whether `take` waits for room.  Without threads nobody could make any.

    Attributes:
      changed: Guards every field of the budget and of its leases.
      taken: How much is taken now.
      peak: The most that has been taken at once.
    """

    def __init__(self, limit: float, *, blocking: bool = True) -> None:
        # Re-entrant: a finaliser may run in a thread that is inside one of these methods.
        self.changed = threading.Condition(threading.RLock())
        self._limit, self._blocking, self._closed = limit, blocking, False
        self.taken = 0.0
        self.peak = 0.0

    def take(self, amount: float = 1) -> None:
        """Take `amount`, waiting until there is room.

        Raises:
          StepsClosed: closed, before or meanwhile.
        """
        with self.changed:
            if self._blocking:
                self.changed.wait_for(lambda: self._closed or self._has_room(amount))
            if self._closed:
                raise StepsClosed
            self.taken += amount
            self.peak = max(self.peak, self.taken)

    def give_back(self, amount: float = 1) -> None:
        """Give `amount` back."""
        with self.changed:
            self.taken -= amount
            self.changed.notify_all()

    def close(self) -> None:
        """End every wait, now and from now on."""
        with self.changed:
            self._closed = True
            self.changed.notify_all()

    def lease(self, value: T, *, drop: Callable[[], None] | None = None) -> Lease[T]:
        """Return the lease of `value`, for which 1 has been taken; `drop` is called when the value is gone."""
        return Lease(self, value, drop)

    def __str__(self) -> str:
        return f"{self.taken:g} of {self._limit:g} taken"

    def _has_room(self, amount: float) -> bool:
        # Amounts are sums of fractions; the tolerance is far below any of them.
        return self.taken + amount <= self._limit + 1e-6 or self.taken < 1e-6


class Lease(Generic[T]):
    """A value and the 1 that it takes of a budget, counted by its holders.  It begins with one holder.

    When the last holder releases it, the value is dropped first and the budget gets its share back then: nobody can
    take the share before the memory is free.  Keep the `Lease`, not its value.

    Attributes:
      value: What is held.
    """

    def __init__(self, budget: Budget, value: T, drop: Callable[[], None] | None = None) -> None:
        self._budget, self._drop = budget, drop
        self._reservation: _Reservation | None = None
        self._holders = 1
        self.value = value

    def charge(self, reservation: _Reservation) -> None:
        """Give `reservation` back together with the share."""
        self._reservation = reservation

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
                if self._reservation is not None:
                    self._reservation.give_back()
