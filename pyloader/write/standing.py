"""What an output directory holds before a split: nothing, this split half done or done, or something else."""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from pyloader.errors import SplitError
from pyloader.files.manifest import MANIFEST_NAME, Manifest, read_manifest
from pyloader.files.scanning import is_chunk_name
from pyloader.write.atomic import remove
from pyloader.write.finishing import remove_chunks
from pyloader.write.job import Progress

__all__ = ["Standing", "clear", "foreign_job", "foreign_manifest", "look", "refuse_strangers"]


@dataclass(frozen=True)
class Standing:
    """The chunk sets in a directory.

    Attributes:
      output_dir: The directory.
      manifests: Output name ("" for the directory itself) -> its manifest, for every chunk set found.
    """

    output_dir: Path
    manifests: dict[str, Manifest]


def look(output_dir: Path) -> Standing:
    """Look for chunk sets in a directory and in the directories right below it."""
    places = [output_dir, *sorted(path for path in output_dir.glob("[!.]*") if path.is_dir())]
    found = {}
    for place in places:
        if (place / MANIFEST_NAME).is_file():
            found["" if place == output_dir else place.name] = read_manifest(place / MANIFEST_NAME)
    return Standing(output_dir, found)


def clear(standing: Standing, outputs: tuple[str, ...]) -> None:
    """Remove the chunks that the manifests list and the manifests, and in the places of `outputs` what is called as our
    chunks are; nothing else."""
    for output, manifest in standing.manifests.items():
        directory = standing.output_dir / output
        # The manifest first: what it lists is never half there.
        remove(directory / MANIFEST_NAME)
        for entry in manifest.chunks:
            remove(directory / entry.file)
    for output in outputs:
        remove_chunks(standing.output_dir / output)


def refuse_strangers(output_dir: Path, outputs: tuple[str, ...]) -> None:
    """Raise when a place for chunks holds files that no manifest lists.

    Raises:
      SplitError: it does; the message names one.
    """
    for output in outputs:
        directory = output_dir / output
        for path in sorted(directory.iterdir()) if directory.is_dir() else ():
            if is_chunk_name(path.name) and not (path.is_dir() and path.suffix != ".columns"):
                what = f"holds {path.name}, which no manifest lists."
                raise SplitError(str(directory), what, "Choose an empty directory, or move it away")


def foreign_manifest(standing: Standing, dump: str) -> SplitError:
    """Return the error for a directory with the chunks of another split than that of `dump`."""
    output, manifest = next(iter(standing.manifests.items()))
    number = sum(len(found.chunks) for found in standing.manifests.values())
    made = datetime.fromtimestamp((standing.output_dir / output / MANIFEST_NAME).stat().st_mtime)
    held = f"holds {number:,} chunk{'s' * (number != 1)}"
    other = manifest.made_by.get("dump", "")
    if other and other == dump:
        what = f"{held} of this dump as it was, or split otherwise: {manifest.made_by.get('command', '')}."
    else:
        what = f"{held} of another dump ({f'{other}, ' if other else ''}{made:%Y-%m-%d})."
    hint = "Choose another directory, or --append, or --overwrite"
    return SplitError(os.path.join(standing.output_dir, ""), what, hint)


def foreign_job(output_dir: Path, progress: Progress, command: str) -> SplitError:
    """Return the error for a directory in which another split was stopped."""
    if progress.command == command:
        what = f"holds a split that was stopped, and its dump has changed since: {progress.command}."
    else:
        what = f"holds a split that was stopped, of another command: {progress.command}.  This one is: {command}."
    return SplitError(
        os.path.join(output_dir, ""), what, "Go on with that, or choose another directory, or --overwrite"
    )
