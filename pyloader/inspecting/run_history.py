"""Run histories: all that `log_dir` holds of a run, thinned while it is read, whatever its length."""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeGuard

import msgspec

from pyloader.inspecting.run_logs import log_files
from pyloader.observe import METRICS

__all__ = ["History", "Point", "SlowStep", "is_number", "read_histories"]

MOST_POINTS = 400  # of each rank; twice as many while it is read
_LINE_BYTES = 2**16
_SLOWEST = 20
_LEFT_OUT = 200
_TEXT_LENGTH = 400
_NAMES = 16
_LARGEST = 1e300


@dataclass(frozen=True, slots=True)
class Point:
    """What a line says.

    Attributes:
      seconds: The running time until then; the time between two runs is not in it.
      metrics: The numbers; those that grow go on over all runs.
      chunks: The indices of the chunks that the latest batch was mixed of.
    """

    seconds: float
    metrics: dict[str, float]
    chunks: tuple[int, ...]


@dataclass(frozen=True, slots=True, order=True)
class SlowStep:
    """A step that the loop waited long for.

    Attributes:
      wait_seconds: How long.
      step: Counted from 0 over all epochs.
      seconds: The running time when it was written down.
      files: The chunks that it was mixed of, the latest to arrive last.
    """

    wait_seconds: float
    step: int
    seconds: float
    files: tuple[str, ...]


@dataclass(slots=True, kw_only=True)
class History:
    """What one rank's log says.

    Attributes:
      path: The file.
      about: What the latest run said when it began.
      num_runs: How many runs there were.
      begun: When the first line was written, in seconds since 1970.
      time: When the latest was.
      points: In the order of time, at most about MOST_POINTS.
      slowest: The steps that were waited for longest, the longest first.
      left_out: What was left out, with the reasons.
      verdict: What the loop waited for, in words.
    """

    path: Path
    about: dict[str, Any] = field(default_factory=dict)
    num_runs: int = 0
    begun: float = 0.0
    time: float = 0.0
    points: list[Point] = field(default_factory=list)
    slowest: list[SlowStep] = field(default_factory=list)
    left_out: dict[str, str] = field(default_factory=dict)
    verdict: str = ""

    @property
    def rank(self) -> str:
        """Whose log it is."""
        return self.path.stem.removeprefix("rank-").lstrip("0") or "0"

    @property
    def metrics(self) -> dict[str, float]:
        """The latest numbers."""
        return self.points[-1].metrics if self.points else {}

    def threads(self, stage: str) -> int:
        """Return how many threads worked in a stage, 1 where that is unknown."""
        found = self.about.get("threads")
        number = found.get(stage) if isinstance(found, dict) else None
        return number if isinstance(number, int) and number > 0 else 1


def read_histories(directory: Path) -> list[History]:
    """Return the histories of all ranks, in the order of the ranks.

    Raises:
      FileError: there is no log.
      OSError: a log cannot be read.
    """
    return [_read(path) for path in log_files(directory)]


def _read(path: Path) -> History:
    found = History(path=path)
    before: dict[str, float] = {}  # what the runs before have counted
    current: dict[str, float] = {}  # what this run has counted
    paused, stride, number = 0.0, 1, 0
    latest: float | None = None
    last: Point | None = None
    for line in _lines(path):
        time = line.get("time")
        if not is_number(time):
            continue
        if latest is None:
            found.begun = latest = time
        if isinstance(about := line.get("about"), dict):
            found.about, found.num_runs = about, found.num_runs + 1
            before = {name: before.get(name, 0) + current.get(name, 0) for name in before.keys() | current.keys()}
            paused, latest, current = paused + max(0.0, time - latest), time, {}
            continue
        latest = found.time = time
        if isinstance(threads := line.get("threads"), dict):  # others than when the run began
            found.about["threads"] = threads
        numbers = {name: value for name, value in line.items() if is_number(value) and name != "time"}
        current = {name: value for name, value in numbers.items() if _grows(name)}
        numbers |= {name: value + before.get(name, 0) for name, value in current.items()}
        last = Point(max(0.0, time - found.begun - paused), numbers, _indices(line.get("chunks")))
        found.verdict = _text(line.get("verdict"))
        _note_slowest(found, line.get("slowest"), last.seconds)
        _note_left_out(found, line.get("left_out"))
        number += 1
        if number % stride == 0:
            found.points.append(last)
            if len(found.points) >= 2 * MOST_POINTS:
                found.points, stride = found.points[1::2], 2 * stride
    found.time = found.time or latest or 0.0
    if last is not None and (not found.points or found.points[-1] is not last):
        found.points.append(last)
    found.points = found.points[-1 :: -max(1, -(-len(found.points) // MOST_POINTS))][::-1]
    found.slowest.sort(reverse=True)
    return found


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the objects in a file's lines; what is cut, too long, or no object is left out."""
    with open(path, "rb") as file:
        whole = True
        while line := file.readline(_LINE_BYTES):
            begins, whole = whole, line.endswith(b"\n")
            if not (begins and whole):
                continue
            try:
                found = msgspec.json.decode(line)
            except (msgspec.DecodeError, RecursionError):
                continue
            if isinstance(found, dict):
                yield found


def _grows(name: str) -> bool:
    metric = METRICS.get(name.partition("/")[0])  # of a source of a mixture: "source_samples/web"
    return metric is not None and metric.grows


def _note_slowest(history: History, found: Any, seconds: float) -> None:
    if not isinstance(found, dict):
        return
    waited, step, files = found.get("wait_seconds"), found.get("step"), found.get("files")
    if is_number(waited) and isinstance(step, int) and isinstance(files, list):
        slow = SlowStep(float(waited), step, seconds, tuple(map(_text, files[-_NAMES:])))
        (heapq.heappush if len(history.slowest) < _SLOWEST else heapq.heappushpop)(history.slowest, slow)


def _note_left_out(history: History, found: Any) -> None:
    if isinstance(found, dict):
        for name, reason in found.items():
            if len(history.left_out) < _LEFT_OUT:
                history.left_out[_text(name)] = _text(reason)


def _indices(found: Any) -> tuple[int, ...]:
    known = found[:_NAMES] if isinstance(found, list) else ()
    return tuple(index for index in known if isinstance(index, int) and 0 <= index < 2**53)


def is_number(value: Any) -> TypeGuard[float]:
    """Tell whether something is a number that can be counted with."""
    return isinstance(value, int | float) and not isinstance(value, bool) and -_LARGEST < value < _LARGEST


def _text(value: Any) -> str:
    return value[:_TEXT_LENGTH] if isinstance(value, str) else ""
