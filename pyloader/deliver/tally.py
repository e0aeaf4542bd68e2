"""Tally: what a step counts of its own work.

Whose work holds the interpreter's lock (the GIL) shows when a result is ready.  Its thread goes on with the next item.
Where that leaves the lock to others (NumPy, decompression, input and output), the waiting caller has the result within
a small part of the time that it took.  Where it is Python, the caller has to ask for the lock a whole switch interval
long, or until the thread comes to rest.  So the caller counts as held up when it is late by more than half the time
that the result took: measured were 0.8 of it and more with Python, 0.2 and less without, for results of 0.1 to 10 ms.

The caller is late too when other programs have the processors.  Then the threads lack them as well, which tells.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["SAMPLED", "Tally"]

SAMPLED = 8  # of so many items one is looked at for its processor time, which costs 1 to 3 µs to ask for

_LATE = 0.5
_SHORTEST = 2e-4  # seconds; waking up alone may take as long as shorter results


@dataclass(slots=True)
class Tally:
    """What a step has done since this was last asked.

    Attributes:
      busy_seconds: How long its function ran, over all threads.
      sampled_seconds: How long it ran for every eighth item, in threads.
      processor_seconds: For how much of that they had a processor.
      num_waits: How often a result was waited for that took at least 0.2 ms.
      num_held_up: How often the caller was held up then.
    """

    busy_seconds: float = 0.0
    sampled_seconds: float = 0.0
    processor_seconds: float = 0.0
    num_waits: int = 0
    num_held_up: int = 0

    def waited(self, late_seconds: float, seconds: float) -> None:
        """Count that a result which took `seconds` was waited for, and came so late after it was ready."""
        if seconds >= _SHORTEST:
            self.num_waits += 1
            self.num_held_up += late_seconds > _LATE * seconds
