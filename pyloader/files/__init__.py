"""Which chunk files exist, and how to open one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pyloader.lazy import lazy_names

if TYPE_CHECKING:
    from pyloader.files.cache import Pinned
    from pyloader.files.chunk_directories import chunk_bytes, chunk_files, file_spans, is_chunk_directory
    from pyloader.files.chunk_list import ChunkList, fingerprint_of, form_of
    from pyloader.files.coming import INPUTS_NAME, NEXT_NAME, STAGING_NAME, VERSIONS_NAME, coming_chunks
    from pyloader.files.compressors import chunk_room, open_packed, packing_of
    from pyloader.files.conversions import conversion
    from pyloader.files.entries import PartEntry, PartSizes
    from pyloader.files.fetching import FetchTerms
    from pyloader.files.line_files import LineFile, open_lines
    from pyloader.files.listing import (
        DataDir,
        chunks_of_scan,
        find_manifests,
        in_version_of,
        list_chunks,
        manifest_below,
        no_such_place,
    )
    from pyloader.files.locking import LOCK_NAME, DirectoryLock, locked
    from pyloader.files.manifest import (
        MANIFEST_NAME,
        ChunkEntry,
        Manifest,
        check_names,
        checksum_of,
        encode_manifest,
        index_name,
        is_index_of_file,
        is_manifest_name,
        read_manifest,
        utf8_name,
        write_manifest,
        write_whole,
    )
    from pyloader.files.mixed_chunks import MixedChunks, MixedVerification
    from pyloader.files.npy_headers import NpyHeaderError, read_npy_header, rows_without_bytes
    from pyloader.files.object_file import ObjectFile
    from pyloader.files.opening import count_newlines, line_blocks, open_chunk, suffix_of, text_of
    from pyloader.files.origins import Origin, makers_of, origins_of
    from pyloader.files.part_opening import first_line, header_lines, line_detail, open_part
    from pyloader.files.room import Room, check_fits, long_line, longest_line, room_of
    from pyloader.files.saved_datasets import is_in_saved_dataset
    from pyloader.files.scanning import Scan, is_chunk_name, scan_directory
    from pyloader.files.sniffing import Sniffer, named_by_content, refuse_pointer, sniffed
    from pyloader.files.stored import LIST_NAME, StoredChunks, StoreOptions
    from pyloader.files.stored_path import StoredPath, bytes_at, found_beside, num_bytes_of, open_bytes
    from pyloader.files.stores import store_scheme
    from pyloader.files.verification import (
        Verification,
        as_listed,
        byte_difference,
        size_difference,
        verification_of,
    )
    from pyloader.files.versions import (
        Version,
        Versions,
        difference_of_versions,
        encode_versions,
        kept_chunks,
        read_versions,
    )
    from pyloader.files.zstd_parts import FrameLog
else:
    __getattr__, __dir__ = lazy_names(
        __name__,
        {
            "cache": "Pinned",
            "chunk_directories": "chunk_bytes chunk_files file_spans is_chunk_directory",
            "chunk_list": "ChunkList fingerprint_of form_of",
            "coming": "INPUTS_NAME NEXT_NAME STAGING_NAME VERSIONS_NAME coming_chunks",
            "compressors": "chunk_room open_packed packing_of",
            "conversions": "conversion",
            "entries": "PartEntry PartSizes",
            "fetching": "FetchTerms",
            "line_files": "LineFile open_lines",
            "listing": "DataDir chunks_of_scan find_manifests in_version_of list_chunks manifest_below no_such_place",
            "locking": "LOCK_NAME DirectoryLock locked",
            "manifest": (
                "MANIFEST_NAME ChunkEntry Manifest check_names checksum_of encode_manifest index_name "
                "is_index_of_file is_manifest_name read_manifest utf8_name write_manifest write_whole"
            ),
            "mixed_chunks": "MixedChunks MixedVerification",
            "npy_headers": "NpyHeaderError read_npy_header rows_without_bytes",
            "object_file": "ObjectFile",
            "opening": "count_newlines line_blocks open_chunk suffix_of text_of",
            "origins": "Origin makers_of origins_of",
            "part_opening": "first_line header_lines line_detail open_part",
            "room": "Room check_fits long_line longest_line room_of",
            "saved_datasets": "is_in_saved_dataset",
            "scanning": "Scan is_chunk_name scan_directory",
            "sniffing": "Sniffer named_by_content refuse_pointer sniffed",
            "stored": "LIST_NAME StoredChunks StoreOptions",
            "stored_path": "StoredPath bytes_at found_beside num_bytes_of open_bytes",
            "stores": "store_scheme",
            "verification": "Verification as_listed byte_difference size_difference verification_of",
            "versions": "Version Versions difference_of_versions encode_versions kept_chunks read_versions",
            "zstd_parts": "FrameLog",
        },
    )

__all__ = [
    "INPUTS_NAME",
    "LIST_NAME",
    "LOCK_NAME",
    "MANIFEST_NAME",
    "NEXT_NAME",
    "STAGING_NAME",
    "VERSIONS_NAME",
    "ChunkEntry",
    "ChunkList",
    "DataDir",
    "DirectoryLock",
    "FetchTerms",
    "FrameLog",
    "LineFile",
    "Manifest",
    "MixedChunks",
    "MixedVerification",
    "NpyHeaderError",
    "ObjectFile",
    "Origin",
    "PartEntry",
    "PartSizes",
    "Pinned",
    "Room",
    "Scan",
    "Sniffer",
    "StoreOptions",
    "StoredChunks",
    "StoredPath",
    "Verification",
    "Version",
    "Versions",
    "as_listed",
    "byte_difference",
    "bytes_at",
    "check_fits",
    "check_names",
    "checksum_of",
    "chunk_bytes",
    "chunk_files",
    "chunk_room",
    "chunks_of_scan",
    "coming_chunks",
    "conversion",
    "count_newlines",
    "difference_of_versions",
    "encode_manifest",
    "encode_versions",
    "file_spans",
    "find_manifests",
    "fingerprint_of",
    "first_line",
    "form_of",
    "found_beside",
    "header_lines",
    "in_version_of",
    "index_name",
    "is_chunk_directory",
    "is_chunk_name",
    "is_in_saved_dataset",
    "is_index_of_file",
    "is_manifest_name",
    "kept_chunks",
    "line_blocks",
    "line_detail",
    "list_chunks",
    "locked",
    "long_line",
    "longest_line",
    "makers_of",
    "manifest_below",
    "named_by_content",
    "no_such_place",
    "num_bytes_of",
    "open_bytes",
    "open_chunk",
    "open_lines",
    "open_packed",
    "open_part",
    "origins_of",
    "packing_of",
    "read_manifest",
    "read_npy_header",
    "read_versions",
    "refuse_pointer",
    "room_of",
    "rows_without_bytes",
    "scan_directory",
    "size_difference",
    "sniffed",
    "store_scheme",
    "suffix_of",
    "text_of",
    "utf8_name",
    "verification_of",
    "write_manifest",
    "write_whole",
]
