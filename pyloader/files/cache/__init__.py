"""Chunks of object stores on the disk of this machine: each is fetched once, within a bound, for all processes.

    identity    what identifies the bytes of a chunk: the name of its entry
    directory   where the cache is, whose, and what lies where in it
    loaders     who uses it: what each needs at once, and what each reads next
    fetching    one entry: pinned when it is there, fetched when it is not
    bound       room is made and taken under one lock
    account     whether there is room, without a listing
    eviction    which entry goes first
    keeping     listing, verifying and pruning

Nothing here knows of networks or threads: fetching, and waiting, are given from outside.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pyloader.lazy import lazy_names

if TYPE_CHECKING:
    from pyloader.files.cache.directory import CacheDirectory, cache_directory
    from pyloader.files.cache.fetching import Fill, Pinned
    from pyloader.files.cache.identity import Identity, without_secrets
    from pyloader.files.cache.keeping import (
        CacheEntry,
        Pruned,
        cache_entries,
        cached_names,
        damaged_entries,
        prune,
        total_bytes,
    )
    from pyloader.files.cache.loaders import CacheUser, register
    from pyloader.files.cache.waiting import Wait
else:
    __getattr__, __dir__ = lazy_names(
        __name__,
        {
            "directory": "CacheDirectory cache_directory",
            "fetching": "Fill Pinned",
            "identity": "Identity without_secrets",
            "keeping": "CacheEntry Pruned cache_entries cached_names damaged_entries prune total_bytes",
            "loaders": "CacheUser register",
            "waiting": "Wait",
        },
    )

__all__ = [
    "CacheDirectory",
    "CacheEntry",
    "CacheUser",
    "Fill",
    "Identity",
    "Pinned",
    "Pruned",
    "Wait",
    "cache_directory",
    "cache_entries",
    "cached_names",
    "damaged_entries",
    "prune",
    "register",
    "total_bytes",
    "without_secrets",
]
