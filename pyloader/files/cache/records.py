"""The record of an entry, in the directory of the entry: what was fetched, by whom, and a checksum of it."""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterable
from pathlib import Path

import msgspec

from pyloader.files.manifest import checksum_of

__all__ = ["RECORD_NAMES", "Record", "has_its_files", "is_undamaged", "read_record", "remove_entry", "write_record"]

RECORD_NAMES = (".record", ".record.new")


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """What an entry holds.

    Attributes:
      url: Where it came from, without anything secret.
      files: Path below the entry's directory, and bytes, of each file.
      process: The number of the process that fetches it, or has.
      boot: The boot of the machine in which its bytes were last known to be good.
      checksum: As `pyloader.files.checksum_of` gives it; "" while it is fetched.
      ranges: The bytes that were fetched, where these are not all; None of the whole file.
    """

    url: str
    files: tuple[tuple[str, int], ...]
    process: int
    boot: str = ""
    checksum: str = ""
    ranges: tuple[tuple[int, int], ...] | None = None


def read_record(entry: Path) -> Record | None:
    """Return the record of an entry; None where there is none, or where a power failure has left a damaged one."""
    try:
        return msgspec.json.decode((entry / RECORD_NAMES[0]).read_bytes(), type=Record)
    except (OSError, msgspec.DecodeError, UnicodeDecodeError):
        return None


def write_record(entry: Path, record: Record) -> None:
    """Write the record of an entry, or replace it: after a kill there is the old one or the new one."""
    record_path, beside = (entry / name for name in RECORD_NAMES)
    with open(beside, "wb", opener=lambda path, flags: os.open(path, flags | os.O_NOFOLLOW, 0o600)) as file:
        file.write(msgspec.json.encode(record))
    os.replace(beside, record_path)


def has_its_files(entry: Path, record: Record) -> bool:
    """Tell whether the files of an entry are there, plain and as long as its record says."""
    try:
        found = [os.lstat(entry / name) for name, _ in record.files]
    except OSError:
        return False
    sizes = [size for _, size in record.files]
    return [status.st_size for status in found] == sizes and all(stat.S_ISREG(status.st_mode) for status in found)


def is_undamaged(entry: Path, record: Record) -> bool:
    """Tell whether an entry has the bytes that were fetched: sizes first, then the checksum.

    Raises:
      OSError: they cannot be read.
    """
    top = entry / record.files[0][0].partition("/")[0]
    return has_its_files(entry, record) and checksum_of(top, record.ranges) == record.checksum


def remove_entry(entry: Path) -> bool:
    """Remove an entry, or what is left of one, and tell whether it is gone: what others have put into it stays.

    Its lock is held by the caller.  A link is removed, and never followed.
    """
    if entry.is_symlink() or not entry.is_dir():
        return not os.path.lexists(entry)
    record = read_record(entry)
    if record is not None:
        paths = [entry / name for name, _ in record.files]
    else:  # it goes after the files: where there is none, these are not the cache's
        paths = list(_plain_files(entry)) if any(map(os.path.lexists, _own_paths(entry))) else []
    below = {path.parent for path in paths} - {entry}
    for path in paths:
        if not path.parent.is_symlink():
            with contextlib.suppress(FileNotFoundError, NotADirectoryError, IsADirectoryError):
                path.unlink()
    for directory in below:
        with contextlib.suppress(OSError):
            directory.rmdir()
    for path in _own_paths(entry):
        path.unlink(missing_ok=True)
    with contextlib.suppress(OSError):
        entry.rmdir()
    return not entry.exists()


def _own_paths(entry: Path) -> list[Path]:
    """Return the paths of the record in the order in which they are removed."""
    return [entry / name for name in reversed(RECORD_NAMES)]


def _plain_files(entry: Path) -> Iterable[Path]:
    """Yield the files of an entry whose record was damaged by a power failure."""
    for directory, _, names in os.walk(entry):
        yield from (Path(directory, name) for name in names if name not in RECORD_NAMES)
