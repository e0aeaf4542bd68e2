"""Addresses of object stores (s3://bucket/data), which are never paths."""

from __future__ import annotations

import os
import re

__all__ = ["store_scheme"]

# One slash is enough: pathlib makes s3:/bucket of s3://bucket.  One letter is a drive of Windows.
_ADDRESS = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):/")


def store_scheme(place: str | os.PathLike[str]) -> str:
    """Return the scheme of an address, "" for a path.

    >>> store_scheme("s3://bucket/chunks"), store_scheme("chunks/train")
    ('s3', '')
    """
    match = _ADDRESS.match(os.fspath(place))
    return match[1] if match else ""
