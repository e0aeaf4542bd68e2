"""`pyloader peek PATH`: what is inside of chunks, or of a dump."""

from __future__ import annotations

import argparse
import difflib
import shlex
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec
import numpy as np

from pyloader.cli.addresses import add_cache_option, typed_store
from pyloader.cli.dialect import add_form_options, said_words, take_form
from pyloader.cli.main import GOOD
from pyloader.cli.readers import add_reader_options, reader_call, reader_class, reader_maker
from pyloader.cli.reading import expectations, way_to_read
from pyloader.cli.screens import (
    as_block,
    as_json,
    as_table,
    counted,
    cut_at_edge,
    one_line,
    progress_over_chunks,
    shortened,
)
from pyloader.cli.version_list import version_list
from pyloader.columns import Columns, row_count
from pyloader.files import StoredChunks, form_of, list_chunks
from pyloader.files.stores import printable
from pyloader.inspecting.contact_sheet import CELLS, contact_sheet
from pyloader.inspecting.contents import ColumnSummary
from pyloader.inspecting.counting import LARGE_BYTES
from pyloader.inspecting.media import MediaSummary, shown_bytes
from pyloader.inspecting.peeking import Peek, peek_chunks, rows_apart
from pyloader.options import format_bytes

__all__ = ["add_parser", "run"]

_INDENT = "  "
_LONGEST_LABEL = 24
_LONGEST_BYTES, _FIRST_BYTES = 256, 64  # of a value in JSON: a longer one is not in it


def add_parser(subparsers: Any) -> None:
    """Add `peek` to the command line."""
    parser = subparsers.add_parser(
        "peek",
        description="Show the columns, counts, sizes and first samples of a directory of chunks, one chunk, or a dump, "
        "of which only the beginning is read; and the steps and memory to expect of training on it. Of an object store "
        "the chunks that are looked at are fetched into the cache (PYLOADER_CACHE).",
    )
    parser.add_argument(
        "path", metavar="PATH", help="a directory of chunks, a pattern, one chunk, a dump, or an address of a store"
    )
    add_reader_options(parser)
    parser.add_argument("--batch-size", type=int, default=256, metavar="N", help="samples a batch (default: 256)")
    parser.add_argument("--ranks", type=int, default=1, metavar="N", help="training processes (default: 1)")
    parser.add_argument("--samples", type=int, default=1, metavar="N", help="how many samples to show (default: 1)")
    parser.add_argument("--columns", metavar="A,B", help="show only these columns")
    add_form_options(parser)
    parser.add_argument("--all", action="store_true", help="read every chunk, not only the first")
    add_cache_option(parser)
    parser.add_argument(
        "--sheet", metavar="FILE.png", help=f"draw a contact sheet of up to {CELLS} images, with their labels"
    )
    parser.add_argument("--versions", action="store_true", help="only list the versions of a set that was added to")
    parser.add_argument("--json", action="store_true", help="everything as JSON")
    parser.add_argument("-q", "--quiet", action="store_true", help="no bar, and no samples")


def run(arguments: argparse.Namespace) -> int:
    """Look, and show what was seen."""
    for option, least in (("batch_size", 1), ("ranks", 1), ("samples", 0)):
        if getattr(arguments, option) < least:
            raise ValueError(f"--{option.replace('_', '-')} must be at least {least}, got {getattr(arguments, option)}")
    progress = progress_over_chunks("read", quiet=arguments.quiet)
    chunks = list_chunks(arguments.path, typed_store(arguments.cache_dir))
    if arguments.versions:
        print(version_list(chunks, json=arguments.json))
        return GOOD
    take_form(arguments, chunks.file(0))
    sight = peek_chunks(chunks, read_all=arguments.all, progress=progress, make_reader=reader_maker(arguments))
    chosen = _chosen([column.name for column in sight.columns], arguments.columns)
    num_drawn = None if arguments.sheet is None else _draw_sheet(sight, arguments, chosen)
    if arguments.json:
        print(as_json(_as_dict(sight, arguments, chosen)))
        return GOOD
    print("\n".join(_screen(sight, arguments, chosen)))
    if num_drawn is not None:
        print(as_block([("sheet", f"{arguments.sheet}: {counted(num_drawn, 'image')}")], label_width=7))
    return GOOD


def _chosen(names: Sequence[str], wanted: str | None) -> list[str]:
    if wanted is None:
        return list(names)
    for name in wanted.split(","):
        if name not in names:
            close = difflib.get_close_matches(name, names, n=1)
            hint = f"Did you mean {close[0]!r}?" if close else f"There are: {', '.join(names)}"
            raise ValueError(f"--columns: there is no column {name!r}. {hint}")
    return wanted.split(",")


def _screen(sight: Peek, arguments: argparse.Namespace, chosen: Sequence[str]) -> Iterator[str]:
    path = _shown_path(sight, arguments)
    (label, text), *rest = _head(sight, path, said_words(arguments))
    if not text:
        yield one_line(label)
    yield as_block([*([(label, text)] if text else []), *rest], label_width=10)
    if not row_count(sight.rows):
        yield ""
        yield as_block([("next", f"no samples here: pyloader verify {shlex.quote(path)}")])
        return
    yield ""
    yield from _columns_table([column for column in sight.columns if column.name in chosen])
    for media in sight.media:
        if media.name in chosen:
            yield _INDENT + _media(media)
    if not sight.is_everything:
        yield _INDENT + _where_from(sight)
    if not arguments.quiet:
        for index in range(min(arguments.samples, row_count(sight.rows))):
            yield from _sample(sight.rows, index, chosen)
    yield ""
    steps = {"batch_size": arguments.batch_size, "ranks": arguments.ranks}
    read = {"reader": reader_class(arguments), "call": reader_call(arguments), "cache_dir": arguments.cache_dir}
    way = way_to_read(sight, path, **read, **steps)
    expected = expectations(sight, path, way, said=said_words(arguments), **steps)
    yield as_block([*expected, *(("decode", _decoder(media)) for media in sight.media if media.name in chosen)])


def _shown_path(sight: Peek, arguments: argparse.Namespace) -> str:
    """Return the path as it was typed; an address without what is secret in it."""
    if sight.chunks.stored is not None and sight.chunks.manifest is not None:
        return sight.chunks.place
    path = printable(arguments.path)
    return path.rstrip("/") or path


def _cached(stored: StoredChunks, sizes: np.ndarray) -> str:
    here = stored.are_here()
    num_here, size = int(here.sum()), int(sizes[here].sum())
    if num_here == len(sizes):
        return f"{stored.cache_dir}   all of it is here"
    share = size / max(1, int(sizes.sum()))
    return f"{stored.cache_dir}   {share:.0%} of it is here: {counted(num_here, 'chunk')}, {format_bytes(size)}"


def _head(sight: Peek, path: str, said: str) -> Iterator[tuple[str, str]]:
    chunks, manifest = sight.chunks, sight.chunks.manifest
    is_large = bool(chunks.sizes.max() > LARGE_BYTES)
    parts = [_num_samples(sight)]
    if len(chunks) > 1 or manifest is not None:
        parts[0] += f", {counted(len(chunks), 'chunk')}{_chunk_sizes(chunks.counts)}"
    files = map(chunks.file, range(len(chunks)))
    form = ", ".join(sorted({form_of(file).removeprefix(".") or "no suffix" for file in files}))
    where = "on disk" if chunks.stored is None else "in the store"
    sizes = f"{form}, {format_bytes(int(chunks.sizes.sum()))} {where}"
    if sight.num_samples is not None:
        sizes += f", about {format_bytes(sight.row_bytes * sight.num_samples)} in memory"
    short = len(path) <= _LONGEST_LABEL
    if not short:
        yield path, ""
    yield path if short else "holds", "   ".join([*parts, sizes])
    if chunks.stored is not None:
        yield "cache", _cached(chunks.stored, chunks.sizes)
    if chunks.newest is not None and chunks.data_version is not None:
        yield "version", f"{chunks.data_version}; earlier ones: pyloader peek {shlex.quote(path)} --versions"
    if manifest is not None and manifest.command:
        yield "made by", f"the manifest says: {manifest.command}"
    if manifest is None and (len(chunks) > 1 or is_large):
        finds = ", and finds the parts of large files" if is_large else ""
        yield "not indexed", f"pyloader index {shlex.quote(path)}{said} counts the samples{finds}"


def _num_samples(sight: Peek) -> str:
    if sight.num_samples is None:
        return "samples not counted"
    return counted(sight.num_samples, "sample") if sight.is_counted else f"about {_rounded(sight.num_samples)} samples"


def _rounded(number: int) -> str:
    """About that many: two digits that mean something."""
    power = 10 ** max(0, len(str(number)) - 2)
    return f"{round(number / power) * power:,}"


def _chunk_sizes(counts: np.ndarray | None) -> str:
    if counts is None or len(counts) < 2:
        return ""
    least, most = int(counts.min()), int(counts.max())
    if least == most:
        return f" of {least:,}"
    return f" of {least:,} {'or' if most == least + 1 else 'to'} {most:,}"


def _columns_table(columns: Sequence[ColumnSummary]) -> Iterator[str]:
    measured = {column.measured for column in columns} - {""}
    titles = [
        title for key, title in (("length", "length min/median/max"), ("number", "min/mean/max")) if key in measured
    ]
    rows = [("column", "kind", "missing", " or ".join(titles), "most common")]
    rows += [(c.name, c.kind, f"{c.num_missing:,}", _spread(c), _common(c)) for c in columns]
    yield as_table(rows, right=(2,))


def _spread(column: ColumnSummary) -> str:
    values = (column.smallest, column.middle, column.largest)
    return " / ".join(_number(value) for value in values if value is not None)


def _number(value: float) -> str:
    if abs(value) < 1e15 and value == round(value):
        return f"{value:,.0f}"
    return f"{value:,.4g}" if not 1e4 < abs(value) < 1e15 else f"{value:,.0f}"


def _common(column: ColumnSummary) -> str:
    if column.num_different is None:
        return ""
    different = f"{column.num_different:,} different"
    if column.num_different == 1:
        return f"all {_value(column.most_common[0][0])}"
    if column.num_different > column.num_rows / 2 or column.most_common[0][1] < 0.01:  # nothing is common
        return different
    return f"{', '.join(f'{_value(value)} {share:.0%}' for value, share in column.most_common)}; {different}"


def _value(value: Any) -> str:
    if isinstance(value, float):
        return _number(value)
    if isinstance(value, bytes):
        value = shown_bytes(value)
    return shortened(one_line(str(value)[:80]), 24) if value != "" else '""'


def _where_from(sight: Peek) -> str:
    name = one_line(sight.chunks.names[sight.first])
    seen = counted(row_count(sight.rows), "sample")
    if not sight.is_whole:
        return f"(from the beginning of {name}, {seen})"
    return f"(from {name}, {seen}; --all reads every chunk)"


def _media(media: MediaSummary) -> str:
    number = sum(media.formats.values())
    noun = "image" if media.kind == "images" else "sound"
    formats = ", ".join(f"{of:,} {name}" for name, of in media.formats.items())
    shown = f"{media.name}: {counted(number, noun)} ({formats})"
    if media.smallest is not None and media.middle is not None and media.largest is not None:
        small, middle, large = (
            f"{width:,} x {height:,}" for width, height in (media.smallest, media.middle, media.largest)
        )
        shown += f", all {small} pixels" if small == large else f", {small} to {large} pixels, median {middle}"
    return one_line(shown + (f"; {counted(media.num_others, 'row')} of other bytes" if media.num_others else ""))


def _decoder(media: MediaSummary) -> str:
    call = (
        f'ImageDataset("{media.name}", size=224)'
        if media.kind == "images"
        else f'AudioDataset("{media.name}", seconds=1)'
    )
    return f"add dataset={call}   from pyloader import {call.partition('(')[0]}"


def _draw_sheet(sight: Peek, arguments: argparse.Namespace, chosen: Sequence[str]) -> int:
    """Write the contact sheet of the first column of images among those that are shown; return how many are on it."""
    if not arguments.sheet.lower().endswith(".png"):
        raise ValueError(f"--sheet {arguments.sheet}: a sheet is a PNG file. Write --sheet sheet.png")
    image = next((media.name for media in sight.media if media.kind == "images" and media.name in chosen), None)
    if image is None:
        raise ValueError(f"--sheet: there is no column of images. There are: {', '.join(chosen)}")
    made_by = {} if sight.chunks.manifest is None else sight.chunks.manifest.made_by
    labels = names if isinstance(names := made_by.get("labels"), list) else []
    beside = [name for name in ("label", "name") if name in sight.rows]
    rows = rows_apart(sight.chunks, [image, *beside], CELLS, make_reader=reader_maker(arguments))
    captions = [(row[image], _caption(row, beside, labels)) for row in rows if isinstance(row[image], bytes)]
    drawn = contact_sheet(captions)
    with open(arguments.sheet, "wb") as file:
        file.write(drawn)
    return min(len(captions), CELLS)


def _caption(row: dict[str, Any], beside: Sequence[str], labels: Sequence[Any]) -> str:
    if not beside:
        return ""
    value = row[beside[0]]
    is_number = isinstance(value, int | np.integer) and 0 <= value < len(labels)
    return one_line(str(labels[int(value)] if is_number else value))


def _sample(rows: Columns, index: int, chosen: Sequence[str]) -> Iterator[str]:
    yield ""
    yield f"sample {index}"
    width = max(map(len, chosen))
    for name in chosen:
        yield cut_at_edge(f"{_INDENT}{one_line(name):{width}}   {_cell(rows[name][index])}")


def _cell(value: Any) -> str:
    """A value in one line; of a long one, more than any line has room for."""
    if isinstance(value, str):
        return one_line(value[:1000])
    if isinstance(value, np.ndarray):
        numbers = (f"{number:.4g}" if value.dtype.kind == "f" else str(number) for number in value.flat[:100])
        return f"{value.dtype.name} {list(value.shape)}: {' '.join(numbers)}"
    if isinstance(value, bytes):
        return one_line(shown_bytes(value))
    if isinstance(value, list):
        value = value[:1000]
    return one_line(str(value))


def _as_dict(sight: Peek, arguments: argparse.Namespace, chosen: Sequence[str]) -> dict[str, Any]:
    shown = range(min(arguments.samples, row_count(sight.rows)))
    return {
        "path": _shown_path(sight, arguments) if sight.chunks.stored is not None else arguments.path,
        "num_chunks": len(sight.chunks),
        "data_version": sight.chunks.data_version or 1,
        "num_samples": sight.num_samples,
        "is_counted": sight.is_counted,
        "disk_bytes": int(sight.chunks.sizes.sum()),
        "cached_bytes": None
        if (stored := sight.chunks.stored) is None
        else int(sight.chunks.sizes[stored.are_here()].sum()),
        "row_bytes": sight.row_bytes,
        "made_by": {} if sight.chunks.manifest is None else sight.chunks.manifest.made_by,
        "columns": [msgspec.to_builtins(column) for column in sight.columns if column.name in chosen],
        "media": [msgspec.to_builtins(media) for media in sight.media if media.name in chosen],
        "sorted_by": [column.name for column in sight.sorted_columns],
        "samples": [{name: _plain(sight.rows[name][index]) for name in chosen} for index in shown],
    }


def _plain(value: Any) -> Any:
    if isinstance(value, bytes) and len(value) > _LONGEST_BYTES:
        return {"num_bytes": len(value), "first_bytes": value[:_FIRST_BYTES]}
    return value.tolist() if isinstance(value, np.ndarray | np.generic) else value
