"""Removing what this program wrote, and nothing else.

A directory may come from anybody: what its manifest, its job file or its names say decides nothing here.  Only names
that this program gives are removed, only right inside the directory that was named, and a link is removed itself, never
what it points to.
"""

from __future__ import annotations

import os
import re
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path

from pyloader.errors import OutputDirError
from pyloader.files import INPUTS_NAME, LOCK_NAME, MANIFEST_NAME, NEXT_NAME, STAGING_NAME, VERSIONS_NAME
from pyloader.write.scratch import remove_scratch

__all__ = [
    "COMPLETE",
    "FAILED",
    "STAGED_INPUTS",
    "check_removable",
    "check_staging",
    "index_of_chunk",
    "is_keys_name",
    "is_own_name",
    "output_directory",
    "remove_own",
    "remove_staging",
    "version_of_chunk",
]

COMPLETE = "complete"
STAGED_INPUTS = "inputs.jsonl"
_WRITING = ".writing"
FAILED = "failed"
_CHUNK = re.compile(r"chunk-(?:v(\d{5})-)?(\d{5})\.[a-z.]+")
_KEYS = re.compile(r"\.keys-[0-9a-f]{16}")
_HIDDEN = {NEXT_NAME, VERSIONS_NAME, INPUTS_NAME}
_OTHERS = {*_HIDDEN, MANIFEST_NAME, LOCK_NAME, STAGING_NAME}
_OUTPUT = re.compile(r"[\w-]*")
_STAGED = re.compile(
    rf"\.?(job\.json|(receipts|chunks|inputs)\.jsonl|names\.json|scratch|{COMPLETE}|{FAILED})(\.writing)?|(rows|chunks)-[\w-]*"
)


def is_own_name(name: str) -> bool:
    """Tell whether this program gives this name to something in a directory of chunks."""
    if name.endswith(_WRITING):  # what is being written: hidden, whatever it will be called
        whole = name.removesuffix(_WRITING)
        return whole in _HIDDEN or (whole.startswith(".") and is_own_name(whole[1:]))
    return bool(_CHUNK.fullmatch(name) or _KEYS.fullmatch(name)) or name in _OTHERS


def is_keys_name(name: str) -> bool:
    """Tell whether this program gives this name to a file of keys."""
    return bool(_KEYS.fullmatch(name))


def index_of_chunk(name: str) -> int | None:
    """Return the index in the name of a chunk; None when it is not one that this program gives to chunks."""
    match = _CHUNK.fullmatch(name)
    return int(match[2]) if match else None


def version_of_chunk(name: str) -> int:
    """Return the version in the name of a chunk; 1 where its name has none."""
    match = _CHUNK.fullmatch(name)
    return int(match[1]) if match and match[1] else 1


def check_removable(path: Path) -> None:
    """See to it that this program has written what is there: a file, or a chunk that is a directory.

    Raises:
      OutputDirError: the name is not one of this program's, or what is there was not written by it.
    """
    if not is_own_name(path.name):
        raise OutputDirError(str(path), "is of a name that pyloader does not give.", "Move it away")
    if path.is_symlink() or not path.is_dir():
        return
    entries = list(os.scandir(path))
    others = [entry.name for entry in entries if not entry.name.endswith(".npy") or entry.is_dir(follow_symlinks=False)]
    if others or not path.name.removesuffix(_WRITING).endswith(".columns"):
        what = f"is a directory that pyloader did not write{f': it holds {min(others)}' if others else ''}."
        raise OutputDirError(str(path), what, "Move it away")


def remove_own(path: Path) -> None:
    """Remove a file, a link (never what it points to), or a chunk that is a directory, if it is there.

    Raises:
      OutputDirError: as `check_removable` says.
    """
    check_removable(path)
    if path.is_dir() and not path.is_symlink():
        for entry in list(path.iterdir()):
            entry.unlink()
        path.rmdir()
    else:
        path.unlink(missing_ok=True)


def output_directory(root: Path, output: str) -> Path:
    """Return the directory of an output, "" for `root` itself.

    Raises:
      OutputDirError: it is a link, which may lead anywhere; only `root`, which the user has named, may be one.  Or it
        is called as no output is, in a job file that came from elsewhere.
    """
    if not _OUTPUT.fullmatch(output):
        raise OutputDirError(
            str(root / STAGING_NAME), f"names the output {output!r}, which no split has.", "Move it away"
        )
    if output and (root / output).is_symlink():
        what = f"is a link to {os.readlink(root / output)}, and chunks are written inside of {root}/ only."
        raise OutputDirError(str(root / output), what, "Put a directory in its place, or name where it leads to")
    return root / output if output else root


def check_staging(staging: Path) -> None:
    """See to it that `staging` holds only what this program puts there, and nothing that leads out of it.

    Its files are written to and removed: a link among them would do that to the file that it points to.

    Raises:
      OutputDirError: there is something else.
    """
    for path in _within(staging):
        mode = path.lstat().st_mode
        is_plain = stat.S_ISDIR(mode) or (stat.S_ISREG(mode) and path.lstat().st_nlink == 1)
        if not is_plain or (path.parent == staging and not _STAGED.fullmatch(path.name)):
            raise OutputDirError(str(path), "was not put there by pyloader.", "Look what it is, and move it away")


def remove_staging(staging: Path) -> None:
    """Remove what writers have left in `staging`, and itself.

    Raises:
      OutputDirError: there is something else in it.
    """
    check_staging(staging)
    # The checkpoint first: without it, what is left is rubbish that the next writer removes.  And last the word that
    # all is complete: until then it is gone on with the removing.
    (staging / "job.json").unlink(missing_ok=True)
    remove_scratch(staging)
    for path in sorted(staging.iterdir()) if staging.is_dir() else ():
        if path.name != COMPLETE:
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    if staging.is_dir():
        shutil.rmtree(staging)


def _within(staging: Path) -> Iterator[Path]:
    """Yield `staging`, if it is there, and everything below it; no link is followed."""
    if staging.is_symlink() or staging.exists():
        yield staging
    for directory, directories, files in os.walk(staging):
        if staging.is_symlink():
            return
        yield from (Path(directory, name) for name in (*directories, *files))
