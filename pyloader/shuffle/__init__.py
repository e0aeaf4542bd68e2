"""Samples change places (deal, gather), and are cut into batches."""

from pyloader.shuffle.cut import CutRule, Piece, cut, gather_piece, view_piece
from pyloader.shuffle.deal import Arrival, EpochEnd, deal
from pyloader.shuffle.segment import Segment, Share

__all__ = ["Arrival", "CutRule", "EpochEnd", "Piece", "Segment", "Share", "cut", "deal", "gather_piece", "view_piece"]
