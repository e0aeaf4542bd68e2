"""`pyloader plan DIR`: what a run will take, how fast it will be and how well it mixes, before it starts."""

from __future__ import annotations

import argparse
import contextlib
import shlex
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from pyloader.cli.addresses import typed_store
from pyloader.cli.loaders import add_loader_options, call_of, chunks_line, decoding_note, typed_loaders
from pyloader.cli.main import GOOD
from pyloader.cli.plan_page import plan_page
from pyloader.cli.screens import as_block, as_json, as_table, counted, python_text
from pyloader.dataloader import DataLoader
from pyloader.files import list_chunks
from pyloader.files.atomic import write_text_whole
from pyloader.inspecting.planning import VARIED, Forecast, Look, Rate, forecast, look_at, measured_rate, window_for
from pyloader.options import format_bytes
from pyloader.packing import Packing
from pyloader.run.loader_options import MAX_QUEUE_SIZE
from pyloader.run.predicting import options_of

__all__ = ["add_parser", "run"]

PLAN_NAME = "plan.json"

_AHEAD = 4  # chunks beside those that are mixed: two are read ahead, two are handed out
_MOST_COLUMNS = 3  # whose variety is shown, of those that nobody named
_LABEL_WIDTH = 11


def add_parser(subparsers: Any) -> None:
    """Add `plan` to the command line."""
    parser = subparsers.add_parser(
        "plan",
        description="Show what a run will take before it starts: steps, memory, what is read and fetched, how well "
        "batches are mixed, and, measured for ten seconds, how fast it will be and how long its loop will wait. "
        "Several windows are shown side by side.",
    )
    add_loader_options(parser, window=False)
    parser.add_argument("--window", metavar="K,L", help="shuffle windows to compare, such as 4,8,16 (default: 4)")
    parser.add_argument("--ranks", type=int, default=1, metavar="N", help="training processes (default: 1)")
    parser.add_argument("--last-batch", metavar="RULE", help='"keep", "drop", "pad" or "wrap" (of ranks: "drop")')
    parser.add_argument("--max-bytes", metavar="SIZE", help="the bound on bytes of columns, such as 2GB")
    parser.add_argument("--seed", type=int, metavar="N", help="the seed of the order (default: 42)")
    parser.add_argument("--epochs", type=int, default=1, metavar="N", help="epochs that bytes are added up of")
    parser.add_argument("--step-ms", type=float, default=0.0, metavar="MS", help="how long your step takes")
    parser.add_argument(
        "--column",
        action="append",
        default=[],
        metavar="NAME",
        help="a column whose values should be mixed, such as a label or a source; may be typed again; with --pack, the "
        "column of tokens",
    )
    parser.add_argument("--pack", type=int, metavar="N", help="documents are packed into rows of N tokens")
    parser.add_argument("--loader", metavar="MOD:MAKE", help="instead of DIR: def make(**options), your DataLoader")
    parser.add_argument("--seconds", type=float, default=10.0, metavar="S", help="how long is measured (default: 10)")
    parser.add_argument("--no-calibrate", action="store_true", help="only what the plan says: nothing is read")
    parser.add_argument("--log-dir", metavar="DIR", type=Path, help=f"write {PLAN_NAME} there, for `pyloader report`")
    parser.add_argument("--html", metavar="FILE", type=Path, help="write it as one page, too")
    parser.add_argument("--json", action="store_true", help="everything as JSON")


def run(arguments: argparse.Namespace) -> int:
    """Plan, and show."""
    _check(arguments)
    given, make = typed_loaders(arguments, probes=not arguments.no_calibrate and arguments.pack is None)
    given |= _more_options(arguments)
    choices = [{**given, **_window_options(window, arguments)} for window in _windows(arguments)]
    loaders = [make(options) for options in choices]
    fetched = [loader.plan(num_epochs=arguments.epochs).fetched_bytes for loader in loaders]  # before any is
    look, found = _forecasts(arguments, loaders)
    head = list(_head(arguments, choices[0], loaders[0], found[0]))
    rows = list(_rows(arguments, found, fetched))
    notes = list(_notes(arguments, loaders[0], look, found[0]))
    name = arguments.loader or "DataLoader"
    told = as_json(_told([call_of(options, name) for options in choices], found, fetched))
    if (directory := arguments.log_dir) is not None:
        advice = "Give --log-dir a directory that this process may write in"
        with contextlib.suppress(OSError):  # told below
            directory.mkdir(parents=True, exist_ok=True)
        write_text_whole(directory / PLAN_NAME, told + "\n", advice)
        name = str(directory)
        notes.append(("next", f"run with log_dir={python_text(name)}; pyloader report {shlex.quote(name)}"))
    if arguments.html is not None:
        page = plan_page(head, rows, notes)
        write_text_whole(arguments.html, page, "Give --html a file in a directory that is there")
    if arguments.json:
        print(told)
        return GOOD
    table = as_table(rows, right=range(1, len(found) + 1))
    blocks = [as_block(head, label_width=_LABEL_WIDTH), table, as_block(notes, label_width=_LABEL_WIDTH)]
    print("\n\n".join(blocks if notes else blocks[:-1]))
    return GOOD


def _forecasts(arguments: argparse.Namespace, loaders: Sequence[DataLoader]) -> tuple[Look | None, list[Forecast]]:
    """Return what was seen in some chunks, and what is known of each loader, which is closed."""
    look = None
    if not arguments.no_calibrate:
        columns = arguments.column if arguments.pack is None else ()
        look = look_at(loaders[0], seconds=arguments.seconds / 4, columns=columns)
    found = []
    for loader in loaders:
        rate = None
        if look is not None:
            seconds = arguments.seconds * 3 / 4 / len(loaders)
            rate = measured_rate(loader, seconds=seconds, step_seconds=arguments.step_ms / 1000)
        found.append(forecast(loader, num_epochs=arguments.epochs, look=look, rate=rate))
        loader.close()
    return look, found


def _check(arguments: argparse.Namespace) -> None:
    for option, least in (("ranks", 1), ("epochs", 1), ("step_ms", 0)):
        if getattr(arguments, option) < least:
            raise ValueError(f"--{option.replace('_', '-')} must be at least {least}, got {getattr(arguments, option)}")
    if not arguments.seconds > 0:
        raise ValueError(f"--seconds must be above 0, got {arguments.seconds}")
    if arguments.pack is not None:
        if len(arguments.column) > 1:
            raise ValueError("with --pack one --column is typed at most: that of the tokens")
        return
    if arguments.no_calibrate and arguments.column:
        raise ValueError("--column needs some chunks to be read: leave out --no-calibrate")
    if arguments.no_shuffle and arguments.column:
        raise ValueError("--column says how well a shuffle mixes: leave out --no-shuffle")


def _windows(arguments: argparse.Namespace) -> Sequence[int | None]:
    if arguments.window is None:
        return [None]
    words = arguments.window.split(",")
    if not all(word.isdecimal() and int(word) for word in words):
        raise ValueError(f"--window {arguments.window}: write numbers of chunks, such as 4,8,16")
    return sorted({int(word) for word in words})


def _more_options(arguments: argparse.Namespace) -> dict[str, Any]:
    more: dict[str, Any] = {name: value for name in ("seed",) if (value := getattr(arguments, name)) is not None}
    if arguments.pack is not None:
        more["pack"] = arguments.pack
        if arguments.column:
            more["pack"] = Packing(length=arguments.pack, column=arguments.column[0])
    if arguments.max_bytes is not None:
        more["max_bytes"] = arguments.max_bytes
    if arguments.ranks > 1:
        more |= {"last_batch": arguments.last_batch or "drop", "world": (0, arguments.ranks)}
    elif arguments.last_batch is not None:
        more["last_batch"] = arguments.last_batch
    return more


def _window_options(window: int | None, arguments: argparse.Namespace) -> dict[str, Any]:
    """Return the options of a window: with a queue that holds it, and some chunks ahead."""
    if window is None:
        return {}
    options: dict[str, Any] = {"shuffle_window": window}
    if arguments.max_queue_size is None and window + _AHEAD > MAX_QUEUE_SIZE:
        options["max_queue_size"] = window + _AHEAD
    return options


def _head(
    arguments: argparse.Namespace, options: dict[str, Any], loader: DataLoader, found: Forecast
) -> Iterator[tuple[str, str]]:
    plan = found.prediction
    if arguments.loader is None:
        yield (
            "chunks",
            chunks_line(arguments.data_dir, list_chunks(arguments.data_dir, typed_store(arguments.cache_dir))),
        )
    yield "loader", call_of(options, arguments.loader or "DataLoader")
    on_ranks = f" on each of {plan.num_ranks:,} ranks" if plan.num_ranks > 1 else ""
    parts = [f"{plan.steps_per_epoch:,} an epoch{on_ranks}"]
    if plan.dropped_samples:
        parts.append(f"{counted(plan.dropped_samples, 'sample')} dropped")
    if plan.filled_samples:
        parts.append(f"{counted(plan.filled_samples, 'row')} filled")
    yield "steps", "   ".join(parts)
    if (packed := options_of(loader).run).packing is not None and packed.packed_fill is not None:
        yield "packed", f"rows of {packed.packing.length:,} tokens, {packed.packed_fill:.1%} filled"


def _rows(arguments: argparse.Namespace, found: Sequence[Forecast], before: Sequence[int]) -> Iterator[Sequence[str]]:
    """Yield the rows of the table: a label, a number for each window, and what the number is."""
    first = found[0].prediction

    def row(label: str, show: Callable[[Any], str], get: Callable[[Forecast], Any], what: str) -> Sequence[str]:
        return label, *(show(value) if (value := get(each)) is not None else "-" for each in found), what

    epochs = "an epoch" if first.num_epochs == 1 else f"{first.num_epochs:,} epochs"
    yield row("window", "{:,}".format, lambda f: f.prediction.shuffle_window, "chunks (shuffle_window)")
    batch = f"chunks a batch of {first.batch_size:,} holds samples of, effectively"
    yield row("mixes", "{:.1f}".format, lambda f: f.prediction.mixed_chunks, batch)
    if first.num_ranks > 1:
        yield row("of all ranks", "{:.1f}".format, lambda f: f.prediction.mixed_chunks_of_all, "the same, of all ranks")
    whole = first.batch_size * first.num_ranks
    for name in _shown_columns(arguments, found):
        worth = (max(1, round(each.variety[name] * whole)) for each in found)
        what = f"of {whole:,} samples: so many of a full shuffle are as varied in {name}"
        yield name, *map("{:,}".format, worth), what
    held = f"of columns{' on each rank' if first.num_ranks > 1 else ''}, where reading is ahead"
    yield row("memory", format_bytes, lambda f: f.prediction.resident_bytes, held)
    queue = "chunks' worth of rows, of max_queue_size="
    queue += ", ".join(dict.fromkeys(f"{each.prediction.resident_chunks_bound:,}" for each in found))
    yield row("", "{:.1f}".format, lambda f: f.prediction.resident_chunks, queue)
    of_all = f"; all ranks {format_bytes(first.read_bytes_of_all)}" if first.num_ranks > 1 else ""
    yield row("read", format_bytes, lambda f: f.prediction.read_bytes, f"{epochs}{of_all}")
    if first.cache_bytes_bound is not None:
        numbers = iter(before)
        yield row("fetched", format_bytes, lambda f: next(numbers), f"from the store, {epochs}")
        bound = format_bytes(first.cache_bytes_bound)
        yield row(
            "disk", format_bytes, lambda f: f.prediction.cache_bytes, f"wanted in the cache, which may hold {bound}"
        )
    if all(each.rate is None for each in found):
        yield row("first batch", "{:,}".format, lambda f: f.prediction.first_reads, "chunks are read before it")
        return
    reads = ", ".join(dict.fromkeys(f"{each.prediction.first_reads:,}" for each in found))
    of_rank = " of a rank that has this machine for itself" if first.num_ranks > 1 else ""
    unit = "samples" if arguments.pack is None else "packed rows"
    step = f"a step of {arguments.step_ms:g} ms" if arguments.step_ms else "a loop that does nothing; say --step-ms"

    def rate_row(label: str, show: Callable[[Any], str], get: Callable[[Rate], float], what: str) -> Sequence[str]:
        return row(label, show, lambda f: None if f.rate is None else get(f.rate), what)

    yield rate_row(
        "first batch",
        _spelled,
        lambda rate: rate.first_wait_seconds,
        f"after {reads} chunk{'' if reads == '1' else 's'}",
    )
    yield rate_row("rate", "{:,.0f}".format, lambda rate: rate.samples_per_second, f"{unit}/s{of_rank}, {step}")
    if arguments.step_ms:
        most = f"{unit}/s without that step"
        yield rate_row("at most", "{:,.0f}".format, lambda rate: rate.most_samples_per_second, most)
        yield rate_row("waits", "{:.0%}".format, lambda rate: rate.exposed_wait_fraction, "of its time, for data")
    yield rate_row("an epoch", _spelled, lambda rate: rate.epoch_seconds, "")


def _shown_columns(arguments: argparse.Namespace, found: Sequence[Forecast]) -> list[str]:
    varied = found[0].variety
    if arguments.column and varied and arguments.pack is None:
        return list(arguments.column)
    least = sorted(varied, key=lambda name: varied[name])[:_MOST_COLUMNS]
    return [name for name in least if varied[name] < VARIED]


def _notes(
    arguments: argparse.Namespace, loader: DataLoader, look: Look | None, narrow: Forecast
) -> Iterator[tuple[str, str]]:
    """Yield what to be warned of, and what to do."""
    if look is None:
        yield "not measured", "rate, waiting and classes: without --no-calibrate"
        return
    for name in _shown_columns(arguments, [narrow]):
        if narrow.variety[name] >= VARIED:
            continue
        plan = narrow.prediction
        whole = plan.batch_size * plan.num_ranks
        worth = max(1, round(narrow.variety[name] * whole))
        yield (
            "warning",
            f"chunks are sorted by {name}: with a window of {plan.shuffle_window} a batch of {whole:,} is as varied "
            f"in it as {counted(worth, 'sample')} of a full shuffle.",
        )
        wide = window_for(loader, look.spreads[name])
        wider = "" if wide is None else f", or write shuffle_window={wide}, max_queue_size={wide + _AHEAD}"
        yield "", f"Split again with --shuffle{wider}."
    if arguments.loader is None:
        yield from decoding_note(look.encoded)
    measured = "as fast as this machine was just now"
    if narrow.prediction.cache_bytes_bound is not None:
        measured += ", and its network; what has been fetched comes from the cache"
    yield (
        "measured",
        f"{counted(look.num_chunks, 'chunk')} read to look, then {arguments.seconds:g} s in all; {measured}",
    )


def _told(calls: Sequence[str], found: Sequence[Forecast], before: Sequence[int]) -> dict[str, Any]:
    return {
        "version": 1,
        "time": time.time(),
        "predictions": [
            {"loader": call, **each.as_dict(), "fetched_bytes": fetched}
            for call, each, fetched in zip(calls, found, before, strict=True)
        ],
    }


def _spelled(seconds: float) -> str:
    if seconds < 1:
        return f"{seconds * 1000:,.0f} ms" if seconds >= 0.01 else f"{seconds * 1000:.1f} ms"
    if seconds < 120:
        return f"{seconds:,.1f} s"
    return f"{seconds / 60:,.1f} min" if seconds < 7200 else f"{seconds / 3600:,.1f} h"
