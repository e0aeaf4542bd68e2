"""Where a split begins: afresh, where it was stopped, with the chunks that are damaged, or not at all."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Mapping
from datetime import datetime
from pathlib import Path

from pyloader.errors import OutputDirError
from pyloader.files import MANIFEST_NAME, ChunkEntry, Manifest, is_chunk_name, read_manifest
from pyloader.options import format_bytes
from pyloader.write.atomic import remove
from pyloader.write.chunk_files import first_free_index, is_whole, remove_chunks
from pyloader.write.inputs import Inputs
from pyloader.write.job import Job, Progress
from pyloader.write.preparing import Learnt
from pyloader.write.request import Request

__all__ = ["begin", "chunk_sets", "foreign_chunks", "make_room"]


def begin(
    request: Request, inputs: Inputs, job: Job, learnt: Learnt, *, overwrite: bool, puts_all_aside: bool
) -> Progress | None:
    """Return the checkpoint to go on from; None when all chunks of this very split are there, whole.

    Args:
      request: What is to be done.
      inputs: The dump.
      job: The directory's job; loaded, or begun.
      learnt: What is known of the rows before any is read.
      overwrite: Whether other chunks are removed.
      puts_all_aside: Whether all rows are put aside before chunks are written, for the free space that takes.

    Raises:
      OutputDirError: the directory holds something else, or there is not enough free space.
    """
    root = Path(request.output_dir)
    if root.is_file():
        raise OutputDirError(str(root), "is a file, and the chunks need a directory.", "Name another")
    fingerprint, command = request.fingerprint(inputs), request.command()
    stopped = job.load()
    if stopped is not None:
        same = stopped.fingerprint == fingerprint and (stopped.began_with_overwrite or not overwrite)
        if same and not inputs.is_standard_input:
            return stopped
        if not same and not overwrite:
            raise _foreign_job(root, stopped, command)
        # Also when rows came through a pipe: nobody knows whether these will be the same.
        for output in {*stopped.segments, *stopped.kept, *(output for output, _ in job.finished)}:
            remove_chunks(root / output, but=stopped.kept.get(output, ()))
        job.end()
    progress = Progress(fingerprint=fingerprint, command=command, began_with_overwrite=overwrite, learnt=learnt)
    finished: dict[tuple[str, int], ChunkEntry] = {}
    found = chunk_sets(root)
    # Text stays text in a set of chunks: earlier versions took a CSV column with an empty field for text.
    known = [spec.name for manifest in found.values() for spec in manifest.columns if spec.kind == "str"]
    learnt.fields.update({name: {"text"} for name in ([] if overwrite else known)})
    if not overwrite and _are_ours(found, request, fingerprint):
        finished = _whole_chunks(root, found, progress)
        num_ours = sum(len(manifest.chunks) for manifest in found.values()) - sum(map(len, progress.kept.values()))
        if len(finished) == num_ours and not inputs.is_standard_input:
            return None
    else:
        if found and not overwrite and not (request.append and set(found) <= set(request.outputs)):
            raise foreign_chunks(root, found, request.shown_inputs())
        make_room(root, found, request.outputs, overwrite=overwrite)
        if not overwrite:
            progress.kept = {output: list(manifest.chunks) for output, manifest in found.items()}
    _check_free_space(root, inputs.raw_bytes, puts_all_aside=puts_all_aside)
    root.mkdir(parents=True, exist_ok=True)
    job.begin(progress, finished)
    return progress


def chunk_sets(root: Path) -> dict[str, Manifest]:
    """Return the manifest of each chunk set in a directory ("") and in the directories right below it (their names)."""
    places = [root, *sorted(path for path in root.glob("[!.]*") if path.is_dir())]
    return {
        "" if place == root else place.name: read_manifest(place / MANIFEST_NAME)
        for place in places
        if (place / MANIFEST_NAME).is_file()
    }


def make_room(root: Path, found: Mapping[str, Manifest], outputs: Iterable[str], *, overwrite: bool) -> None:
    """See to it that the places of `outputs` hold nothing but the chunks `found`, and with `overwrite` not even these.

    Removed are the manifests, what they list, and what is called as our chunks are.

    Raises:
      OutputDirError: other files are there.
    """
    for output, manifest in found.items() if overwrite else ():
        # The manifest first: what it lists is never half there.
        remove(root / output / MANIFEST_NAME)
        for entry in manifest.chunks:
            remove(root / output / entry.file)
    for directory in [root / output for output in outputs if overwrite or output not in found]:
        if overwrite:
            remove_chunks(directory)
        for path in sorted(directory.iterdir()) if directory.is_dir() else ():
            if is_chunk_name(path.name) and not (path.is_dir() and path.suffix != ".columns"):
                what = f"holds {path.name}, which no manifest lists."
                raise OutputDirError(f"{directory}/", what, "Choose an empty directory, or move it away")


def foreign_chunks(root: Path, found: Mapping[str, Manifest], dump: str) -> OutputDirError:
    """Return the error for a directory with the chunks of another split than that of `dump`."""
    output, manifest = next(iter(found.items()))
    number = sum(len(manifest.chunks) for manifest in found.values())
    held = f"holds {number:,} chunk{'s' * (number != 1)}"
    other = manifest.made_by.get("dump", "")
    if other and other == dump:
        what = f"{held} of this dump as it was, or split otherwise: {manifest.made_by.get('command', '')}."
    else:
        made = datetime.fromtimestamp((root / output / MANIFEST_NAME).stat().st_mtime)
        what = f"{held} of another dump ({f'{other}, ' if other else ''}{made:%Y-%m-%d})."
    return OutputDirError(f"{root}/", what, "Choose another directory, or --append, or --overwrite")


def _foreign_job(root: Path, progress: Progress, command: str) -> OutputDirError:
    if progress.command == command:
        what = f"holds a split that was stopped, and its dump has changed since: {progress.command}."
    else:
        what = f"holds a split that was stopped, of another command: {progress.command}.  This one is: {command}."
    return OutputDirError(f"{root}/", what, "Go on with that, or choose another directory, or --overwrite")


def _are_ours(found: Mapping[str, Manifest], request: Request, fingerprint: str) -> bool:
    same = all(manifest.made_by.get("fingerprint") == fingerprint for manifest in found.values())
    return same and found.keys() == set(request.outputs)


def _whole_chunks(root: Path, found: Mapping[str, Manifest], progress: Progress) -> dict[tuple[str, int], ChunkEntry]:
    """Return the chunks of this very split that are as they should be."""
    finished = {}
    for output, manifest in found.items():
        num_kept = int(manifest.made_by.get("num_kept", 0))
        progress.kept[output] = list(manifest.chunks[:num_kept])
        progress.expected_content = str(manifest.made_by.get("content", ""))
        first = first_free_index(progress.kept[output])
        for index, entry in enumerate(manifest.chunks[num_kept:], start=first):
            if is_whole(root / output, entry):
                finished[output, index] = entry
    return finished


def _check_free_space(root: Path, raw_bytes: int, *, puts_all_aside: bool) -> None:
    # Chunks take the place of the rows put aside, one by one.  Packed they have about a quarter of their size.
    need, what = (raw_bytes, "putting the rows aside") if puts_all_aside else (raw_bytes // 4, "writing the chunks")
    place = next(path for path in (root.absolute(), *root.absolute().parents) if path.exists())
    free = shutil.disk_usage(place).free
    if need > free:
        found = f"has {format_bytes(free)} free, and {what} takes about {format_bytes(need)}."
        raise OutputDirError(f"{root}/", found, "Make room, or choose a directory on another disk")
