"""The screen of `pyloader watch`: a line for all ranks, what they wait for, a table of them, and bars.

Ranks that wait most come first; where there are more than fit, those after them share a line.
"""

from __future__ import annotations

import os
import shutil
import statistics
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pyloader.cli.screens import as_block, as_table, counted, one_line, screen_width, share_bar, shortened
from pyloader.inspecting.run_logs import RankLog
from pyloader.inspecting.stragglers import Work, stage_seconds, stragglers
from pyloader.options import format_bytes

__all__ = ["screen"]

_QUIET_SECONDS = 10.0  # without a line for so long, a rank says for how long
_TITLES = ("rank", "host", "step", "samples/s", "waiting", "wait p95", "resident")
_BARS = "bars: progress; waiting, of the loop's time; stages, of their threads' time"
_MOST_RANKS = 16  # that have lines of their own
_OTHER_LINES = 16  # of the screen, beside two for each rank
_LEAST_WORK = 0.005  # of its time: a stage that works less on all ranks has no bar
_HOST_WIDTH = 8  # at least
_LABELS = len("straggler   ")


@dataclass(frozen=True, slots=True)
class _Row:
    """What is shown of a rank, or of several on the average; shares are in [0, 1]."""

    name: str
    host: str
    steps: float
    samples: float  # a second
    wait_p95: float  # seconds
    note: str
    progress: float | None  # None where no end is known
    waiting: float
    stages: dict[str, float]  # the share of the time of its threads that each works


def screen(directory: Path, logs: Sequence[RankLog], now: float) -> str:
    """Return what is shown of a run at a time.

    Args:
      directory: Where the logs are.
      logs: Of all ranks, at least one.
      now: Seconds since 1970.
    """
    slowest = sorted(logs, key=lambda log: -log.lately("data_wait_seconds"))
    first = slowest[0]
    steps, epochs = (int(max(log.metrics.get(name, 0) for log in logs)) for name in ("steps_done", "epochs_done"))
    rate = sum(log.lately("samples") for log in logs)
    about = f"{counted(len(logs), 'rank')}   epoch {epochs:,}   step {steps:,}   {rate:,.0f} samples/s"
    rows = [("run", f"{directory}   {about}   the loop waits {first.lately('data_wait_seconds'):.1%} of its time")]
    if first.verdict:
        rows.append(("waits for", f"{first.verdict}   (rank {_rank(first)})" if len(logs) > 1 else first.verdict))
    late = stragglers(list(map(_work, slowest)))[:3]
    rows += [("straggler", _in_lines(f"rank {one.rank} {one.why}")) for one in late]
    shown = [_row(log, now) for log in slowest]
    if len(shown) > (fitting := _fitting()):
        shown = [*shown[:fitting], _together(shown[fitting:])]
    bars = _long_bars(first) if len(logs) == 1 else _bars(shown)
    return "\n\n".join([as_block(rows), _table(shown), *([bars] if bars else [])])


def _in_lines(text: str) -> str:
    """Return a text that `as_block` may break behind a colon, where it is too long for a line."""
    return text if len(text) + _LABELS <= screen_width() else text.replace(": ", ":   ")


def _table(rows: Sequence[_Row]) -> str:
    def with_hosts(width: int) -> str:
        cells = (
            (
                row.name,
                shortened(one_line(row.host), width),
                f"{row.steps:,.0f}",
                f"{row.samples:,.0f}",
                f"{row.waiting:.1%}",
                f"{1000 * row.wait_p95:,.1f} ms",
                row.note,
            )
            for row in rows
        )
        return as_table([_TITLES, *cells], right={0, 2, 3, 4, 5}, cut=width == _HOST_WIDTH)

    longest = max(_HOST_WIDTH, *(len(row.host) for row in rows))
    too_long = max(map(len, with_hosts(longest).splitlines())) - screen_width()
    return with_hosts(max(_HOST_WIDTH, longest - max(0, too_long)) if _has_edge() else longest)


def _bars(rows: Sequence[_Row]) -> str:
    """Return bars side by side, a line for each rank."""
    stages = [name for name in rows[0].stages if max(row.stages.get(name, 0.0) for row in rows) >= _LEAST_WORK]
    has_end = any(row.progress is not None for row in rows)
    titles = [*(["progress"] if has_end else []), "waiting", *stages]
    room = screen_width() - max(4, *(len(row.name) for row in rows))
    width = min(20, max(3, room // len(titles) - 7))  # beside two spaces, one, and "100%"
    lines = [["rank", *(f"{title:{width + 5}}" for title in titles)]]
    for row in rows:
        shares = [row.waiting, *(row.stages.get(name, 0.0) for name in stages)]
        bars = [f"{share_bar(share, width)} {share:4.0%}" for share in shares]
        if has_end:
            progress = row.progress
            bars.insert(0, "" if progress is None else f"{share_bar(progress, width)} {progress:4.0%}")
        lines.append([row.name, *bars])
    return f"{_BARS}\n{as_table(lines, right={0}, gap=2)}"


def _long_bars(log: RankLog) -> str:
    """Return the bars of one rank below each other, with what each is a share of."""
    row = _row(log, log.time)
    found = [("waiting", row.waiting, "of the loop's time")]
    found += [(name, share, f"of {counted(_threads(log, name), 'thread')}") for name, share in row.stages.items()]
    if row.progress is not None:
        found.insert(0, ("progress", row.progress, _progress(log)[1]))
    room = screen_width() - max(len(name) for name, _, _ in found) - max(len(of_what) for _, _, of_what in found)
    width = min(40, max(3, room - 11))  # beside twice three spaces, one, and "100%"
    return as_table([(name, f"{share_bar(share, width)} {share:4.0%}", of_what) for name, share, of_what in found])


def _row(log: RankLog, now: float) -> _Row:
    metrics, quiet = log.metrics, now - log.time
    progress, _ = _progress(log)
    note = ""
    if not metrics:
        note = "has begun"
    elif quiet > _QUIET_SECONDS:
        note = f"at its end for {_spelled(quiet)}" if progress == 1 else f"no batch for {_spelled(quiet)}"
    elif "resident_bytes" in metrics:
        held, bound = (format_bytes(int(metrics.get(name, 0))) for name in ("resident_bytes", "resident_bytes_bound"))
        note = f"{held} of {bound}"
    elif "resident_chunks" in metrics:
        note = f"{metrics['resident_chunks']:.1f} of {metrics.get('resident_chunks_bound', 0):,.0f} chunks"
    return _Row(
        name=_rank(log),
        host=str(log.about.get("host", "")),
        steps=metrics.get("steps_done", 0),
        samples=log.lately("samples"),
        wait_p95=metrics.get("wait_p95_seconds", 0),
        note=note,
        progress=progress,
        waiting=_share(log.lately("data_wait_seconds")),
        stages={name: _share(busy / _threads(log, name)) for name, busy in stage_seconds(_busy(log), 1.0).items()},
    )


def _together(rows: Sequence[_Row]) -> _Row:
    """Return the average of several ranks."""
    known = [row.progress for row in rows if row.progress is not None]
    stages = dict.fromkeys(name for row in rows for name in row.stages)
    return _Row(
        name=f"{len(rows):,} others",
        host="",
        steps=statistics.mean(row.steps for row in rows),
        samples=statistics.mean(row.samples for row in rows),
        wait_p95=statistics.mean(row.wait_p95 for row in rows),
        note="on the average",
        progress=statistics.mean(known) if known else None,
        waiting=statistics.mean(row.waiting for row in rows),
        stages={name: statistics.mean(row.stages.get(name, 0.0) for row in rows) for name in stages},
    )


def _work(log: RankLog) -> Work:
    return Work(_rank(log), log.lately("data_wait_seconds"), stage_seconds(_busy(log), log.lately("samples")))


def _busy(log: RankLog) -> dict[str, float]:
    return {name: log.lately(name) for name in log.metrics if name.startswith("busy_")}


def _progress(log: RankLog) -> tuple[float | None, str]:
    """Return which share of its `for` a rank has done, of its epoch where that is endless, and of what."""
    steps, epochs = _number(log, "steps_per_epoch"), _number(log, "num_epochs")
    if not steps:
        return None, ""
    total, done = steps * (epochs or 1), int(log.metrics.get("steps_done", 0))
    # Another `for` goes on counting; at the end of one all of it is done.
    share = (done - (done - 1) // total * total) / total if done > 0 else 0.0
    return share, f"of {total:,} steps" if epochs > 1 else f"of {total:,} steps of an epoch"


def _number(log: RankLog, name: str) -> int:
    """Return a count that the run said when it began; 0 where it is unknown, or there is no end."""
    found = log.about.get(name)
    return found if isinstance(found, int) and 0 < found < 2**53 else 0


def _threads(log: RankLog, stage: str) -> int:
    threads = log.about.get("threads")
    number = threads.get(stage) if isinstance(threads, dict) else None
    return number if isinstance(number, int) and number > 0 else 1


def _share(value: float) -> float:
    return min(1.0, max(0.0, value))


def _fitting() -> int:
    """Return how many ranks have lines of their own."""
    if not _has_edge():
        return _MOST_RANKS
    return min(_MOST_RANKS, max(2, (shutil.get_terminal_size().lines - _OTHER_LINES) // 2))


def _has_edge() -> bool:
    return sys.stdout.isatty() or "COLUMNS" in os.environ


def _rank(log: RankLog) -> str:
    return log.path.stem.removeprefix("rank-").lstrip("0") or "0"


def _spelled(seconds: float) -> str:
    for unit, length in (("days", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:,.0f} {unit}"
    return f"{seconds:,.0f} s"
