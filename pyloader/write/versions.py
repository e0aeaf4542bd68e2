"""The versions of what decides about the bytes of chunks: all workers must have the same."""

from __future__ import annotations

from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version

import zstandard

__all__ = ["versions"]

_PACKAGES = ("pyloader-stream", "numpy", "msgspec", "zstandard", "pyarrow", "array_record")


def versions(others: Iterable[str] = ()) -> dict[str, str]:
    """Return name -> version, of packages, of `others`, and of the library that compresses; "" for what is missing."""
    found = {"libzstd": ".".join(map(str, zstandard.ZSTD_VERSION))}
    for name in (*_PACKAGES, *others):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = ""
    return found
