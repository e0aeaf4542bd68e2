"""`pyloader cache ls|verify|prune`: look after the chunks of object stores that are kept on this disk."""

from __future__ import annotations

import argparse
import shutil
import time
from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Any

import msgspec

from pyloader.cli.main import GOOD, PROBLEMS
from pyloader.cli.screens import as_block, as_json, as_table, counted, one_line, progress_over_chunks
from pyloader.files import LIST_NAME
from pyloader.files.cache import (
    CacheDirectory,
    CacheEntry,
    cache_directory,
    cache_entries,
    damaged_entries,
    prune,
    total_bytes,
)
from pyloader.options import format_bytes, parse_bytes

__all__ = ["add_parser", "run"]

_WHERE = "the cache's directory; by default PYLOADER_CACHE, else ~/.cache/pyloader/chunks"
_UNITS = (("day", 86_400), ("hour", 3_600), ("minute", 60), ("second", 1))


def add_parser(subparsers: Any) -> None:
    """Add `cache` to the command line."""
    parser = subparsers.add_parser(
        "cache",
        description="Chunks that were fetched from object stores stay on this disk, within a bound. Loaders may run "
        "meanwhile: what they use is neither removed nor changed.",
    )
    actions = parser.add_subparsers(metavar="ls|verify|prune", required=True)
    ls = actions.add_parser("ls", description="Show what is in the cache.")
    verify = actions.add_parser(
        "verify",
        description="Compare every chunk with the checksum that it had when it was fetched. Damaged ones are removed, "
        "and fetched again when they are wanted. Ends with 0 when all is well, and 1 when something was not.",
    )
    prune_ = actions.add_parser(
        "prune", description="Remove what killed processes have left; with --keep also chunks, the useless ones first."
    )
    prune_.add_argument("--keep", metavar="SIZE", type=_size, help="how much may stay: 10GB; 0 removes all")
    for action, function in ((ls, _ls), (verify, _verify), (prune_, _prune)):
        action.add_argument("directory", metavar="DIR", nargs="?", help=_WHERE)
        action.add_argument("--json", action="store_true", help="the findings as JSON")
        action.add_argument("-q", "--quiet", action="store_true", help="no bar, and nothing to say when all is well")
        action.set_defaults(func=run, action=function)


def run(arguments: argparse.Namespace) -> int:
    """Do one of them, show what came of it, and return 0 when all is well and 1 when something was not."""
    code: int = arguments.action(cache_directory(arguments.directory, make=False), arguments)
    return code


def _ls(directory: CacheDirectory, arguments: argparse.Namespace) -> int:
    entries = cache_entries(directory)
    if arguments.json:
        print(as_json({"directory": str(directory.root), "bound": directory.bound(), "entries": entries}))
        return GOOD
    if entries:
        print(as_table(list(_data_sets(entries)), right={1, 2}))
    print(as_block([("cache", one_line(str(directory.root))), ("limit", _limit(directory))]))
    return GOOD


def _verify(directory: CacheDirectory, arguments: argparse.Namespace) -> int:
    entries = cache_entries(directory)
    damaged = damaged_entries(directory, progress_over_chunks("verify", quiet=arguments.quiet))
    if arguments.json:
        print(as_json({"num_entries": len(entries), "damaged": damaged}))
    elif damaged:
        print(as_table([(entry.url or entry.name, "damaged, and removed") for entry in damaged], cut=False))
        print(f"{len(damaged):,} of {counted(len(entries), 'chunk')}: a loader fetches them again when it wants them.")
    elif not arguments.quiet:
        print(f"{counted(len(entries), 'chunk')}: all checksums agree.")
    return PROBLEMS if damaged else GOOD


def _prune(directory: CacheDirectory, arguments: argparse.Namespace) -> int:
    pruned = prune(directory, keep_bytes=arguments.keep)
    left = total_bytes(directory)
    if arguments.json:
        print(as_json({**msgspec.to_builtins(pruned), "left_bytes": left}))
        return GOOD
    if not arguments.quiet:
        chunks = f"{counted(pruned.num_entries, 'chunk')}, {counted(pruned.num_leftovers, 'leftover')}"
        print(f"removed {chunks}: {format_bytes(pruned.num_bytes)}; {format_bytes(left)} are left.")
        if arguments.keep is not None and left > arguments.keep and cache_entries(directory):
            print(as_block([("next", "the rest is used by loaders: close them, and prune again")]))
    return GOOD


def _data_sets(entries: Sequence[CacheEntry]) -> Iterator[tuple[str, ...]]:
    """Yield a line for each place in a store that chunks come from."""
    now = time.time()
    for place, group in groupby(entries, key=lambda entry: entry.url.rpartition("/")[0]):
        chunks = list(group)
        size = format_bytes(sum(chunk.room_bytes for chunk in chunks))
        used = _ago(now - max(chunk.used_at for chunk in chunks))
        num_chunks = sum(not chunk.url.endswith(f"/{LIST_NAME}") for chunk in chunks)
        yield place or "damaged", counted(num_chunks, "chunk"), size, f"used {used}"


def _limit(directory: CacheDirectory) -> str:
    bound, free = directory.bound(), shutil.disk_usage(directory.root).free
    limit = "none before the first loader" if bound is None else format_bytes(bound)
    return f"{limit}; {format_bytes(total_bytes(directory))} are used, {format_bytes(free)} are free on its disk"


def _ago(seconds: float) -> str:
    for unit, length in _UNITS:
        if seconds >= length:
            return f"{counted(int(seconds // length), unit)} ago"
    return "just now"


def _size(text: str) -> int:
    try:
        return parse_bytes(text)
    except ValueError as exc:
        raise argparse.ArgumentTypeError(str(exc)) from exc
