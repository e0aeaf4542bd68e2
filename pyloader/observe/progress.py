"""A progress bar over the steps of an epoch."""

from __future__ import annotations

import tqdm

from pyloader.observe.stats import Counters

__all__ = ["ProgressBar"]


class ProgressBar:
    """One bar an epoch, on stderr, and only on a terminal.

    Args:
      steps_per_epoch: How many batches an epoch has; None when that is unknown.
    """

    def __init__(self, steps_per_epoch: int | None) -> None:
        self._steps_per_epoch = steps_per_epoch
        self._bar: tqdm.tqdm | None = None
        self._epoch = -1

    def step(self, epoch: int, step: int, counters: Counters) -> None:
        """Show that the batch before `step` of an epoch has been delivered."""
        if self._bar is None or epoch != self._epoch:
            self.close()
            self._epoch = epoch
            self._bar = tqdm.tqdm(
                desc=f"epoch {epoch}",
                total=self._steps_per_epoch,
                initial=step - 1,
                unit=" batches",
                disable=None,
            )
        self._bar.update()
        self._bar.set_postfix_str(f"waiting {counters.waiting_share():.0%}", refresh=False)

    def close(self) -> None:
        """Leave the bar as it stands."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None
