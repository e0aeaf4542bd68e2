"""A file that finds no room: a full disk, a quota, a limit on the size of files."""

from __future__ import annotations

import errno
import os

from pyloader.errors import WriteError

__all__ = ["no_room"]

_REMEDIES = {
    errno.ENOSPC: "Make room",
    errno.EDQUOT: "Make room, or ask for a larger quota",
    errno.EFBIG: "Raise the limit on the size of files (ulimit -f)",
}


def no_room(path: str | os.PathLike[str], exc: BaseException) -> WriteError | None:
    """Return the error that names the file, when `exc` says that there was no room for it; else None."""
    if not isinstance(exc, OSError) or exc.errno not in _REMEDIES:
        return None
    reason = os.strerror(exc.errno).lower()
    return WriteError(os.fspath(path), f"could not be written: {reason}.", _REMEDIES[exc.errno])
