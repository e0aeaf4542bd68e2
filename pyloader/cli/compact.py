"""`pyloader compact DIR`: join the small chunks that appends have left."""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Iterator, Sequence
from typing import Any

from pyloader.cli.main import GOOD
from pyloader.cli.screens import as_block, as_json, counted, one_line
from pyloader.options import format_bytes
from pyloader.write import CompactReport, compact

__all__ = ["add_parser", "run"]


def add_parser(subparsers: Any) -> None:
    """Add `compact` to the command line."""
    parser = subparsers.add_parser(
        "compact",
        description="Join chunks of less than half of the set's size, as a new version. The old chunks stay, "
        "so that states of earlier versions can be loaded, until --drop-versions.",
    )
    parser.add_argument(
        "directory", metavar="DIR", help="a set of chunks, or one with several of them (train/, val/); or an address"
    )
    parser.add_argument(
        "--drop-versions",
        action="store_true",
        help="end the versions that list chunks which the newest does not, and delete these chunks",
    )
    parser.add_argument("--workers", metavar="N", type=int, help="tasks at once (the processors of this machine)")
    parser.add_argument(
        "--scratch-dir", metavar="DIR", help="where chunks of a store lie meanwhile (~/.cache/pyloader/writing)"
    )
    parser.add_argument("--take-over", action="store_true", help="as pyloader split --take-over")
    parser.add_argument("--json", action="store_true", help="what was done, as JSON: a list with each set")
    parser.add_argument("-q", "--quiet", action="store_true", help="no bar, and nothing to say when all is well")
    parser.set_defaults(func=run)


def run(arguments: argparse.Namespace) -> int:
    """Compact, and show what was done."""
    if arguments.workers is not None and arguments.workers < 1:
        raise ValueError(f"--workers must be at least 1, got {arguments.workers}")
    reports = compact(
        arguments.directory,
        drop_versions=arguments.drop_versions,
        workers=arguments.workers,
        take_over=arguments.take_over,
        scratch_dir=arguments.scratch_dir,
        progress=not arguments.quiet,
    )
    if arguments.json:
        print(as_json([report.as_dict() for report in reports]))
    elif not arguments.quiet:
        rows = [row for report in reports for row in _rows(report)]
        print(as_block([*rows, ("next", f"pyloader peek {shlex.quote(reports[0].directory)}")]))
    return GOOD


def _rows(report: CompactReport) -> Iterator[tuple[str, str]]:
    joined = f"joined {counted(report.num_joined, 'small chunk')} into {report.num_written:,}"
    did = joined if report.num_joined else "no small chunks to join"
    yield one_line(report.directory), f"{did}; version {report.version} has {counted(report.num_chunks, 'chunk')}"
    if report.ended:
        yield "ended", f"{_numbers(report.ended)}: states saved there cannot be loaded any more"
    if report.num_deleted:
        yield "deleted", f"{counted(report.num_deleted, 'chunk')}, {format_bytes(report.deleted_bytes)}"
    if report.earlier:
        of_them = f"; --drop-versions frees {format_bytes(report.kept_bytes)}" if report.kept_bytes else ""
        yield "kept", f"{_numbers(report.earlier)} can be loaded{of_them}"


def _numbers(numbers: Sequence[int]) -> str:
    """Return version numbers with runs of them shortened: versions 1 to 7, 9."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and runs[-1][1] == number - 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    words = {0: "{0}", 1: "{0}, {1}"}
    shown = ", ".join(words.get(last - first, "{0} to {1}").format(first, last) for first, last in runs)
    return f"version{'s' if len(numbers) > 1 else ''} {shown}"
