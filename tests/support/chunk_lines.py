"""The lines of a set of chunks, and what packs lines."""

from __future__ import annotations

import bz2
import gzip
import lzma
from collections.abc import Callable
from pathlib import Path

import zstandard

PACKERS: dict[str, Callable[[bytes], bytes]] = {
    "": bytes, ".gz": gzip.compress, ".zst": zstandard.compress, ".xz": lzma.compress, ".bz2": bz2.compress,
}  # fmt: skip


def lines_of(directory: Path) -> list[bytes]:
    """Return the lines of all .jsonl.zst chunks of a directory, in order."""
    chunks = [zstandard.ZstdDecompressor().decompress(path.read_bytes()) for path in sorted(directory.glob("chunk-*"))]
    return b"".join(chunks).splitlines(keepends=True)
