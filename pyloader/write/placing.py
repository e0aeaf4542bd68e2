"""The last step of writing: chunks go from .split to their places, and their manifests after them.

A loader may be made at any moment, and the writer killed at any moment.  So what the present manifest lists is written
down as an earlier version first, and the next manifest of each set is written beside the present one: it tells loaders
which chunks are not listed yet.  When all next manifests are there,
.split/complete is written.  Before that, no chunk has moved.  After that, the next writer in the directory ends the
moving first, whatever that writer is to write.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import msgspec

from pyloader.errors import OutputDirError
from pyloader.files import (
    INPUTS_NAME,
    MANIFEST_NAME,
    NEXT_NAME,
    STAGING_NAME,
    VERSIONS_NAME,
    Manifest,
    coming_chunks,
    difference_of_versions,
    encode_versions,
    read_manifest,
    read_versions,
    write_manifest,
    write_whole,
)
from pyloader.files.atomic import sync, written_whole
from pyloader.write.known_inputs import KnownInput, encode_inputs
from pyloader.write.removing import (
    COMPLETE,
    STAGED_INPUTS,
    check_staging,
    index_of_chunk,
    output_directory,
    remove_own,
    remove_staging,
)

__all__ = ["finish_placing", "forget_coming", "keep_version", "place_all", "staged_chunks"]


def staged_chunks(staging: Path, output: str) -> Path:
    """Return where the chunks of an output wait for their manifest."""
    return staging / f"chunks-{output}"


def place_all(root: Path, manifests: Mapping[str, Manifest], *, inputs: Sequence[KnownInput] = ()) -> None:
    """Put the chunks of all outputs in their places, and end the writing.

    Args:
      root: The directory that was named; its .split holds the chunks.
      manifests: Output -> its new manifest, which lists chunks that are there already, and those in .split.
      inputs: The files that the sets have taken in then; without any, the list stays as it is, or a new set has none.

    Raises:
      WriteError: the disk is full; nothing has changed its place.
    """
    outputs = {output: output_directory(root, output) for output in manifests}
    if not any((directory / MANIFEST_NAME).is_file() for directory in outputs.values()):
        remove_own(root / INPUTS_NAME)  # of a set that is gone
    for output, manifest in manifests.items():
        directory = outputs[output]
        directory.mkdir(exist_ok=True)
        keep_version(directory, manifest)
        write_manifest(directory / NEXT_NAME, manifest)
        sync(directory)
    (root / STAGING_NAME).mkdir(exist_ok=True)
    if inputs:
        write_whole(root / STAGING_NAME / STAGED_INPUTS, encode_inputs(inputs))
    with written_whole(root / STAGING_NAME / COMPLETE) as beside:
        beside.write_bytes(msgspec.json.encode(list(manifests)))
    finish_placing(root)


def finish_placing(root: Path) -> None:
    """Go on with what `place_all` has begun, here or in a process that was killed; without it, do nothing.

    Raises:
      OutputDirError: .split holds something that this program did not put there.
    """
    staging = root / STAGING_NAME
    check_staging(staging)
    if not (staging / COMPLETE).is_file():
        return
    if (staging / STAGED_INPUTS).is_file():
        os.replace(staging / STAGED_INPUTS, root / INPUTS_NAME)
    for output in _outputs(staging):
        directory = output_directory(root, output)
        if not (directory / NEXT_NAME).is_file():
            continue  # it is in its place
        staged = staged_chunks(staging, output)
        for entry in read_manifest(directory / NEXT_NAME).chunks:
            place = directory / entry.file
            if index_of_chunk(entry.file) is None or not (staged / entry.file).exists():
                continue
            if place.is_dir():  # a directory cannot be renamed onto one that holds files
                remove_own(place)
            os.replace(staged / entry.file, place)
        sync(directory)
        os.replace(directory / NEXT_NAME, directory / MANIFEST_NAME)
        sync(directory)
    remove_staging(staging)


def forget_coming(root: Path, outputs: Iterable[str]) -> None:
    """Remove the manifests to come of a writer that was killed before all of them were there, or lost its .split.

    Chunks that only such a manifest lists go with it: without it they would keep the directory from being loaded.
    """
    for output in outputs:
        directory = output_directory(root, output)
        for half_written in (f"{NEXT_NAME}.writing", f".{MANIFEST_NAME}.writing", f"{VERSIONS_NAME}.writing"):
            remove_own(directory / half_written)
        _forget_later_versions(directory)
        if not (directory / NEXT_NAME).is_file():
            continue
        present = directory / MANIFEST_NAME
        listed = {entry.source for entry in read_manifest(present).chunks} if present.is_file() else set()
        for file in sorted(coming_chunks(directory) - listed):
            if index_of_chunk(file) is not None:
                remove_own(directory / file)
        remove_own(directory / NEXT_NAME)


def keep_version(directory: Path, after: Manifest) -> None:
    """Write down what the present manifest of a directory lists, as the version before `after`."""
    present = directory / MANIFEST_NAME
    if not present.is_file():
        remove_own(directory / VERSIONS_NAME)
        return
    before = read_manifest(present)
    if after.version_number > before.version_number:
        latest = difference_of_versions(before, after, made_seconds=int(present.stat().st_mtime))
        write_whole(directory / VERSIONS_NAME, encode_versions([latest, *read_versions(directory, before).earlier]))


def _forget_later_versions(directory: Path) -> None:
    """Remove what speaks of the present version as of an earlier one: its writer was killed before the next came."""
    path, present = directory / VERSIONS_NAME, directory / MANIFEST_NAME
    if not path.is_file():
        return
    earlier = read_versions(directory, read_manifest(present)).earlier if present.is_file() else ()
    if not earlier:
        remove_own(path)
    elif (known := encode_versions(earlier)) != path.read_bytes():
        write_whole(path, known)


def _outputs(staging: Path) -> list[str]:
    path = staging / COMPLETE
    try:
        return msgspec.json.decode(path.read_bytes(), type=list[str])
    except msgspec.DecodeError as exc:
        raise OutputDirError(str(path), f"is damaged ({exc}).", "Remove it") from exc
