"""ByteBudget: the bound on bytes.  Memory is reserved before it is taken, at an estimate, and corrected when measured.

Chunks are admitted in the order of their reads, groups of batches in the order of the loop.  What the loop does not
need yet waits for room.  No thread waits for ever:

* A group that has been admitted needs nothing more: it is made, waits, and is freed when the loop has taken it.  So
  while there are groups, every call of `next` frees memory sooner or later, and waiting is right.
* Without any group, the loop has taken all groups before, and waits for the next one, or has stopped asking.  Then the
  next group is admitted at once, and so is the chunk that is needed to cut it, whatever has been read ahead.
* If that does not fit, waiting would not help: all other memory is held by chunks whose rows are still to be delivered.
  That is an error, with the arithmetic.

A size that was estimated may turn out larger.  Then the budget is above its bound until enough memory is freed, and
nothing is admitted ahead of need; when nothing is left that could be freed, it is the same error.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from pyloader.deliver.lifecycle import Guarded
from pyloader.errors import MemoryBoundError
from pyloader.machine.memory import unused_bytes
from pyloader.options import format_bytes

__all__ = ["ByteBudget", "Reservation", "Size"]

# The least and the most bytes that something may take; the most is infinite where nothing is known yet.
Size: TypeAlias = "tuple[float, float]"


@dataclass(slots=True)
class Reservation:
    """The place of one chunk or group of batches in a byte budget."""

    is_group: bool  # which of the two
    number: int  # it came in as the number-th of all, from 1
    amount: int  # its bytes: an estimate until they are measured
    measured: int = 0  # the same, 0 until then


class ByteBudget(Guarded):
    """How many bytes of columns are resident, and at most may be.

    Args:
      limit: The bound, in bytes.
      hint: What to do when it is too small.

    Attributes:
      changed: Guards every field, and those of the reservations.
      taken: Bytes entered now: measured, or reserved for what is being read or made.
      peak: The most bytes that have been measured at once.
    """

    def __init__(self, limit: int, *, hint: str) -> None:
        super().__init__()
        self.taken = self.peak = 0
        self._limit, self._hint = limit, hint
        self._measured = self._aside = 0
        self._ahead = 0  # chunks admitted, less those that the loop needed: below 0 while it waits for one
        self._num_chunks = self._num_groups = 0  # how many there are now
        self._num_entered = 0  # chunks and groups, since the start

    def ask_for_chunk(self) -> None:
        """Note that the loop needs the next chunk now."""
        with self.changed:
            self._ahead -= 1
            self.changed.notify_all()

    def reserve_chunk(self, size: Callable[[], Size], beside: Callable[[], float]) -> Reservation:
        """Reserve memory for the next chunk, before it is read; wait until there is room or the loop needs the chunk.

        Args:
          size: Returns what the chunk may take; called again whenever something has changed.
          beside: Returns how many bytes a chunk that is not needed yet must leave free.

        Raises:
          StepsClosed: closed, before or meanwhile.
          MemoryBoundError: it does not fit, and nothing could be freed.
        """

        def may_enter() -> bool:
            is_needed = self._ahead < 0
            most = size()[1] + (0 if is_needed else beside())
            return most <= self._limit - self.taken or (is_needed and not self._num_groups)

        with self.changed:
            self._wait_until(may_enter)
            self._ahead += 1
            return self._entered(size(), is_group=False)

    def reserve_group(self, size: Callable[[], Size]) -> Reservation:
        """Reserve memory for the next group, before it is gathered; wait until there is room or the loop needs it.

        Raises:
          StepsClosed: closed, before or meanwhile.
          MemoryBoundError: it does not fit, and nothing could be freed.
        """
        with self.changed:
            self._wait_until(lambda: size()[1] <= self._limit - self.taken or not self._num_groups)
            return self._entered(size(), is_group=True)

    def correct(self, reservation: Reservation, num_bytes: int) -> None:
        """Replace the estimate by the measured size.

        Raises:
          MemoryBoundError: that is too much, and nothing could be freed.
        """
        with self.changed:
            self.taken += num_bytes - reservation.amount
            reservation.amount = reservation.measured = num_bytes
            self._count(num_bytes)
            if self.taken > self._limit and not self._may_fall(reservation):
                self.taken -= num_bytes
                raise self._error(num_bytes, reservation.is_group, self._num_chunks - (not reservation.is_group))

    def give_back(self, reservation: Reservation) -> None:
        """Free what a chunk or group has reserved."""
        with self.changed:
            self.taken -= reservation.amount
            self._num_groups -= reservation.is_group
            self._num_chunks -= not reservation.is_group
            self._count(-reservation.measured)

    def set_aside(self, num_bytes: int) -> None:
        """Count so many bytes as always resident, beside chunks and groups."""
        with self.changed:
            more, self._aside = num_bytes - self._aside, num_bytes
            self.taken += more
            self._count(more)

    def activity(self) -> list[str]:
        """Return how much is taken."""
        return [f"bytes: {format_bytes(self.taken)} of {format_bytes(self._limit)} taken"]

    def _entered(self, size: Size, *, is_group: bool) -> Reservation:
        least, most = size
        room = self._limit - self.taken
        # A chunk that does not fit is admitted only when nothing else could be freed.
        if least > room and not (is_group and self._ahead > 0):
            raise self._error(math.ceil(least), is_group, self._num_chunks)
        amount = math.ceil(max(least, min(most, room)))
        self.taken += amount
        if self.taken + unused_bytes() > self._limit:
            unused_bytes(forget=True)  # memory kept to be used again counts as well
        self._num_entered += 1
        self._num_groups += is_group
        self._num_chunks += not is_group
        return Reservation(is_group, self._num_entered, amount)

    def _may_fall(self, reservation: Reservation) -> bool:
        """Tell whether `taken` may still fall below the bound, now that `reservation` has been corrected.

        It may when there is

        * another group: it is freed when the loop has taken it;
        * a chunk or group that was admitted later: it is corrected too, and the error is raised there;
        * a chunk ahead of need: before the loop needs it, the loop has batches to take, whose rows are freed.

        Otherwise the loop waits for `reservation`, and all other memory is held by chunks with rows still to come.
        """
        num_other_groups = self._num_groups - reservation.is_group
        return num_other_groups > 0 or self._num_entered > reservation.number or self._ahead > 0

    def _count(self, num_bytes: int) -> None:
        self._measured += num_bytes
        self.peak = max(self.peak, self._measured)
        self.changed.notify_all()

    def _error(self, num_bytes: int, is_group: bool, num_chunks: int) -> MemoryBoundError:
        others = self.taken - self._aside
        what = f"{num_chunks} chunks with rows still to come take {others:,} bytes, rows left over between batches "
        what += f"{self._aside:,}, and {'rows being handed out' if is_group else 'the next chunk'} {num_bytes:,}"
        what = f"max_bytes={self._limit:,} cannot hold what must be resident at once: {what}"
        return MemoryBoundError(f"{what}: together {self.taken + num_bytes:,}.", self._hint)
