"""Tracing: what every thread did during some steps, as a trace that Perfetto and chrome://tracing open.

Nothing is measured outside of those steps: the functions of a run's steps are wrapped when they begin, and unwrapped
when they end, so that a run without a trace has no code for it.

The format: Trace Event Format (Google), its JSON objects.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import time
import weakref
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar

from pyloader.deliver import own_thread
from pyloader.files.atomic import written_whole

__all__ = ["AnySteps", "Counted", "Tracer"]

_log = logging.getLogger("pyloader")

In = TypeVar("In")
Out = TypeVar("Out")

_MOST_EVENTS = 500_000  # 100 MB of JSON
_LOOP = 2**22 + 1  # the number of its track: that of no thread on Linux; 0 is the idle thread to Perfetto
_LEAST_SECONDS = 1e-6  # shorter waits are none


class AnySteps(Protocol):
    """A run's steps, whose functions can be wrapped."""

    def trace(self, wrap: Any) -> None: ...
    def process_of_thread(self) -> int | None: ...


class Counted(Protocol):
    """What a loader counts."""

    num_steps: int
    wait_seconds: float
    stages: tuple[str, ...]

    @property
    def steps(self) -> Callable[[], AnySteps | None]: ...


class Tracer:
    """Writes down what happens between two of a loop's batches, and what the loop waits for.

    Args:
      path: The file that is written at the end.
      steps: Which steps, counted over all epochs.
      before: How many of the batches before a step were delivered before the loader was made.

    Attributes:
      path: The argument.
      steps: The argument.
      first: After how many batches of this loader it begins.
      last: After how many it ends.
      warn: Says in the log, once, which of the steps have not come; nothing when all have.
    """

    def __init__(self, path: str | os.PathLike[str], steps: range, *, before: int) -> None:
        self.path, self.steps = Path(path), steps
        self.first, self.last = steps.start - before, steps.stop - before
        self._before = before
        self._clock = time.time_ns() - time.perf_counter_ns()  # on the wall, as torch.profiler has it
        self._latest: tuple[float, float] | None = None  # when the latest batch came, and how long was waited by then
        self._events: list[dict[str, Any]] = []
        self._threads: dict[tuple[int, int], str] = {}
        self._num_left_out = 0
        self._counted: Counted | None = None  # there while functions are wrapped
        self._progress = _Progress(self.path, steps)
        # By the loader's `close`, or when it is gone: until then another run may bring these steps.
        self.warn = weakref.finalize(self, self._progress.warn)

    def begin_run(self, counted: Counted) -> None:
        """Trace a run from its first read on, where it is time for that."""
        if self.first <= counted.num_steps < self.last:
            self._begin(counted)

    def delivered(self, counted: Counted) -> None:
        """Note that the loop has got a batch: called after each from the `first` on."""
        now, latest = time.perf_counter(), self._latest
        self._latest = now, counted.wait_seconds
        if latest is None:
            self._begin(counted)
            return
        came, waited = latest
        seconds = counted.wait_seconds - waited
        step, asked = counted.num_steps - 1 + self._before, now - seconds
        if step <= self.steps[-1]:
            self._progress.num_came += 1
            self._add("loop", came, asked, {"after_step": step - 1})
            if seconds > _LEAST_SECONDS:
                self._add("wait", asked, now, {"for_step": step})
        if counted.num_steps == self.last:
            self.end(counted)

    def end(self, counted: Counted) -> None:
        """Write the file with what there is so far; after its last step trace no more."""
        self._progress.num_done = counted.num_steps + self._before
        if counted.num_steps >= self.last:
            self.warn.detach()
            self._counted = None
            if (run := counted.steps()) is not None:
                run.trace(None)
        if not self._events:
            return
        threads = dict(self._threads)  # calls that have begun may still end, in other threads
        tracks = [_about("thread_name", *track, name) for track, name in threads.items()]
        for process in sorted({process for process, _ in threads}):
            name = "pyloader" if process == os.getpid() else f"pyloader worker {process}"
            tracks.append(_about("process_name", process, process, name))
        trace: dict[str, Any] = {"traceEvents": [*tracks, *self._events], "displayTimeUnit": "ms"}
        if self._num_left_out:
            trace["otherData"] = {"events_left_out": self._num_left_out}
        with written_whole(self.path, synced=False) as place:
            place.write_text(json.dumps(trace))

    def wrap(self, name: str, describe: Callable[[In], str], fn: Callable[[In], Out]) -> Callable[[In], Out]:
        """Return a step's function, with each of its calls written down."""

        def traced(item: In) -> Out:
            what = describe(item)
            begun = time.perf_counter()
            try:
                with _recorded(f"pyloader {name}"):
                    result = fn(item)
            except BaseException as exc:
                self._add(name, begun, time.perf_counter(), {"what": what, "error": type(exc).__name__})
                raise
            ended = time.perf_counter()
            self._add(name, begun, ended, {"what": what, **_sizes(result)})
            self._add_stages(name, begun, ended, result, what)
            return result

        return traced

    def _begin(self, counted: Counted) -> None:
        self._latest = time.perf_counter(), counted.wait_seconds
        self._counted = counted
        if (run := counted.steps()) is not None:
            run.trace(self.wrap)

    def _add_stages(self, name: str, begun: float, ended: float, result: Any, what: str) -> None:
        """Write down the stages of a group, one after another, and what was done in a worker process."""
        counted = self._counted
        run = None if counted is None else counted.steps()
        process = None if run is None else run.process_of_thread()
        parts = () if counted is None else getattr(result, "seconds", ())
        for number, (stage, part) in enumerate(zip(() if counted is None else counted.stages, parts, strict=False)):
            end = min(begun + part, ended)
            if part:
                # What is gathered is gathered here; a process encodes and collates.
                self._add(stage, begun, end, {"what": what}, process=process if number else None)
            begun = end
        if process is not None and name == "read":
            self._add("read_file", begun, ended, {"what": what}, process=process)

    def _add(self, name: str, begun: float, ended: float, args: dict[str, Any], process: int | None = None) -> None:
        if len(self._events) >= _MOST_EVENTS:
            self._num_left_out += 1
            return
        number, thread = own_thread()
        track = (os.getpid(), number) if process is None else (process, process)
        if name in ("loop", "wait"):  # on a track of its own: without threads all else happens inside of the waits
            track, thread = (os.getpid(), _LOOP), "the loop"
        self._threads.setdefault(track, thread if process is None else "worker")
        # Whole microseconds: of a float, the viewer would find spans that begin before the one before them ends.
        start, end = ((self._clock + round(seconds * 1e9)) // 1000 for seconds in (begun, ended))
        event = {"name": name, "ph": "X", "ts": start, "dur": end - start, "pid": track[0], "tid": track[1]}
        self._events.append({**event, "cat": "pyloader", "args": args})


@dataclass(slots=True)
class _Progress:
    """How far a trace is: apart from the tracer, so that the end of that can be told."""

    path: Path
    steps: range
    num_came: int = 0  # how many of the steps
    num_done: int | None = None  # how many batches before the loop's position when a run ended; None before

    def warn(self) -> None:
        """Say which steps have not come."""
        missing = self.steps[self.num_came :]
        have = f"has {self.num_came:,} of the {len(self.steps):,} steps of steps={self.steps!r}"
        ended, hint = "", "Let the loader run for longer, or trace earlier steps"
        if self.num_done is not None and self.num_done <= missing.start:
            ended = f": the loader was closed after {self.num_done:,}"
            latest = range(max(0, self.num_done - len(self.steps)), self.num_done)
            hint = f"Write steps={latest!r}, or let it run for longer" if latest else hint
        _log.warning("the trace %s %s%s. %s", self.path, have, ended, hint)


def _about(kind: str, process: int, thread: int, name: str) -> dict[str, Any]:
    return {"name": kind, "ph": "M", "ts": 0, "pid": process, "tid": thread, "args": {"name": name}}


def _sizes(result: Any) -> dict[str, Any]:
    sizes = getattr(result, "sizes", None)
    return {} if sizes is None else {"batches": len(sizes), "rows": sum(sizes)}


def _recorded(name: str) -> Any:
    """Return what shows a call in a running torch.profiler, where torch has been imported."""
    profiler = sys.modules.get("torch.autograd.profiler")
    return nullcontext() if profiler is None else profiler.record_function(name)
