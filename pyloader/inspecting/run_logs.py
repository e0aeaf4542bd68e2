"""Run logs: what `log_dir` holds, read while it is written, and what went on lately."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from pyloader.errors import FileError

__all__ = ["RankLog", "log_files", "read_logs"]

_TAIL_BYTES = 2**17  # of a file's end: some minutes of lines
_LATELY = 10.0  # seconds: rates are those of about as long


@dataclass(frozen=True, slots=True)
class RankLog:
    """The end of one rank's log.

    Attributes:
      path: The file.
      about: What its latest run said when it began, with the threads that it has now; {} where that is too far back.
      time: When the latest line was written, in seconds since 1970.
      metrics: The numbers of that line; {} where the run has only begun.
      before: Those of a line about ten seconds earlier, of the same run, or of its first.
      seconds: How long before.
      verdict: What the loop waited for, in words.
    """

    path: Path
    about: dict[str, Any]
    time: float
    metrics: dict[str, float]
    before: dict[str, float]
    seconds: float
    verdict: str

    def lately(self, name: str) -> float:
        """Return how fast a number grew lately, a second; of a single line, since the loader's first request."""
        if self.seconds > 0:
            return (self.metrics.get(name, 0.0) - self.before.get(name, 0.0)) / self.seconds
        return self.metrics.get(name, 0.0) / (self.metrics.get("loop_seconds", 0.0) or 1.0)


def read_logs(directory: Path) -> list[RankLog]:
    """Return the ends of the logs of all ranks, in the order of the ranks.

    Raises:
      FileError: there is no log.
      OSError: a log cannot be read.
    """
    logs = [log for path in log_files(directory) if (log := _read(path)) is not None]
    if not logs:
        raise _no_logs(directory)
    return logs


def log_files(directory: Path) -> list[Path]:
    """Return the logs in a directory, in the order of the ranks.

    Raises:
      FileError: there is none.
    """
    if not (found := sorted(directory.glob("rank-*.jsonl"))):
        raise _no_logs(directory)
    return found


def _no_logs(directory: Path) -> FileError:
    return FileError(str(directory), "holds no logs of a run.", "Have them written: DataLoader(..., log_dir='run1')")


def _read(path: Path) -> RankLog | None:
    about: dict[str, Any] = {}
    lines: list[tuple[float, dict[str, float], str]] = []
    latest: float | None = None
    for line in _lines_at_end(path):
        time = line.pop("time", None)
        if not isinstance(time, int | float):
            continue
        latest = float(time)
        if isinstance(found := line.pop("about", None), dict):
            about, lines = found, []  # another run begins
            continue
        if isinstance(threads := line.get("threads"), dict):  # others than when the run began
            about["threads"] = threads
        verdict = line.pop("verdict", "")
        numbers = {name: value for name, value in line.items() if isinstance(value, int | float)}
        lines.append((latest, numbers, str(verdict)))
    if latest is None:
        return None
    if not lines:
        return RankLog(path, about, latest, {}, {}, 0.0, "")
    time, metrics, verdict = lines[-1]
    then, before, _ = next((line for line in reversed(lines[:-1]) if time - line[0] >= _LATELY), lines[0])
    return RankLog(path, about, time, metrics, before, time - then, verdict)


def _lines_at_end(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the objects in the last lines of a file; what is cut, or no object, is left out."""
    with open(path, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        if size > _TAIL_BYTES:
            yield from _objects(file.readline(_TAIL_BYTES))  # the first, which says what the run is
            file.seek(size - _TAIL_BYTES)
            file.readline()
        yield from _objects(file.read(_TAIL_BYTES))


def _objects(block: bytes) -> Iterator[dict[str, Any]]:
    for line in block.splitlines():
        try:
            found = msgspec.json.decode(line)
        except (msgspec.DecodeError, RecursionError):
            continue
        if isinstance(found, dict):
            yield found
