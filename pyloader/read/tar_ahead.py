"""Members of a tar archive that are looked for at several places at once, before it is known where one begins."""

from __future__ import annotations

import math
from collections.abc import Generator, Iterator

import numpy as np

from pyloader.part import InOrder
from pyloader.read.tar_runs import MemberRun, StretchAt, first_header, run_at

__all__ = ["RunsAhead"]

_PLACE_BYTES = 2**25
_FEW = 256  # members: where there are fewer one after another, files are large, and passed over faster than read


class RunsAhead:
    """Gives the run that begins where a member is known to begin, if it was found.

    A place may begin inside of a file, and that file may be an archive itself.  So what was found counts from where the
    chain of headers, from the archive's first one on, comes to a member that was found.

    Args:
      stretch_at: Gives many bytes of the archive; several threads may call it.
      stop: Where the archive ends.
      in_order: Looks at places of it.
    """

    def __init__(self, stretch_at: StretchAt, stop: int, in_order: InOrder) -> None:
        self._stretch_at, self._stop = stretch_at, stop
        self._found: Iterator[tuple[float, list[MemberRun]]] = in_order(self._look, range(0, stop, _PLACE_BYTES))
        self._end: float = 0  # of the place that was asked for last
        self._runs: list[MemberRun] = []

    def close(self) -> None:
        """Look at no more places."""
        if isinstance(self._found, Generator):
            self._found.close()

    def run_at(self, position: int) -> MemberRun | None:
        """Return the members from `position` on, where one begins that was found; positions only grow."""
        while self._end <= position:
            self._end, self._runs = next(self._found, (math.inf, []))
        for run in self._runs:
            at = int(np.searchsorted(run.begins, position))
            if at < len(run.begins):
                return run.since(at) if run.begins[at] == position else None
        return None

    def _look(self, start: int) -> tuple[float, list[MemberRun]]:
        """Return where a place ends, and the runs in it; the last member of a run may end behind it."""
        end = min(self._stop, start + _PLACE_BYTES)
        position, runs = first_header(self._stretch_at, start, end), list[MemberRun]()
        while position is not None and position < end:
            run = run_at(self._stretch_at, position, self._stop, until=end)
            if run is None:
                break
            runs.append(run)
            position = run.stop if len(run.begins) >= _FEW else None
        return end, runs
