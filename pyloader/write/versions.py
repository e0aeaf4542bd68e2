"""The versions of what decides about the bytes of chunks: all workers must have the same."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version

import zstandard

__all__ = ["versions"]

_PACKAGES = ("pyloader-stream", "numpy", "msgspec", "zstandard", "pyarrow", "array_record")


def versions() -> dict[str, str]:
    """Return name -> version, of packages and of the library that compresses; "" for what is not installed."""
    found = {"libzstd": ".".join(map(str, zstandard.ZSTD_VERSION))}
    for name in _PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = ""
    return found
