"""The loader that the user typed: the options of a DataLoader, or a function of the user's own that makes one."""

from __future__ import annotations

import argparse
import contextlib
import inspect
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from pyloader.cli.addresses import add_cache_option, typed_store
from pyloader.cli.readers import add_reader_options, reader_call, reader_maker
from pyloader.cli.screens import counted, python_text
from pyloader.cli.typed import send_by_value, typed_object
from pyloader.collate import PaddingDataCollator
from pyloader.dataloader import DataLoader
from pyloader.datareader import DataReader
from pyloader.errors import CollateError, MissingDependencyError
from pyloader.files import list_chunks
from pyloader.files.stores import printable
from pyloader.options import format_bytes

__all__ = [
    "PADDING",
    "add_loader_options",
    "call_of",
    "chunks_line",
    "decoding_note",
    "given_options",
    "loader_of",
    "own_function",
    "typed_loaders",
]

PADDING = "PaddingDataCollator(pad_value=0)"

_BATCH_SIZE = 256
_OPTIONS = ("shuffle_window", "max_queue_size", "num_readers", "num_workers", "worker_kind", "cache_dir")


def add_loader_options(parser: argparse.ArgumentParser, *, window: bool = True) -> None:
    """Add the options of a DataLoader that commands take."""
    parser.add_argument(
        "data_dir",
        metavar="DIR",
        nargs="?",
        help="the chunks: a directory, a pattern, a manifest, or an address of a store",
    )
    parser.add_argument("--batch-size", type=int, metavar="N", help="samples a batch (default: 256)")
    parser.add_argument("--no-shuffle", action="store_true", help="in the chunks' order (default: shuffled)")
    if window:
        parser.add_argument(
            "--shuffle-window", type=int, metavar="N", help="chunks that are mixed at a time (default: 4)"
        )
    parser.add_argument("--max-queue-size", type=int, metavar="N", help="chunks in memory (default: 10)")
    parser.add_argument("--num-readers", type=int, metavar="N", help="threads that read (default: as many as help)")
    parser.add_argument(
        "--num-workers", type=int, metavar="N", help="threads that make batches (default: as many as help)"
    )
    parser.add_argument("--worker-kind", choices=["thread", "process"], help="what a worker is (default: thread)")
    add_reader_options(parser)
    add_cache_option(parser)


def given_options(arguments: argparse.Namespace) -> dict[str, Any]:
    """Return the options of a DataLoader that were given, as one writes them, and those that are always shown."""
    given: dict[str, Any] = {} if arguments.reader is None else {"datareader": reader_call(arguments)}
    batch_size = _BATCH_SIZE if arguments.batch_size is None else arguments.batch_size
    given |= {"data_dir": arguments.data_dir, "batch_size": batch_size, "shuffle": not arguments.no_shuffle}
    return given | {name: value for name in _OPTIONS if (value := getattr(arguments, name, None)) is not None}


def loader_of(options: dict[str, Any], make_reader: Callable[..., DataReader] | None) -> DataLoader:
    """Return the endless loader of options as `given_options` returns them."""
    if make_reader is not None:
        chunks = list_chunks(options["data_dir"], typed_store(options.get("cache_dir")))
        options = {**options, "datareader": make_reader(chunks.file(0), manifest=chunks.manifest)}
    if "datacollator" in options:
        options = {**options, "datacollator": PaddingDataCollator(pad_value=0)}
    return DataLoader(num_epochs=None, **options)


def own_function(name: str, *, returns: str = "a loader") -> Callable[..., Any]:
    """Return the function that --loader names.

    Raises:
      ValueError: it names none.
    """
    found = typed_object("--loader", name)
    if not callable(found):
        raise ValueError(f"--loader {name} is a {type(found).__name__}, not a function that returns {returns}")
    make: Callable[..., Any] = found
    return make


def typed_loaders(
    arguments: argparse.Namespace, *, probes: bool = True
) -> tuple[dict[str, Any], Callable[[dict[str, Any]], DataLoader]]:
    """Return the options that were typed, and what makes a loader of such options: --loader, where that was typed.

    Args:
      arguments: What was typed.
      probes: Whether a chunk may be read, to see whether rows have to be padded.

    Raises:
      ValueError: neither DIR nor --loader was typed, or both.
    """
    if arguments.loader is None:
        if arguments.data_dir is None:
            raise ValueError("name a directory of chunks, or a function that makes your loader: --loader module:make")
        make_reader = None if arguments.reader is None else reader_maker(arguments)
        _send_by_value()
        given = given_options(arguments)
        if probes and _needs_padding(given, make_reader):
            given["datacollator"] = PADDING
        return given, lambda options: loader_of(options, make_reader)
    if arguments.data_dir is not None:
        raise ValueError("DIR and --loader were both typed: the function says where the chunks are; leave out DIR")
    if arguments.reader is not None:
        raise ValueError("--reader and --loader were both typed: the function says who reads; leave out --reader")
    name, make = arguments.loader, own_function(arguments.loader, returns="a DataLoader")
    _send_by_value()
    names = ("batch_size", *_OPTIONS)
    given = {option: value for option in names if (value := getattr(arguments, option, None)) is not None}
    given |= {"shuffle": False} if arguments.no_shuffle else {}

    def made(options: dict[str, Any]) -> DataLoader:
        advice = "Write it as: def make(**options): return DataLoader(..., **options)"
        try:
            inspect.signature(make).bind(**options)
        except TypeError as exc:
            raise ValueError(f"--loader {name} does not take {', '.join(options)} ({exc}). {advice}") from exc
        try:
            loader = make(**options)
        except TypeError as exc:
            if "multiple values for keyword" not in str(exc):
                raise
            raise ValueError(
                f"--loader {name} has an option of its own that was typed too ({exc}): leave out one"
            ) from exc
        if not isinstance(loader, DataLoader):
            raise ValueError(f"--loader {name} returned a {type(loader).__name__}, not a DataLoader. {advice}")
        return loader

    return given, made


def _send_by_value() -> None:
    """Let worker processes have what the working directory has, once it is imported."""
    with contextlib.suppress(MissingDependencyError):  # then there are no worker processes
        send_by_value()


def _needs_padding(given: dict[str, Any], make_reader: Callable[..., DataReader] | None) -> bool:
    """Whether batches can only be made by padding, as `pyloader peek` advises; told by the first one."""
    with loader_of({**given, "num_workers": 0, "shuffle_window": None, "shuffle": False}, make_reader) as loader:
        try:
            next(iter(loader), None)
        except CollateError as exc:
            if PADDING not in exc.hint:
                raise
            return True
    return False


def call_of(options: dict[str, Any], name: str = "DataLoader") -> str:
    """Return the call that has these options, as one writes it."""
    shown: dict[str, Callable[[Any], str]] = {
        "datareader": str,
        "datacollator": str,
        "data_dir": lambda place: python_text(printable(place)),
        "cache_dir": python_text,
    }
    words = [f"{option}={shown.get(option, repr)(value)}" for option, value in options.items()]
    return f"{name}({', '.join(words)})"


def decoding_note(encoded: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Yield what to say where rows hold encoded images or sounds, which the loader that was typed does not decode."""
    if encoded:
        names = ", ".join(encoded)
        yield "encoded", f"{names}, not decoded here: a loader that decodes is slower. Try that: --loader module:make"


def chunks_line(place: str, chunks: Any) -> str:
    """Return how many samples and chunks there are, and how large."""
    samples = "" if chunks.counts is None else f"{counted(int(chunks.counts.sum()), 'sample')}, "
    size, where = format_bytes(int(chunks.sizes.sum())), "on disk" if chunks.stored is None else "in the store"
    return f"{printable(place)}   {samples}{counted(len(chunks), 'chunk')}, {size} {where}"
