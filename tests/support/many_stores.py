"""Every kind of store that the contract is tested over, empty, by name."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from store_server import StoreServer

from pyloader.files.stores import LocalStore, MemoryStore, Store, open_store

PLAIN = ("directory", "memory", "s3")


@contextlib.contextmanager
def empty_store(kind: str, directory: Path) -> Iterator[Store]:
    """Give an empty store of this kind; `directory` is for what it keeps."""
    if kind == "directory":
        yield LocalStore(directory / "store")
    elif kind == "memory":
        yield MemoryStore(block_bytes=1000)
    elif kind == "s3":
        with StoreServer() as server:
            server.page_size = 2
            yield open_store("s3://bucket/some/data", storage_options=server.s3_options)
    else:
        raise ValueError(kind)
