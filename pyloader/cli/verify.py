"""`pyloader verify DIR`: find chunks that are damaged, missing, or not in the manifest."""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import Any

import msgspec

from pyloader.cli.addresses import typed_store
from pyloader.cli.main import GOOD, PROBLEMS
from pyloader.cli.readers import add_reader_options, reader_maker
from pyloader.cli.screens import as_block, as_json, as_table, counted, one_line, progress_over_chunks
from pyloader.errors import DataDirError
from pyloader.files import MANIFEST_NAME, find_manifests, is_index_of_file, read_manifest, store_scheme
from pyloader.files.stored_listing import manifest_elsewhere
from pyloader.files.stores import printable
from pyloader.inspecting.damage import Inspection, inspect_chunks
from pyloader.inspecting.stored_damage import inspect_stored

__all__ = ["add_parser", "run"]

_SHOWN = 4  # files that do no harm
_COMPARED = {"checksums": "all checksums agree", "contents": "all were read and counted", "sizes": "all sizes agree"}


def add_parser(subparsers: Any) -> None:
    """Add `verify` to the command line."""
    parser = subparsers.add_parser(
        "verify",
        description="Compare every chunk with the manifest: checksums, or, where there are none, the samples in it. "
        "Ends with 0 when all is well, and 1 when something is not.",
    )
    parser.add_argument(
        "place",
        metavar="DIR",
        help="a directory of chunks with its manifest, one with several of these (train/, val/), or a manifest; or the "
        "address of one in a store: all of it is fetched, and nothing kept",
    )
    add_reader_options(parser)
    parser.add_argument("--sizes-only", action="store_true", help="names and sizes only: nothing is read")
    parser.add_argument("--json", action="store_true", help="the findings as JSON")
    parser.add_argument("-q", "--quiet", action="store_true", help="no bar, and nothing to say when all is well")


def run(arguments: argparse.Namespace) -> int:
    """Verify, show the findings, and return 0 when all is well and 1 when something is not."""
    place = printable(arguments.place).rstrip("/") or arguments.place
    is_stored = store_scheme(place).lower() not in ("", "file") or manifest_elsewhere(place, typed_store()) is not None
    results = _stored(arguments) if is_stored else _on_disk(arguments)
    if arguments.json:
        found = [{**msgspec.to_builtins(result), "is_good": result.is_good} for result in results]
        print(as_json(found if len(found) > 1 else found[0]))
    else:
        for result in results:
            if not (arguments.quiet and result.is_good):
                above = result.manifest.rpartition("/")[0] or "."
                heading = [] if len(results) == 1 else [one_line(above)]
                print("\n".join([*heading, *_screen(result, place if len(results) == 1 else above)]))
    return GOOD if all(result.is_good for result in results) else PROBLEMS


def _stored(arguments: argparse.Namespace) -> list[Inspection]:
    if arguments.reader is not None:
        raise ValueError("--reader says how chunks are read, and of those in a store only bytes are compared")
    progress = progress_over_chunks("verify", quiet=arguments.quiet)
    found = inspect_stored(arguments.place, typed_store(), sizes_only=arguments.sizes_only, progress=progress)
    return list(found)


def _on_disk(arguments: argparse.Namespace) -> list[Inspection]:
    manifests = find_manifests(arguments.place)
    if not manifests:
        remedy = f"Make one: pyloader index {shlex.quote(arguments.place)}"
        raise DataDirError(arguments.place, f"has no {MANIFEST_NAME} to compare with.", remedy)
    progress = progress_over_chunks("verify", quiet=arguments.quiet)
    inspect = partial(
        inspect_chunks, sizes_only=arguments.sizes_only, progress=progress, make_reader=reader_maker(arguments)
    )
    return list(map(inspect, manifests))


def _screen(result: Inspection, place: str) -> Iterable[str]:
    findings = [finding for finding in result.findings if finding.state != "ignored"]
    ignored = [finding for finding in result.findings if finding.state == "ignored"]
    if shown := findings + ignored[:_SHOWN]:
        yield as_table([(finding.file, finding.state, finding.what) for finding in shown], cut=False)
    if len(ignored) > _SHOWN:
        yield f"{len(ignored) - _SHOWN:,} more ignored, not in the manifest"
    num_good = result.num_chunks - result.num_bad_chunks
    if result.num_bad_chunks:
        among = f"{result.num_bad_samples:,} of {counted(result.num_samples, 'sample')}"
        bad = "the bad one" if result.num_bad_chunks == 1 else f"the {result.num_bad_chunks:,} bad ones"
        are = f"{among} {'is' if result.num_bad_samples == 1 else 'are'} in {bad}"
        yield f"{num_good:,} of {counted(result.num_chunks, 'chunk')} {'is' if num_good == 1 else 'are'} good; {are}."
    else:
        good = f"{counted(result.num_chunks, 'chunk')}, {counted(result.num_samples, 'sample')}"
        yield f"{good}: {_COMPARED[result.compared]}."
    yield as_block(_next_step(result, place), label_width=8)


def _next_step(result: Inspection, place: str) -> list[tuple[str, str]]:
    quoted = shlex.quote(place)
    if result.is_good:
        return [("next", f"pyloader peek {quoted}")]
    if not result.num_bad_chunks:
        extra = [finding.file for finding in result.findings if finding.state == "extra"]
        them = "it" if len(extra) == 1 else "them"
        return [("next", f"pyloader index {quoted} --overwrite"), ("", f"takes {them} in; or move {them} away")]
    rows: list[tuple[str, str]] = []
    for maker in result.makers:
        label, is_one = "" if rows else "next", len(maker.files) == 1
        these = "this one" if is_one else f"these {len(maker.files):,}"
        if len(result.makers) > 1:
            these += f" ({', '.join(maker.files[:2])}{', …' if len(maker.files) > 2 else ''})"
        told = f"the manifest says {'it was' if is_one else 'they were'} made by: {maker.command}"
        if store_scheme(place) not in ("", "file"):
            rows += [(label, f"put {these} there again, from where the set was made, or from a copy")]
            rows += [("", told)] if maker.command else []
        elif maker.mends:
            them = "it" if is_one else "them"
            rows += [(label, f"write {these} again, and nothing else, by the command that made {them};"), ("", told)]
        elif maker.command.startswith("pyloader compact"):
            rows += [(label, f"put {these} back from a copy, or go back to a version before {maker.command}:")]
            rows += [("", "DataLoader(data_version=N)")]
        elif maker.command and not maker.command.startswith("pyloader index"):
            why = "others were joined since" if maker.is_partial else "standard input does not come again"
            rows += [(label, f"put {these} back from a copy: {why};"), ("", told)]
        else:
            again = _indexed(Path(result.manifest), quoted)
            rest = f"if {result.manifest} is what is out of date: pyloader index {again} --overwrite"
            rows += [(label, f"fetch {these} again;"), ("", rest)]
    return rows


def _indexed(path: Path, place: str) -> str:
    """Return what `pyloader index` is given, to make a manifest on this disk again: a directory, or a file."""
    manifest = read_manifest(path)
    if path.name == MANIFEST_NAME or not is_index_of_file(path, manifest):
        return place
    file = shlex.quote(str(path.parent / manifest.root / manifest.chunks[0].source))
    return f"{file} --output {shlex.quote(str(path))}" if manifest.root else file
