"""Samples change places (deal, gather), and are cut into batches."""

from pyloader.shuffle.arena import Arena, ArenaPart
from pyloader.shuffle.cut import GROUP_BYTES, BatchGroup, CutRule, cut, gather_group, view_group
from pyloader.shuffle.deal import Arrival, EpochEnd, deal
from pyloader.shuffle.join import AnyGroup, JoinedGroup, gather_joined, join
from pyloader.shuffle.runs import row_lengths, sorted_runs
from pyloader.shuffle.segment import Chunk, ChunkRows, Hand, Segment
from pyloader.shuffle.take import RowTaker, filling_groups

__all__ = [
    "GROUP_BYTES",
    "AnyGroup",
    "Arena",
    "ArenaPart",
    "Arrival",
    "BatchGroup",
    "Chunk",
    "ChunkRows",
    "CutRule",
    "EpochEnd",
    "Hand",
    "JoinedGroup",
    "RowTaker",
    "Segment",
    "cut",
    "deal",
    "filling_groups",
    "gather_group",
    "gather_joined",
    "join",
    "row_lengths",
    "sorted_runs",
    "view_group",
]
