"""Tuning: which threads and processes make a loader fastest, by trying, in a time that is given.

Only options are tried that change no batch.  What the loop waits for says what is tried next; at the end the best ones
are measured again, in turns, each time without the slowest.  What else runs on a machine comes and goes: rates of the
same turn are compared.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

__all__ = ["Setting", "Trial", "tune"]

_BETTER = 1.03  # times; less may be chance
_SHARE = 1 / 20  # of the time for one measurement
_FINAL_SHARE = 0.4  # of the time for measuring the best again
_NUM_FINAL = 5
_MOST_READERS = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """Options that change no batch; those of DataLoader."""

    num_workers: int = 1
    num_readers: int = 1
    worker_kind: str = "thread"
    max_queue_size: int = 10

    def options(self) -> dict[str, Any]:
        """Return them by name."""
        return {name: getattr(self, name) for name in Setting.__dataclass_fields__}

    @property
    def cost(self) -> tuple[bool, int, int]:
        """What is less where two are as fast: processes, threads, chunks in memory."""
        return self.worker_kind == "process", self.num_workers + self.num_readers, self.max_queue_size


@dataclass(frozen=True, slots=True)
class Trial:
    """What was measured of a setting.

    Attributes:
      setting: The options.
      rates: Samples a second, of each measurement; none where it failed.  Of those in turns as they would have been
        at the average speed of the machine meanwhile.
      bound_by: The stage that the loop waited for; "" where it hardly waited.
      error: Why it cannot be; "" where it can.
    """

    setting: Setting
    rates: tuple[float, ...] = ()
    bound_by: str = ""
    error: str = ""

    @property
    def rate(self) -> float:
        """The median of the rates; 0 where it failed."""
        ordered = sorted(self.rates)
        return (ordered[len(ordered) // 2] + ordered[(len(ordered) - 1) // 2]) / 2 if ordered else 0.0


def tune(
    start: Setting,
    measure: Callable[[Setting, float], Trial],
    *,
    seconds: float,
    processors: int,
    most_queue: int,
    enough: float = float("inf"),
    clock: Callable[[], float] = time.perf_counter,
) -> list[Trial]:
    """Return what was tried: the best first, then what was measured in turns, then the others; faster ones first.

    Args:
      start: Where to begin.
      measure: Measures a setting for so many seconds.
      seconds: How long all of it may take; what has begun is ended.
      processors: How many there are.
      most_queue: The largest max_queue_size to try.
      enough: Samples a second that are as good as more.
      clock: Tells the time, in seconds.
    """
    begun, each = clock(), seconds * _SHARE

    def left() -> float:
        return seconds - (clock() - begun)

    best = measure(start, each)
    tried = {start: best}
    corners = _corners(start, processors)
    while left() > seconds * _FINAL_SHARE and best.rate < enough:
        choices = (
            setting for setting in (*corners, *_neighbours(best, processors, most_queue)) if setting not in tried
        )
        if (setting := next(choices, None)) is None:
            break
        trial = tried[setting] = measure(setting, each)
        if trial.rate > best.rate * _BETTER:
            best = trial
    ranked = sorted(tried.values(), key=lambda trial: (-trial.rate, trial.setting.cost))
    finals = [trial.setting for trial in ranked[:_NUM_FINAL] if trial.rate > best.rate / 2]
    again = _in_turns(finals, lambda setting: measure(setting, each), lambda turn: left() > each * turn)
    tried |= {setting: replace(tried[setting], rates=rates) for setting, rates in again.items()}
    # One measurement alone may have been lucky: who was measured in turns comes first.
    ranked = sorted(tried.values(), key=lambda trial: (trial.setting not in again, -trial.rate))
    as_good, compared = min(enough, ranked[0].rate / _BETTER), ranked[: len(again) or None]
    chosen = min((trial for trial in compared if trial.rate >= as_good), key=lambda trial: trial.setting.cost)
    return [chosen, *(trial for trial in ranked if trial is not chosen)]


def _in_turns(
    settings: list[Setting], measure: Callable[[Setting], Trial], has_time: Callable[[int], bool]
) -> dict[Setting, tuple[float, ...]]:
    """Measure settings turn by turn, each time without the slowest until two are left; return the rates of each.

    A turn's rates are scaled by how fast one was in it that was measured in all turns.
    """
    rates: dict[Setting, list[float]] = {setting: [] for setting in settings}
    left = list(settings)
    while len(left) > 1 and has_time(len(left)):
        for setting in left:
            rates[setting].append(measure(setting).rate)
        if len(left) > 2:
            left.remove(min(left, key=lambda setting: sum(rates[setting])))
    if not left or not rates[left[0]]:
        return {}
    speeds = rates[left[0]]
    usual = sum(speeds) / len(speeds)
    return {
        setting: tuple(rate * usual / (speed or usual) for rate, speed in zip(own, speeds, strict=False))
        for setting, own in rates.items()
    }


def _corners(start: Setting, processors: int) -> list[Setting]:
    """Return settings far apart: one step alone may help nothing where two together help much."""
    all_threads = replace(start, num_workers=processors, num_readers=processors, worker_kind="thread")
    more_workers = replace(start, num_workers=max(1, 2 * start.num_workers), num_readers=max(1, start.num_readers))
    return [all_threads, replace(all_threads, worker_kind="process"), more_workers]


def _neighbours(trial: Trial, processors: int, most_queue: int) -> Iterator[Setting]:
    """Yield what may be faster; first what helps the stage that the loop waits for."""
    now = trial.setting
    least = max(1, now.num_readers)
    readers, workers = min(2 * least, _MOST_READERS), min(max(1, 2 * now.num_workers), 2 * processors)
    more_readers, more_workers = replace(now, num_readers=readers), replace(now, num_workers=workers, num_readers=least)
    yield from (more_readers, more_workers) if trial.bound_by == "read" else (more_workers, more_readers)
    yield replace(more_readers, num_workers=workers)
    yield replace(now, num_workers=max(1, now.num_workers // 2), num_readers=least)
    yield replace(now, num_readers=max(1, now.num_readers // 2))
    yield from (replace(now, num_workers=0, num_readers=number, worker_kind="thread") for number in (0, least))
    if now.num_workers:
        yield replace(now, worker_kind="thread" if now.worker_kind == "process" else "process")
    yield replace(now, max_queue_size=min(2 * now.max_queue_size, most_queue))
