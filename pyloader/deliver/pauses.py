"""Pauses: a wait that ends at once when the steps are closed."""

from __future__ import annotations

from pyloader.deliver.lifecycle import Guarded

__all__ = ["Pauses"]


class Pauses(Guarded):
    """Waits some seconds whenever it is called; closing ends the wait.  Several threads may wait at a time."""

    def __call__(self, seconds: float) -> bool:
        """Wait, and return False: not closed.

        Raises:
          StepsClosed: closed, before or meanwhile.
        """
        with self.changed:
            self._wait_until(lambda: False, seconds)
        return False
