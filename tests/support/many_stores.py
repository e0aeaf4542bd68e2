"""Every kind of store that the contract is tested over, by name."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterator
from pathlib import Path

import real_servers
from real_servers import Opened
from store_server import StoreServer

from pyloader.files.stores import LocalStore, MemoryStore, open_store

PLAIN = ("directory", "memory", "s3", "gs")
REAL = ("moto", "seaweedfs", "azurite")


@contextlib.contextmanager
def stores_of(kind: str, directory: Path) -> Iterator[Opened]:
    """Give what opens a store of this kind at a place; `directory` is for what it keeps."""
    if kind == "directory":
        yield lambda place: LocalStore(directory / "store" / place)
    elif kind == "memory":
        yield lambda _: MemoryStore(block_bytes=1000)
    elif kind in PLAIN:
        with StoreServer() as server:
            server.page_size = 2
            options = server.s3_options if kind == "s3" else server.gs_options
            yield lambda place: open_store(f"{kind}://bucket/{place}", storage_options=options)
    else:
        with getattr(real_servers, kind)(directory) as opened:
            yield opened


def places() -> Iterator[str]:
    """Yield places that no other test uses."""
    return (f"place {number}/data" for number in itertools.count())
