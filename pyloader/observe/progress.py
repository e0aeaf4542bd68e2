"""A progress bar over the steps of an epoch."""

from __future__ import annotations

from typing import Any

from pyloader.machine.bars import LogLines, progress_bar
from pyloader.observe.counters import Counters

__all__ = ["ProgressBar"]


class ProgressBar:
    """One bar an epoch, on stderr; a line a minute where that is neither a terminal nor in a notebook.

    Args:
      steps_per_epoch: How many batches an epoch has; None when that is unknown.
    """

    def __init__(self, steps_per_epoch: int | None) -> None:
        self._steps_per_epoch = steps_per_epoch
        self._bar: Any = None
        self._epoch = -1
        self._latest_line: float | None = None

    def step(self, epoch: int, step: int, counters: Counters) -> None:
        """Show that the batch before `step` of an epoch has been delivered."""
        if self._bar is None or epoch != self._epoch:
            self.close()
            self._epoch = epoch
            self._bar = progress_bar(
                f"epoch {epoch}",
                total=self._steps_per_epoch,
                unit=" batches",
                initial=step - 1,
                since=self._latest_line,
            )
        self._bar.set_postfix_str(f"waiting {counters.waiting_share():.0%}", refresh=False)
        self._bar.update()

    def close(self) -> None:
        """Leave the bar as it stands."""
        if self._bar is not None:
            self._latest_line = self._bar.latest if isinstance(self._bar, LogLines) else None
            self._bar.close()
            self._bar = None
