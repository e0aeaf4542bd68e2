"""The reader that the user typed, --reader and --option, for the commands that read chunks."""

from __future__ import annotations

import argparse
import ast
import os
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from pyloader.cli.typed import typed_object
from pyloader.datareader import DataReader
from pyloader.errors import ManifestError
from pyloader.files import Manifest
from pyloader.read import reader_for, registered_reader

__all__ = ["add_reader_options", "reader_call", "reader_class", "reader_maker", "reader_options"]


def add_reader_options(parser: argparse.ArgumentParser) -> None:
    """Add --reader and --option."""
    parser.add_argument(
        "--reader",
        metavar="NAME",
        help="the reader, where suffix or manifest do not tell: tokens, or package.module:Class for one of your own",
    )
    parser.add_argument(
        "--option",
        metavar="NAME=VALUE",
        action="append",
        default=[],
        help="what that reader is made with: --reader tokens --option window=1025 --option dtype=uint16",
    )


def reader_options(arguments: argparse.Namespace) -> dict[str, Any]:
    """Return what --option says, or --from, --delimiter and --quote.

    Raises:
      ValueError: it is not written as NAME=VALUE, or there is no --reader.
    """
    if (said := getattr(arguments, "said", None)) is not None:
        return dict(said)
    words: Sequence[str] = arguments.option
    if words and arguments.reader is None:
        raise ValueError("--option says what a reader is made with: name it, --reader tokens")
    options: dict[str, Any] = {}
    for word in words:
        name, equals, text = word.partition("=")
        if not equals:
            raise ValueError(f"--option {word}: write it as NAME=VALUE")
        try:
            options[name] = ast.literal_eval(text)
        except (ValueError, SyntaxError):  # a plain word
            options[name] = text
    return options


def reader_maker(arguments: argparse.Namespace) -> Callable[..., DataReader]:
    """Return what makes readers as `reader_for` does; of the class that --reader names, where it was typed.

    Raises:
      ValueError: --reader names no reader, or one that --option does not fit.
    """
    options, named, typed = reader_options(arguments), arguments.reader, reader_class(arguments)
    if typed is None:
        return reader_for

    def make(path: str | os.PathLike[str], *, manifest: Manifest | None = None) -> DataReader:
        known = Manifest(columns=(), reader=named, chunks=()) if manifest is None else manifest
        known = msgspec.structs.replace(known, reader=named, reader_options={**known.reader_options, **options})
        try:
            return reader_for(path, manifest=known, reader_class=typed)
        except ManifestError as exc:
            cause = exc.__cause__
            raise ValueError(f"--reader {named}: {cause}. Say it with --option NAME=VALUE") from cause

    return make


def reader_call(arguments: argparse.Namespace) -> str:
    """Return the call that makes the reader that was typed, to be shown: "Reader(window=65)"; "" without one."""
    typed = reader_class(arguments)
    if typed is None:
        return ""
    options = ", ".join(f"{name}={value!r}" for name, value in reader_options(arguments).items())
    return f"{typed.__qualname__}({options})"


def reader_class(arguments: argparse.Namespace) -> type[DataReader] | None:
    """Return the class that --reader names; None where it was not typed.

    Raises:
      ValueError: it names none.
    """
    named = arguments.reader
    if named is None:
        return None
    found = registered_reader(named)
    if found is None:
        if ":" not in named:
            raise ValueError(f"--reader {named}: no reader is called so; or write package.module:Class")
        found = typed_object("--reader", named)
    if not (isinstance(found, type) and issubclass(found, DataReader)):
        raise ValueError(f"--reader {named} is no DataReader class")
    return found
