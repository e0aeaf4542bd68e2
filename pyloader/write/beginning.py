"""Where a split begins: afresh, where it was stopped, with the chunks that are damaged, or not at all."""

from __future__ import annotations

import shutil
from collections.abc import Collection, Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from pyloader.columns import ColumnSpec
from pyloader.errors import OutputDirError, SplitError
from pyloader.files import (
    LOCK_NAME,
    MANIFEST_NAME,
    STAGING_NAME,
    ChunkEntry,
    Manifest,
    Origin,
    is_chunk_name,
    kept_chunks,
    origins_of,
    read_manifest,
)
from pyloader.options import format_bytes
from pyloader.write.chunk_files import is_whole
from pyloader.write.holdout import HOLDOUT_RULE
from pyloader.write.inputs import Inputs
from pyloader.write.job import CONTENT_RULE, Job, Terms
from pyloader.write.known_inputs import newest_version
from pyloader.write.placing import finish_placing, forget_coming
from pyloader.write.ranges import fan_outs
from pyloader.write.refusals import foreign_chunks, made_by_an_earlier_version, other_holdout, stopped_split
from pyloader.write.removing import (
    check_removable,
    index_of_chunk,
    is_own_name,
    output_directory,
    remove_own,
    version_of_chunk,
)
from pyloader.write.request import Request
from pyloader.write.same_set import other_tokenizer
from pyloader.write.scratch import check_scratch
from pyloader.write.set_chunks import said_sizes, sizes_in_set, sizes_of
from pyloader.write.sizes import ChunkSizes
from pyloader.write.versions import versions

__all__ = [
    "begin",
    "check_can_be_added_to",
    "chunk_sets",
    "discard",
    "known_arrays",
    "known_labels",
    "make_room",
    "places_to_lock",
    "text_columns",
]


def begin(
    request: Request,
    inputs: Inputs,
    job: Job,
    *,
    typed: str,
    made_by: str = "",
    overwrite: bool = False,
    waits: bool = False,
    joined: Collection[str] = (),
) -> Terms | None:
    """Return what a split is to be done with, afresh or as it was begun; None when all of its chunks are there, whole.

    Args:
      request: What is to be done.
      inputs: The dump.
      job: The directory's job; loaded, or begun.
      typed: The command.
      made_by: The command that makes the same chunks again; "" is the same one.
      overwrite: Whether other chunks are removed.
      waits: Whether all rows are put aside before chunks are written, whatever their sizes.
      joined: The chunks of the set in the directory that are the inputs, and that the new ones take the place of.

    Raises:
      OutputDirError: the directory holds something else, or there is not enough free space.
    """
    root = request.root
    finish_placing(root)
    fingerprint = request.fingerprint(inputs.files)
    stopped, found = job.load(), chunk_sets(root)
    made_with = versions(request.media.packages)
    if stopped is not None:
        same = stopped.command == typed and (stopped.began_with_overwrite or not overwrite)
        if same and stopped.fingerprint == fingerprint and stopped.versions == made_with and _are_there(stopped, found):
            job.go_on(request.scratch_dir)
            return stopped
        if job.is_worth_keeping and not (same or overwrite or job.has_failed):
            raise stopped_split(root, stopped.command, typed)
        job.end()  # the same command on a dump that has changed, or with other libraries, begins again
    forget_coming(root, request.outputs)
    terms = Terms(
        fingerprint=fingerprint, command=typed, made_by=made_by, versions=made_with, began_with_overwrite=overwrite
    )
    terms.holdout_rule = _holdout_rule({} if overwrite else found)
    ours = [] if overwrite else _our_chunks(found, request, inputs, fingerprint)
    for chunks in ours:
        terms.expected_content = chunks.origin.content
        terms.kept[chunks.output], terms.mended[chunks.output] = chunks.others, chunks.entries
        terms.first[chunks.output] = _first_index(chunks)
        terms.data_version = max([terms.data_version, *(version_of_chunk(entry.file) for entry in chunks.entries)])
        terms.sizes = terms.sizes or chunks.origin.sizes
    if ours:
        is_stored = request.place is not None
        if not inputs.is_standard_input and all(_are_whole(root, chunks, is_stored=is_stored) for chunks in ours):
            return None
        if any(not chunks.origin.content.startswith(CONTENT_RULE) for chunks in ours):
            raise made_by_an_earlier_version(root, found)
    else:
        if found and not overwrite:
            if not joined:
                check_can_be_added_to(root, found, request)
            for output, manifest in found.items():
                terms.kept[output] = [entry for entry in manifest.chunks if entry.file not in joined]
                terms.removed[output] = [entry for entry in manifest.chunks if entry.file in joined]
            terms.data_version = newest_version(found) + 1
            _follow_set(terms, request, found, 0 if joined else inputs.raw_bytes)
        terms.first = dict.fromkeys(request.outputs, 0)
        make_room(root, found, request.outputs, overwrite=overwrite)
    aside = waits or (sizes_of(terms.sizes) or request.sizes).while_reading(inputs.raw_bytes) is None
    _check_free_space(root, request, inputs.raw_bytes, puts_all_aside=aside)
    root.mkdir(parents=True, exist_ok=True)
    job.begin(terms, request.scratch_dir)
    return terms


def _follow_set(terms: Terms, request: Request, found: Mapping[str, Manifest], raw_bytes: int) -> None:
    """Take the sizes of chunks from the set that is added to, unless the request says some."""
    main = found.get(request.outputs[0]) or next(iter(found.values()))
    terms.set_sizes = said_sizes(main)
    if request.sizes == ChunkSizes():
        sizes = asdict(sizes_in_set(terms.set_sizes, main.chunks, raw_bytes))
        terms.sizes = {name: value for name, value in sizes.items() if value is not None}


def discard(root: Path) -> str:
    """Give up the split that was stopped in a directory; return its command, "" when there was none.

    Chunks that a manifest lists stay.  A split that had come as far as putting its chunks in place is not given up,
    but brought to its end: it is complete.

    Raises:
      OutputDirError: .split holds something that this program did not put there.
    """
    finish_placing(root)
    job = Job(root)
    try:
        stopped = job.load()
        command = "" if stopped is None else stopped.command
    except OutputDirError:
        raise
    except SplitError:  # it cannot be read: that is one more reason to give it up
        command = "of a command that cannot be read any more"
    job.end()
    forget_coming(root, {"", *chunk_sets(root)})
    return command


def chunk_sets(root: Path) -> dict[str, Manifest]:
    """Return the manifest of each chunk set in a directory ("") and in the directories right below it (their names)."""
    places = [root, *sorted(path for path in root.glob("[!.]*") if path.is_dir())]
    return {
        "" if place == root else place.name: read_manifest(place / MANIFEST_NAME)
        for place in places
        if (place / MANIFEST_NAME).is_file()
    }


def text_columns(terms: Terms, root: Path) -> list[str]:
    """Return the columns that hold text in the chunks that a split adds to.

    Text stays text in a set of chunks: earlier versions took a CSV column with an empty field for text.
    """
    found = chunk_sets(root) if any(terms.kept.values()) else {}
    return [spec.name for manifest in found.values() for spec in manifest.columns if spec.kind == "str"]


def known_arrays(terms: Terms, root: Path) -> list[ColumnSpec]:
    """Return the columns that decide what others become in the chunks that a split adds to.

    Those of fractions, since whole numbers become some; and ragged ones, since rows of one length become ragged.
    """
    found = chunk_sets(root) if any(terms.kept.values()) else {}
    columns = [spec for manifest in found.values() for spec in manifest.columns]
    return [spec for spec in columns if spec.dtype == "<f8" or spec.kind == "ragged"]


def known_labels(root: Path) -> list[str]:
    """Return the labels of the images in a directory, by their numbers: what is added keeps these."""
    found = [manifest.made_by.get("labels") for manifest in chunk_sets(root).values()] if root.is_dir() else []
    return next(
        (labels for labels in found if isinstance(labels, list) and all(isinstance(of, str) for of in labels)), []
    )


def places_to_lock(root: Path, outputs: Iterable[str]) -> list[Path]:
    """Return the directories that a split into `outputs` may change, `root` first."""
    others = [output for output in chunk_sets(root) if not (root / output).is_symlink()]
    return [output_directory(root, output) for output in dict.fromkeys(["", *outputs, *others])]


def make_room(root: Path, found: Mapping[str, Manifest], outputs: Iterable[str], *, overwrite: bool) -> None:
    """See to it that the places of `outputs` hold nothing but the chunks `found`, and with `overwrite` not even these.

    Removed are manifests, and what is called as our chunks are.  Nothing is removed when anything else is there.

    Raises:
      OutputDirError: other files are there.
    """
    removed: list[Path] = []
    for output in sorted({*outputs, *(found if overwrite else ())}):
        directory = output_directory(root, output)
        listed = {entry.source for entry in found[output].chunks} | kept_chunks(directory) if output in found else set()
        for file in sorted(listed if overwrite else ()):
            if index_of_chunk(file) is None and (directory / file).exists():
                what = f"lists {file}, and --overwrite deletes only chunks that pyloader named (chunk-00000.*)."
                raise OutputDirError(str(directory / MANIFEST_NAME), what, "Move it away, or choose another directory")
        for path in sorted(directory.iterdir()) if directory.is_dir() else ():
            if overwrite and is_own_name(path.name):
                removed += [] if path.name in (LOCK_NAME, STAGING_NAME) else [path]
            elif path.name not in listed and _is_in_the_way(path, adds=output in found):
                what = f"holds {path.name}, which no manifest lists."
                raise OutputDirError(f"{directory}/", what, "Choose an empty directory, or move it away")
    for path in removed:
        check_removable(path)
    # The manifests first: what one lists is never half there.
    for path in sorted(removed, key=lambda path: path.name != MANIFEST_NAME):
        remove_own(path)


def _is_in_the_way(path: Path, *, adds: bool) -> bool:
    """Tell whether new chunks cannot lie beside this: it looks like a chunk, or, beside listed chunks, like ours."""
    if adds:
        return index_of_chunk(path.name) is not None
    return is_chunk_name(path.name) and not (path.is_dir() and path.suffix != ".columns")


@dataclass(frozen=True)
class _OurChunks:
    """What the same command has made before.

    Attributes:
      output: In this output.
      origin: What the manifest says of it.
      entries: Its chunks.
      others: The chunks that other commands have added before and after.
    """

    output: str
    origin: Origin
    entries: list[ChunkEntry]
    others: list[ChunkEntry]


def _our_chunks(found: Mapping[str, Manifest], request: Request, inputs: Inputs, fingerprint: str) -> list[_OurChunks]:
    """Return what this very split has made already; nothing when it has not been here."""
    if found.keys() != set(request.outputs) or (request.append and inputs.is_standard_input):
        return []  # what comes through a pipe is added each time: nobody knows whether it came before
    ours = []
    for output, manifest in found.items():
        start = 0
        for origin in origins_of(manifest):
            stop = start + origin.num_chunks
            if origin.fingerprint == fingerprint:
                others = [*manifest.chunks[:start], *manifest.chunks[stop:]]
                ours.append(_OurChunks(output, origin, list(manifest.chunks[start:stop]), others))
                break
            start = stop
    return ours if len(ours) == len(found) else []


def _first_index(chunks: _OurChunks) -> int:
    return (index_of_chunk(chunks.entries[0].file) if chunks.entries else None) or 0


def _are_whole(root: Path, chunks: _OurChunks, *, is_stored: bool) -> bool:
    directory = output_directory(root, chunks.output)
    return all(is_whole(directory, entry, is_stored=is_stored) for entry in chunks.entries)


def _holdout_rule(found: Mapping[str, Manifest]) -> int:
    """Return the rule by which a directory's samples are held out; a set without a number is of the first."""
    rules = [manifest.made_by.get("holdout_rule", 1) for manifest in found.values()]
    return 1 if 1 in rules and len(found) > 1 else HOLDOUT_RULE


def _are_there(stopped: Terms, found: Mapping[str, Manifest]) -> bool:
    """Tell whether the chunk sets are those that a stopped split has found."""
    listed = {(output, entry.file) for output, manifest in found.items() for entry in manifest.chunks}
    there = [*stopped.kept.items(), *stopped.removed.items()]
    kept = {(output, entry.file) for output, entries in there for entry in entries}
    return kept <= listed if stopped.mended else kept == listed


def check_can_be_added_to(root: Path, found: Mapping[str, Manifest], request: Request) -> None:
    """See to it that a request may add to the sets that are there.

    Raises:
      OutputDirError: it does not say so, or holds out other shares, or has another tokenizer.
    """
    if not request.append:
        raise foreign_chunks(root, found, request.shown_inputs())
    if problem := other_holdout(root, found, request.outputs, request.holdout or {}) or other_tokenizer(
        root, found, request
    ):
        raise problem


def _check_free_space(root: Path, request: Request, raw_bytes: int, *, puts_all_aside: bool) -> None:
    chunks = 0 if request.place else raw_bytes // 4  # about, packed; to a store they go one by one
    rows = 0 if not puts_all_aside else raw_bytes * (2 if request.shuffle and len(fan_outs(raw_bytes)) > 1 else 1)
    if request.scratch_dir is not None:
        _check_room(check_scratch(request.scratch_dir), rows, "putting the rows aside")
        rows = 0
    _check_room(root, chunks + rows, "putting the rows aside" if rows else "writing the chunks")


def _check_room(directory: Path, need: int, what: str) -> None:
    place = next(path for path in (directory.absolute(), *directory.absolute().parents) if path.exists())
    free = shutil.disk_usage(place).free
    if need > free:
        found = f"has {format_bytes(free)} free, and {what} takes about {format_bytes(need)}."
        raise OutputDirError(f"{directory}/", found, "Make room, or choose a directory on another disk")
