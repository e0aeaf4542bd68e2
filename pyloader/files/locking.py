"""One writer for a directory: a lock that ends with the process that holds it.

The lock is `flock` on a hidden file in the directory, so the kernel releases it however the process ends.  The file is
removed by its holder before the lock is released.  Whoever gets a lock therefore looks whether the file that it has
locked is still the one in the directory, and begins anew when it is not.  After a kill the file stays, unlocked: the
next writer takes it over.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import logging
import os
import shlex
import stat
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from pyloader.errors import OutputDirError
from pyloader.files.own_files import OwnFile

__all__ = ["LOCK_NAME", "DirectoryLock", "locked"]

LOCK_NAME = ".pyloader.lock"
_MAX_BYTES = 4096  # of what a holder says about itself
_NO_LOCKS_HERE = (errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOLCK)

_log = logging.getLogger("pyloader")


class DirectoryLock:
    """The only right to write in a directory, from now to `release`.

    Where files cannot be locked (some network disks), a warning in the log says so, and nothing is locked.

    Args:
      directory: Made when it is missing.

    Raises:
      OutputDirError: another writer is at work there, or the lock's name belongs to something else.
    """

    def __init__(self, directory: Path) -> None:
        missing = [path for path in (directory, *directory.parents) if not path.exists()]
        self.directory, self._path = directory, directory / LOCK_NAME
        self._process, self._file = os.getpid(), _locked_file(directory, self._path)
        self._made = missing

    def release(self) -> None:
        """Let others write there; does nothing the second time, and in a forked child."""
        file, self._file = self._file, None
        if file is None or self._process != os.getpid():
            return
        if _is_at(self._path, file.descriptor):
            with contextlib.suppress(OSError):
                self._path.unlink()
        file.close()

    def remove_empty(self) -> None:
        """After `release`: remove the directories that were made for the lock, if nothing has come into them."""
        with contextlib.suppress(OSError):
            for path in self._made:
                path.rmdir()


@contextlib.contextmanager
def locked(directories: Sequence[Path]) -> Iterator[None]:
    """Hold the locks of several directories; those that were made for it and are still empty are removed at the end."""
    with contextlib.ExitStack() as stack:
        for directory in directories:
            lock = DirectoryLock(directory)
            stack.callback(lock.remove_empty)
            stack.callback(lock.release)
        yield


def _locked_file(directory: Path, path: Path) -> OwnFile | None:
    while True:
        directory.mkdir(parents=True, exist_ok=True)
        try:
            file = OwnFile(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK, 0o666)
        except FileNotFoundError:
            continue  # its last user has just removed the directory
        except OSError as exc:
            if exc.errno in (errno.ELOOP, errno.ENXIO, errno.EISDIR):
                raise _no_lock_file(directory) from exc
            if exc.errno in (errno.EACCES, errno.EPERM, errno.EROFS) and not os.access(directory, os.W_OK):
                return None  # nothing can be written there, which is said if it is tried
            raise
        try:
            if _lock(directory, file.descriptor, path):
                return file
        except BaseException:
            file.close()
            raise
        file.close()


def _lock(directory: Path, descriptor: int, path: Path) -> bool:
    """Lock the file, and write down who has it; False when it has been removed meanwhile."""
    about = os.fstat(descriptor)
    if not stat.S_ISREG(about.st_mode) or about.st_nlink > 1:
        raise _no_lock_file(directory)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as exc:
        raise _busy(directory, descriptor) from exc
    except OSError as exc:
        if exc.errno not in _NO_LOCKS_HERE:
            raise
        _log.warning("%s cannot be locked (%s): let only one process write there", directory, exc.strerror)
        return True
    if not _is_at(path, descriptor):
        return False
    words = [os.path.basename(word) for word in sys.argv[:1]] + sys.argv[1:]
    said = "\n".join([str(os.getpid()), os.uname().nodename, shlex.join(words)])
    os.ftruncate(descriptor, 0)
    with contextlib.suppress(OSError):  # a full disk: the lock holds without it
        os.pwrite(descriptor, said.encode(errors="replace")[:_MAX_BYTES], 0)
    return True


def _is_at(path: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(os.stat(path, follow_symlinks=False), os.fstat(descriptor))
    except FileNotFoundError:
        return False


def _busy(directory: Path, descriptor: int) -> OutputDirError:
    said = os.pread(descriptor, _MAX_BYTES, 0).decode(errors="replace")
    shown = "".join(character if character.isprintable() else "\n" for character in said)
    process, host, command = [*shown.split("\n", 2), "", "", ""][:3]
    if process == str(os.getpid()) and host == os.uname().nodename:
        remedy = "Close the ChunkWriter that is open there first"
        return OutputDirError(f"{directory}/", "is being written by this very process.", remedy)
    who = f"process {process}" if process.isdigit() else "another process"
    who += f" on {host}" if host and host != os.uname().nodename else ""
    who += f" ({' '.join(command.split())})" if command else ""
    remedy = "Wait until it has ended, or choose another directory"
    return OutputDirError(f"{directory}/", f"is being written by {who}.", remedy)


def _no_lock_file(directory: Path) -> OutputDirError:
    what = f"holds {LOCK_NAME}, which is no plain file of one name."
    return OutputDirError(f"{directory}/", what, "Remove it: pyloader locks a file of that name while it writes")
