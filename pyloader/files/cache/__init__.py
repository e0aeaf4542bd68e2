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
