"""Samples -> chunks: ChunkWriter, one sample after another; split, a dump of any size; compact, small chunks."""

from pyloader.write.compacting import CompactReport, compact
from pyloader.write.formats import FORMATS
from pyloader.write.inputs import INPUT_FORMATS
from pyloader.write.report import OutputReport, SplitReport
from pyloader.write.splitter import discard_stopped, split
from pyloader.write.writer import ChunkWriter

__all__ = [
    "FORMATS",
    "INPUT_FORMATS",
    "ChunkWriter",
    "CompactReport",
    "OutputReport",
    "SplitReport",
    "compact",
    "discard_stopped",
    "split",
]
