"""Patterns of addresses: * and [...] within a name, and ** for any number of directories, as on a disk."""

from __future__ import annotations

import dataclasses
import fnmatch
import re
from collections.abc import Sequence

from pyloader.files.stores import Address

__all__ = ["above_pattern", "is_pattern", "matches"]

_MAGIC = re.compile(r"[*\[]")
_WEB = ("http", "https")


def is_pattern(address: Address) -> bool:
    """Tell whether an address is a pattern; of HTTP none is, since nothing there lists names."""
    return address.scheme not in _WEB and _MAGIC.search(address.path) is not None


def above_pattern(address: Address) -> Address:
    """Return the directory in which all lies that a pattern can match.

    >>> from pyloader.files.stores import parse_address
    >>> str(above_pattern(parse_address("s3://bucket/2026/*/day-[0-9].jsonl")))
    's3://bucket/2026'
    """
    parts = address.path.split("/")
    first = next(place for place, part in enumerate(parts) if _MAGIC.search(part))
    return dataclasses.replace(address, path="/".join(parts[:first]))


def matches(parts: Sequence[str], patterns: Sequence[str]) -> bool:
    """Tell whether a name matches a pattern, part by part; what is hidden is matched only by what begins with a dot.

    >>> matches(["2026", "07", "a.jsonl"], ["2026", "**", "*.jsonl"])
    True
    """
    if not patterns or not parts:
        return not parts and all(pattern == "**" for pattern in patterns)
    (part, *later), (pattern, *others) = parts, patterns
    is_hidden = part.startswith(".") and not pattern.startswith(".")
    if pattern == "**":
        return matches(parts, others) or (not is_hidden and matches(later, patterns))
    return not is_hidden and fnmatch.fnmatchcase(part, pattern) and matches(later, others)
