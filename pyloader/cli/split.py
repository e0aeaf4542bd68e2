"""`pyloader split INPUT... OUTPUT_DIR`: split a dump that does not fit in memory into chunk files."""

from __future__ import annotations

import argparse
import math
import os
import re
import shlex
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from pyloader.cli.amounts import count_option, size_option
from pyloader.cli.dialect import add_dialect_options
from pyloader.cli.main import GOOD
from pyloader.cli.screens import as_block, as_json, counted, one_line, screen_width
from pyloader.cli.typed import typed_object
from pyloader.columns import ColumnSpec
from pyloader.dataset import Dataset
from pyloader.deliver.engines import ENGINES
from pyloader.inspecting.measuring import peak_bytes
from pyloader.machine.memory import have_one_allocator
from pyloader.options import format_bytes
from pyloader.write import FORMATS, INPUT_FORMATS, OutputReport, SplitReport, discard_stopped, split
from pyloader.write.media import MediaOptions
from pyloader.write.request import Request, fill_option
from pyloader.write.token_files import Windows

__all__ = ["add_parser", "run"]

# What is typed and goes to `split`, under the same name, but for these; and what of it --check needs.
_OWN = ("places", "check", "json", "quiet", "tokenizer", "chat", "column", "append_eos")
_MEDIA = ("max_side", "quality", "path_column", "media_root")
_DIALECT = ("delimiter", "quote", "quoted_newlines")
_READING = ("input_format", *_DIALECT, "output_format", "encode", "where", "fill", "columns")

_EXAMPLES = """examples:
  pyloader split dump.jsonl chunks/
  pyloader split 'dump/*.jsonl.zst' chunks/ --shuffle --holdout val=0.5% --workers 8
  pyloader split image=x.npy label=y.npy chunks/ --chunk-samples 4096
  pyloader split train.bin chunks/ --window 1025 --stride 1024 --dtype uint16
  pyloader split photos/ chunks/ --shuffle --holdout val=5% --max-side 512 --quality 90
  pyloader split labels.csv chunks/ --path-column file
  pyloader split corpus.jsonl.zst tokens/ --tokenizer tokenizer.json --append-eos
  pyloader split dump.jsonl chunks/ --unique url
  pyloader split 's3://dumps/2026/*.jsonl.gz' chunks/
  zcat dump.jsonl.gz | pyloader split - chunks/ --from jsonl
  pyloader split dump.jsonl tokens/ --encode mypackage.text:Tokens --where mypackage.text:is_long
  pyloader split 'days/*.jsonl' chunks/ --append
  pyloader split dump.jsonl s3://bucket/chunks/ --shuffle
  pyloader split chunks/ --discard-stopped

A run that was stopped goes on when the same command is given again; --discard-stopped gives up what it began.  Once it
is complete, the same command writes chunks that were damaged or lost since, and nothing else."""


def add_parser(subparsers: Any) -> None:
    """Add `split` to the command line."""
    parser = subparsers.add_parser(
        "split",
        usage="pyloader split INPUT... OUTPUT_DIR [options]",
        description="Split a dump of any size into chunk files, in bounded memory.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "places",
        nargs="+",
        metavar="INPUT... OUTPUT_DIR",
        help="files (plain, .gz, .zst, .xz, .bz2), 'globs', addresses of stores (objects, prefixes, 'globs'), - for "
        "standard input, COLUMN=FILE.npy for each column, or a folder of images or sounds, whose folders are their "
        "labels; last, the directory for the chunks, or an address (s3://bucket/chunks/)",
    )
    sizes = parser.add_argument_group("how large (64 MiB before compression, but at least 16 chunks)")
    size = sizes.add_mutually_exclusive_group()
    size.add_argument(
        "--chunk-bytes", metavar="SIZE", type=size_option, help="bytes of a chunk before compression: 64MiB"
    )
    size.add_argument("--chunk-samples", metavar="N", type=count_option, help="samples of a chunk")
    size.add_argument(
        "--num-chunks", metavar="N", type=count_option, help="chunks, of the same number of samples or one less"
    )

    order = parser.add_argument_group("which sample goes where")
    order.add_argument(
        "--shuffle", action="store_true", help="all samples change places; takes the dump's size on disk"
    )
    order.add_argument("--seed", metavar="S", type=int, default=0, help="of the shuffle (0)")
    order.add_argument(
        "--holdout",
        metavar="NAME=SHARE",
        type=_holdout,
        action="append",
        help="put a share of the samples (0.02 or 2%%) into OUTPUT_DIR/NAME, the others into OUTPUT_DIR/train; chosen "
        "by what they hold, so that the choice stays when the dump grows",
    )
    order.add_argument("--holdout-by", metavar="KEY", help="the column that decides it (all columns)")
    order.add_argument(
        "--unique",
        metavar="A,B",
        type=_names,
        help="of the samples with the same values in these columns only the first stays, those that --append adds to "
        "included; reads the dump twice",
    )

    what = parser.add_argument_group("what is read and written")
    what.add_argument("--from", dest="input_format", choices=INPUT_FORMATS, help="what the inputs are (by the suffix)")
    add_dialect_options(what)
    what.add_argument(
        "--no-quoted-newlines",
        dest="quoted_newlines",
        action="store_false",
        help="each line of CSV is a row, so that large files are cut without being read for that",
    )
    what.add_argument(
        "--window", metavar="N", type=count_option, help="tokens in a sample, for .bin and .npy files of tokens"
    )
    what.add_argument(
        "--stride", metavar="N", type=count_option, help="tokens from one window to the next (the window)"
    )
    what.add_argument(
        "--dtype",
        metavar="D",
        help="what the tokens of a .bin are (uint16), or those of a .npy are to be (what they are)",
    )
    what.add_argument(
        "--max-side",
        metavar="PIXELS",
        type=count_option,
        help="make a JPEG of each image that has a longer side than this, once",
    )
    what.add_argument("--quality", metavar="Q", type=int, default=90, help="with --max-side: of the JPEG, 1 to 95 (90)")
    what.add_argument(
        "--path-column",
        metavar="NAME",
        help="the column of paths: the inputs are lists (CSV, JSON lines, Parquet, text) of images or sounds",
    )
    what.add_argument(
        "--media-root", metavar="DIR", help="with --path-column: the folder that the files are in (that of the list)"
    )
    what.add_argument(
        "--to",
        dest="output_format",
        choices=list(FORMATS),
        help="columns for arrays and lists of integers that --encode returns, tokens for windows of tokens, jsonl.zst "
        "for what JSON gives back as it is, else parquet",
    )
    what.add_argument("--columns", metavar="A,B", type=_names, help="the columns to keep; the others are not looked at")
    what.add_argument(
        "--fill",
        metavar="KEY=VALUE",
        type=_fill,
        action="append",
        help="what stands where a sample lacks KEY, or has null; in CSV and TSV, where its field is empty",
    )
    what.add_argument("--where", metavar="PKG.MOD:FN", help="keep the samples for which FN(sample) is true")
    made = what.add_mutually_exclusive_group()
    made.add_argument("--encode", metavar="PKG.MOD:CLASS", help="apply a Dataset's batch_encode, once")
    made.add_argument(
        "--tokenizer",
        metavar="FILE",
        help="make tokens of text, once, by a tokenizer.json, or by the name of an encoding of tiktoken",
    )
    what.add_argument(
        "--chat", metavar="TEMPLATE", help="with --tokenizer: the rows are chats, and this is chatml or llama3"
    )
    what.add_argument(
        "--column", metavar="NAME", help="with --tokenizer: the column of text (text), or of chats (messages)"
    )
    what.add_argument(
        "--append-eos",
        metavar="TOKEN",
        nargs="?",
        const=True,
        default=False,
        help="with --tokenizer: end each text with its token for that, or --append-eos=TOKEN with this one",
    )

    how = parser.add_argument_group("how")
    how.add_argument("--max-skipped", metavar="N", type=count_option, default=0, help="leave out up to N bad rows (0)")
    how.add_argument("--quarantine", metavar="FILE", help="a line of JSON for each row left out: file, line, error")
    how.add_argument("--check", action="store_true", help="only list all bad rows; nothing is written")
    how.add_argument("--workers", metavar="N", type=count_option, help="tasks at once (the processors of this machine)")
    how.add_argument(
        "--engine",
        choices=ENGINES,
        help="where they run; the bytes are the same (processes for a large dump, else threads)",
    )
    how.add_argument("--address", metavar="A", help="of a running Ray cluster, for --engine ray: auto")
    how.add_argument(
        "--scratch-dir",
        metavar="DIR",
        help="where rows are put aside meanwhile (below OUTPUT_DIR; for a store ~/.cache/pyloader/writing)",
    )
    there = how.add_mutually_exclusive_group()
    there.add_argument("--overwrite", action="store_true", help="delete the chunks that are in OUTPUT_DIR first")
    there.add_argument(
        "--append", action="store_true", help="add to them what they do not know yet; they can be loaded meanwhile"
    )
    how.add_argument("--again", action="store_true", help="with --append: add what was taken in before once more")
    how.add_argument(
        "--discard-stopped",
        action="store_true",
        help="first give up what a stopped split has begun in OUTPUT_DIR (alone: pyloader split OUTPUT_DIR "
        "--discard-stopped); chunks that a manifest lists stay",
    )
    how.add_argument(
        "--take-over",
        action="store_true",
        help="in a store: give up, too, what a writer of another command began, which has been silent for a minute",
    )
    how.add_argument("--json", action="store_true", help="what was made, as JSON on standard output")
    how.add_argument("-q", "--quiet", action="store_true", help="no bar, and nothing to say when all is well")


def _tokenizing(arguments: argparse.Namespace) -> Dataset:
    """Return what makes tokens of text, or of chats."""
    from pyloader.encode import ChatDataset, TokenizerDataset

    if arguments.chat is None:
        column = arguments.column or "text"
        return TokenizerDataset(arguments.tokenizer, column=column, append_eos=arguments.append_eos)
    if arguments.append_eos is not False:
        raise ValueError("--append-eos does not go with --chat: the template says what ends a message")
    return ChatDataset(arguments.tokenizer, column=arguments.column or "messages", template=arguments.chat)


def run(arguments: argparse.Namespace) -> int:
    """Split, and show what was made."""
    if arguments.discard_stopped and len(arguments.places) == 1:
        return _discard(arguments.places[0], arguments.scratch_dir, quiet=arguments.quiet)
    inputs, output_dir = _places(arguments.places)
    for option, typed in (("--encode", arguments.encode), ("--where", arguments.where)):
        if typed is not None:
            typed_object(option, typed)  # here, where the working directory is looked into too
    options = {name: value for name, value in vars(arguments).items() if name not in _OWN}
    if arguments.tokenizer is not None:
        options["encode"] = _tokenizing(arguments)
    elif arguments.append_eos is not False or arguments.chat or arguments.column is not None:
        raise ValueError("--append-eos, --chat and --column say how text becomes tokens: give --tokenizer FILE as well")
    options |= {name: dict(options[name] or ()) or None for name in ("holdout", "fill")}
    if arguments.check:
        from pyloader.cli.bad_rows import list_bad_rows

        windows = Windows.of(options["window"], options["stride"], options["dtype"])
        read = {name: options[name] for name in _READING}
        media = MediaOptions(**{name: options[name] for name in _MEDIA})
        request = Request(inputs=inputs, output_dir=output_dir, windows=windows, media=media, **read)
        return list_bad_rows(request, quiet=arguments.quiet)
    have_one_allocator()
    report = split(inputs, output_dir, **options, progress=not arguments.quiet)
    if arguments.json:
        print(as_json(report.as_dict()))
    elif not arguments.quiet:
        print(_screen(report, options["fill"] or {}, arguments.quarantine))
    return GOOD


def _discard(output_dir: str, scratch_dir: str | None, *, quiet: bool) -> int:
    command = discard_stopped(output_dir, scratch_dir=scratch_dir)
    if not quiet:
        gave_up = f"gave up the split that was stopped here: {one_line(command)}"
        print(as_block([(output_dir, gave_up if command else "nothing to give up: no split was stopped here")]))
    return GOOD


def _places(places: Sequence[str]) -> tuple[list[str] | dict[str, str], str]:
    *inputs, output_dir = places
    if os.path.isfile(output_dir):
        what = f"the last argument is the output directory, and {output_dir} is a file."
        raise ValueError(f"{what} Add one: … {shlex.quote(output_dir)} chunks/")
    if not inputs:
        raise ValueError(f"there is nothing to split into {output_dir}. Write: pyloader split DUMP... {output_dir}")
    named = [re.fullmatch(r"([^=/]+)=(.+)", name) for name in inputs]
    if any(match and not os.path.exists(match[0]) for match in named):
        if not all(named):
            raise ValueError("either all inputs are COLUMN=FILE.npy, or none")
        columns = {match[1]: match[2] for match in named if match}
        if len(columns) < len(inputs):
            raise ValueError("a column is named twice; rows that follow one another are COLUMN='part-*.npy'")
        return columns, output_dir
    return inputs, output_dir


def _screen(report: SplitReport, fill: Mapping[str, Any], quarantine: str | None) -> str:
    rows = [(output.directory, _about(output, report.format)) for output in report.outputs]
    width = screen_width() - max(len("nothing to do"), *(len(label) for label, _ in rows)) - 3
    columns = ", ".join(_column(spec, report.filled.get(spec.name, 0), fill) for spec in report.columns)
    lines = textwrap.wrap(columns, max(40, width), break_long_words=False, break_on_hyphens=False)
    rows += zip(["columns", *[""] * len(lines)], lines, strict=False)
    if report.num_skipped:
        where = f", listed in {quarantine}" if quarantine else ""
        rows.append(("left out", f"{counted(report.num_skipped, 'bad row')} of the dump{where}"))
    if report.num_duplicates:
        rows.append(("dropped", f"{counted(report.num_duplicates, 'row')} of the dump whose key an earlier one has"))
    if report.leftover_tokens:
        rows.append(("left over", f"{counted(report.leftover_tokens, 'token')}, too few for one more window"))
    if report.labels:
        shown = ", ".join(f"{number} {label}" for number, label in enumerate(map(one_line, report.labels)))
        rows.append(("labels", textwrap.shorten(shown, max(40, width), placeholder=" …")))
    if report.why:
        rows += zip(["parquet", *[""] * 9], textwrap.wrap(report.why, max(40, width)), strict=False)
    if report.num_known:
        were = "was" if report.num_known == 1 else "were"
        what = f"{counted(report.num_known, 'input')} {were} taken in before: passed over"
        rows.append(("known" if report.num_written else "nothing new", what))
    elif not report.num_written:
        rows.append(("nothing to do", "all chunks were there already, and are as they should be"))
    if report.note:
        rows.append(("note", one_line(report.note)))
    if report.num_written:
        peak = peak_bytes()
        rows.append(("took", _duration(report.seconds) + (f", at most {format_bytes(peak)} of memory" if peak else "")))
    rows.append(("next", f"pyloader peek {shlex.quote(report.outputs[0].directory)}"))
    return as_block(rows)


def _column(spec: ColumnSpec, num_filled: int, fill: Mapping[str, Any]) -> str:
    if not num_filled or spec.name not in fill:
        return str(spec)
    given = fill_option(spec.name, fill[spec.name])
    return f"{spec} (missing in {counted(num_filled, 'sample')}: {given} was given)"


def _about(output: OutputReport, chunks: str) -> str:
    few, many = min(output.counts, default=0), max(output.counts, default=0)
    each = f"{few:,}" if few == many else f"{few:,} or {many:,}" if many - few == 1 else f"{few:,} to {many:,}"
    number = counted(len(output.counts), "chunk") + (f" of {each}" if len(output.counts) > 1 else "")
    raw = f"{format_bytes(output.raw_bytes)} {'as JSON' if chunks == 'jsonl' else 'before compression'}"
    return f"{counted(output.num_samples, 'sample')}, {number}   {format_bytes(output.num_bytes)}  ({raw})"


def _duration(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:,.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"


def _holdout(text: str) -> tuple[str, float]:
    match = re.fullmatch(r"([^=]+)=([0-9.]+)(%?)", text)
    try:
        if match is None:
            raise ValueError
        return match[1], float(match[2]) / (100 if match[3] else 1)
    except ValueError as exc:
        raise argparse.ArgumentTypeError(f"{text!r} is not like val=0.02 or val=2%") from exc


def _fill(text: str) -> tuple[str, Any]:
    key, equals, value = text.partition("=")
    if not equals or not key:
        raise argparse.ArgumentTypeError(f"{text!r} is not like score=nan or label=0")
    if value.lower() == "nan":
        return key, math.nan
    try:
        return key, msgspec.json.decode(value)
    except msgspec.DecodeError:
        return key, value


def _names(text: str) -> list[str]:
    names = text.split(",")
    if not all(names):
        raise argparse.ArgumentTypeError(f"{text!r} is not like question,answer")
    return names
