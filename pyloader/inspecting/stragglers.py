"""Stragglers: which ranks wait longer for their data than the others, and in which stage they work longer."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

__all__ = ["Straggler", "Work", "stage_seconds", "stragglers"]

_MORE_WAITING = 0.05  # of its time: what a rank may wait longer than the others
_TIMES_WAITING, _TIMES_WORK = 1.5, 1.25


@dataclass(frozen=True, slots=True)
class Work:
    """What a rank did in some time.

    Attributes:
      rank: Which.
      waiting: The share of its time that its loop waited for data.
      seconds: How long each stage worked for a sample, over all its threads.
    """

    rank: str
    waiting: float
    seconds: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Straggler:
    """A rank that the others wait for.

    Attributes:
      rank: Which.
      stage: Where it works longer than the others; "" where in none.
      why: The numbers, in words.
    """

    rank: str
    stage: str
    why: str


def stage_seconds(busy: Mapping[str, float], num_samples: float) -> dict[str, float]:
    """Return how long each stage worked for a sample, of metrics such as "busy_read_seconds"."""
    stages = {name[len("busy_") : -len("_seconds")]: value for name, value in busy.items() if name.startswith("busy_")}
    return {stage: seconds / num_samples for stage, seconds in stages.items()} if num_samples > 0 else {}


def stragglers(ranks: Sequence[Work]) -> list[Straggler]:
    """Return the ranks that wait clearly longer than the others, those that wait most first."""
    found = []
    for one in sorted(ranks, key=lambda work: -work.waiting):
        others = [work for work in ranks if work is not one]
        if not others:
            break
        usual = statistics.median(work.waiting for work in others)
        if one.waiting < usual + _MORE_WAITING or one.waiting < _TIMES_WAITING * usual:
            continue
        stage, times = _longer_stage(one, others)
        waits = f"waits {one.waiting:.0%} of its time, the others {usual:.0%}"
        if stage:
            found.append(Straggler(one.rank, stage, f"{waits}: {stage} takes {times:.1f} times as long a sample"))
        else:
            found.append(Straggler(one.rank, "", f"{waits}; no stage takes longer" if one.seconds else waits))
    return found


def _longer_stage(one: Work, others: Sequence[Work]) -> tuple[str, float]:
    """Return the stage that costs a rank most beyond the others, and how many times as long it takes."""
    more: dict[str, tuple[float, float]] = {}
    for stage, seconds in one.seconds.items():
        usual = statistics.median(work.seconds.get(stage, 0.0) for work in others)
        if usual > 0 and seconds > _TIMES_WORK * usual:
            more[stage] = seconds - usual, seconds / usual
    if not more:
        return "", 1.0
    stage = max(more, key=lambda name: more[name])
    return stage, more[stage][1]
