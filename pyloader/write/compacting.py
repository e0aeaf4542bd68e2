"""Compacting: the small chunks that appends have left become chunks of the set's size, as a new version.

The old chunks stay, so that states of earlier versions can be loaded, until these versions are dropped.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import msgspec

from pyloader.errors import OutputDirError
from pyloader.files import (
    MANIFEST_NAME,
    VERSIONS_NAME,
    ChunkEntry,
    Manifest,
    Version,
    chunk_bytes,
    difference_of_versions,
    encode_versions,
    form_of,
    kept_chunks,
    locked,
    read_manifest,
    read_versions,
    write_whole,
)
from pyloader.files.takes import Takes
from pyloader.machine.limits import num_processors
from pyloader.write.beginning import begin, chunk_sets, places_to_lock
from pyloader.write.choosing import first_layout
from pyloader.write.input_files import InputNames
from pyloader.write.inputs import find_inputs
from pyloader.write.job import Job
from pyloader.write.output_places import output_at, shown_place
from pyloader.write.outputs import Output, OutputBelow
from pyloader.write.placing import finish_placing
from pyloader.write.preparing import is_settled_at_the_end
from pyloader.write.removing import index_of_chunk, output_directory, remove_own
from pyloader.write.request import Request
from pyloader.write.set_chunks import format_in_set, said_sizes, sizes_in_set
from pyloader.write.sizes import ChunkSizes
from pyloader.write.workers import Workers

__all__ = ["CompactReport", "compact"]

_INPUTS = {"jsonl": "jsonl", "jsonl.zst": "jsonl", "parquet": "parquet", "columns": "npy", "arrayrecord": "arrayrecord"}


@dataclass(frozen=True, kw_only=True)
class CompactReport:
    """What became of a set of chunks.

    Attributes:
      directory: Where it is.
      version: The number of its newest version.
      num_joined: How many small chunks were joined.
      num_written: Into how many.
      num_chunks: How many chunks the newest version has.
      earlier: The numbers of the earlier versions that can be loaded.
      kept_bytes: Of the chunks that only these list.
      ended: The numbers of the versions that have ended.
      num_deleted: How many chunks were deleted.
      deleted_bytes: Of these.
    """

    directory: str
    version: int
    num_joined: int = 0
    num_written: int = 0
    num_chunks: int
    earlier: tuple[int, ...]
    kept_bytes: int
    ended: tuple[int, ...] = ()
    num_deleted: int = 0
    deleted_bytes: int = 0

    def as_dict(self) -> dict[str, Any]:
        """Return everything in plain lists and numbers, as JSON has them."""
        return asdict(self)


def compact(
    directory: str | os.PathLike[str],
    *,
    drop_versions: bool = False,
    workers: int | None = None,
    take_over: bool = False,
    storage_options: Mapping[str, Any] | None = None,
    scratch_dir: str | os.PathLike[str] | None = None,
    progress: bool = False,
) -> tuple[CompactReport, ...]:
    """Join the small chunks of each set in a directory into chunks of the set's size, as a new version of the set.

    Small is what has less than half of that size.  The rows of a joined chunk come after those of all others.  A run
    that was killed goes on when it is started again, and what is there can be loaded at any moment.

    Args:
      directory: A set of chunks, or one with several of them (train/, val/); or the address of one in a store.
      drop_versions: Whether versions end that list chunks which the newest does not; these are deleted.
      workers: How many tasks run at once; None is the number of processors that this process may use.
      take_over: As `split` has it.
      storage_options: Of the store, as DataLoader has them.
      scratch_dir: Where chunks of a store lie meanwhile, the small ones and the joined; None is
        ~/.cache/pyloader/writing.
      progress: Whether to show a bar, on stderr, when that is a terminal.

    Returns:
      What became of each set.

    Raises:
      SplitError: there is no set, its chunks were not written by pyloader or cannot be joined, another process writes
        there, or the disk is full.
    """
    typed = shlex.join(["pyloader", "compact", os.path.join(shown_place(directory), "")])
    with output_at(
        directory, command=typed, storage_options=storage_options, scratch_dir=scratch_dir,
        takes=Takes(stopped=take_over, silent=take_over),
    ) as there:  # fmt: skip
        root = there.root
        if not root.is_dir():
            raise OutputDirError(str(root), "is no directory of chunks.", "Name another")
        with locked(places_to_lock(root, ())):
            finish_placing(root)
            if not (sets := chunk_sets(root)):
                raise OutputDirError(f"{root}/", f"holds no {MANIFEST_NAME}.", "Name a directory that was split into")
            reports = []
            for output in sets:
                place, below = output_directory(root, output), OutputBelow(there, output)
                joined = _joined(place, below, Workers(None, workers or num_processors()), show=progress)
                dropped = _dropped(place) if drop_versions else _Dropped()
                reports.append(_report(place, below.shown, joined, dropped))
        there.publish()
        return tuple(reports)


def _joined(place: Path, output: Output, workers: Workers, *, show: bool) -> tuple[int, int]:
    """Join the small chunks of a set; return how many, and into how many."""
    finish_placing(place)
    _delete_leaving(place)
    manifest, job = read_manifest(place / MANIFEST_NAME), Job(place, output)
    said = said_sizes(manifest)
    sizes = sizes_in_set(said, manifest.chunks)
    small = [entry for entry in manifest.chunks if not sizes.are_half_full(entry.num_samples, _raw_bytes(entry))]
    if len(small) < 2 or _num_full(sizes, small) >= len(small):
        return 0, 0
    name = _format_of(place, manifest)
    output.fetch(entry.file for entry in small)
    request = Request(
        inputs=_names(place, small, name),
        output_dir=output.shown,
        input_format=_INPUTS[name] if name != "columns" else None,
        output_format=name,
        append=True,
    ).at(output)
    found = find_inputs(request, record=manifest.columns[0] if name == "arrayrecord" else None)
    layout = first_layout(request, found)
    waits = is_settled_at_the_end(found.format, layout, is_encoded=False)
    typed = shlex.join(["pyloader", "compact", os.path.join(output.shown, "")])
    terms = begin(request, found, job, typed=typed, waits=waits, joined={entry.file for entry in small})
    assert terms is not None
    output.will_write([""])
    num_written = workers.carry_out(request, found, job, terms, layout, waits=waits, show=show, known=None)
    return len(small), num_written


def _raw_bytes(entry: ChunkEntry) -> int:
    return entry.raw_bytes or entry.num_bytes


def _num_full(sizes: ChunkSizes, entries: Sequence[ChunkEntry]) -> int:
    """Return into how many chunks these go, at the least."""
    if sizes.chunk_samples is not None:
        return -(-sum(entry.num_samples for entry in entries) // sizes.chunk_samples)
    return -(-sum(map(_raw_bytes, entries)) // sizes.bytes_of_chunk)


def _format_of(place: Path, manifest: Manifest) -> str:
    """Return the format of a set's chunks, one of FORMATS.

    Raises:
      OutputDirError: they are of another, or were not written by this program.
    """
    others = [entry.file for entry in manifest.chunks if entry.as_part or index_of_chunk(entry.file) is None]
    found = format_in_set(manifest.chunks)
    if others or found not in _INPUTS:
        forms = sorted({form_of(entry.source).removeprefix(".") for entry in manifest.chunks})
        held = f"holds {' and '.join(forms)} chunks"
        held = f"holds {others[0]}, which pyloader did not name" if others else held
        raise OutputDirError(f"{place}/", f"{held}.", f"pyloader joins {', '.join(_INPUTS)}: split its samples anew")
    return found


def _names(place: Path, entries: Sequence[ChunkEntry], name: str) -> InputNames:
    paths = [str(place / entry.file) for entry in entries]
    if name != "columns":
        return paths
    columns = [path.stem for path in sorted(Path(paths[0]).glob("*.npy"))]
    return {column: [f"{path}/{column}.npy" for path in paths] for column in columns}


@dataclass(frozen=True)
class _Dropped:
    """Versions that have ended, and the chunks that went with them."""

    ended: tuple[int, ...] = ()
    num_deleted: int = 0
    deleted_bytes: int = 0


def _dropped(place: Path) -> _Dropped:
    """End the versions that list chunks which the newest does not, and delete these chunks.

    What is to be deleted is written down first, so that loaders pass over it, and the next compacting goes on.
    """
    manifest = read_manifest(place / MANIFEST_NAME)
    versions = read_versions(place, manifest)
    newest, after = {entry.file for entry in manifest.chunks}, manifest
    lines: dict[int, Version] = {version.number: version for version in versions.earlier if version.is_ended}
    ended = []
    for version, before in versions.manifests():
        if newest.issuperset(entry.file for entry in before.chunks):
            difference = difference_of_versions(before, after, made_seconds=version.made_seconds)
            lines[version.number] = msgspec.structs.replace(difference, command=version.command)
            after = before
        else:
            ended.append(version.number)
            lines[version.number] = msgspec.structs.replace(
                version, added=(), removed=(), columns=None, is_ended=True, leaving=()
            )
    files = {entry.source for entry in manifest.chunks}
    leaving = sorted(file for file in kept_chunks(place) - files if index_of_chunk(file) is not None)
    if not ended:
        return _Dropped()
    lines[ended[0]] = msgspec.structs.replace(lines[ended[0]], leaving=tuple(leaving))
    write_whole(place / VERSIONS_NAME, encode_versions([lines[number] for number in sorted(lines, reverse=True)]))
    return replace(_delete_leaving(place), ended=tuple(sorted(ended)))


def _delete_leaving(place: Path) -> _Dropped:
    """Delete the chunks of ended versions, and forget their names."""
    manifest = read_manifest(place / MANIFEST_NAME)
    earlier = read_versions(place, manifest).earlier
    leaving = {file for version in earlier for file in version.leaving} - {entry.source for entry in manifest.chunks}
    if not leaving:
        return _Dropped()
    there = [place / file for file in sorted(leaving) if index_of_chunk(file) is not None and (place / file).exists()]
    num_bytes = sum(map(chunk_bytes, there))
    for path in there:
        remove_own(path)
    rest = [msgspec.structs.replace(version, leaving=()) for version in earlier]
    write_whole(place / VERSIONS_NAME, encode_versions(rest))
    return _Dropped((), len(there), num_bytes)


def _report(place: Path, shown: str, joined: tuple[int, int], dropped: _Dropped) -> CompactReport:
    manifest = read_manifest(place / MANIFEST_NAME)
    kept = kept_chunks(place) - {entry.source for entry in manifest.chunks}
    return CompactReport(
        directory=shown,
        version=manifest.version_number,
        num_joined=joined[0],
        num_written=joined[1],
        num_chunks=len(manifest.chunks),
        earlier=tuple(sorted(v.number for v in read_versions(place, manifest).earlier if not v.is_ended)),
        kept_bytes=sum(chunk_bytes(place / file) for file in kept if (place / file).exists()),
        ended=dropped.ended,
        num_deleted=dropped.num_deleted,
        deleted_bytes=dropped.deleted_bytes,
    )
