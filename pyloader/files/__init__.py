"""Which chunk files exist, and how to open one."""

from pyloader.files.chunk_list import ChunkList, form_of
from pyloader.files.compressors import open_packed, packing_of
from pyloader.files.conversions import conversion
from pyloader.files.listing import (
    DataDir,
    chunks_of_scan,
    find_manifest,
    list_chunks,
    manifest_below,
    no_such_place,
)
from pyloader.files.manifest import (
    MANIFEST_NAME,
    ChunkEntry,
    Manifest,
    checksum_of,
    is_manifest_name,
    read_manifest,
    write_manifest,
)
from pyloader.files.opening import line_blocks, open_chunk, suffix_of, text_of
from pyloader.files.scanning import Scan, chunk_bytes, is_chunk_name, scan_directory
from pyloader.files.sniffing import Sniffer, named_by_content, refuse_pointer, sniffed
from pyloader.files.verification import Verification, byte_difference, size_difference, verification_of

__all__ = [
    "MANIFEST_NAME",
    "ChunkEntry",
    "ChunkList",
    "DataDir",
    "Manifest",
    "Scan",
    "Sniffer",
    "Verification",
    "byte_difference",
    "checksum_of",
    "chunk_bytes",
    "chunks_of_scan",
    "conversion",
    "find_manifest",
    "form_of",
    "is_chunk_name",
    "is_manifest_name",
    "line_blocks",
    "list_chunks",
    "manifest_below",
    "named_by_content",
    "no_such_place",
    "open_chunk",
    "open_packed",
    "packing_of",
    "read_manifest",
    "refuse_pointer",
    "scan_directory",
    "size_difference",
    "sniffed",
    "suffix_of",
    "text_of",
    "verification_of",
    "write_manifest",
]
