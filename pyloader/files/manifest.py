"""manifest.json: the list of a directory's chunks, with their counts and checksums."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import msgspec
import xxhash

from pyloader.columns import ColumnSpec
from pyloader.errors import ManifestError

__all__ = [
    "FORMAT_VERSION",
    "MANIFEST_NAME",
    "ChunkEntry",
    "Manifest",
    "checksum_of",
    "read_manifest",
    "write_manifest",
]

MANIFEST_NAME = "manifest.json"
FORMAT_VERSION = 1
_BLOCK_BYTES = 2**20


class ChunkEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One chunk.

    Attributes:
      file: Its path relative to the manifest's directory, with forward slashes.
      num_samples: How many rows it holds.
      num_bytes: Its size on disk; for a directory of columns, of all its files.
      raw_bytes: Its size before compression, 0 when unknown.
      checksum: As `checksum_of` gives it; "" when it was not computed.
    """

    file: str
    num_samples: int
    num_bytes: int
    raw_bytes: int = 0
    checksum: str = ""


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """What a directory of chunks holds.

    Attributes:
      columns: What each column is, sorted by name.
      reader: The registered name of the reader ("jsonl"), or "package.module:Class" for another.
      chunks: The chunks, sorted by file.
      made_by: How they were made: the command to type again under "command", and what else the maker wants to keep.
      format: Always "pyloader-chunks".
      version: The version of this format, 1.
    """

    columns: tuple[ColumnSpec, ...]
    reader: str
    chunks: tuple[ChunkEntry, ...]
    made_by: dict[str, Any] = msgspec.field(default_factory=dict)
    format: str = "pyloader-chunks"
    version: int = FORMAT_VERSION

    @property
    def num_samples(self) -> int:
        """How many samples all chunks hold together."""
        return sum(chunk.num_samples for chunk in self.chunks)


def read_manifest(path: str | os.PathLike[str]) -> Manifest:
    """Read a manifest.

    Raises:
      ManifestError: it is damaged, or of another format or version.
    """
    data = Path(path).read_bytes()
    try:
        manifest = msgspec.json.decode(data, type=Manifest)
    except (msgspec.DecodeError, UnicodeDecodeError) as exc:
        raise ManifestError(
            os.fspath(path), f"is not a manifest ({exc}).", "Make it again: pyloader index DIR"
        ) from exc
    if manifest.format != "pyloader-chunks" or manifest.version != FORMAT_VERSION:
        raise ManifestError(
            os.fspath(path),
            f"is of format {manifest.format!r}, version {manifest.version}; this pyloader reads 'pyloader-chunks', "
            f"version {FORMAT_VERSION}.",
        )
    return manifest


def write_manifest(path: str | os.PathLike[str], manifest: Manifest) -> None:
    """Write a manifest beside its place, sync it, and rename it: it is there whole or not at all."""
    target = Path(path)
    beside = target.with_name(f".{target.name}.writing")
    with open(beside, "wb") as file:
        file.write(msgspec.json.format(msgspec.json.encode(manifest), indent=1) + b"\n")
        file.flush()
        os.fsync(file.fileno())
    os.replace(beside, target)


def checksum_of(path: str | os.PathLike[str]) -> str:
    """Return the checksum of a chunk, "xxh3:" and 16 hexadecimal digits (64-bit XXH3).

    A directory's is that of its files' names and contents, sorted by name.
    """
    digest = xxhash.xxh3_64()
    root = Path(path)
    for file in sorted(root.iterdir()) if root.is_dir() else [root]:
        if root.is_dir():
            digest.update(file.name.encode() + b"\0")
        with open(file, "rb", buffering=0) as stream:
            while block := stream.read(_BLOCK_BYTES):
                digest.update(block)
    return f"xxh3:{digest.hexdigest()}"
