"""Chunks of arrays, for tests of what is predicted of a loader."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from pyloader import ChunkWriter


def write_array_chunks(place: Path) -> Path:
    """Write 13 chunks of 40 rows, the last of 7."""
    with ChunkWriter(place, chunk_samples=40) as writer:
        for number in range(487):
            writer.write({"x": np.full(200, number, np.float32), "label": number // 100})
    return place
