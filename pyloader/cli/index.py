"""`pyloader index DIR`: count chunks that others wrote, and write their manifest."""

from __future__ import annotations

import argparse
import os
import shlex
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from pyloader.cli.addresses import refuse_address
from pyloader.cli.dialect import add_form_options, said_words, take_form
from pyloader.cli.main import GOOD
from pyloader.cli.readers import add_reader_options, reader_call, reader_maker, reader_options
from pyloader.cli.screens import as_block, as_json, counted, one_line, progress_over_chunks, python_text
from pyloader.datareader import DataReader
from pyloader.errors import DataDirError, ManifestError
from pyloader.files import (
    MANIFEST_NAME,
    VERSIONS_NAME,
    ChunkList,
    Manifest,
    Scan,
    check_names,
    chunks_of_scan,
    form_of,
    is_manifest_name,
    locked,
    manifest_below,
    no_such_place,
    read_manifest,
    scan_directory,
    utf8_name,
    write_manifest,
)
from pyloader.inspecting.beginnings import header_reader
from pyloader.inspecting.counting import Count, count_samples
from pyloader.options import format_bytes
from pyloader.read import TokenReader, reader_for, reader_name, registered_reader
from pyloader.write.placing import keep_version
from pyloader.write.removing import version_of_chunk

__all__ = ["add_parser", "run"]

_UNEQUAL = 2  # times the median: from there on the largest chunk is worth a warning
_SHOWN = 4  # names in a line


def add_parser(subparsers: Any) -> None:
    """Add `index` to the command line."""
    parser = subparsers.add_parser(
        "index",
        description="Count the samples in each chunk of a directory, and write its manifest.json. Chunks are read, "
        "because what the manifest says of the columns must hold for each of them; plain text is only counted.",
    )
    parser.add_argument("directory", metavar="DIR", help="a directory of chunks")
    add_reader_options(parser)
    add_form_options(parser)
    parser.add_argument("--output", metavar="FILE", help="where the manifest goes, when DIR must stay as it is")
    parser.add_argument("--checksums", action="store_true", help="compute them too, for pyloader verify")
    parser.add_argument("--overwrite", action="store_true", help="replace the manifest that is there")
    parser.add_argument("--dry-run", action="store_true", help="count, and write nothing")
    parser.add_argument("--json", action="store_true", help="the manifest as JSON on standard output")
    parser.add_argument("-q", "--quiet", action="store_true", help="no bar, and nothing to say when all is well")


def run(arguments: argparse.Namespace) -> int:
    """Count, write the manifest, and show what it says."""
    instead = f"Index a copy on a disk, and put its {MANIFEST_NAME} beside the chunks in the store"
    refuse_address(arguments.directory, instead=instead)
    root = Path(arguments.directory)
    if not root.is_dir():
        raise no_such_place(arguments.directory) if not root.exists() else ValueError(f"{root} is not a directory")
    target = _target(root, arguments.output)
    if arguments.dry_run:
        return _index(arguments, root, target)
    with locked([target.parent]):  # what is counted is what the manifest lists
        return _index(arguments, root, target)


def _index(arguments: argparse.Namespace, root: Path, target: Path) -> int:
    if target.exists() and not (arguments.overwrite or arguments.dry_run):
        raise ManifestError(str(target), "is there already.", "To count again and replace it: --overwrite")
    scan = scan_directory(root)
    if MANIFEST_NAME not in os.listdir(root) and (below := manifest_below(root, scan, arguments.directory)):
        raise DataDirError(
            arguments.directory, f"holds a chunk set, {below.parent.name}/, with its manifest.", "Name it"
        )
    chunks = chunks_of_scan(root, scan, arguments.directory)
    check_names(target, chunks.names)
    take_form(arguments, chunks.path(0))
    reader = _reader(chunks, arguments)
    progress = progress_over_chunks("count", quiet=arguments.quiet)
    name = reader_name(reader)
    count = count_samples(chunks, reader, reader_name=name, checksums=arguments.checksums, progress=progress)
    manifest = Manifest(
        columns=count.columns,
        reader=name,
        reader_options=reader_options(arguments),
        chunks=count.chunks,
        made_by={"command": shlex.join(_command(arguments))},
        root="" if target.parent.resolve() == root.resolve() else str(root.resolve()),
    )
    if not arguments.dry_run:
        manifest = _next_version(target, manifest)
        write_manifest(target, manifest)
    if arguments.json:
        print(as_json(manifest))
    elif not arguments.quiet:
        print("\n".join(_screen(arguments, target, manifest, count, scan, _leftover(chunks, reader))))
    return GOOD


def _next_version(target: Path, manifest: Manifest) -> Manifest:
    """Return a manifest as the next version of a set that has several; the present one can be gone back to."""
    named = max(version_of_chunk(chunk.file) for chunk in manifest.chunks)
    if target.name != MANIFEST_NAME or (named == 1 and not target.with_name(VERSIONS_NAME).is_file()):
        return manifest
    try:
        number = max(named, read_manifest(target).version_number + 1)
    except (FileNotFoundError, ManifestError):  # it is lost: the chunks' names tell how far it had come
        return msgspec.structs.replace(manifest, data_version=max(2, named))
    after = msgspec.structs.replace(manifest, data_version=number)
    keep_version(target.parent, after)
    return after


def _target(root: Path, output: str | None) -> Path:
    if output is None:
        return root / MANIFEST_NAME
    target = Path(output, MANIFEST_NAME) if os.path.isdir(output) else Path(output)
    if not is_manifest_name(target.name):
        raise ValueError(f"--output {output}: a manifest is called {MANIFEST_NAME}, or NAME.{MANIFEST_NAME}")
    return target


def _leftover(chunks: ChunkList, reader: DataReader) -> int:
    """How many tokens are in no window."""
    if not isinstance(reader, TokenReader):
        return 0
    mapping = header_reader(reader, map(chunks.path, range(len(chunks))))
    counting = mapping if isinstance(mapping, TokenReader) else reader
    return sum(counting.leftover_tokens(chunks.path(index)) for index in range(len(chunks)))


def _reader(chunks: ChunkList, arguments: argparse.Namespace) -> DataReader:
    make_reader = reader_maker(arguments)
    if arguments.reader is not None:
        return make_reader(chunks.path(0))
    one_of_each = {form_of(name): index for index, name in reversed(list(enumerate(chunks.names)))}
    readers = {index: reader_for(chunks.path(index)) for index in one_of_each.values()}
    names = {reader_name(reader): chunks.names[index] for index, reader in readers.items()}
    if len(names) > 1:
        (one, file), (other, another) = sorted(names.items(), key=lambda item: item[1])[:2]
        what = f"holds chunks of several kinds: {file} ({one}) and {another} ({other})."
        raise DataDirError(str(chunks.root), what, "Put each kind into a directory of its own, or give --reader")
    return readers[min(readers)]


def _command(arguments: argparse.Namespace) -> list[str]:
    words = ["pyloader", "index", utf8_name(arguments.directory)]
    words += ["--reader", arguments.reader] if arguments.reader and not said_words(arguments) else []
    words += [word for option in arguments.option for word in ("--option", option)]
    words += shlex.split(said_words(arguments))
    words += ["--output", utf8_name(arguments.output)] if arguments.output else []
    return words + (["--checksums"] if arguments.checksums else [])


def _screen(
    arguments: argparse.Namespace, target: Path, manifest: Manifest, count: Count, scan: Scan, leftover: int
) -> Iterable[str]:
    size = format_bytes(sum(chunk.num_bytes for chunk in manifest.chunks))
    totals = f"{counted(len(manifest.chunks), 'chunk')}, {counted(manifest.num_samples, 'sample')}, {size}"
    how = f"{count.method}; {'with' if arguments.checksums else 'no'} checksums"
    yield f"{one_line(str(target))}{' (not written)' if arguments.dry_run else ''}   {totals}   ({how})"
    rows = [("columns", f"{', '.join(map(str, manifest.columns))}   (in every chunk)")]
    if ignored := [name for name in (*scan.ignored, *scan.unfinished) if name != target.name]:
        rows.append(("ignored", _some(ignored)))
    rows += [("warning", warning) for warning in _warnings(manifest, count)]
    if leftover:
        rows.append(("warning", f"{leftover:,} tokens at the chunks' ends make no whole window, and are left out"))
    place = shlex.quote(arguments.directory)
    if arguments.dry_run:
        rows.append(("next", f"pyloader index {place} writes it"))
    else:
        data_dir = arguments.directory if not manifest.root else str(target)
        own = registered_reader(manifest.reader) is None
        words = f"{f'datareader={reader_call(arguments)}, ' if own else ''}data_dir={python_text(data_dir)}"
        rows.append(("next", f"several ranks, len() and exact steps now work: DataLoader({words}, ...)"))
        if own:
            rows.append(("", f"pyloader peek {shlex.quote(data_dir)} --reader {shlex.quote(arguments.reader)}"))
    yield as_block(rows, label_width=8)


def _warnings(manifest: Manifest, count: Count) -> Iterable[str]:
    empty = [chunk.file for chunk in manifest.chunks if not chunk.num_samples]
    if empty:
        yield f"{_some(empty)} {'is' if len(empty) == 1 else 'are'} empty"
    counts = np.array([chunk.num_samples for chunk in manifest.chunks if chunk.num_samples], np.int64)
    if counts.max() > _UNEQUAL * np.median(counts):
        largest = format_bytes(count.largest_bytes)
        yield f"chunks hold {counts.min():,} to {counts.max():,} samples: the largest needs about {largest} in memory"


def _some(names: Sequence[str]) -> str:
    rest = len(names) - _SHOWN
    return ", ".join(names[:_SHOWN]) + (f" and {rest:,} more" if rest > 0 else "")
