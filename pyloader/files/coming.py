"""Chunks that are being put in place: the next manifest lists them, and loaders pass over them.

A writer puts the next manifest beside the present one, renames the chunks to their places, and renames the next
manifest over the present one.  A loader that is made in between, or after the writer was killed there, reads the
chunks of the present manifest, and knows from the next one which other files to pass over.
"""

from __future__ import annotations

import os
from pathlib import Path

from pyloader.errors import ManifestError
from pyloader.files.manifest import MANIFEST_NAME, read_manifest

__all__ = ["INPUTS_NAME", "NEXT_NAME", "STAGING_NAME", "VERSIONS_NAME", "coming_chunks"]

# Chunks stay here until all of them are complete; loaders do not look into hidden directories.
STAGING_NAME = ".split"
NEXT_NAME = f".{MANIFEST_NAME}.next"
VERSIONS_NAME = ".versions.jsonl"
INPUTS_NAME = ".inputs.jsonl"


def coming_chunks(directory: str | os.PathLike[str]) -> frozenset[str]:
    """Return the chunks that the next manifest lists, relative to `directory`; none when there is no good one."""
    try:
        return frozenset(entry.source for entry in read_manifest(Path(directory, NEXT_NAME)).chunks)
    except (OSError, ManifestError):
        return frozenset()
