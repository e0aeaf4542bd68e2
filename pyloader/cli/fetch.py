"""`pyloader fetch URL`: all chunks at an address of an object store come onto this disk."""

from __future__ import annotations

import argparse
import shlex
from typing import Any

from pyloader.cli.addresses import add_cache_option
from pyloader.cli.main import GOOD
from pyloader.cli.screens import as_block, as_json, counted, python_text
from pyloader.files.cache import cache_directory
from pyloader.options import format_bytes
from pyloader.run.filling import FetchReport, fetch

__all__ = ["add_parser", "run"]


def add_parser(subparsers: Any) -> None:
    """Add `fetch` to the command line."""
    parser = subparsers.add_parser(
        "fetch",
        description="Fetch all chunks at an address of an object store into the cache, 8 at a time. What is there is "
        "not fetched again: Ctrl-C, and the same command goes on. Then DataLoader(..., offline=True) needs no network. "
        "Keys and endpoints come from the environment (AWS_..., GOOGLE_..., AZURE_...).",
    )
    parser.add_argument("url", metavar="URL", help="the chunks: s3://, gs://, az://, http(s)://; or their manifest")
    add_cache_option(parser)
    parser.add_argument("--cache-bytes", metavar="SIZE", help="the most that may be kept there: 200GB")
    parser.add_argument("--json", action="store_true", help="what was done, as JSON")
    parser.add_argument("-q", "--quiet", action="store_true", help="no bar, and nothing to say when all is well")


def run(arguments: argparse.Namespace) -> int:
    """Fetch, and show what was done."""
    report = fetch(
        arguments.url,
        cache_dir=arguments.cache_dir,
        cache_bytes=arguments.cache_bytes,
        progress=not (arguments.quiet or arguments.json),
    )
    if arguments.json:
        print(as_json(report))
    elif not arguments.quiet:
        print(_screen(report, arguments.cache_dir))
    return GOOD


def _screen(report: FetchReport, cache_dir: str | None) -> str:
    there = report.num_chunks - report.num_fetched
    fetched = f"{report.num_fetched:,} fetched, {there:,} {'was' if there == 1 else 'were'} there"
    retries = f"{report.num_retries:,} {'retry' if report.num_retries == 1 else 'retries'}"
    bound = cache_directory(cache_dir).bound() or 0
    options = f"data_dir={python_text(report.url)}"
    options += "" if cache_dir is None else f", cache_dir={python_text(cache_dir)}"
    rows = [
        ("chunks", f"{counted(report.num_chunks, 'chunk')}, {format_bytes(report.num_bytes)}: {fetched}"),
        ("network", f"{format_bytes(report.fetched_bytes)} in {report.seconds:,.1f} s, {retries}"),
        ("cache", f"{report.cache_dir}   may hold {format_bytes(bound)}"),
        ("next", f"DataLoader({options}, offline=True) reads them without a network"),
    ]
    where = "" if cache_dir is None else f" --cache-dir {shlex.quote(cache_dir)}"
    return "\n".join([report.url, as_block([*rows, ("", f"pyloader peek {shlex.quote(report.url)}{where}")])])
