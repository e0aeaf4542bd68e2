"""manifest.json: the list of a directory's chunks, with their counts and checksums."""

from __future__ import annotations

import contextlib
import itertools
import operator
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any

import msgspec
import numpy as np
import xxhash

from pyloader.columns import ColumnSpec
from pyloader.errors import ManifestError
from pyloader.files.chunk_directories import FileSpan, chunk_files, file_spans, spans_within
from pyloader.files.entries import ChunkEntry, PartSizes, problem_with_part, problem_with_parts
from pyloader.files.no_room import no_room
from pyloader.markup import notebook_table
from pyloader.options import format_bytes

__all__ = [
    "FORMAT_VERSION",
    "MANIFEST_NAME",
    "ChunkEntry",
    "Manifest",
    "check_names",
    "checksum_of",
    "encode_manifest",
    "index_name",
    "is_index_of_file",
    "is_manifest_name",
    "parse_manifest",
    "read_manifest",
    "sorted_and_checked",
    "utf8_name",
    "write_manifest",
    "write_whole",
]

MANIFEST_NAME = "manifest.json"
FORMAT_VERSION = 1
_FORMAT = "pyloader-chunks"
_BLOCK_BYTES = 2**20
_COLUMNS_SHOWN, _COMMAND_SHOWN = 20, 500
_LARGEST = 2**63 - 1  # what int64 holds


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """What a directory of chunks holds.

    Attributes:
      format: Always "pyloader-chunks".
      version: The version of this format, 1.
      columns: What each column is, sorted by name.
      reader: The registered name of the reader ("jsonl"), or "package.module:Class" for another, which is not imported
        for that: the user gives it.
      reader_options: What that reader is made with, besides what `columns` say: {"window": 1025}.
      chunks: The chunks, sorted by file.
      made_by: How they were made: the command to type again under "command", and what else the maker wants to keep.
      data_version: Which version of the set this is, counted from 1 with each append; not there in a first version.
      part_sizes: How large files were cut into parts; not there where none was to be.
      root: The chunks' directory; "" is the manifest's own.  Another one is followed only when the user names the
        manifest itself: a directory from elsewhere cannot make us read outside of it.
    """

    format: str = _FORMAT
    version: int = FORMAT_VERSION
    columns: tuple[ColumnSpec, ...]
    reader: str
    reader_options: dict[str, Any] = msgspec.field(default_factory=dict)
    chunks: tuple[ChunkEntry, ...]
    made_by: dict[str, Any] = msgspec.field(default_factory=dict)
    root: str = ""
    data_version: Annotated[int, msgspec.Meta(ge=1, le=_LARGEST)] | msgspec.UnsetType = msgspec.UNSET
    part_sizes: PartSizes | msgspec.UnsetType = msgspec.UNSET

    @property
    def version_number(self) -> int:
        """The version of the set, counted from 1."""
        return 1 if self.data_version is msgspec.UNSET else self.data_version

    @property
    def num_samples(self) -> int:
        """How many samples all chunks hold together."""
        return sum(chunk.num_samples for chunk in self.chunks)

    def _repr_html_(self) -> str:  # what notebooks show
        rows = [
            ("samples", f"{self.num_samples:,} in {len(self.chunks):,} chunks"),
            ("on disk", format_bytes(sum(chunk.num_bytes for chunk in self.chunks))),
            ("reader", self.reader),
            ("columns", ", ".join(map(str, self.columns[:_COLUMNS_SHOWN]))),
            ("version", str(self.version_number)),
        ]
        if self.command:
            rows.append(("made by", self.command[:_COMMAND_SHOWN]))
        if (more := len(self.columns) - _COLUMNS_SHOWN) > 0:
            rows.append(("more", f"{more:,} columns"))
        return notebook_table("chunks", rows)

    @property
    def command(self) -> str:
        """The command that the manifest says it was made by; "" where it says none.  Show it, and do not advise it."""
        found = self.made_by.get("command")
        return found if isinstance(found, str) else ""


def is_manifest_name(name: str) -> bool:
    """Tell whether a file of this name is a manifest: manifest.json, or imagenet.manifest.json for chunks elsewhere."""
    return name == MANIFEST_NAME or name.endswith(f".{MANIFEST_NAME}")


def index_name(file: str) -> str:
    """Return the name of the index of one large file, which lies beside it: big.parquet.manifest.json."""
    return f"{file}.{MANIFEST_NAME}"


def is_index_of_file(path: str | os.PathLike[str], manifest: Manifest) -> bool:
    """Tell whether a manifest is the index of one file: big.parquet.manifest.json, of nothing but big.parquet."""
    return {index_name(chunk.source) for chunk in manifest.chunks} == {os.path.basename(path)}


def read_manifest(path: str | os.PathLike[str]) -> Manifest:
    """Read a manifest; its chunks and columns come sorted.

    Raises:
      ManifestError: it is damaged, or of another format or version; the message names the field.
    """
    return parse_manifest(Path(path).read_bytes(), path)


def parse_manifest(data: bytes, path: str | os.PathLike[str]) -> Manifest:
    """Return the manifest that `data` holds, as `read_manifest` does; `path` is what errors name."""
    try:
        manifest = msgspec.json.decode(data, type=Manifest)
    except (msgspec.DecodeError, UnicodeDecodeError) as exc:
        raise _damaged(path, str(exc)) from exc
    except RecursionError as exc:
        raise _damaged(path, "lists or objects inside of one another, too deep") from exc
    if manifest.format != _FORMAT or manifest.version != FORMAT_VERSION:
        raise ManifestError(
            os.fspath(path),
            f"is of format {manifest.format!r}, version {manifest.version}; this pyloader reads {_FORMAT!r}, "
            f"version {FORMAT_VERSION}.",
        )
    return sorted_and_checked(path, manifest)


def write_manifest(path: str | os.PathLike[str], manifest: Manifest) -> None:
    """Write a manifest: it is there whole or not at all.

    Raises:
      ManifestError: `read_manifest` would refuse it.
      WriteError: the disk is full.
    """
    manifest = sorted_and_checked(path, manifest)
    names = [*(chunk.file for chunk in manifest.chunks), *(column.name for column in manifest.columns), manifest.root]
    check_names(path, names)
    write_whole(Path(path), encode_manifest(manifest))


def encode_manifest(manifest: Manifest) -> bytes:
    """Return a manifest as it is written."""
    return msgspec.json.format(msgspec.json.encode(manifest), indent=1) + b"\n"


def write_whole(target: Path, data: bytes) -> None:
    """Write a small file beside its place, sync it, and rename it.

    Raises:
      WriteError: the disk is full.
    """
    beside = target.with_name(f".{target.name.removeprefix('.')}.writing")
    beside.unlink(missing_ok=True)
    try:
        with open(beside, "xb") as file:  # never through a link that somebody has put there
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(beside, target)
    except BaseException as exc:
        with contextlib.suppress(OSError):
            beside.unlink()
        if full := no_room(target, exc):
            raise full from exc
        raise


def utf8_name(name: str | os.PathLike[str]) -> str:
    r"""Return a file's name as JSON can hold it and screens can show it: a byte that is not UTF-8 is \xe9."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")


def check_names(path: str | os.PathLike[str], names: Iterable[str]) -> None:
    """Raise when a manifest at `path` cannot list these files or columns.

    Raises:
      ManifestError: a name is not UTF-8.
    """
    for name in names:
        if utf8_name(name) != name:
            what = f"cannot list {utf8_name(name)}: its name is not UTF-8, and JSON holds no other."
            raise ManifestError(utf8_name(path), what, "Rename it; loading without a manifest works")


def checksum_of(path: str | os.PathLike[str], ranges: Iterable[tuple[int, int]] | None = None) -> str:
    """Return the checksum of a chunk, "xxh3:" and 16 hexadecimal digits (64-bit XXH3).

    A directory's is that of its files' names and contents, sorted by name.

    Args:
      path: The file.
      ranges: The bytes of it that count, as (start, stop); None is all.
    """
    digest = xxhash.xxh3_64()
    root = Path(path)
    is_directory = root.is_dir()
    if ranges is not None:
        files = file_spans(root) if is_directory else [FileSpan("", 0, os.path.getsize(root))]
        for file in itertools.chain.from_iterable(spans_within(files, *some) for some in ranges):
            _digest_span(digest, root / file.name, file.start, file.stop)
        return f"xxh3:{digest.hexdigest()}"
    for name in sorted(name for name, _ in chunk_files(root)) if is_directory else [""]:
        if is_directory:
            digest.update(os.fsencode(name) + b"\0")
        with open(root / name, "rb", buffering=0) as stream:
            while block := stream.read(_BLOCK_BYTES):
                digest.update(block)
    return f"xxh3:{digest.hexdigest()}"


def _digest_span(digest: xxhash.xxh3_64, path: Path, start: int, stop: int) -> None:
    with open(path, "rb", buffering=0) as stream:
        stream.seek(start)
        while start < stop and (block := stream.read(min(_BLOCK_BYTES, stop - start))):
            digest.update(block)
            start += len(block)


def sorted_and_checked(path: str | os.PathLike[str], manifest: Manifest) -> Manifest:
    """Return a manifest with its chunks and columns sorted.

    Raises:
      ManifestError: it lists what no set of chunks has; `path` is named.
    """
    if problem := next(filter(None, map(problem_with_part, manifest.chunks)), ""):
        raise _damaged(path, problem)
    chunks = tuple(sorted(manifest.chunks, key=operator.attrgetter("order")))
    columns = tuple(sorted(manifest.columns, key=operator.attrgetter("name")))
    for chunk in chunks:
        if "\0" in chunk.file or {"", ".", ".."}.intersection(chunk.source.split("/")):
            raise _damaged(path, f"the chunk {chunk.file!r} is not a plain path below the chunks' directory")
    for what, names in (("chunk", [chunk.file for chunk in chunks]), ("column", [column.name for column in columns])):
        for name, following in itertools.pairwise(sorted(names)):
            if name == following:
                raise _damaged(path, f"it lists the {what} {name!r} twice")
    if problem := problem_with_parts(chunks):
        raise _damaged(path, problem)
    for total in (sum(chunk.num_samples for chunk in chunks), sum(chunk.num_bytes for chunk in chunks)):
        if total > _LARGEST:
            raise _damaged(path, f"all chunks together have {total:,} samples or bytes")
    if "\0" in manifest.root:
        raise _damaged(path, f"the root {manifest.root!r} is no directory")
    for column in columns:
        if not _makes_sense(column):
            shape = f" and item_shape {list(column.item_shape)}" if column.item_shape else ""
            found = f"has kind {column.kind!r}, dtype {column.dtype!r}{shape}"
            raise _damaged(path, f"the column {column.name!r} {found}")
    return msgspec.structs.replace(manifest, chunks=chunks, columns=columns)


def _makes_sense(column: ColumnSpec) -> bool:
    """Whether there can be such a column; rows of an array, and values of ragged rows, must be what NumPy holds."""
    if column.kind not in ("array", "ragged"):
        return not column.dtype and not column.item_shape
    if column.kind == "ragged" and column.dtype == np.dtype(bytes).str:  # no dtype of an array
        return not column.item_shape
    try:
        dtype = np.dtype(column.dtype)
        if column.kind == "ragged":
            return bool(column.dtype) and not column.item_shape and (dtype.str == "|S0" or dtype.kind in "biufcmM")
        np.dtype((dtype, column.item_shape))
        np.empty((0, *column.item_shape), dtype)
    except Exception:  # NumPy reads a dtype's text in many ways, and each has errors of its own
        return False
    return bool(column.dtype) and dtype.itemsize > 0 and not dtype.hasobject and min(column.item_shape, default=0) >= 0


def _damaged(path: str | os.PathLike[str], what: str) -> ManifestError:
    file = os.fspath(path).removesuffix(f".{MANIFEST_NAME}")  # an address stays one
    place = file if os.path.isfile(file) and file != os.fspath(path) else os.path.dirname(path) or "."
    again = f"Make it again: pyloader index {place} --overwrite"
    return ManifestError(os.fspath(path), f"is not a manifest ({what}).", again)
