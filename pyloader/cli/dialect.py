"""--from, --delimiter and --quote: what a file is said to be, in the same words for split, peek and index."""

from __future__ import annotations

import argparse
import shlex
from typing import Any

from pyloader.files import suffix_of
from pyloader.read.dialect import NO_QUOTES, Dialect

__all__ = ["add_dialect_options", "add_form_options", "said_words", "take_form"]

_READERS = {"jsonl": "jsonl", "text": "text", "csv": "csv", "tsv": "csv"}  # registered names
_DELIMITERS = {"csv": ",", "tsv": "\t"}


def add_dialect_options(parser: Any) -> None:
    """Add --delimiter and --quote, which are None unless they are given."""
    parser.add_argument(
        "--delimiter", metavar="C", type=_delimiter, help="what stands between fields of CSV: a character, or tab"
    )
    parser.add_argument(
        "--quote",
        metavar="C",
        type=_quote,
        help=f"what stands around such fields: a character, or {NO_QUOTES} where quotes mean nothing (the double "
        "quote, unless it takes in rows)",
    )


def add_form_options(parser: Any) -> None:
    """Add --from as well, for files of lines; what is said to be text is taken as it is."""
    parser.add_argument("--from", dest="form", choices=list(_READERS), help="what the files are (by the suffix)")
    add_dialect_options(parser)


def take_form(arguments: argparse.Namespace, path: str) -> None:
    """Have `arguments` name the reader that --from, --delimiter and --quote say, as if --reader had named it.

    Args:
      arguments: Of the command; `reader` is set to the reader's name, and `said` to what it is made with.
      path: One of the files.

    Raises:
      ValueError: a dialect was given for files that are not delimited, or --reader was given too.
    """
    options = _said_options(arguments, path)
    if options is None:
        return
    if arguments.reader:
        raise ValueError("--reader and --from, --delimiter or --quote were given; one says what reads the chunks")
    arguments.reader, arguments.said = _READERS[arguments.form or "csv"], options


def _said_options(arguments: argparse.Namespace, path: str) -> dict[str, Any] | None:
    """Return what the reader of files like the one at `path` is made with; None when nothing was said."""
    form, options = arguments.form, _dialect(arguments)
    if form is None and not options:
        return None
    from pyloader.read import DelimitedReader, reader_for

    if options and form not in ("csv", "tsv") and (form or not isinstance(reader_for(path), DelimitedReader)):
        raise ValueError("--delimiter and --quote are for delimited text. If the files are that: --from csv")
    if form == "text":
        return {"sniff": False}
    if form in _DELIMITERS and suffix_of(path) != f".{form}" and (form == "tsv" or suffix_of(path) == ".tsv"):
        return {"delimiter": _DELIMITERS[form]} | options
    return options


def _dialect(arguments: argparse.Namespace) -> dict[str, str]:
    """Return the delimiter and the quote that were given."""
    given = {"delimiter": arguments.delimiter, "quote": arguments.quote}
    return {name: value for name, value in given.items() if value is not None}


def said_words(arguments: argparse.Namespace) -> str:
    """Return the options as they are typed, each after a space; "" when none was given."""
    form = [("from", arguments.form)] if arguments.form else []
    words = [f"--{name} {shlex.quote(value)}" for name, value in [*form, *_dialect(arguments).items()]]
    return "".join(f" {word}" for word in words).replace("'\t'", "tab")


def _delimiter(text: str) -> str:
    text = {"tab": "\t", r"\t": "\t"}.get(text, text)
    _check(text, NO_QUOTES)
    return text


def _quote(text: str) -> str:
    _check("\0", text)
    return text


def _check(delimiter: str, quote: str) -> None:
    try:
        Dialect(delimiter, quote)
    except ValueError as exc:
        raise argparse.ArgumentTypeError(str(exc)) from exc
