"""Object stores: one small interface, and what it is kept by: a directory, memory, S3, GCS, Azure, HTTP, fsspec."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pyloader.lazy import lazy_names

if TYPE_CHECKING:
    from pyloader.files.stores.addresses import Address, parse_address, printable, store_scheme
    from pyloader.files.stores.conditions import Conditions, check_conditions
    from pyloader.files.stores.local import LocalStore
    from pyloader.files.stores.memory import MemoryStore
    from pyloader.files.stores.opening import open_store
    from pyloader.files.stores.store import Incoming, Store, Stored
else:
    __getattr__, __dir__ = lazy_names(
        __name__,
        {
            "addresses": "Address parse_address printable store_scheme",
            "conditions": "Conditions check_conditions",
            "local": "LocalStore",
            "memory": "MemoryStore",
            "opening": "open_store",
            "store": "Incoming Store Stored",
        },
    )

__all__ = [
    "Address",
    "Conditions",
    "Incoming",
    "LocalStore",
    "MemoryStore",
    "Store",
    "Stored",
    "check_conditions",
    "open_store",
    "parse_address",
    "printable",
    "store_scheme",
]
