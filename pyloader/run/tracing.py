"""A loader that writes a trace of some of its steps."""

from __future__ import annotations

import os
from typing import Any

from pyloader.observe import Counters, Tracer

__all__ = ["Traced"]


class Traced:
    """What `trace()` needs of a loader, and of an adapter."""

    def trace(self, path: str | os.PathLike[str], *, steps: range) -> None:
        """Write a trace of some steps: what every thread did then, and what the loop waited for.

        Perfetto (ui.perfetto.dev) and chrome://tracing open the file.  It is written when the last of the steps has
        been delivered, and where a run ends before; steps that have not come when the loader is closed are a warning in
        the log.  A running torch.profiler shows the calls of the threads that it
        records, as "pyloader read" and "pyloader batch".  Before and after these steps nothing is slower.

        Args:
          path: The file.
          steps: Which batches, counted from 0 over all epochs: that of `steps_done` is the next.

        Raises:
          TypeError: `steps` is no range.
          ValueError: it is empty, leaves some out, or is over.
          OSError: the file cannot be written.
        """
        if not isinstance(steps, range):
            raise TypeError(f"steps must be a range, such as range(100, 120), got {steps!r}")
        delivered = self._delivered()
        if not steps or steps.step != 1 or steps.start < 0:
            raise ValueError(
                f"steps must be some whole steps one after another, such as range(100, 120), got {steps!r}"
            )
        if steps.stop <= delivered.steps_done:
            next_steps = range(delivered.steps_done, delivered.steps_done + len(steps))
            raise ValueError(f"steps={steps!r} are over: {delivered.steps_done:,} are done. Write steps={next_steps!r}")
        with open(path, "w") as file:  # now, not after the last step
            file.write('{"traceEvents": []}')
        before = delivered.steps_done - delivered.num_steps
        self._counters_of_loader().trace(Tracer(path, steps, before=before))

    def _delivered(self) -> Any:
        raise NotImplementedError

    def _counters_of_loader(self) -> Counters:
        raise NotImplementedError
