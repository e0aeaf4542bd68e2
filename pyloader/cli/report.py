"""`pyloader report LOG_DIR`: a page of what a run did, or the same as JSON."""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

from pyloader.cli.main import GOOD
from pyloader.cli.screens import as_block, as_json, counted
from pyloader.files.atomic import write_text_whole
from pyloader.inspecting.report_page import report_page
from pyloader.inspecting.run_report import run_report

__all__ = ["add_parser", "run"]


def add_parser(subparsers: Any) -> None:
    """Add `report` to the command line."""
    parser = subparsers.add_parser(
        "report",
        description="Write a page of what a run did that was given log_dir: rate and waiting over time, where the time "
        "went, the slowest steps with their files, and what to change. One HTML file, which needs no network.",
    )
    parser.add_argument("log_dir", metavar="LOG_DIR", type=Path, help="what DataLoader(log_dir=...) was given")
    parser.add_argument("-o", "--output", metavar="FILE", type=Path, help="the page; LOG_DIR/report.html unless given")
    parser.add_argument("--json", action="store_true", help="print the numbers as JSON, and write no page")


def run(arguments: argparse.Namespace) -> int:
    """Write the page, or print the numbers."""
    report = run_report(arguments.log_dir, now=time.time())
    if arguments.json:
        print(as_json(report.as_dict()))
        return GOOD
    output = arguments.output or arguments.log_dir / "report.html"
    write_text_whole(output, report_page(report), "Give -o a file in a directory that is there")
    slowest = report.slowest
    rows = [
        (
            "report",
            f"{output}   {counted(len(report.ranks), 'rank')}   the loop waits {slowest.waiting:.1%} of its time",
        ),
        *([("waits for", slowest.verdict)] if slowest.verdict else []),
        *(("straggler", f"rank {one.rank} {one.why}") for one in report.stragglers[:3]),
    ]
    print(as_block(rows))
    return GOOD
