"""`pyloader index PATH`: count chunks that others wrote, find the parts of large files, and write that down."""

from __future__ import annotations

import argparse
import os
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from pyloader.cli.addresses import add_cache_option, typed_store
from pyloader.cli.amounts import count_option, size_option
from pyloader.cli.dialect import add_form_options, said_words, take_form
from pyloader.cli.index_screen import index_screen
from pyloader.cli.index_targets import Target, target_of
from pyloader.cli.main import GOOD
from pyloader.cli.readers import add_reader_options, reader_maker, reader_options
from pyloader.cli.screens import as_json, progress_over_chunks
from pyloader.datareader import DataReader
from pyloader.errors import DataDirError, ManifestError
from pyloader.files import (
    MANIFEST_NAME,
    ChunkList,
    FetchTerms,
    Manifest,
    PartSizes,
    Scan,
    StoredPath,
    check_names,
    chunk_bytes,
    chunks_of_scan,
    encode_manifest,
    form_of,
    index_name,
    is_chunk_directory,
    manifest_below,
    no_such_place,
    scan_directory,
    store_scheme,
    utf8_name,
)
from pyloader.files.stored_listing import files_at
from pyloader.files.stores import parse_address, printable
from pyloader.inspecting.counting import LARGE_BYTES, count_samples
from pyloader.machine.limits import num_processors
from pyloader.options import format_bytes
from pyloader.read import TokenReader, reader_for, reader_name

__all__ = ["add_parser", "run"]

_INDEX_SHARE = 0.005  # of the data, the most that an index of parts has
_INDEX_BYTES = 2**20  # and it may have so many beside that


def add_parser(subparsers: Any) -> None:
    """Add `index` to the command line."""
    parser = subparsers.add_parser(
        "index",
        description="Count the samples in each chunk of a directory, and write its manifest.json. Chunks are read, "
        "because what the manifest says of the columns must hold for each of them; plain text is only counted. A file "
        "that is larger than a chunk is cut into parts, each a chunk, where it lies: nothing is copied. The index of "
        "one file is FILE.manifest.json.",
    )
    parser.add_argument(
        "path", metavar="PATH", help="a directory of chunks, or one large file; or its address in a store"
    )
    size = parser.add_mutually_exclusive_group()
    size.add_argument("--chunk-bytes", metavar="SIZE", type=size_option, help="bytes of a part of a large file (64MiB)")
    size.add_argument("--chunk-samples", metavar="N", type=count_option, help="samples of a part of a file")
    add_reader_options(parser)
    add_form_options(parser)
    parser.add_argument("--output", metavar="FILE", help="where the manifest goes, when its place must stay as it is")
    add_cache_option(parser)
    parser.add_argument("--cache-bytes", metavar="SIZE", type=size_option, help="of an address: the most kept there")
    parser.add_argument("--workers", metavar="N", type=count_option, help="threads (the processors of this machine)")
    parser.add_argument("--all", action="store_true", help="read every part of large files, to see what columns are")
    parser.add_argument("--checksums", action="store_true", help="compute them too, for pyloader verify")
    parser.add_argument("--overwrite", action="store_true", help="replace the manifest that is there")
    parser.add_argument("--dry-run", action="store_true", help="count, and write nothing")
    parser.add_argument("--json", action="store_true", help="the manifest as JSON on standard output")
    parser.add_argument("-q", "--quiet", action="store_true", help="no bar, and nothing to say when all is well")


def run(arguments: argparse.Namespace) -> int:
    """Count, write the manifest, and show what it says."""
    scheme = store_scheme(arguments.path)
    if scheme and scheme != "file":
        return _index_address(arguments)
    place = Path(f"/{parse_address(arguments.path).path}" if scheme else arguments.path)
    if not place.exists():
        raise no_such_place(arguments.path)
    is_set = _is_set(place)
    target = target_of(
        str(place / MANIFEST_NAME if is_set else place.with_name(index_name(place.name))), arguments.output
    )
    with target.looked_at() if arguments.dry_run else target.held():
        scan, chunks = _chunks_at(place, arguments.path)
        return _index(arguments, target, chunks, is_set=is_set, ignored=(*scan.ignored, *scan.unfinished))


def _index_address(arguments: argparse.Namespace) -> int:
    store = typed_store(arguments.cache_dir, arguments.cache_bytes)
    chunks, is_set = files_at(arguments.path, store)
    beside = f"{chunks.root}/{MANIFEST_NAME if is_set else index_name(chunks.names[0])}"
    target = target_of(beside, arguments.output)
    with target.looked_at() if arguments.dry_run else target.held():
        return _index(arguments, target, chunks, is_set=is_set)


def _index(
    arguments: argparse.Namespace, target: Target, chunks: ChunkList, *, is_set: bool, ignored: Sequence[str] = ()
) -> int:
    if target.before is not None and not (arguments.overwrite or arguments.dry_run):
        raise ManifestError(target.shown, "is there already.", "To count again and replace it: --overwrite")
    root = str(chunks.root)
    check_names(target.shown, chunks.names)
    take_form(arguments, chunks.path(0))
    reader = _reader(chunks, arguments)
    progress = progress_over_chunks("count", quiet=arguments.quiet)
    name, sizes = reader_name(reader), _part_sizes(arguments, target.before, is_set=is_set)
    count = count_samples(
        chunks,
        reader,
        reader_name=name,
        checksums=arguments.checksums,
        sizes=sizes,
        reads_all=arguments.all,
        num_workers=arguments.workers or _num_workers(reader),
        progress=progress,
    )
    in_parts = any(chunk.as_part is not None for chunk in count.chunks)
    elsewhere = root if chunks.stored is not None else str(Path(root).resolve())
    manifest = Manifest(
        columns=count.columns,
        reader=name,
        reader_options=reader_options(arguments),
        chunks=count.chunks,
        made_by={"command": shlex.join(_command(arguments))},
        root="" if target.is_beside(root) else elsewhere,
        part_sizes=sizes if sizes is not None and in_parts else msgspec.UNSET,
    )
    if in_parts:
        _check_size(manifest, chunks)
    if not arguments.dry_run:
        manifest = target.write(manifest)
    if arguments.json:
        print(as_json(manifest))
    elif not arguments.quiet:
        others = [name for name in ignored if name != target.name]
        leftover = _leftover(chunks, reader)
        lines = index_screen(arguments, target.shown, manifest, count, target.before, ignored=others, leftover=leftover)
        print("\n".join(lines))
    return GOOD


def _chunks_at(place: Path, shown: str) -> tuple[Scan, ChunkList]:
    """Return what lies there, and the files to index."""
    if not _is_set(place):
        return Scan(), ChunkList(place.parent, (place.name,), np.array([chunk_bytes(place)], np.int64))
    scan = scan_directory(place)
    if MANIFEST_NAME not in os.listdir(place) and (below := manifest_below(place, scan, shown)):
        raise DataDirError(shown, f"holds a chunk set, {below.parent.name}/, with its manifest.", "Name it")
    return scan, chunks_of_scan(place, scan, shown)


def _is_set(place: Path) -> bool:
    """Tell whether it is a directory of chunks, and not a file or a directory that is one chunk."""
    return place.is_dir() and not is_chunk_directory(place.name)


def _part_sizes(arguments: argparse.Namespace, before: Manifest | str | None, *, is_set: bool) -> PartSizes | None:
    """Return how large parts are to be: as is said, or as the index that is there has them; None cuts no file.

    A directory's chunks that were files before stay what they are.
    """
    if arguments.chunk_bytes == 0:
        raise ValueError("--chunk-bytes must be at least 1")
    if arguments.chunk_bytes or arguments.chunk_samples:
        return PartSizes(chunk_bytes=arguments.chunk_bytes or LARGE_BYTES, chunk_samples=arguments.chunk_samples)
    if isinstance(before, Manifest):
        if before.part_sizes is not msgspec.UNSET:
            return before.part_sizes
        if is_set:
            return None
    return PartSizes(chunk_bytes=LARGE_BYTES)


def _check_size(manifest: Manifest, chunks: ChunkList) -> None:
    """Raise where an index is large beside its data.

    Raises:
      ValueError: so it is.
    """
    size, most = len(encode_manifest(manifest)), _INDEX_BYTES + int(_INDEX_SHARE * int(chunks.sizes.sum()))
    if size > most:
        has = (
            f"{len(manifest.chunks):,} parts make an index of {format_bytes(size)}, more than {_INDEX_SHARE:.1%} of it"
        )
        raise ValueError(f"{has}. Make parts {-(-size // most) + 1} times as large: --chunk-bytes, --chunk-samples")


def _num_workers(reader: DataReader) -> int:
    """Return how many threads call a reader, where nobody said; those of others are made for one."""
    return num_processors() if type(reader).__module__.startswith("pyloader.") else 1


def _leftover(chunks: ChunkList, reader: DataReader) -> int:
    """How many tokens are in no window."""
    if not isinstance(reader, TokenReader):
        return 0
    return sum(reader.leftover_tokens(_path_of(chunks, index)) for index in range(len(chunks)))


def _path_of(chunks: ChunkList, index: int) -> str:
    """Return where a file is looked at."""
    if chunks.stored is None:
        return chunks.path(index)
    return StoredPath(*chunks.stored.object_of(index), FetchTerms(wait=lambda _seconds: False))


def _reader(chunks: ChunkList, arguments: argparse.Namespace) -> DataReader:
    make_reader = reader_maker(arguments)
    if arguments.reader is not None:
        return make_reader(chunks.path(0))
    one_of_each = {form_of(name): index for index, name in reversed(list(enumerate(chunks.names)))}
    readers = {index: reader_for(_path_of(chunks, index)) for index in one_of_each.values()}
    names = {reader_name(reader): chunks.names[index] for index, reader in readers.items()}
    if len(names) > 1:
        (one, file), (other, another) = sorted(names.items(), key=lambda item: item[1])[:2]
        what = f"holds chunks of several kinds: {file} ({one}) and {another} ({other})."
        raise DataDirError(str(chunks.root), what, "Put each kind into a directory of its own, or give --reader")
    return readers[min(readers)]


def _command(arguments: argparse.Namespace) -> list[str]:
    words = ["pyloader", "index", utf8_name(printable(arguments.path))]
    words += ["--reader", arguments.reader] if arguments.reader and not said_words(arguments) else []
    words += [word for option in arguments.option for word in ("--option", option)]
    words += shlex.split(said_words(arguments))
    words += ["--chunk-bytes", str(arguments.chunk_bytes)] if arguments.chunk_bytes else []
    words += ["--chunk-samples", str(arguments.chunk_samples)] if arguments.chunk_samples else []
    words += ["--all"] if arguments.all else []
    words += ["--output", utf8_name(printable(arguments.output))] if arguments.output else []
    return words + (["--checksums"] if arguments.checksums else [])
