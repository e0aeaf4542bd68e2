"""Addresses of object stores, for the commands that do not take them yet."""

from __future__ import annotations

from pyloader.files import store_scheme
from pyloader.files.stores import printable

__all__ = ["refuse_address"]


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
