"""`pyloader bench DIR`: how fast chunks come to a loop that does nothing, and which options would make it faster."""

from __future__ import annotations

import argparse
import contextlib
import shlex
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

from pyloader.cli.addresses import typed_store
from pyloader.cli.loaders import (
    PADDING,
    add_loader_options,
    call_of,
    chunks_line,
    given_options,
    loader_of,
    own_function,
)
from pyloader.cli.main import GOOD
from pyloader.cli.readers import reader_maker
from pyloader.cli.screens import as_block, as_json, as_table, progress_bar
from pyloader.cli.typed import send_by_value
from pyloader.dataloader import DataLoader
from pyloader.errors import CollateError, MissingDependencyError
from pyloader.files import list_chunks
from pyloader.files.stores import printable
from pyloader.inspecting.measuring import Measurement, measure
from pyloader.observe import ChunkStats
from pyloader.options import format_bytes
from pyloader.read import NumpyReader, reader_for
from pyloader.run.predicting import has_its_threads

__all__ = ["add_parser", "run"]

_FASTER = 1.1  # times; less may be chance


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """One loader, and what was measured of it."""

    options: dict[str, Any] | None  # what its DataLoader was given; None for a loader of the user's own
    name: str  # what it differs by, as one would write it
    measurement: Measurement  # the figures
    stats: ChunkStats | None  # where the time went; None where the loader does not tell


def add_parser(subparsers: Any) -> None:
    """Add `bench` to the command line."""
    parser = subparsers.add_parser(
        "bench",
        description="Stream chunks to a loop that does nothing, and show how fast they come, what that takes, where "
        "the time goes, and whether other options, or a loader of your own, are faster.",
    )
    add_loader_options(parser)
    parser.add_argument(
        "--loader",
        metavar="MOD:FUNCTION",
        help="measure a loader of your own, too: what the function returns gives batches, each a dict, tuple or array",
    )
    parser.add_argument(
        "--seconds", type=float, default=3.0, metavar="S", help="how long each is measured (default: 3)"
    )
    parser.add_argument("--alone", action="store_true", help="try no other options")
    parser.add_argument("--json", action="store_true", help="everything as JSON")
    parser.add_argument("-q", "--quiet", action="store_true", help="no bar")


def run(arguments: argparse.Namespace) -> int:
    """Measure, and show."""
    if arguments.data_dir is None and arguments.loader is None:
        raise ValueError("name a directory of chunks, or a loader of your own: --loader module:function")
    if not arguments.seconds > 0:
        raise ValueError(f"--seconds must be above 0, got {arguments.seconds}")
    trials = list(_trials(arguments))
    if arguments.json:
        print(as_json([_as_dict(trial) for trial in trials]))
    else:
        print("\n".join(_screen(arguments, trials)))
    return GOOD


def _trials(arguments: argparse.Namespace) -> Iterator[Trial]:
    own = None if arguments.loader is None else own_function(arguments.loader)
    make_reader = None if arguments.reader is None else reader_maker(arguments)
    with contextlib.suppress(MissingDependencyError):  # then there are no worker processes
        send_by_value()
    if arguments.data_dir is not None:
        given = given_options(arguments)
        try:
            first = _measured(arguments, "as it is", partial(loader_of, given, make_reader), given)
        except CollateError as exc:
            if PADDING not in exc.hint:
                raise
            given["datacollator"] = PADDING  # as `pyloader peek` advises
            first = _measured(arguments, "as it is", partial(loader_of, given, make_reader), given)
        yield first
        for changed in [] if arguments.alone else _alternatives(given):
            options = {**given, **changed}
            name = ", ".join(f"{option}={value!r}" for option, value in changed.items())
            yield _measured(arguments, name, partial(loader_of, options, make_reader), options)
    if own is not None:
        yield _measured(arguments, arguments.loader, own)


def _alternatives(given: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield what else to try: first what leaves the batches as they are."""
    mine = given.get("num_workers", 1)
    if given.get("worker_kind") != "process":
        yield from ({"num_workers": number} for number in (0, 1, 2, 4) if number != mine)
        yield {"num_workers": 0, "num_readers": 1}
    if given.get("num_readers", 1) == 1 and mine:
        yield {"num_readers": 2}
    if given["shuffle"] and given.get("shuffle_window") != 1:
        yield {"shuffle_window": 1}


def _measured(
    arguments: argparse.Namespace,
    name: str,
    make: Callable[[], Iterable[Any]],
    options: dict[str, Any] | None = None,
) -> Trial:
    loaders: list[Any] = []

    def made() -> Iterable[Any]:
        loaders.append(make())
        return loaders[-1]  # type: ignore[no-any-return]

    def is_settled() -> bool:
        return not isinstance(loaders[0], DataLoader) or has_its_threads(loaders[0])

    def progress(batches: Iterable[Any]) -> Iterable[Any]:
        return progress_bar(batches, name, " batches", quiet=arguments.quiet or arguments.json, leave=False)

    try:
        measurement = measure(made, seconds=arguments.seconds, progress=progress, is_settled=is_settled)
        stats = loaders[0].stats() if isinstance(loaders[0], DataLoader) else None
    finally:
        for loader in loaders:
            if isinstance(loader, DataLoader):
                loader.close()
    return Trial(options=options, name=name, measurement=measurement, stats=stats)


def _screen(arguments: argparse.Namespace, trials: list[Trial]) -> Iterator[str]:
    first = trials[0]
    yield as_block(list(_first_rows(arguments, first)), label_width=11)
    if len(trials) > 1:
        yield ""
        yield as_table(list(_comparison(trials)), right=(1, 2, 3, 4))
    yield ""
    yield as_block([("next", _advice(trials))], label_width=11)


def _first_rows(arguments: argparse.Namespace, trial: Trial) -> Iterator[tuple[str, str]]:
    found = trial.measurement
    if trial.options is not None:
        chunks = list_chunks(arguments.data_dir, typed_store(arguments.cache_dir))
        yield "chunks", chunks_line(arguments.data_dir, chunks)
        holds_arrays = (
            chunks.manifest is None and arguments.reader is None and isinstance(reader_for(chunks.file(0)), NumpyReader)
        )
        if holds_arrays and trial.stats is not None and trial.stats.wants_manifest and chunks.stored is None:
            yield "", f"no manifest: arrays are mixed faster with one. Make it:  pyloader index {arguments.data_dir}"
        yield "loader", call_of(trial.options)
    else:
        yield "loader", arguments.loader
    batches = found.num_batches / found.num_samples * found.samples_per_second
    yield "rate", f"{found.samples_per_second:,.0f} samples/s   {batches:,.0f} batches/s"
    yield "", f"a training step of {1000 / batches:,.2g} ms or more does not wait for data"
    yield "first batch", f"{found.first_batch_seconds * 1000:,.0f} ms"
    memory = (
        f"{format_bytes(found.memory_bytes)} above what the process had" if found.memory_bytes else "not known here"
    )
    if trial.stats is None:
        yield "memory", memory
        return
    if num_wanted := trial.stats.cache_hits + trial.stats.cache_misses:
        came = f"{format_bytes(trial.stats.fetched_bytes)} fetched"
        yield "store", f"{came}   {trial.stats.cache_hits:,} of {num_wanted:,} chunks were in the cache"
    resident = f"{trial.stats.resident_peak:.1f} of {trial.stats.max_queue_size} chunks"
    yield "memory", f"{memory}   at most {resident}"
    seconds = max(trial.stats.loop_seconds, 1e-9)
    shares = (f"{stage} {busy / seconds:.0%}" for stage, busy in trial.stats.busy_seconds.items())
    yield "busy", f"{'   '.join(shares)}   of the time, all threads together"
    mixing = trial.stats.mixing
    if mixing == mixing:  # not nan
        yield "mixing", f"the average batch holds samples of {mixing:.1f} chunks"


def _comparison(trials: list[Trial]) -> Iterator[tuple[str, ...]]:
    first = trials[0].measurement
    yield "tried", "samples/s", "", "first batch", "memory"
    for trial in trials:
        found = trial.measurement
        ratio = found.samples_per_second / first.samples_per_second
        yield (
            trial.name,
            f"{found.samples_per_second:,.0f}",
            f"{ratio:.2f}",
            f"{found.first_batch_seconds * 1000:,.0f} ms",
            format_bytes(found.memory_bytes) if found.memory_bytes > 0 else "-",
        )


def _advice(trials: list[Trial]) -> str:
    """What to write, or to do."""
    first, *others = trials
    if first.options is not None and first.stats is not None and first.stats.cache_misses:
        url = shlex.quote(printable(first.options["data_dir"]))
        kept = first.options.get("cache_dir")
        url += "" if kept is None else f" --cache-dir {shlex.quote(kept)}"
        return f"pyloader fetch {url}   and measure again: what was fetched at first was in the cache for the rest"
    same_batches = [t for t in others if t.options and t.options.get("shuffle_window") == _window(first)]
    best = max(same_batches, key=lambda trial: trial.measurement.samples_per_second, default=first)
    ratio = best.measurement.samples_per_second / first.measurement.samples_per_second
    if best.options is not None and ratio > _FASTER:
        return f"{call_of(best.options)}   {ratio:.1f} times as fast, and the same batches"
    if first.options is None:
        return "pyloader bench DIR --loader ... compares it with pyloader's own, over chunks"
    if len(trials) == 1:
        return "without --alone, other options are tried"
    narrow = next((t for t in others if t.options and t.options.get("shuffle_window") != _window(first)), None)
    text = "nothing tried is faster with the same batches"
    if narrow is not None:
        ratio = narrow.measurement.samples_per_second / first.measurement.samples_per_second
        text += f"   {narrow.name} is {ratio:.1f} times as fast, and mixes less" if ratio > _FASTER else ""
    return f"{text}   forms of chunks: docs/performance.md"


def _window(trial: Trial) -> Any:
    return None if trial.options is None else trial.options.get("shuffle_window")


def _as_dict(trial: Trial) -> dict[str, Any]:
    stats = None if trial.stats is None else trial.stats.as_dict()
    if stats is not None and stats["mixing"] != stats["mixing"]:
        stats["mixing"] = None  # nan is no JSON
    options = trial.options
    if options is not None:
        options = {**options, "data_dir": printable(options["data_dir"])}
    return {"name": trial.name, "options": options, **asdict(trial.measurement), "stats": stats}
