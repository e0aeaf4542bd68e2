"""Samples change places (deal, gather), and are cut into batches."""

from pyloader.shuffle.arena import Arena, ArenaPart
from pyloader.shuffle.cut import PIECE_BYTES, CutRule, Piece, cut, gather_piece, view_piece
from pyloader.shuffle.deal import Arrival, EpochEnd, deal
from pyloader.shuffle.join import JoinedPiece, gather_joined, join
from pyloader.shuffle.segment import Chunk, ChunkRows, Segment

__all__ = [
    "PIECE_BYTES",
    "Arena",
    "ArenaPart",
    "Arrival",
    "Chunk",
    "ChunkRows",
    "CutRule",
    "EpochEnd",
    "JoinedPiece",
    "Piece",
    "Segment",
    "cut",
    "deal",
    "gather_joined",
    "gather_piece",
    "join",
    "view_piece",
]
