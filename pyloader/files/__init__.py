"""Which chunk files exist, and how to open one."""

from pyloader.files.listing import ChunkList, list_chunks
from pyloader.files.manifest import ChunkEntry, Manifest, checksum_of, read_manifest, write_manifest
from pyloader.files.opening import open_chunk

__all__ = [
    "ChunkEntry",
    "ChunkList",
    "Manifest",
    "checksum_of",
    "list_chunks",
    "open_chunk",
    "read_manifest",
    "write_manifest",
]
