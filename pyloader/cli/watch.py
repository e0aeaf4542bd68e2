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
from pyloader.cli.screens import as_json
from pyloader.cli.watch_screen import screen
from pyloader.errors import PyLoaderError, import_optional
from pyloader.inspecting.run_logs import read_logs

__all__ = ["add_parser", "coloured", "run"]


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


def coloured(text: str) -> Any:
    """Return a screen as rich shows it: with bars in colour, where the terminal has any."""
    found = import_optional("rich.text", wanted_by="pyloader watch without --once").Text(text)
    found.highlight_regex("▇+", "cyan")
    found.highlight_regex("▁+", "bright_black")
    return found


def _follow(directory: Path) -> None:
    """Show the run, once a second, until Ctrl-C; its last screen stays."""
    live = import_optional("rich.live", wanted_by="pyloader watch without --once")

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
                followed.update(coloured(shown()), refresh=True)
                select.select([], [], [], 1.0)
    finally:
        signal.signal(signal.SIGINT, before)
    print(shown())
