"""Rows of unequal length, as arrays: the column, how its rows are copied, and Arrow's columns."""

from pyloader.ragged.column import Ragged
from pyloader.ragged.gathering import gather, offsets_of

__all__ = ["Ragged", "gather", "offsets_of"]
