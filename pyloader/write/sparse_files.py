"""Sparse files: as long as others, without their bytes; they take no room on the disk."""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["make_sparse", "without_bytes"]

_WRITING = ".writing"


def make_sparse(path: Path, num_bytes: int) -> None:
    """Put a sparse file at a path; a file that is there is replaced whole."""
    beside = path.with_name(f".{path.name}{_WRITING}")
    with open(beside, "wb") as file:
        file.truncate(num_bytes)
    os.replace(beside, path)


def without_bytes(path: Path) -> None:
    """Replace a file, or the files of a directory, by sparse ones."""
    for file in sorted(path.iterdir()) if path.is_dir() else [path]:
        if file.name.endswith(_WRITING):
            file.unlink()  # left by a run that was killed here
        else:
            make_sparse(file, file.stat().st_size)
