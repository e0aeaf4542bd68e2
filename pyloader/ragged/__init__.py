"""Rows of unequal length, as arrays: the column, how its rows are copied, and Arrow's columns."""

from pyloader.ragged.column import Ragged

__all__ = ["Ragged"]
