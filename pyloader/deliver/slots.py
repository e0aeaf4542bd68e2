"""Slots: the bound on how much is resident, taken before it comes to be, given back when it is gone."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Generic, Protocol, TypeVar

__all__ = ["Held", "Slots", "SlotsClosed"]

T = TypeVar("T")


class SlotsClosed(Exception):
    """Nobody will give anything back any more: the run is being closed."""


class _Claim(Protocol):
    def give_back(self) -> None: ...


class Slots:
    """A bounded amount that several threads take from.

    Something larger than the limit is let through when nothing else is taken, so that one huge chunk slows a run but
    cannot block it for ever.

    Args:
      limit: How much may be taken at once.
      blocking: Whether `take` waits for room.  Without threads nobody could make any.

    Attributes:
      changed: Guards every field, of the slots and of what is held in them.
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
          SlotsClosed: closed, before or meanwhile.
        """
        with self.changed:
            if self._blocking:
                self.changed.wait_for(lambda: self._closed or self._has_room(amount))
            if self._closed:
                raise SlotsClosed
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

    def hold(self, value: T, *, drop: Callable[[], None] | None = None) -> Held[T]:
        """Return the holder of a slot that has been taken, and of what fills it; `drop` is called once that is gone."""
        return Held(self, value, drop)

    def __str__(self) -> str:
        return f"{self.taken:g} of {self._limit:g} slots taken"

    def _has_room(self, amount: float) -> bool:
        # Amounts are sums of fractions; the tolerance is far below any of them.
        return self.taken + amount <= self._limit + 1e-6 or self.taken < 1e-6


class Held(Generic[T]):
    """What fills one slot, with several holders.  It begins with one.

    When the last has let go, the value is dropped first and the slot given back then: nobody can fill it before it is
    empty.  Keep the `Held`, not its value.

    Attributes:
      value: What fills the slot.
    """

    def __init__(self, slots: Slots, value: T, drop: Callable[[], None] | None = None) -> None:
        self._slots, self._drop = slots, drop
        self._claim: _Claim | None = None
        self._holders = 1
        self.value = value

    def charge(self, claim: _Claim) -> None:
        """Give `claim` back together with the slot."""
        self._claim = claim

    def hold(self) -> None:
        """Count one holder more."""
        with self._slots.changed:
            self._holders += 1

    def let_go(self) -> None:
        """Count one holder less."""
        with self._slots.changed:
            self._holders -= 1
            if self._holders == 0:
                del self.value
                if self._drop is not None:
                    self._drop()
                self._slots.give_back()
                if self._claim is not None:
                    self._claim.give_back()
