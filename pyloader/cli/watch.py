"""`pyloader watch LOG_DIR`: a run as it goes on, of all ranks, the slowest first."""

from __future__ import annotations

import argparse
import select
import signal
import sys
import time
from pathlib import Path
from typing import Any

from pyloader.cli.main import GOOD
from pyloader.cli.screens import as_block, as_json, as_table, counted
from pyloader.errors import PyLoaderError, import_optional
from pyloader.inspecting.run_logs import RankLog, read_logs
from pyloader.inspecting.stragglers import Work, stage_seconds, stragglers
from pyloader.options import format_bytes

__all__ = ["add_parser", "run"]

_QUIET_SECONDS = 10.0  # without a line for so long, a rank says for how long
_TITLES = ("rank", "host", "step", "samples/s", "waiting", "wait p95", "resident")


def add_parser(subparsers: Any) -> None:
    """Add `watch` to the command line."""
    parser = subparsers.add_parser(
        "watch",
        description="Show a run that was given log_dir: how fast it goes, how long its loop waits for data, and what "
        "for. Ranks that wait most come first. On a terminal the screen follows the run until Ctrl-C.",
    )
    parser.add_argument("log_dir", metavar="LOG_DIR", type=Path, help="what DataLoader(log_dir=...) was given")
    parser.add_argument("--once", action="store_true", help="show it once; so it is where there is no terminal")
    parser.add_argument("--json", action="store_true", help="the latest numbers as JSON, once")


def run(arguments: argparse.Namespace) -> int:
    """Show the run, once or until Ctrl-C."""
    logs = read_logs(arguments.log_dir)
    if arguments.json:
        print(as_json([{"about": log.about, "time": log.time, "verdict": log.verdict, **log.metrics} for log in logs]))
    elif arguments.once or not sys.stdout.isatty():
        print(screen(arguments.log_dir, logs, time.time()))
    else:
        _follow(arguments.log_dir)
    return GOOD


def screen(directory: Path, logs: list[RankLog], now: float) -> str:
    """Return what is shown of a run at a time: a line for all ranks, a table of them, and what to do.

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
    rows += [("straggler", f"rank {one.rank} {one.why}") for one in stragglers(list(map(_work, slowest)))[:3]]
    table = as_table([_TITLES, *(_row(log, now) for log in slowest)], right={0, 2, 3, 4, 5})
    return f"{as_block(rows)}\n\n{table}"


def _work(log: RankLog) -> Work:
    busy = {name: log.lately(name) for name in log.metrics if name.startswith("busy_")}
    return Work(_rank(log), log.lately("data_wait_seconds"), stage_seconds(busy, log.lately("samples")))


def _row(log: RankLog, now: float) -> tuple[str, ...]:
    metrics, quiet = log.metrics, now - log.time
    note = ""
    if not metrics:
        note = "has begun"
    elif quiet > _QUIET_SECONDS:
        note = f"no batch for {_spelled(quiet)}"
    elif "resident_bytes" in metrics:
        held, bound = (format_bytes(int(metrics.get(name, 0))) for name in ("resident_bytes", "resident_bytes_bound"))
        note = f"{held} of {bound}"
    elif "resident_chunks" in metrics:
        note = f"{metrics['resident_chunks']:.1f} of {metrics.get('resident_chunks_bound', 0):,.0f} chunks"
    return (
        _rank(log),
        str(log.about.get("host", "")),
        f"{metrics.get('steps_done', 0):,.0f}",
        f"{log.lately('samples'):,.0f}",
        f"{log.lately('data_wait_seconds'):.1%}",
        f"{1000 * metrics.get('wait_p95_seconds', 0):,.1f} ms",
        note,
    )


def _rank(log: RankLog) -> str:
    return log.path.stem.removeprefix("rank-").lstrip("0") or "0"


def _spelled(seconds: float) -> str:
    return f"{seconds:,.0f} s" if seconds < 120 else f"{seconds / 60:,.0f} min"


def _follow(directory: Path) -> None:
    """Show the run, once a second, until Ctrl-C; its last screen stays."""
    live = import_optional("rich.live", wanted_by="pyloader watch without --once")
    text = import_optional("rich.text", wanted_by="pyloader watch without --once")

    def shown() -> str:
        try:
            return screen(directory, read_logs(directory), time.time())
        except (PyLoaderError, OSError) as exc:  # the logs have gone: they may come again
            return str(exc)

    # Ctrl-C only says that it came: raised at any line of what draws, it may be swallowed there.
    pressed: list[int] = []
    before = signal.signal(signal.SIGINT, lambda number, _: pressed.append(number))
    try:
        with live.Live(auto_refresh=False, screen=True) as followed:
            while not pressed:
                followed.update(text.Text(shown()), refresh=True)
                select.select([], [], [], 1.0)
    finally:
        signal.signal(signal.SIGINT, before)
    print(shown())
