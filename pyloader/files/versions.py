"""Earlier versions of a set of chunks: each is kept as what differs from the version after it.

`.versions.jsonl` lies beside manifest.json and has a line for each earlier version, the oldest first; a set that was
never added to has no such file.  A writer puts the line of the present version there before the next manifest comes.
So a line that speaks of the present version, or of a later one, is of a writer that was killed: it is passed over.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np

from pyloader.columns import ColumnSpec
from pyloader.errors import ManifestError
from pyloader.files.chunk_list import fingerprint_of
from pyloader.files.coming import VERSIONS_NAME
from pyloader.files.manifest import MANIFEST_NAME, ChunkEntry, Manifest, sorted_and_checked
from pyloader.files.origins import first_origins, origins_of

__all__ = [
    "Version",
    "Versions",
    "difference_of_versions",
    "encode_versions",
    "kept_chunks",
    "read_versions",
]


class Version(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An earlier version.

    Attributes:
      number: Counted from 1.
      fingerprint: Of its chunks' names and sizes.
      num_chunks: How many it has.
      num_samples: How many samples they hold.
      made_seconds: When its manifest was written, seconds since 1970.
      command: The command that made it; "" when it is not known.
      added: The chunks of the version after it that it has not.
      removed: The chunks that it has and the version after it has not.
      columns: What its columns are, where the version after it says something else.
      is_ended: Whether chunks of it were deleted; then nothing is known of its chunks but their number.
      leaving: Of an ended version: chunks that are being deleted.
    """

    number: int
    fingerprint: str
    num_chunks: int
    num_samples: int
    made_seconds: int = 0
    command: str = ""
    added: tuple[str, ...] = ()
    removed: tuple[ChunkEntry, ...] = ()
    columns: tuple[ColumnSpec, ...] | None = None
    is_ended: bool = False
    leaving: tuple[str, ...] = ()


@dataclass(frozen=True)
class Versions:
    """A set of chunks in all its versions.

    Attributes:
      directory: Where the set is.
      manifest: Of the newest version.
      earlier: The versions before it, the newest first.
    """

    directory: Path
    manifest: Manifest
    earlier: tuple[Version, ...]

    def manifests(self) -> Iterator[tuple[Version, Manifest]]:
        """Yield the manifests of the earlier versions that are not ended, the newest first."""
        path = self.directory / VERSIONS_NAME
        entries = {entry.file: entry for entry in self.manifest.chunks}
        columns = self.manifest.columns
        for version in self.earlier:
            if version.is_ended:
                continue
            for file in version.added:
                entries.pop(file, None)
            entries |= {entry.file: entry for entry in version.removed}
            columns = version.columns or columns
            manifest = msgspec.structs.replace(
                self.manifest,
                chunks=tuple(entries.values()),
                columns=columns,
                data_version=msgspec.UNSET if version.number == 1 else version.number,
            )
            manifest = sorted_and_checked(path, manifest)
            if _fingerprint(manifest) != version.fingerprint:
                what = f"does not lead back to version {version.number}: it is damaged."
                raise ManifestError(str(path), what, "Fetch it again; the newest version can be loaded without it")
            made_by = first_origins(self.manifest, manifest.chunks)
            yield version, msgspec.structs.replace(manifest, made_by={"command": version.command, **made_by})

    def manifest_of(self, number: int) -> Manifest:
        """Return the manifest of a version; where the set was left out of an append, of the version before.

        Raises:
          ManifestError: there is no such version, or its chunks were deleted.
        """
        path, newest = self.directory / MANIFEST_NAME, self.manifest.version_number
        if number == newest:
            return self.manifest
        version = next((version for version in self.earlier if version.number <= number), None)
        if number > newest or version is None:
            what = f"has no version {number}; it has {self.shown_numbers()}."
            raise ManifestError(str(path), what, f"Write data_version={newest}, or leave it out")
        if version.is_ended:
            what = f"has version {number} no more: pyloader compact --drop-versions deleted chunks of it."
            raise ManifestError(str(path), what, f"It has {self.shown_numbers()}")
        return next(manifest for found, manifest in self.manifests() if found is version)

    def with_fingerprint(self, fingerprint: str, number: int | None) -> Version | None:
        """Return the earlier version of this fingerprint; of several the one with this number, else the oldest.

        An append from which a set got no chunk has the fingerprint of the version before.
        """
        fitting = [version for version in self.earlier if version.fingerprint == fingerprint]
        named = [version for version in fitting if version.number == number]
        return next(iter([*named, *reversed(fitting)]), None)

    def shown_numbers(self) -> str:
        """Return the numbers of the versions that can be loaded, as one reads them."""
        earlier = [version.number for version in reversed(self.earlier) if not version.is_ended]
        numbers = [*earlier, self.manifest.version_number]
        shown = ", ".join(map(str, numbers if len(numbers) < 10 else numbers[-8:]))
        return f"version{'s' * (len(numbers) > 1)} {shown if len(numbers) < 10 else f'{numbers[0]}, ..., {shown}'}"


def read_versions(directory: str | os.PathLike[str], manifest: Manifest) -> Versions:
    """Return a set in all its versions.

    Args:
      directory: Where its manifest is.
      manifest: Of the newest version.

    Raises:
      ManifestError: the file is damaged.
    """
    lines = [version for version in _lines(Path(directory)) if version.number < manifest.version_number]
    return Versions(Path(directory), manifest, tuple(reversed(lines)))


def kept_chunks(directory: str | os.PathLike[str]) -> frozenset[str]:
    """Return the files of chunks that earlier versions list, or that are being deleted with them."""
    try:
        lines = _lines(Path(directory))
    except ManifestError:
        return frozenset()
    return frozenset(file for line in lines for file in (*(entry.source for entry in line.removed), *line.leaving))


def difference_of_versions(before: Manifest, after: Manifest, *, made_seconds: int) -> Version:
    """Return version `before` as what differs from `after`."""
    old, new = ({entry.file for entry in manifest.chunks} for manifest in (before, after))
    return Version(
        number=before.version_number,
        fingerprint=_fingerprint(before),
        num_chunks=len(before.chunks),
        num_samples=before.num_samples,
        made_seconds=made_seconds,
        command=origins_of(before)[-1].command,
        added=tuple(entry.file for entry in after.chunks if entry.file not in old),
        removed=tuple(entry for entry in before.chunks if entry.file not in new),
        columns=before.columns if before.columns != after.columns else None,
    )


def encode_versions(earlier: Sequence[Version]) -> bytes:
    """Return what the file of these versions, the newest first, holds."""
    return b"".join(msgspec.json.encode(version) + b"\n" for version in reversed(earlier))


def _fingerprint(manifest: Manifest) -> str:
    sizes = np.array([entry.num_bytes for entry in manifest.chunks], np.int64)
    return fingerprint_of([entry.file for entry in manifest.chunks], sizes)


def _lines(directory: Path) -> list[Version]:
    path = directory / VERSIONS_NAME
    try:
        return msgspec.json.Decoder(Version).decode_lines(path.read_bytes()) if path.exists() else []
    except (OSError, msgspec.DecodeError, UnicodeDecodeError) as exc:
        what = f"cannot be read ({exc})."
        raise ManifestError(str(path), what, "Fetch it again; the newest version can be loaded without it") from exc
