"""`pyloader tune DIR`: which threads and processes make a loader fastest, and what to write."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any

from pyloader.cli.addresses import typed_store
from pyloader.cli.loaders import add_loader_options, call_of, chunks_line, typed_loaders
from pyloader.cli.main import GOOD
from pyloader.cli.screens import as_block, as_json, as_table
from pyloader.dataloader import DataLoader
from pyloader.files import list_chunks
from pyloader.inspecting.measuring import measure
from pyloader.inspecting.tuning import Setting, Trial, tune
from pyloader.machine.limits import available_bytes, num_processors
from pyloader.run.predicting import options_of

__all__ = ["add_parser", "run"]

_MEMORY_SHARE = 8  # a larger queue is tried where its chunks take no more than one of so many parts of the memory
_FACTOR = 4  # and is at most so many times as large
_MOST_SHOWN = 8


def add_parser(subparsers: Any) -> None:
    """Add `tune` to the command line."""
    parser = subparsers.add_parser(
        "tune",
        description="Try numbers of workers and readers, threads and processes, and sizes of the queue, for half a "
        "minute, and show which are fastest, and what to write. The batches are the same with all of them.",
    )
    add_loader_options(parser)
    parser.add_argument("--max-bytes", metavar="SIZE", help="the bound on bytes of columns, such as 2GB")
    parser.add_argument("--loader", metavar="MOD:MAKE", help="instead of DIR: def make(**options), your DataLoader")
    parser.add_argument("--step-ms", type=float, default=0.0, metavar="MS", help="how long your step takes")
    parser.add_argument("--seconds", type=float, default=30.0, metavar="S", help="how long to try (default: 30)")
    parser.add_argument("--json", action="store_true", help="everything as JSON")


def run(arguments: argparse.Namespace) -> int:
    """Try, and show."""
    if not arguments.seconds > 0:
        raise ValueError(f"--seconds must be above 0, got {arguments.seconds}")
    given, make = typed_loaders(arguments)
    if arguments.max_bytes is not None:
        given["max_bytes"] = arguments.max_bytes
    with make(given) as loader:
        start, state = _setting_of(loader), loader.state_dict()
        enough = (
            options_of(loader).run.rule.batch_size * 1000 / arguments.step_ms if arguments.step_ms > 0 else float("inf")
        )
        most_queue = start.max_queue_size * (_FACTOR if _has_room(loader, arguments.max_bytes) else 1)
    trials = tune(
        start,
        _measuring(given, make, state),
        seconds=arguments.seconds,
        processors=num_processors(),
        most_queue=most_queue,
        enough=enough,
    )
    if trials[0].error:
        raise ValueError(f"the loader cannot be measured: {trials[0].error}")
    if arguments.json:
        print(as_json([_as_dict(trial) for trial in trials]))
    else:
        print("\n".join(_screen(arguments, given, start, trials, enough)))
    return GOOD


def _setting_of(loader: DataLoader) -> Setting:
    stats = loader.stats()
    return Setting(
        num_workers=stats.num_workers,
        num_readers=stats.num_readers,
        worker_kind=stats.worker_kind,
        max_queue_size=stats.max_queue_size,
    )


def _has_room(loader: DataLoader, max_bytes: str | None) -> bool:
    """Tell whether more chunks may be in memory: what they take is bounded, or known to be little."""
    if max_bytes is not None:
        return True
    known = None if loader.steps_per_epoch is None else loader.plan().resident_bytes
    return known is not None and _FACTOR * known <= available_bytes() // _MEMORY_SHARE


def _measuring(
    given: dict[str, Any], make: Callable[[dict[str, Any]], DataLoader], state: dict[str, Any]
) -> Callable[[Setting, float], Trial]:
    """Return what measures a setting, of which it has seen that the order is the same."""

    def measured(setting: Setting, seconds: float) -> Trial:
        with make({**given, **setting.options()}) as loader:
            if loader.state_dict() != state:
                raise ValueError("--loader made a loader with other batches: options of the order must stay")
            try:
                batches = _endless(loader)
                if setting.worker_kind == "process":  # which start when they are first needed
                    for _ in islice(batches, 2 * (setting.num_workers + setting.num_readers)):
                        pass
                found = measure(lambda: batches, seconds=seconds)
            except Exception as exc:  # of what cannot be sent to a process, say
                if setting.worker_kind != "process":
                    raise
                return Trial(setting, error=f"{type(exc).__name__}: {exc}".partition("\n")[0])
            return Trial(setting, (found.samples_per_second,), loader.stats().bound_by)

    return measured


def _endless(loader: DataLoader) -> Iterator[Any]:
    """Yield batches epoch after epoch, also of a loader that ends after one."""
    while True:
        yield from loader


def _screen(
    arguments: argparse.Namespace, given: dict[str, Any], start: Setting, trials: list[Trial], enough: float
) -> Iterator[str]:
    rows = []
    if arguments.loader is None:
        chunks = list_chunks(arguments.data_dir, typed_store(arguments.cache_dir))
        rows.append(("chunks", chunks_line(arguments.data_dir, chunks)))
    rows.append(("loader", call_of(given, arguments.loader or "DataLoader")))
    yield as_block(rows, label_width=8)
    yield ""
    first = next(trial for trial in trials if trial.setting == start)
    best = trials[0]
    table = [("tried", "samples/s", "", "waits for")]
    for trial in trials[:_MOST_SHOWN]:
        ratio = f"{trial.rate / first.rate:.2f}" if trial.rate else "-"
        told = trial.error or trial.bound_by or "nothing"
        table.append((_words(trial.setting, start), f"{trial.rate:,.0f}", ratio, told))
    yield as_table(table, right=(1, 2))
    yield ""
    written = {
        **given,
        **{name: value for name, value in best.setting.options().items() if _differs(name, best, start)},
    }
    times = best.rate / first.rate
    told = f"{call_of(written, arguments.loader or 'DataLoader')}   "
    told += "as it is: nothing tried is faster" if best is first else f"{times:.1f} times as fast, and the same batches"
    if arguments.step_ms > 0:
        step = f"a step of {arguments.step_ms:g} ms"
        told += f"   {step} does not wait for data" if best.rate >= enough else f"   {step} waits for data"
    yield as_block([("next", told)], label_width=8)


def _differs(name: str, best: Trial, start: Setting) -> bool:
    return bool(getattr(best.setting, name) != getattr(start, name))


def _words(setting: Setting, start: Setting) -> str:
    """Return what a setting differs by, as one writes it."""
    options = {name: value for name, value in setting.options().items() if value != getattr(start, name)}
    return ", ".join(f"{name}={value!r}" for name, value in options.items()) or "as it is"


def _as_dict(trial: Trial) -> dict[str, Any]:
    known = {"samples_per_second": trial.rate, "rates": trial.rates, "bound_by": trial.bound_by, "error": trial.error}
    return {**trial.setting.options(), **known}
