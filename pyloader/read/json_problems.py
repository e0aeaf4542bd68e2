"""Why a line is not JSON, and what helps: the decoder's own words name a few cases wrongly."""

from __future__ import annotations

import re

__all__ = ["NOT_FINITE", "json_problem"]

NOT_FINITE = "NaN and Infinity are not JSON: write null"

_NOT_FINITE = re.compile(rb"(?<![\w\"])-?(NaN|Infinity)\b")
_HIGH = re.compile(rb"\\u[dD][89abAB][0-9a-fA-F]{2}(?!\\u[dD][c-fC-F])")
_LOW = re.compile(rb"(?<!\\u[dD][89abAB][0-9a-fA-F]{2})\\u[dD][c-fC-F][0-9a-fA-F]{2}")


def json_problem(text: bytes, found: Exception) -> tuple[str, str]:
    """Return what is wrong with a line, and what helps; "" where that is not known.

    Args:
      text: The line.
      found: What the decoder raised.
    """
    what, line = f"is not JSON ({found}).", text.strip().replace(rb"\\", b"")  # a backslash itself
    if half := _HIGH.search(line) or _LOW.search(line):
        what = f"is not JSON: {half[0].decode()} is one half of a surrogate pair, and no character."
        return what, "Remove it, or write both halves"
    if _NOT_FINITE.search(line):
        return what, NOT_FINITE
    if line.startswith((b"{", b"[")) and line.endswith((b"{", b"[", b",")):
        return "is not whole JSON: it goes on in the next line.", "Write each object on one line, as jq -c . does"
    return what, ""
