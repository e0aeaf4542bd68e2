"""Run reports: what the logs of a run come to, as numbers and sentences; pages and JSON are made of them."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec

from pyloader.inspecting.run_history import History, is_number, read_histories
from pyloader.inspecting.stragglers import Straggler, Work, stage_seconds, stragglers
from pyloader.observe import METRICS

__all__ = ["QUIET_SECONDS", "RankReport", "Rates", "RunReport", "rates_of", "run_report"]

QUIET_SECONDS = 15.0  # a rank that has written nothing for so long is not going on
PREDICTION = "plan.json"
_PREDICTION_BYTES = 2**20
_OF_ALL_RANKS = {"dropped_samples", "filled_samples"}
_NO_OUTCOMES = {"rank", "num_ranks", "resident_chunks_bound", "resident_bytes_bound"}


@dataclass(frozen=True, slots=True)
class Rates:
    """What went on between two lines of a log.

    Attributes:
      seconds: The running time at the second of them.
      samples: Samples a second.
      waiting: The share of its time that the loop waited for data.
      busy: By stage, how many threads worked.
      fetched: Bytes a second that came from a store.
    """

    seconds: float
    samples: float
    waiting: float
    busy: dict[str, float]
    fetched: float


@dataclass(frozen=True, slots=True, kw_only=True)
class RankReport:
    """What one rank did.

    Attributes:
      rank: Which.
      host: Where it ran.
      num_runs: In how many runs.
      seconds: How long it ran.
      quiet_seconds: How long ago it wrote its latest line.
      verdict: What its loop waited for, and what to write; "" where it hardly waited.
      busy: By stage, the share of the time of its threads that it worked.
      metrics: Its numbers, as `loader.metrics()` names them.
      history: Where all that comes from.
    """

    rank: str
    host: str
    num_runs: int
    seconds: float
    quiet_seconds: float
    verdict: str
    busy: dict[str, float]
    metrics: dict[str, float]
    history: History

    @property
    def waiting(self) -> float:
        """Which share of its time its loop waited for data."""
        return self.metrics.get("data_wait_seconds", 0.0) / (self.metrics.get("loop_seconds") or 1.0)

    @property
    def samples_per_second(self) -> float:
        """How fast it went, over all its runs."""
        return self.metrics.get("samples", 0.0) / (self.metrics.get("loop_seconds") or 1.0)

    def by_source(self, name: str) -> dict[str, float]:
        """Return a metric of each source of a mixture."""
        found = {whole: whole.partition("/") for whole in self.metrics}
        return {source: self.metrics[whole] for whole, (first, _, source) in found.items() if first == name and source}

    def number(self, name: str) -> float | None:
        """Return a metric of all its runs; None where there is none."""
        over_all = {"samples_per_second": self.samples_per_second, "exposed_wait_fraction": self.waiting}
        return over_all.get(name, self.metrics.get(name)) if self.metrics else None


@dataclass(frozen=True, slots=True, kw_only=True)
class RunReport:
    """What a run did.

    Attributes:
      directory: Where its logs are.
      begun: When it began, in seconds since 1970.
      is_going_on: Whether a rank has written lately.
      ranks: Those that waited most first.
      stragglers: The ranks that the others wait for.
      predicted: What `pyloader plan --log-dir` has said of it, by name: that of metrics where there is one.
    """

    directory: str
    begun: float
    is_going_on: bool
    ranks: list[RankReport]
    stragglers: list[Straggler]
    predicted: dict[str, float] = field(default_factory=dict)

    @property
    def slowest(self) -> RankReport:
        """The rank that waited most."""
        return self.ranks[0]

    @property
    def actual(self) -> dict[str, float]:
        """What was predicted, as it came on the rank that it was predicted of; what is of whole epochs, for as many."""
        if not (predicted := self.predicted):
            return {}
        wanted = f"{predicted.get('rank', 0):.0f}"
        rank = next((each for each in self.ranks if each.rank == wanted), self.slowest)
        num_epochs = predicted.get("num_epochs", 1.0)
        steps = num_epochs * predicted.get("steps_per_epoch", 0.0)
        share = steps / (rank.metrics.get("steps") or 1.0) if steps else 1.0
        found = {}
        for name in predicted.keys() & METRICS.keys() - _NO_OUTCOMES:
            if name in _OF_ALL_RANKS:  # of one epoch, however many are planned
                found[name] = share * sum(each.metrics.get(name, 0.0) for each in self.ranks) / (num_epochs or 1.0)
            elif (value := rank.number(name)) is not None:
                found[name] = share * value if METRICS[name].grows else value
        return found

    def as_dict(self) -> dict[str, Any]:
        """Return all of it, ready for JSON."""
        ranks = [
            {
                "rank": one.rank,
                "host": one.host,
                "num_runs": one.num_runs,
                "seconds": one.seconds,
                "verdict": one.verdict,
                "busy": one.busy,
                "slowest_steps": [
                    {"step": slow.step, "wait_seconds": slow.wait_seconds, "files": list(slow.files)}
                    for slow in one.history.slowest
                ],
                "left_out": one.history.left_out,
                "metrics": one.metrics,
            }
            for one in self.ranks
        ]
        found = [{"rank": one.rank, "stage": one.stage, "why": one.why} for one in self.stragglers]
        return {
            "directory": self.directory,
            "begun": self.begun,
            "is_going_on": self.is_going_on,
            "ranks": ranks,
            "stragglers": found,
            "predicted": self.predicted,
            "actual": self.actual,
        }


def run_report(directory: Path, *, now: float) -> RunReport:
    """Return what the logs in a directory come to.

    Args:
      directory: What `DataLoader(log_dir=...)` was given.
      now: Seconds since 1970.

    Raises:
      FileError: there is no log.
      OSError: a log cannot be read.
    """
    histories = read_histories(directory)
    ranks = sorted((_rank_report(history, now) for history in histories), key=lambda rank: -rank.waiting)
    work = [
        Work(one.rank, one.waiting, stage_seconds(one.metrics, one.metrics.get("samples", 0.0)))
        for one in ranks
        if one.metrics
    ]
    return RunReport(
        directory=str(directory),
        begun=min(history.begun for history in histories),
        is_going_on=any(one.quiet_seconds < QUIET_SECONDS for one in ranks),
        ranks=ranks,
        stragglers=stragglers(work),
        predicted=_predicted(directory / PREDICTION, ranks[0].history.about.get("options")),
    )


def rates_of(history: History) -> list[Rates]:
    """Return what went on between each two lines of a log."""
    found = []
    for one, other in pairwise(history.points):
        grown = {name: max(0.0, value - one.metrics.get(name, 0.0)) for name, value in other.metrics.items()}
        seconds = grown.get("loop_seconds") or other.seconds - one.seconds
        if seconds <= 0:
            continue
        busy = stage_seconds(grown, seconds)
        waiting = min(1.0, grown.get("data_wait_seconds", 0.0) / seconds)
        samples, fetched = grown.get("samples", 0.0) / seconds, grown.get("fetched_bytes", 0.0) / seconds
        found.append(Rates(other.seconds, samples, waiting, busy, fetched))
    return found


def _rank_report(history: History, now: float) -> RankReport:
    metrics = history.metrics
    busy = stage_seconds(metrics, metrics.get("loop_seconds", 0.0))
    return RankReport(
        rank=history.rank,
        host=str(history.about.get("host", ""))[:100],
        num_runs=history.num_runs,
        seconds=history.points[-1].seconds if history.points else 0.0,
        quiet_seconds=max(0.0, now - history.time),
        verdict=history.verdict,
        busy={stage: share / history.threads(stage) for stage, share in busy.items()},
        metrics=metrics,
        history=history,
    )


def _predicted(path: Path, options: Any) -> dict[str, float]:
    """Return what a prediction says, numbers by their names; {} where there is none that can be read.

    Of predictions with several windows it is that of the options that the run had.
    """
    try:
        with open(path, "rb") as file:
            found = msgspec.json.decode(file.read(_PREDICTION_BYTES))
    except (OSError, msgspec.DecodeError, RecursionError):
        return {}
    told = found.get("predictions") if isinstance(found, dict) else None
    choices = [each for each in told if isinstance(each, dict)] if isinstance(told, list) else []
    given = options if isinstance(options, dict) else {}
    names = ("shuffle_window", "batch_size")
    fitting = [each for each in choices if all(each.get(name) == given.get(name, each.get(name)) for name in names)]
    chosen: dict[str, Any] = (fitting or choices or [{}])[0]
    return {name: float(value) for name, value in chosen.items() if is_number(value)}
