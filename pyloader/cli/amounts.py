"""Amounts as they are typed: sizes and counts."""

from __future__ import annotations

import argparse

from pyloader.options import parse_bytes

__all__ = ["count_option", "size_option"]


def size_option(text: str) -> int:
    """Return a size in bytes, at least 1, for argparse: "64MiB"."""
    try:
        size = parse_bytes(text)
    except ValueError as exc:
        raise argparse.ArgumentTypeError(str(exc)) from exc
    return size


def count_option(text: str) -> int:
    """Return a number of at least 1, for argparse: "10,000"."""
    if not text.isascii() or not text.replace(",", "").isdigit() or int(text.replace(",", "")) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of at least 1")
    return int(text.replace(",", ""))
