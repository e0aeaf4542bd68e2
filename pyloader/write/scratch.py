"""Places for what a split puts aside: rows, in a directory of the user's choice, noted in .split and gone with it; or,
where chunks go to a store, all that lies on this disk meanwhile."""

from __future__ import annotations

import contextlib
import os
import re
import stat
import uuid
from pathlib import Path

from pyloader.errors import OutputDirError
from pyloader.files import store_scheme
from pyloader.files.atomic import written_whole
from pyloader.files.stores import printable

__all__ = ["begin_scratch", "check_scratch", "remove_scratch", "scratch_of", "writing_home"]

_NOTE = "scratch"
_DEFAULT = Path("~/.cache/pyloader/writing")
_DIRECTORY = re.compile(r"pyloader-rows-[0-9a-f]{32}")
_FILE = re.compile(r"(unit|range|piece)-[0-9a-f.-]+(rows)?")


def check_scratch(scratch_dir: str) -> Path:
    """Return the directory, which must be there.

    Raises:
      OutputDirError: it is not, or nothing can be written there.
    """
    if store_scheme(scratch_dir):
        what = "is an address, and what a split puts aside is read back in small pieces: each would be a request."
        raise OutputDirError(printable(scratch_dir), what, "Name a directory on a disk: --scratch-dir")
    if not os.path.isdir(scratch_dir):
        raise OutputDirError(scratch_dir, "is no directory, so no rows can be put aside there.", "Make it first")
    if not os.access(scratch_dir, os.W_OK | os.X_OK):
        raise OutputDirError(scratch_dir, "cannot be written to.", "Name another directory: --scratch-dir")
    return Path(scratch_dir)


def begin_scratch(staging: Path, scratch_dir: str | None) -> None:
    """Make the directory of a split in `scratch_dir`; with None there is none."""
    remove_scratch(staging)
    if scratch_dir is not None:
        directory = Path(scratch_dir).absolute() / f"pyloader-rows-{uuid.uuid4().hex}"
        with written_whole(staging / _NOTE) as beside:  # first, so that a killed run leaves no directory without a note
            beside.write_bytes(os.fsencode(directory))
        directory.mkdir()


def scratch_of(staging: Path) -> Path | None:
    """Return the directory that was made for a split; None where rows are put aside in its .split.

    Raises:
      OutputDirError: the note names a directory that is called as none of these is: it came from elsewhere.
    """
    note = staging / _NOTE
    if not note.is_file():
        return None
    directory = Path(os.fsdecode(note.read_bytes()))
    if not directory.is_absolute() or not _DIRECTORY.fullmatch(directory.name) or directory.is_symlink():
        raise OutputDirError(str(note), "names a directory that no split has made.", "Look what it is, and remove it")
    return directory


def remove_scratch(staging: Path) -> None:
    """Remove the directory of a split, and what the split has put there; other files stay, and it with them."""
    directory = scratch_of(staging)
    if directory is None:
        return
    with contextlib.suppress(OSError):
        for path in directory.iterdir():
            if _FILE.fullmatch(path.name):
                path.unlink()
        directory.rmdir()
    (staging / _NOTE).unlink()


def writing_home(address: str, scratch_dir: str | os.PathLike[str] | None) -> Path:
    """Return where the work directory of an address is kept, a directory of this user alone.

    Raises:
      OutputDirError: it cannot be made, or belongs to somebody else.
    """
    import hashlib  # here: it loads OpenSSL, and only what goes to stores needs it

    name = f"pyloader-writing-{os.getuid()}-{hashlib.sha256(address.encode()).hexdigest()[:16]}"
    try:
        if scratch_dir is None:
            above = _DEFAULT.expanduser()
            above.mkdir(mode=0o700, parents=True, exist_ok=True)
        else:
            above = check_scratch(os.fspath(scratch_dir))
        home = above.absolute() / name
        home.mkdir(mode=0o700, exist_ok=True)
        status = os.lstat(home)
    except (OSError, RuntimeError) as exc:  # RuntimeError: nobody knows where this user's home is
        what = f"cannot be used ({exc})."
        hint = "Say where rows and chunks lie until they are in the store: --scratch-dir"
        raise OutputDirError(str(_DEFAULT if scratch_dir is None else scratch_dir), what, hint) from exc
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.geteuid() or status.st_mode & 0o022:
        what = "is not a directory that belongs to this user alone."
        raise OutputDirError(str(home), what, "Look what it is, or name another place: --scratch-dir")
    return home
