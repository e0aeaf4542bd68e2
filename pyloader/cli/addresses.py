"""Addresses of object stores: how commands ask a store."""

from __future__ import annotations

import argparse

from pyloader.deliver import called_at_once
from pyloader.files import StoreOptions

__all__ = ["add_cache_option", "typed_store"]


def add_cache_option(parser: argparse.ArgumentParser) -> None:
    """Add --cache-dir."""
    parser.add_argument(
        "--cache-dir",
        metavar="DIR",
        help="of an address: where chunks are kept; by default PYLOADER_CACHE, else ~/.cache/pyloader/chunks",
    )


def typed_store(cache_dir: str | None = None, cache_bytes: int | None = None) -> StoreOptions:
    """Return how a command asks a store: with the keys of the environment."""
    return StoreOptions(cache_dir=cache_dir, cache_bytes=cache_bytes, called=called_at_once)
