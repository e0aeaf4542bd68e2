"""The log of a run: what each rank counts, as lines of JSON in a directory that all ranks share."""

from __future__ import annotations

import json
import os
import socket
import time
from collections.abc import Mapping
from typing import Any

from pyloader.errors import WriteError

__all__ = ["RunLog"]


class RunLog:
    """One rank's file in a directory, `rank-00000.jsonl`; a run that resumes goes on in it.

    All lines have "time", seconds since 1970.  A line that begins a run has "about"; the others have "verdict", the
    numbers of `metrics()`, and what the loader notes beside them (`pyloader.run.run_notes`).

    Args:
      directory: Made where there is none.
      rank: Whose file it is.
      about: What does not change: it is in the first line.

    Raises:
      WriteError: nothing can be written there.
    """

    def __init__(self, directory: str | os.PathLike[str], *, rank: int, about: Mapping[str, Any]) -> None:
        self.path = os.path.join(directory, f"rank-{rank:05d}.jsonl")
        where = {"host": socket.gethostname(), "pid": os.getpid()}
        try:
            os.makedirs(directory, exist_ok=True)
            self._write({"time": time.time(), "about": {**where, **about}})
        except OSError as exc:
            what = f"cannot be written: {exc.strerror or exc}."
            raise WriteError(self.path, what, "Give log_dir a directory that this process may write in") from exc

    def note(self, found: Mapping[str, Any]) -> None:
        """Write what has been counted, numbers with six digits.

        Raises:
          OSError: it cannot be written.
        """
        short = {name: float(f"{value:.6g}") if isinstance(value, float) else value for name, value in found.items()}
        self._write({"time": round(time.time(), 3), **short})

    def _write(self, line: Mapping[str, Any]) -> None:
        # Opened for each line, of which there is one a second: nobody has to close it.
        with open(self.path, "a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
