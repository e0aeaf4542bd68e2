"""Which chunks differ from their manifest, and how: what `pyloader verify` shows."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Literal, TypeAlias

import msgspec

from pyloader.columns import Columns, column_specs, difference, row_count
from pyloader.datareader import DataReader, read_chunk
from pyloader.errors import FileError, ManifestError
from pyloader.files import (
    MANIFEST_NAME,
    ChunkEntry,
    Manifest,
    Scan,
    byte_difference,
    chunk_bytes,
    coming_chunks,
    form_of,
    is_index_of_file,
    kept_chunks,
    makers_of,
    read_manifest,
    scan_directory,
    size_difference,
)
from pyloader.read import reader_for

__all__ = ["FileFinding", "Inspection", "Maker", "inspect_chunks"]

State: TypeAlias = Literal["changed", "truncated", "missing", "unreadable", "extra", "ignored"]
Compared: TypeAlias = Literal["checksums", "contents", "sizes"]
Progress: TypeAlias = Callable[[Sequence[ChunkEntry]], Iterable[ChunkEntry]]


class FileFinding(msgspec.Struct, frozen=True):
    """Something about one file."""

    file: str  # its path relative to the chunks' directory; of a part, the part's name
    # "changed", "truncated", "missing" or "unreadable" for a chunk of the manifest; "extra" for a file that is not in
    # it but looks like one, and keeps the directory from being loaded; "ignored" for one that does no harm
    state: State
    what: str  # what was found, in words


class Maker(msgspec.Struct, frozen=True):
    """A command that made chunks which are not as they were."""

    command: str  # the command; "" when the manifest does not say it
    mends: bool  # whether giving it again writes these chunks, and nothing else
    is_partial: bool  # whether it does not because other chunks that it made were joined since
    files: tuple[str, ...]  # the chunks


class Inspection(msgspec.Struct, frozen=True, kw_only=True):
    """What came out of comparing a directory with its manifest."""

    manifest: str  # where the manifest is
    compared: Compared  # "checksums", "contents" (counts and columns, as read) or "sizes"
    num_chunks: int  # as the manifest has them
    num_samples: int
    num_bad_chunks: int  # chunks that are not as the manifest says
    num_bad_samples: int  # the manifest's samples in them
    findings: tuple[FileFinding, ...]  # bad chunks by name, then extra files, then ignored ones
    made_by: dict[str, object]  # the manifest's
    makers: tuple[Maker, ...] = ()  # who made the bad chunks, each with the names of those

    @property
    def is_good(self) -> bool:
        """Whether a loader would take the directory, and every byte compared is as it was."""
        return all(finding.state == "ignored" for finding in self.findings)


def inspect_chunks(
    path: Path,
    *,
    sizes_only: bool = False,
    progress: Progress = iter,
    make_reader: Callable[..., DataReader] = reader_for,
) -> Inspection:
    """Compare every chunk with what its manifest says, and go on after the first that differs.

    Of chunks with a checksum the bytes are compared.  Chunks without one, and those whose bytes differ, are read by
    their reader: samples are counted, and columns compared.

    Args:
      path: The manifest.
      sizes_only: Compare only names and sizes: nothing is read, 1 s for 100,000 chunks.
      progress: Wraps the chunks as they are walked.
      make_reader: Called as `reader_for` is.

    Raises:
      ManifestError: the manifest itself cannot be used.
    """
    manifest = read_manifest(path)
    if not manifest.chunks:
        raise ManifestError(str(path), "lists no chunks.", "Make some: pyloader split DUMP... DIR")
    root = path.parent / manifest.root
    is_of_one_file = path.name != MANIFEST_NAME and is_index_of_file(path, manifest)
    scan = Scan() if is_of_one_file else scan_directory(root)
    all_checksums = all(chunk.checksum for chunk in manifest.chunks)
    reader_of = cache(lambda: make_reader(root / manifest.chunks[0].source, manifest=manifest))
    if not sizes_only and not all_checksums:
        reader_of()  # one that cannot be found is the manifest's fault, not the chunks'
    findings: dict[str, FileFinding] = {}
    bad = []
    for chunk in progress(manifest.chunks):
        finding = _size_finding(root, chunk, scan)
        if finding is None and not sizes_only:
            finding = _content_finding(root, chunk, manifest, reader_of)
        if finding is not None:
            findings[finding.file] = finding  # of the parts of a file whose size differs, one
            bad.append(chunk)
    return Inspection(
        manifest=str(path),
        compared="sizes" if sizes_only else "checksums" if all_checksums else "contents",
        num_chunks=len(manifest.chunks),
        num_samples=manifest.num_samples,
        num_bad_chunks=len(bad),
        num_bad_samples=sum(chunk.num_samples for chunk in bad),
        findings=(*findings.values(), *_unlisted(manifest, scan, coming_chunks(root), kept_chunks(root))),
        made_by=manifest.made_by,
        makers=tuple(
            Maker(origin.command, origin.can_be_repeated, origin.is_partial, tuple(entry.file for entry in chunks))
            for origin, chunks in makers_of(manifest, [chunk.file for chunk in bad])
        ),
    )


def _size_finding(root: Path, chunk: ChunkEntry, scan: Scan) -> FileFinding | None:
    found = scan.chunks.get(chunk.source)
    if found is None:
        if problem := scan.unreadable.get(chunk.source):
            return FileFinding(chunk.source, "unreadable", problem)
        try:
            found = chunk_bytes(root / chunk.source)  # its name would not make it a chunk, but the manifest does
        except FileNotFoundError:
            return FileFinding(chunk.source, "missing", "")
        except OSError as exc:
            return FileFinding(chunk.source, "unreadable", f"cannot be read ({exc.strerror})")
    state: State = "truncated" if found < chunk.source_bytes else "changed"
    what = size_difference(found, chunk)
    return FileFinding(chunk.source, state, what) if what else None


def _content_finding(
    root: Path, chunk: ChunkEntry, manifest: Manifest, reader_of: Callable[[], DataReader]
) -> FileFinding | None:
    path = os.path.join(root, chunk.source)
    state: State = "changed"
    before = ""
    try:
        if chunk.checksum:
            if not (differs := byte_difference(path, chunk)):
                return None
            before = f"{differs}; "
        what = _what_differs(read_chunk(reader_of(), path, chunk.as_part), chunk, manifest)
    except FileError as exc:
        where = "" if exc.line is None else f"line {exc.line:,}: "
        state, what = "unreadable", f"{where}{exc.what}".rstrip(".")
    except OSError as exc:
        state, what = "unreadable", f"cannot be read ({exc.strerror or exc})"
    except Exception as exc:  # the user's reader may raise anything, and the other chunks are still to be seen
        state, what = "unreadable", f"{type(exc).__name__}: {exc}"
    if before and not what:
        what = "it reads well, so some values are others"
    return FileFinding(chunk.file, state, before + what) if what else None


def _what_differs(columns: Columns, chunk: ChunkEntry, manifest: Manifest) -> str:
    """Return how a chunk reads differently from what the manifest says, in words; "" when it does not."""
    if row_count(columns) != chunk.num_samples:
        return f"{row_count(columns):,} samples, the manifest says {chunk.num_samples:,}"
    # Of numbers with gaps that are "float" over all, a chunk may hold whole ones alone.
    wanted = [replace(spec, kind="object") if spec.kind == "float" else spec for spec in manifest.columns]
    return difference(column_specs(columns), wanted) if columns else ""


def _unlisted(manifest: Manifest, scan: Scan, coming: Collection[str], kept: Collection[str]) -> list[FileFinding]:
    """Return what is not in the manifest, and not in that of an earlier version either."""
    listed = {*(chunk.source for chunk in manifest.chunks), *kept}
    forms = {form_of(file) for file in listed}
    others = sorted({*scan.chunks, *scan.unreadable, *scan.unfinished, *scan.ignored} - listed)
    harmful = [file for file in others if file in scan.chunks and form_of(file) in forms and file not in coming]
    being_added = "being added: the manifest that lists it comes last"
    harmless = {file: being_added if file in coming else "not in the manifest" for file in others}
    return [
        *(FileFinding(file, "extra", "not in the manifest, so the directory does not load") for file in harmful),
        *(FileFinding(file, "ignored", what) for file, what in harmless.items() if file not in set(harmful)),
    ]
