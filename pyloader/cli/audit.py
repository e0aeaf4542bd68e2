"""`pyloader audit AUDIT_DIR DATA_DIR`: prove that every sample was delivered exactly once, or say what was not."""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import groupby
from typing import Any

import msgspec

from pyloader.audit import Audit, EpochAudit, Finding, SourceAudit, audit_epochs, audit_sources, audited_sources
from pyloader.cli.addresses import typed_store
from pyloader.cli.main import GOOD, PROBLEMS
from pyloader.cli.screens import as_block, as_json, as_table, counted, one_line
from pyloader.cli.sources import source_words, typed_sources
from pyloader.files import list_chunks, store_scheme
from pyloader.files.stores import printable
from pyloader.run.units import units_of_order

__all__ = ["add_parser", "run"]

_SHOWN = 20  # findings


def add_parser(subparsers: Any) -> None:
    """Add `audit` to the command line."""
    parser = subparsers.add_parser(
        "audit",
        description="Join the receipts that DataLoader(..., audit_dir=...) had written on all ranks, and compare each "
        "epoch with what the manifest says that there is. Ends with 0 when every sample was delivered exactly once in "
        "every complete epoch, and as planned in one that is still running; with 1 when something was not.",
    )
    parser.add_argument("audit_dir", metavar="AUDIT_DIR", help="the receipts of all ranks")
    parser.add_argument(
        "data_dir",
        metavar="DATA_DIR",
        nargs="+",
        help="the chunks that were read, or their address; of a mixture NAME=DIR for each source",
    )
    parser.add_argument("--json", action="store_true", help="the findings as JSON")
    parser.add_argument("-q", "--quiet", action="store_true", help="nothing to say when all is well")


def run(arguments: argparse.Namespace) -> int:
    """Audit, show what was found, and return 0 when all is well and 1 when something is not."""
    names = audited_sources(arguments.audit_dir)
    if names:
        places = typed_sources(arguments.data_dir, names, f"pyloader audit {shlex.quote(arguments.audit_dir)}")
        chunks = {name: list_chunks(place, typed_store()) for name, place in places.items()}
        result = audit_sources(arguments.audit_dir, chunks, units_of_order)
    else:
        if len(arguments.data_dir) > 1:
            raise ValueError(f"{arguments.audit_dir} holds receipts of one source: name its chunks alone")
        places = {"": arguments.data_dir[0]}
        result = audit_epochs(arguments.audit_dir, list_chunks(places[""], typed_store()), units_of_order)
    if arguments.json:
        print(as_json({**msgspec.to_builtins(result), "is_good": result.is_good}))
    elif not (arguments.quiet and result.is_good):
        print("\n".join(_screen(result, arguments.audit_dir, places)))
    return GOOD if result.is_good else PROBLEMS


def _screen(result: Audit, audit_dir: str, places: Mapping[str, str]) -> Iterator[str]:
    one = "piece" if result.order.packing else "sample"
    if result.sources:
        yield _sources_table(result.sources, one)
    else:
        titles = ("epoch", "steps", f"{one}s", "dropped", "repeated", "ranks", "")
        yield as_table([titles, *_epochs(result.epochs, one)], right={1, 2, 3, 4}, cut=False)
    if result.findings:
        yield as_table([_finding(finding) for finding in result.findings[:_SHOWN]], cut=False)
    if len(result.findings) > _SHOWN:
        yield f"{len(result.findings) - _SHOWN:,} more findings: --json lists them all"
    for path, number in result.damaged.items():
        yield f"{one_line(path)}: {counted(number, 'record')} in its middle cannot be read"
    if result.num_replaced:
        were = "step was" if result.num_replaced == 1 else "steps were"
        yield f"{result.num_replaced:,} {were} delivered and taken back, when a run resumed before; they do not count."
    yield _summary_of_sources(result, one) if result.sources else _summary(result, one)
    yield as_block(list(_next_step(result, shlex.quote(audit_dir), places)), label_width=8)


def _epochs(epochs: Sequence[EpochAudit], one: str) -> Iterator[tuple[str, ...]]:
    """Yield the lines of the table, epochs of which the same is to be said in one."""
    for _, group in groupby(epochs, key=lambda epoch: replace(epoch, epoch=0)):
        first, *others = group
        yield (
            f"{first.epoch:,} to {others[-1].epoch:,}" if others else f"{first.epoch:,}",
            f"{first.steps_done:,} of {first.num_steps:,}",
            f"{first.delivered:,}",
            f"{first.dropped:,}" if first.state in ("complete", "bad") else "",
            f"{first.repeated:,}",
            ", then ".join(map(str, first.ranks)),
            _state(first, one),
        )


def _sources_table(sources: Sequence[SourceAudit], one: str) -> str:
    """Return the table of a mixture's sources; which time the mixture was gone through is said where it was again."""
    again = any(source.run for source in sources)
    titles = (*(["time"] if again else []), "source", "epoch", f"{one}s", "dropped", "repeated", "ranks", "")
    lines = [
        (
            *([str(source.run)] if again else []),
            one_line(source.source),
            f"{source.first_epoch:,} to {source.last_epoch:,}"
            if source.last_epoch > source.first_epoch
            else f"{source.first_epoch:,}",
            f"{source.delivered:,} of {source.num_samples:,}",
            f"{source.dropped:,}" if source.dropped else "",
            f"{source.repeated:,}",
            ", then ".join(map(str, source.ranks)),
            _state_of_source(source, one),
        )
        for source in sources
    ]
    return as_table([titles, *lines], right={2 + again, 3 + again, 4 + again}, cut=False)


def _state_of_source(source: SourceAudit, one: str) -> str:
    if source.state == "complete":
        return f"every {one} exactly once{', but those dropped' if source.dropped else ''}"
    if source.state == "bad":
        return "NOT exactly once"
    behind = f" ({source.behind} {'are' if source.behind.startswith('ranks') else 'is'} behind)"
    begun = "the receipts begin in its middle, " if source.state == "partial" else "incomplete, "
    return f"{begun}all is well up to step {source.last_step:,}{behind if source.behind else ''}"


def _state(epoch: EpochAudit, one: str) -> str:
    if epoch.state == "complete":
        return f"every {one} exactly once{', but those dropped' if epoch.dropped else ''}"
    if epoch.state == "bad":
        return "NOT exactly once"
    begun = f"the receipts begin at step {epoch.first_step:,}: " if epoch.first_step else ""
    if epoch.state == "partial":
        return f"{begun}all is well from there on"
    behind = f" ({epoch.behind} {'are' if epoch.behind.startswith('ranks') else 'is'} behind)" if epoch.behind else ""
    if not epoch.steps_done:
        return f"{begun}just begun{behind}"
    return f"{begun}incomplete, all is well up to step {epoch.first_step + epoch.steps_done - 1:,}{behind}"


def _finding(finding: Finding) -> tuple[str, ...]:
    first, last = finding.first_step, finding.last_step
    steps = f"step {first:,}" if first == last else f"steps {first:,} to {last:,}"
    what = f"{one_line(finding.source)}: {finding.what}" if finding.source else finding.what
    return (steps if finding.epoch is None else f"epoch {finding.epoch:,}, {steps}", finding.who, what)


def _summary(result: Audit, one: str) -> str:
    num_complete = sum(epoch.state == "complete" for epoch in result.epochs)
    num_bad = sum(epoch.state == "bad" for epoch in result.epochs)
    receipts = counted(result.num_receipts, "receipt")
    if num_bad:
        return (
            f"{num_bad:,} of {counted(len(result.epochs), 'epoch')} {'is' if num_bad == 1 else 'are'} bad ({receipts})."
        )
    others = ", ".join(
        f"epoch {epoch.epoch:,} is {epoch.state}" for epoch in result.epochs if epoch.state != "complete"
    )
    proven = f"{counted(num_complete, 'complete epoch')}, each {one} exactly once" if num_complete else ""
    return f"{'; '.join(filter(None, (proven, others)))} ({receipts})."


def _summary_of_sources(result: Audit, one: str) -> str:
    receipts, found = counted(result.num_receipts, "receipt"), dict[str, int]()
    for source in result.sources:
        found[source.state] = found.get(source.state, 0) + source.last_epoch + 1 - source.first_epoch
    num_bad, num_complete = found.get("bad", 0), found.get("complete", 0)
    if num_bad:
        of = counted(sum(found.values()), "epoch")
        return f"{num_bad:,} of {of} of the sources {'is' if num_bad == 1 else 'are'} bad ({receipts})."
    others = sum(found.values()) - num_complete
    proven = (
        f"{counted(num_complete, 'complete epoch')} of the sources, each {one} exactly once" if num_complete else ""
    )
    incomplete = f"{counted(others, 'epoch')} incomplete, each {one} at most once" if others else ""
    return f"{'; '.join(filter(None, (proven, incomplete)))} ({receipts})."


def _next_step(result: Audit, audit_dir: str, places: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    data_dir = source_words(places) if result.sources else shlex.quote(printable(places[""]))
    kinds = {finding.kind for finding in result.findings}
    if "missing" in kinds or result.damaged:
        yield "next", f"put the receipts of every rank into {audit_dir}, then pyloader audit {audit_dir} {data_dir}"
    if "twice" in kinds:
        yield "next", "set RANK and WORLD_SIZE, or give DataLoader(..., world=(rank, size)), and begin again"
    if "differs" in kinds:
        named = (places[finding.source] for finding in result.findings if finding.source in places)
        place = next(named, next(iter(places.values())))
        verify = "cache verify" if store_scheme(place) else f"verify {shlex.quote(place)}"
        yield "next", f"pyloader {verify}   and, if that is well, report it: pyloader delivered other samples"
    if not kinds and not result.damaged:
        weights = "--weights '{...}' " if result.sources else ""
        yield "next", f"pyloader locate STATE.json {data_dir} {weights}--step N   shows which samples a step had"
