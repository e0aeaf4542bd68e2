"""The versions of a set of chunks, as `pyloader peek DIR --versions` shows them."""

from __future__ import annotations

import os
from datetime import datetime

from pyloader.cli.screens import as_json, as_table
from pyloader.errors import DataDirError
from pyloader.files import MANIFEST_NAME, ChunkList, difference_of_versions, read_versions

__all__ = ["version_list"]


def version_list(chunks: ChunkList, *, json: bool) -> str:
    """Return the versions of a set, the newest first, as a table or as JSON.

    Raises:
      DataDirError: the chunks are none that could have versions.
    """
    newest = chunks.newest
    if chunks.stored is not None:
        what = "is in a store, where earlier versions cannot be read."
        raise DataDirError(str(chunks.root), what, "Copy the set to a disk, and look there")
    if newest is None:
        raise DataDirError(str(chunks.root), f"has no {MANIFEST_NAME}, and so no versions.", "Name a set of chunks")
    made_seconds = int(os.stat(os.path.join(chunks.root, MANIFEST_NAME)).st_mtime)
    now = difference_of_versions(newest, newest, made_seconds=made_seconds)
    versions = [now, *read_versions(chunks.root, newest).earlier]
    if json:
        shown = ("number", "made_seconds", "num_samples", "num_chunks", "fingerprint", "command", "is_ended")
        return as_json([{name: getattr(version, name) for name in shown} for version in versions])
    rows = [
        (
            f"{version.number:,}",
            f"{datetime.fromtimestamp(version.made_seconds):%Y-%m-%d %H:%M}",
            f"{version.num_samples:,}",
            f"{version.num_chunks:,}",
            "ended: chunks of it were deleted" if version.is_ended else version.command,
        )
        for version in versions
    ]
    return as_table([("version", "made", "samples", "chunks", ""), *rows], right={0, 2, 3})
