"""Addresses of object stores: how commands ask a store, and what those say that take none."""

from __future__ import annotations

import argparse

from pyloader.deliver import called_at_once
from pyloader.files import StoreOptions, store_scheme
from pyloader.files.stores import printable

__all__ = ["add_cache_option", "refuse_address", "typed_store"]


def add_cache_option(parser: argparse.ArgumentParser) -> None:
    """Add --cache-dir."""
    parser.add_argument(
        "--cache-dir",
        metavar="DIR",
        help="of an address: where chunks are kept; by default PYLOADER_CACHE, else ~/.cache/pyloader/chunks",
    )


def typed_store(cache_dir: str | None = None) -> StoreOptions:
    """Return how a command asks a store: with the keys of the environment."""
    return StoreOptions(cache_dir=cache_dir, called=called_at_once)


def refuse_address(place: str, *, instead: str) -> None:
    """See to it that a place is no address.

    Args:
      place: What was typed.
      instead: What to do today.

    Raises:
      ValueError: it is one.
    """
    if store_scheme(place):
        what = f"{printable(place)} is an address of a store, and this command takes places on a disk only."
        raise ValueError(f"{what} {instead}")
