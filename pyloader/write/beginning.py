"""Where a split begins: afresh, where it was stopped, with the chunks that are damaged, or not at all."""

from __future__ import annotations

import shutil
from pathlib import Path

from pyloader.errors import SplitError
from pyloader.files.manifest import ChunkEntry
from pyloader.options import format_bytes
from pyloader.write.finishing import first_free_index, is_whole, remove_chunks
from pyloader.write.inputs import Inputs
from pyloader.write.job import Job, Progress
from pyloader.write.request import Request
from pyloader.write.standing import Standing, clear, foreign_job, foreign_manifest, look, refuse_strangers

__all__ = ["begin"]


def begin(request: Request, inputs: Inputs, job: Job, *, overwrite: bool, puts_all_aside: bool) -> Progress | None:
    """Return the checkpoint to go on from; None when all chunks of this very split are there, whole.

    Args:
      request: What is to be done.
      inputs: The dump.
      job: The directory's job; loaded, or begun.
      overwrite: Whether other chunks are removed.
      puts_all_aside: Whether all rows are put aside before chunks are written, for the free space that takes.

    Raises:
      SplitError: the directory holds something else, or there is not enough free space.
    """
    root = Path(request.output_dir)
    if root.is_file():
        raise SplitError(str(root), "is a file, and the chunks need a directory.", "Name another")
    fingerprint, command = request.fingerprint(inputs), request.command()
    stopped = job.load()
    if stopped is not None:
        same = stopped.fingerprint == fingerprint and (stopped.began_with_overwrite or not overwrite)
        if same and not inputs.is_standard_input:
            return stopped
        if not same and not overwrite:
            raise foreign_job(root, stopped, command)
        # Also when rows came through a pipe: nobody knows whether these will be the same.
        _remove_stopped(root, stopped, job)
    standing = look(root)
    progress = Progress(fingerprint=fingerprint, command=command, began_with_overwrite=overwrite)
    finished: dict[tuple[str, int], ChunkEntry] = {}
    if overwrite:
        clear(standing, request.outputs)
    elif _is_ours(standing, request, fingerprint):
        finished = _whole_chunks(standing, progress)
        num_ours = sum(len(manifest.chunks) for manifest in standing.manifests.values())
        num_ours -= sum(map(len, progress.kept.values()))
        if len(finished) == num_ours and not inputs.is_standard_input:
            return None
    elif standing.manifests:
        if not request.append or not set(standing.manifests) <= set(request.outputs):
            raise foreign_manifest(standing, request.shown_inputs())
        progress.kept = {output: list(manifest.chunks) for output, manifest in standing.manifests.items()}
    if overwrite or not standing.manifests:
        refuse_strangers(root, request.outputs)
    _check_free_space(root, inputs.raw_bytes, puts_all_aside=puts_all_aside)
    root.mkdir(parents=True, exist_ok=True)
    job.begin(progress, finished)
    return progress


def _is_ours(standing: Standing, request: Request, fingerprint: str) -> bool:
    made_by = [manifest.made_by for manifest in standing.manifests.values()]
    same = all(found.get("fingerprint") == fingerprint for found in made_by)
    return same and standing.manifests.keys() == set(request.outputs)


def _whole_chunks(standing: Standing, progress: Progress) -> dict[tuple[str, int], ChunkEntry]:
    """Return the chunks of this very split that are as they should be."""
    finished = {}
    for output, manifest in standing.manifests.items():
        num_kept = int(manifest.made_by.get("num_kept", 0))
        progress.kept[output] = list(manifest.chunks[:num_kept])
        progress.expected_content = str(manifest.made_by.get("content", ""))
        first = first_free_index(progress.kept[output])
        for index, entry in enumerate(manifest.chunks[num_kept:], start=first):
            if is_whole(standing.output_dir / output, entry):
                finished[output, index] = entry
    return finished


def _remove_stopped(root: Path, progress: Progress, job: Job) -> None:
    for output in {*progress.segments, *progress.kept, *(output for output, _ in job.finished)}:
        remove_chunks(root / output, but=progress.kept.get(output, ()))
    job.end()


def _check_free_space(root: Path, raw_bytes: int, *, puts_all_aside: bool) -> None:
    # Chunks take the place of the rows put aside, one by one.  Packed they have about a quarter of their size.
    need, what = (raw_bytes, "putting the rows aside") if puts_all_aside else (raw_bytes // 4, "writing the chunks")
    place = next(path for path in (root.absolute(), *root.absolute().parents) if path.exists())
    free = shutil.disk_usage(place).free
    if need > free:
        found = f"{what} takes about {format_bytes(need)}, and {format_bytes(free)} are free."
        raise SplitError(f"{root}/", found, "Make room, or choose a directory on another disk")
