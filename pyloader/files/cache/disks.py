"""Which disks a cache may lie on: those of this machine; and which boot of it this is."""

from __future__ import annotations

import functools
import os
import re
import time
from pathlib import Path

__all__ = ["boot_of_machine", "unfit_disk"]

_MOUNTS = Path("/proc/self/mountinfo")
_BOOT = Path("/proc/sys/kernel/random/boot_id")
# Others write there too, their locks are those of the network or none, and another machine has another boot.
_SHARED = {"9p", "afs", "beegfs", "ceph", "cifs", "gpfs", "lustre", "ncpfs", "nfs", "nfs4", "smb3", "smbfs"}


def unfit_disk(directory: Path) -> str:
    """Return what keeps a cache from lying on the disk of `directory`, which need not be there; "" when nothing does.

    On macOS, which does not say in a file what is mounted, nothing does.
    """
    kind, mounted_at = _file_system(directory.resolve())
    if kind in _SHARED or kind.startswith("fuse"):
        return f"lies on a disk that is not this machine's own ({kind}, at {mounted_at})."
    return ""


@functools.cache
def boot_of_machine() -> str:
    """Return what is another after each boot; where the system does not say, what is another in each process."""
    try:
        return _BOOT.read_text().strip()
    except OSError:  # macOS: each process compares what others have fetched
        return f"process {os.getpid()}, {time.time_ns()}"


def _file_system(path: Path) -> tuple[str, str]:
    """Return the kind of file system that `path` lies on, and where that is mounted; empty where nobody says."""
    found = ("", "")
    try:
        mounts = _MOUNTS.read_text(errors="surrogateescape").splitlines()
    except OSError:
        return found
    for line in mounts:
        before, _, after = line.partition(" - ")
        mounted_at = re.sub(r"\\([0-7]{3})", lambda code: chr(int(code[1], 8)), before.split()[4])
        if path.is_relative_to(mounted_at) and len(mounted_at) >= len(found[1]):  # the latest is on top
            found = after.split()[0], mounted_at
    return found
