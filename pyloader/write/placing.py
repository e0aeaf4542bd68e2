"""The last step of writing: chunks go from .split to their places, and their manifests after them.

A loader may be made at any moment, and the writer killed at any moment.  So the next manifest of each set is written
beside the present one first: it tells loaders which chunks are not listed yet.  When all next manifests are there,
.split/complete is written.  Before that, no chunk has moved.  After that, the next writer in the directory ends the
moving first, whatever that writer is to write.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path

import msgspec

from pyloader.errors import OutputDirError
from pyloader.files import (
    MANIFEST_NAME,
    NEXT_NAME,
    STAGING_NAME,
    Manifest,
    coming_chunks,
    read_manifest,
    write_manifest,
)
from pyloader.files.atomic import sync, written_whole
from pyloader.write.removing import (
    COMPLETE,
    check_staging,
    index_of_chunk,
    output_directory,
    remove_own,
    remove_staging,
)

__all__ = ["finish_placing", "forget_coming", "place_all", "staged_chunks"]


def staged_chunks(staging: Path, output: str) -> Path:
    """Return where the chunks of an output wait for their manifest."""
    return staging / f"chunks-{output}"


def place_all(root: Path, manifests: Mapping[str, Manifest]) -> None:
    """Put the chunks of all outputs in their places, and end the writing.

    Args:
      root: The directory that was named; its .split holds the chunks.
      manifests: Output -> its new manifest, which lists chunks that are there already, and those in .split.

    Raises:
      WriteError: the disk is full; nothing has changed its place.
    """
    for output, manifest in manifests.items():
        directory = output_directory(root, output)
        directory.mkdir(exist_ok=True)
        write_manifest(directory / NEXT_NAME, manifest)
        sync(directory)
    (root / STAGING_NAME).mkdir(exist_ok=True)
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
        for half_written in (f"{NEXT_NAME}.writing", f".{MANIFEST_NAME}.writing"):
            remove_own(directory / half_written)
        if not (directory / NEXT_NAME).is_file():
            continue
        present = directory / MANIFEST_NAME
        listed = {entry.file for entry in read_manifest(present).chunks} if present.is_file() else set()
        for file in sorted(coming_chunks(directory) - listed):
            if index_of_chunk(file) is not None:
                remove_own(directory / file)
        remove_own(directory / NEXT_NAME)


def _outputs(staging: Path) -> list[str]:
    path = staging / COMPLETE
    try:
        return msgspec.json.decode(path.read_bytes(), type=list[str])
    except msgspec.DecodeError as exc:
        raise OutputDirError(str(path), f"is damaged ({exc}).", "Remove it") from exc
