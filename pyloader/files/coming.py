"""Chunks that are being put in place: a manifest to come lists them, and no loader takes them before it is there.

A writer leaves the manifest to come beside the present one, renames the chunks to their places, and renames the
manifest over the present one.  So a loader that is made in between, or after the writer was killed there, finds the
chunks of the present manifest, and knows which others are none of its business.
"""

from __future__ import annotations

import os
from pathlib import Path

from pyloader.errors import ManifestError
from pyloader.files.manifest import MANIFEST_NAME, read_manifest

__all__ = ["NEXT_NAME", "STAGING_NAME", "coming_chunks"]

# Where chunks wait until all of them are there; no loader looks into hidden directories.
STAGING_NAME = ".split"
NEXT_NAME = f".{MANIFEST_NAME}.next"


def coming_chunks(directory: str | os.PathLike[str]) -> frozenset[str]:
    """Return the chunks that the manifest to come lists, relative to `directory`; none when there is none."""
    try:
        return frozenset(entry.file for entry in read_manifest(Path(directory, NEXT_NAME)).chunks)
    except (OSError, ManifestError):
        return frozenset()
